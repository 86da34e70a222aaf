"""Layer wrappers that record the intermediate values of a pass.

The trace, the gradient-flow measurement and the NaN guard run the loops of `backprop` over
wrapped layers and then read the recorded values.
"""

from __future__ import annotations

from typing import Any

from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.backprop import ModelSpec
from bpnet.layers import Context, Layer
from bpnet.model.checked import unchecked, unchecked_cache


class Seen:
    """The values that pass through a layer."""

    a: Array = None
    cache: Any = None
    error: Array = None


class Recorder(Layer):
    """A layer that delegates to `layer` and records the values that pass through it.

    `a` and `cache` are the result of its forward pass, `error` is the error dL/da passed to its
    backward pass.
    """

    def __init__(self, layer: Layer) -> None:
        self._wrapped, self._seen = layer, Seen()

    @property
    def layer(self) -> Layer:
        """The layer itself, not one that checks it."""
        return unchecked(self._wrapped)

    @property
    def a(self) -> Array:
        """The recorded activations."""
        return self._seen.a

    @property
    def cache(self) -> Any:
        """The recorded cache."""
        return self._seen.cache

    @property
    def error(self) -> Array:
        """The recorded error dL/da."""
        return self._seen.error

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Delegate, and record the result."""
        a, cache = self._wrapped.forward(xp, parameters, a_previous, context)
        self._seen.a, self._seen.cache = a, unchecked_cache(self._wrapped, cache)
        return a, cache

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Delegate, and record the error."""
        self._seen.error = error
        return self._wrapped.backward(xp, parameters, cache, error, propagate)

    def penalty(self, xp: Namespace, parameters: LayerParameters) -> Array | None:
        """Delegate."""
        return self._wrapped.penalty(xp, parameters)

    def penalty_gradients(self, xp: Namespace, parameters: LayerParameters) -> LayerParameters:
        """Delegate."""
        return self._wrapped.penalty_gradients(xp, parameters)


def recording(model: ModelSpec) -> tuple[tuple[Recorder, ...], ModelSpec]:
    """Wrap the layers of a model; return the wrappers and the wrapped model."""
    recorders = tuple(map(Recorder, model.layers))
    return recorders, model._replace(layers=recorders)
