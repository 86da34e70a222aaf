"""Layers that keep what passes through them, for whoever wants to look inside a pass.

`backprop` has the only forward and the only backward loop. A trace, the measurement of the
gradient flow and the search for a NaN run these loops over wrapped layers, and read afterwards
what the wrappers have kept.
"""

from __future__ import annotations

from typing import Any

from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.backprop import ModelSpec
from bpnet.layers import Context, Layer


class Recorder(Layer):
    """A layer that does what another does, and keeps what went through it.

    Attributes
    ----------
    layer : Layer
        The layer that does the work.
    a, cache
        What its forward pass returned.
    error : array
        The error dL/da that its backward pass was given.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.a: Array = None
        self.cache: Any = None
        self.error: Array = None

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Call the layer's own forward."""
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
        """Call the layer's own backward."""
        self.error = error
        return self.layer.backward(xp, parameters, cache, error, propagate)

    def penalty(self, xp: Namespace, parameters: LayerParameters) -> Array | None:
        """Call the layer's own."""
        return self.layer.penalty(xp, parameters)

    def penalty_gradients(self, xp: Namespace, parameters: LayerParameters) -> LayerParameters:
        """Call the layer's own."""
        return self.layer.penalty_gradients(xp, parameters)


def recording(model: ModelSpec) -> tuple[tuple[Recorder, ...], ModelSpec]:
    """Wrap the layers of a model; return the wrappers, and the model made of them."""
    recorders = tuple(map(Recorder, model.layers))
    return recorders, model._replace(layers=recorders)
