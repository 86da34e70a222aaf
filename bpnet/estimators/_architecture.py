"""What a fitted estimator computes: its layers and loss, without the weights."""

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
    """The description from which a network is made; equal ones make equal networks.

    Attributes
    ----------
    hidden : tuple of int
        Units of the hidden layers.
    activations : tuple of Activation
        Theirs; one that only sets the range of the first weights if there are none.
    dropout : tuple of float
        The rates after them.
    n_inputs, n_outputs : int
        Features, and units of the last layer.
    loss : Loss
        The loss with its link.
    alpha : float
        Strength of the L2 penalty, which the examples share.
    init : str, callable or None
        How weights are drawn; None draws them as scikit-learn does.
    dtype : str
        Of the computations.
    seed : int
        Seed of the masks, and of weights that `init` draws.
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
        """Make the network, which is not built yet."""
        layers: list[Layer] = []
        for units, activation, rate in zip(
            self.hidden, self.activations, self.dropout, strict=False
        ):
            layers.append(Dense(units, activation, init=self.init, l2=self.alpha))
            if rate:
                layers.append(Dropout(rate))
        layers.append(Dense(self.n_outputs, init=self.init, l2=self.alpha))
        network = Network(layers, self.loss, self.seed, self.dtype)
        network.spec = network.spec._replace(average_penalty=True)
        return network

    def drawn(self, random_state: np.random.RandomState) -> tuple[list[Any], list[Any]]:
        """Draw the first weights and biases, on the host."""
        if self.init is not None:
            parameters = self.network().build(self.n_inputs, "numpy").parameters
            return [p["W"] for p in parameters], [p["b"] for p in parameters]
        coefs, intercepts = [], []
        # the last layer draws like the last hidden one, as in scikit-learn
        activations = (*self.activations, self.activations[-1])
        for n_in, n_out, f in zip(self.sizes[:-1], self.sizes[1:], activations, strict=False):
            bound = math.sqrt((2.0 if f.name == "sigmoid" else 6.0) / (n_in + n_out))
            coefs.append(random_state.uniform(-bound, bound, (n_in, n_out)))
            intercepts.append(random_state.uniform(-bound, bound, n_out))
        return _cast(coefs, self.dtype), _cast(intercepts, self.dtype)

    def parameters(
        self, coefs: Sequence[Array], intercepts: Sequence[Array], backend: Backend
    ) -> Parameters:
        """Put weights and biases on a backend, in the structure of the network's layers."""
        layers: Parameters = []
        for W, b, rate in zip(coefs, intercepts, (*self._rates, 0.0), strict=True):
            placed = [backend.asarray(to_device(a, backend), self.dtype) for a in (W, b)]
            layers.append(dict(zip("Wb", placed, strict=True)))
            if rate:
                layers.append({})
        return layers

    def check(self, coefs: Sequence[Array]) -> None:
        """Refuse to go on with weights of another structure."""
        shapes = [tuple(W.shape) for W in coefs]
        expected = list(itertools.pairwise(self.sizes))
        if shapes != expected:
            raise ValueError(
                f"the weights to go on with have the shapes {shapes}, but hidden_layer_sizes, "
                f"X and y now need {expected}; fit anew with warm_start=False"
            )

    @property
    def _rates(self) -> tuple[float, ...]:
        return self.dropout[: len(self.hidden)]


def _cast(arrays: list[Any], dtype: str) -> list[Any]:
    return [a.astype(dtype, copy=False) for a in arrays]
