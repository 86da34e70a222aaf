"""Layer wrappers that record the intermediate values of a pass.

The trace, the gradient-flow measurement and the NaN guard run the loops of `backprop` over
wrapped layers and then read the recorded values.
"""

from __future__ import annotations

from typing import Any

from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.backprop import ModelSpec
from bpnet.layers import Context, Layer


class Recorder(Layer):
    """A layer that delegates to `layer` and records the values that pass through it.

    `a` and `cache` are the result of its forward pass, `error` is the error dL/da passed to its
    backward pass.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.a: Array = None
        self.cache: Any = None
        self.error: Array = None

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Delegate, and record the result."""
        self.a, self.cache = self.layer.forward(xp, parameters, a_previous, context)
        return self.a, self.cache

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Delegate, and record the error."""
        self.error = error
        return self.layer.backward(xp, parameters, cache, error, propagate)

    def penalty(self, xp: Namespace, parameters: LayerParameters) -> Array | None:
        """Delegate."""
        return self.layer.penalty(xp, parameters)

    def penalty_gradients(self, xp: Namespace, parameters: LayerParameters) -> LayerParameters:
        """Delegate."""
        return self.layer.penalty_gradients(xp, parameters)


def recording(model: ModelSpec) -> tuple[tuple[Recorder, ...], ModelSpec]:
    """Wrap the layers of a model; return the wrappers and the wrapped model."""
    recorders = tuple(map(Recorder, model.layers))
    return recorders, model._replace(layers=recorders)
