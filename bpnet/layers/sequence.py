"""A sequence of layers: the forward pass through all of them, and the backward pass in reverse.

These are the only forward and backward loops in bpnet: of a network, by :mod:`bpnet.backprop`,
and of layers nested in a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.layers.base import Context, Layer


def forward(
    xp: Namespace,
    layers: Sequence[Layer],
    parameters: Parameters,
    a: Array,
    contexts: Sequence[Context],
) -> tuple[Array, Sequence[Any]]:
    """Pass `a` through all layers; return the last activations and the layers' caches."""
    caches = []
    for layer, layer_parameters, context in zip(layers, parameters, contexts, strict=True):
        a, cache = layer.forward(xp, layer_parameters, a, context)
        caches.append(cache)
    return a, caches


def backward(
    xp: Namespace,
    layers: Sequence[Layer],
    parameters: Parameters,
    caches: Sequence[Any],
    error: Array,
    propagate: bool = True,
) -> tuple[Array | None, Parameters]:
    """Propagate the error dL/da back; return that of the input, and the gradients by layer.

    The error of the input may be None if `propagate` is false.
    """
    gradients = []
    for number in reversed(range(len(layers))):
        error, layer_gradients = layers[number].backward(
            xp, parameters[number], caches[number], error, propagate=propagate or number > 0
        )
        gradients.append(layer_gradients)
    return error, gradients[::-1]
