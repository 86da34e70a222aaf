"""A model in the formats of others: weights as Keras has them, and ONNX files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from bpnet.backend.transfer import to_device
from bpnet.common.checks import check_path, kind_of
from bpnet.data.validation import as_parameter
from bpnet.model.model import Model


class PortableModel(Model):
    """A model whose weights and predictions other libraries can use."""

    def get_weights(self) -> list[Any]:
        """Return all parameters as a list of NumPy arrays, as Keras' method does.

        Layer by layer, of a Dense W (n_in, n_out) and b, of a BatchNorm gamma, beta, mean and
        variance: the order and the shapes of the same layers in Keras.

        Returns
        -------
        list of numpy.ndarray
            Copies, of the dtype of the network.

        Raises
        ------
        ValueError
            If the network has no weights yet.

        See Also
        --------
        bpnet.interchange : Weights of PyTorch and scikit-learn.

        Examples
        --------
        >>> import bpnet
        >>> net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "mse", seed=0)
        >>> [w.shape for w in net.build(2).get_weights()]
        [(2, 3), (3,), (3, 1), (1,)]
        """
        backend, layers = self.placement
        return [backend.to_numpy(p).copy() for layer in layers for p in layer.values()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all parameters from a list of arrays, in the order of :meth:`get_weights`.

        Parameters
        ----------
        weights : list of array
            Such as ``keras_model.get_weights()``, of any array library; they are converted to
            the dtype of the network, and moved to its backend.

        Raises
        ------
        ValueError, TypeError
            If the network has no weights yet (call ``build(n_inputs)``), or the arrays are not
            as many, differ in shape, or are not finite; the network is left unchanged.

        Examples
        --------
        >>> import bpnet
        >>> net = bpnet.Network([bpnet.Dense(1)], "mse", seed=0).build(2)
        >>> net.set_weights([[[1.0], [2.0]], [0.5]])
        >>> net.predict([[1.0, 1.0]])
        array([3.5], dtype=float32)
        """
        backend, layers = self.placement
        due = [
            (f"{name} of layer {number}, {layer!r}", p.shape)
            for number, (layer, own) in enumerate(zip(self.layers, layers, strict=True), 1)
            for name, p in own.items()
        ]
        if not isinstance(weights, list | tuple):
            raise TypeError(
                f"weights must be a list of {len(due)} arrays, as get_weights returns; got "
                f"{kind_of(weights)}"
            )
        if len(weights) != len(due):
            raise ValueError(
                f"weights must have {len(due)} arrays, one for each of "
                f"{'; '.join(f'{what} {shape}' for what, shape in due)}; got {len(weights)}"
            )
        checked = iter(
            [
                as_parameter(f"weights[{k}], {what},", value, shape, self.dtype)
                for k, (value, (what, shape)) in enumerate(zip(weights, due, strict=True))
            ]
        )
        parameters = [
            {name: to_device(next(checked), backend, copy=True) for name in own}
            for own in layers
        ]
        self.set_parameters(backend, parameters)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write what the network predicts to an ONNX file, which needs no bpnet to run.

        The file computes what :meth:`bpnet.Network.predict` and
        :meth:`bpnet.Network.predict_proba` return, to rounding, in the dtype of the network; it
        does not hold what training needs. It has one input, "X" (batch, n_0), and the outputs

        - "label" and "probabilities" of a classifier: classes, (batch,) or (batch, n_L) of
          int64, and a probability for each, (batch, n_classes);
        - "prediction" of a regression, (batch,) or (batch, n_L).

        The metadata holds the version of bpnet and, if they are known, the names of the
        features, as JSON. It is in opset 21, which ONNX Runtime reads from 1.18 on. The file is
        written atomically, like those of :meth:`bpnet.Network.save`. Requires ndonnx:
        ``pip install "bpnet-array-api[onnx]"``.

        Parameters
        ----------
        path : path
            Output file; by convention it ends in ".onnx".

        Raises
        ------
        ImportError
            If ndonnx is not installed.
        ValueError
            If the network has no weights yet.
        ComponentError
            If a layer of your own uses a function outside of the array API standard, or needs
            the number of rows.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import bpnet
        >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(3)],
        ...                     "categorical_crossentropy", seed=0).build(2)
        >>> net.to_onnx("net.onnx")  # doctest: +SKIP
        >>> import onnxruntime  # doctest: +SKIP
        >>> session = onnxruntime.InferenceSession("net.onnx")  # doctest: +SKIP
        >>> X = np.zeros((5, 2), "float32")  # doctest: +SKIP
        >>> label, probabilities = session.run(None, {"X": X})  # doctest: +SKIP
        """
        from bpnet.serialization import onnx_file

        path = check_path("path", path)
        graph = onnx_file.onnx_graph()
        described = {"kind": type(self).__name__, "feature_names": self.feature_names}
        onnx_file.write(path, graph, onnx_file.outputs_of(graph, self), described)
