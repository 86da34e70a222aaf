"""The solver "lbfgs": SciPy's L-BFGS-B with loss and gradients by backpropagation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import optimize

from bpnet import backprop
from bpnet.backend import Backend
from bpnet.backend.float_errors import without_float_warnings
from bpnet.backend.transfer import to_host
from bpnet.backend.typing import Array, Parameters
from bpnet.data.dataset import Dataset
from bpnet.inference import row_blocks
from bpnet.network import Network


class Objective:
    """Loss and gradient of all examples, as a function of one host vector.

    The vector has the network's dtype, in which SciPy then computes. It holds all weights, then
    all biases, as scikit-learn packs them. Dense examples that fit in device memory are
    processed at once, others in blocks of rows, which are kept if they fit.
    """

    def __init__(self, network: Network, backend: Backend, data: Dataset) -> None:
        self.network, self.backend, self.data = network, backend, data
        self.n_layers = len(network.layers)
        self.names = [
            (number, name, tuple(layer[name].shape))
            for name in ("W", "b")
            for number, layer in enumerate(network.placement.parameters)
            if layer
        ]
        self.total = data.total_weight
        self.last: Any = None  # the vector of the last call
        self.resident = list(self._blocks()) if data.fits(backend) else None

    def __call__(self, vector: Any) -> tuple[float, Any]:
        """Return the loss and its gradient, packed like the vector."""
        self.last, parameters = vector.copy(), self.unpack(vector)
        compute = self.network.compiled(self.backend, backprop.data_loss_and_gradients)
        loss: Any = 0.0
        gradients: Any = None
        for share, block in self.resident or self._blocks():
            block_loss, block_gradients = compute(parameters, *block)
            loss = loss + share * block_loss
            gradients = _added(gradients, block_gradients, share)
        penalize = self.network.compiled(self.backend, backprop.add_penalties)
        loss, gradients = penalize(parameters, loss, gradients, self.total)
        return float(loss), self.pack(gradients)

    def _blocks(self) -> Iterator[tuple[float, tuple[Array, Array, Array | None]]]:
        """Yield blocks of examples with their fraction of the total weight."""
        data, backend = self.data, self.backend
        if data.fits(backend) and not data.is_sparse:
            yield 1.0, data.arrays_on(backend)
            return
        for rows in row_blocks(data.n_rows, data.is_sparse):
            w = data.w
            weight = rows.stop - rows.start if w is None else to_host(w[rows]).sum(dtype=float)
            yield float(weight) / self.total, data.arrays_on(backend, rows)

    def pack(self, layers: Parameters) -> Any:
        """Pack parameters or gradients into one vector."""
        parts = [to_host(layers[number][name]).reshape(-1) for number, name, _ in self.names]
        return np.concatenate(parts)

    def unpack(self, vector: Any) -> Parameters:
        """Unpack parameters from a vector."""
        layers: Parameters = [{} for _ in range(self.n_layers)]
        start = 0
        for number, name, shape in self.names:
            stop = start + int(np.prod(shape))
            part = vector[start:stop].reshape(shape)
            layers[number][name] = self.backend.asarray(part, self.network.dtype)
            start = stop
        return layers


def _added(sums: Parameters | None, gradients: Parameters, share: float) -> Parameters:
    """Add a block's weighted gradients to the sums, without copying if it is the only one."""
    if share == 1.0:
        return gradients
    if sums is None:
        return [{k: g * share for k, g in layer.items()} for layer in gradients]
    return [
        {k: total[k] + g * share for k, g in layer.items()}
        for total, layer in zip(sums, gradients, strict=True)
    ]


def minimize(
    objective: Objective, *, max_iter: int, max_fun: int, tol: float, verbose: bool
) -> optimize.OptimizeResult:
    """Train the objective's network and return SciPy's result.

    Ctrl-C raises KeyboardInterrupt; the network then has the weights last evaluated.

    Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
    """
    backend, network = objective.backend, objective.network
    iterations = 0

    def report(intermediate_result: optimize.OptimizeResult) -> None:
        nonlocal iterations
        iterations += 1
        print(f"Iteration {iterations}, loss = {intermediate_result.fun:.8f}")

    with backend.activate(), without_float_warnings():
        start = objective.last = objective.pack(network.placement.parameters)
        try:
            result = optimize.minimize(
                objective,
                start,
                method="L-BFGS-B",
                jac=True,
                callback=report if verbose else None,
                options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
            )
        except KeyboardInterrupt:
            network.set_parameters(backend, objective.unpack(objective.last))
            raise
        network.set_parameters(backend, objective.unpack(result.x))
    return result
