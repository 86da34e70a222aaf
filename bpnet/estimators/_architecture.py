"""The architecture of a fitted estimator: its layers and loss, without the weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.activations import Activation
from bpnet.backend import Backend
from bpnet.backend.transfer import to_device
from bpnet.backend.typing import Array, Parameters
from bpnet.layers import Dense, Dropout, Layer
from bpnet.losses import Loss
from bpnet.network import Network


class Architecture(NamedTuple):
    """A description from which a network is built; equal ones build equal networks.

    Attributes
    ----------
    hidden : tuple of int
        Units of the hidden layers.
    activations : tuple of Activation
        Their activations; without hidden layers, one that only sets the initial weight range.
    dropout : tuple of float
        Their dropout rates.
    n_inputs, n_outputs : int
        Number of features, and of units of the last layer.
    loss : Loss
        The loss with its link function.
    alpha : float
        Strength of the L2 penalty, averaged over the examples.
    init : str, callable or None
        Weight initializer; None initializes like scikit-learn.
    dtype : str
        Dtype of the computations.
    seed : int
        Seed of dropout masks, and of weights initialized by `init`.
    """

    hidden: tuple[int, ...]
    activations: tuple[Activation, ...]
    dropout: tuple[float, ...]
    n_inputs: int
    n_outputs: int
    loss: Loss
    alpha: float
    init: str | Callable[..., Any] | None
    dtype: str
    seed: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of all layers, the features first."""
        return (self.n_inputs, *self.hidden, self.n_outputs)

    def network(self) -> Network:
        """Return the network, not yet built."""
        layers: list[Layer] = []
        for units, activation, rate in zip(
            self.hidden, self.activations, self.dropout, strict=False
        ):
            layers.append(Dense(units, activation, init=self.init, l2=self.alpha))
            if rate:
                layers.append(Dropout(rate))
        layers.append(Dense(self.n_outputs, init=self.init, l2=self.alpha))
        network = Network(layers, self.loss, self.seed, self.dtype)
        network.set_average_penalty(True)
        return network

    def init_weights(self, random_state: np.random.RandomState) -> tuple[list[Any], list[Any]]:
        """Return initial weights and biases as host arrays."""
        if self.init is not None:
            parameters = self.network().build(self.n_inputs, "numpy").parameters
            return [p["W"] for p in parameters], [p["b"] for p in parameters]
        coefs, intercepts = [], []
        # as in scikit-learn, the last layer is initialized like the last hidden one
        activations = (*self.activations, self.activations[-1])
        for n_in, n_out, f in zip(self.sizes[:-1], self.sizes[1:], activations, strict=False):
            bound = math.sqrt((2.0 if f.name == "sigmoid" else 6.0) / (n_in + n_out))
            coefs.append(random_state.uniform(-bound, bound, (n_in, n_out)))
            intercepts.append(random_state.uniform(-bound, bound, n_out))
        return _cast(coefs, self.dtype), _cast(intercepts, self.dtype)

    def parameters(
        self, coefs: Sequence[Array], intercepts: Sequence[Array], backend: Backend
    ) -> Parameters:
        """Put weights and biases on a backend, structured like the network's layers."""
        layers: Parameters = []

        def placed(array: Array) -> Array:
            host = type(array) is np.ndarray
            return backend.asarray(array if host else to_device(array, backend), self.dtype)

        rates = (*self.dropout[: len(self.hidden)], 0.0)
        for W, b, rate in zip(coefs, intercepts, rates, strict=True):
            layers.append({"W": placed(W), "b": placed(b)})
            if rate:
                layers.append({})
        return layers

    def check(self, coefs: Sequence[Array]) -> None:
        """Raise ValueError unless the weights fit this architecture."""
        shapes = [tuple(W.shape) for W in coefs]
        expected = list(itertools.pairwise(self.sizes))
        if shapes != expected:
            raise ValueError(
                f"the weights to continue from have shapes {shapes}, but hidden_layer_sizes, X "
                f"and y now need {expected}; refit with warm_start=False"
            )


def _cast(arrays: list[Any], dtype: str) -> list[Any]:
    return [a.astype(dtype, copy=False) for a in arrays]
