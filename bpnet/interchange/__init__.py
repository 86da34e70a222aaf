"""Weights from and for other libraries: PyTorch and scikit-learn.

For Keras see :meth:`bpnet.Network.get_weights`, for ONNX :meth:`bpnet.Network.to_onnx`.
"""

from bpnet.interchange.sklearn_mlp import from_sklearn, to_sklearn
from bpnet.interchange.torch_state import from_torch_state_dict, to_torch_state_dict

__all__ = ["from_sklearn", "from_torch_state_dict", "to_sklearn", "to_torch_state_dict"]
