"""The memory that the parts of a training run take."""

from __future__ import annotations

from bpnet.data.dataset import Dataset
from bpnet.data.loader import Loader
from bpnet.model.model import Model
from bpnet.model.parameters import activation_bytes, parameter_bytes


def memory_needs(
    network: Model, data: Dataset | Loader, batch_size: int, n_state: int
) -> dict[str, tuple[int, str]]:
    """Return the bytes that each part of a run takes, and what lowers them.

    `n_state` is the number of state arrays that the optimizer has for each parameter.
    """
    nbytes = data.nbytes if isinstance(data, Dataset) else 0
    one = parameter_bytes(network.layers, data.n_inputs, network.dtype)
    batch = activation_bytes(network.layers, data.n_inputs, batch_size, network.dtype)
    copies = 3 + 2 * n_state  # with gradients and the last good epoch
    return {
        f"the activations of a batch of {batch_size:,}": (batch, "batch_size"),
        "the examples": (nbytes, "the number of examples, or use float32"),
        "weights, gradients and optimizer state": (copies * one, "the units of the layers"),
    }
