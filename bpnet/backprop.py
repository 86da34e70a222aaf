"""Backpropagation: the layers forward, then the same layers in reverse.

Pure functions of arrays, in the operations of the Array API standard; this is the only
forward and the only backward pass of bpnet. `parameters` holds one dict per layer, {} for a
layer that has none, and gradients have the same structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bpnet._typing import Array, Namespace, Parameters
from bpnet.layers import Context, Layer
from bpnet.losses import Loss, mean_loss, output_error


class Model(NamedTuple):
    """What is computed, without the numbers it is computed with.

    Attributes
    ----------
    layers : tuple of Layer
        From the input to the logits.
    loss : Loss
        The loss, which owns the link.
    keys : tuple of int
        For each layer the 32-bit key of its random masks.
    """

    layers: tuple[Layer, ...]
    loss: Loss
    keys: tuple[int, ...]


def forward(
    xp: Namespace, model: Model, parameters: Parameters, X: Array, step: Array | None = None
) -> tuple[Array, Sequence[Any]]:
    """Pass X (m, n_0) through all layers.

    Returns
    -------
    z : array (m, n_L)
        The logits.
    caches : sequence
        For each layer, what its backward pass needs.
    """
    a, caches = X, []
    for layer, layer_parameters, key in zip(model.layers, parameters, model.keys, strict=True):
        a, cache = layer.forward(xp, layer_parameters, a, Context(key, step))
        caches.append(cache)
    return a, caches


def backward(
    xp: Namespace, model: Model, parameters: Parameters, caches: Sequence[Any], delta: Array
) -> Parameters:
    """Pass the output error delta_L (m, n_L) back through all layers: the gradients."""
    error, gradients = delta, []
    for number in reversed(range(len(model.layers))):
        error, layer_gradients = model.layers[number].backward(
            xp, parameters[number], caches[number], error, propagate=number > 0
        )
        gradients.append(layer_gradients)
    return gradients[::-1]


def loss_and_gradients(
    xp: Namespace,
    model: Model,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None = None,
    step: Array | None = None,
) -> tuple[Array, Parameters]:
    """Compute the loss, a 0-d array, and its gradients by all parameters."""
    z, caches = forward(xp, model, parameters, X, step)
    delta = output_error(xp, model.loss, y, z, w)
    gradients = backward(xp, model, parameters, caches, delta)
    loss = mean_loss(xp, model.loss, y, z, w) + penalty(xp, model, parameters)
    return loss, add_penalties(xp, model, parameters, gradients)


def penalty(xp: Namespace, model: Model, parameters: Parameters) -> Array | float:
    """Sum the regularisers' parts of the loss; 0.0 where no layer has one."""
    parts = (
        layer.penalty(xp, layer_parameters)
        for layer, layer_parameters in zip(model.layers, parameters, strict=True)
    )
    return sum((part for part in parts if part is not None), start=0.0)


def add_penalties(
    xp: Namespace, model: Model, parameters: Parameters, gradients: Parameters
) -> Parameters:
    """Add the gradients of the regularisers to those of the data's loss."""
    total = []
    for layer, p, g in zip(model.layers, parameters, gradients, strict=True):
        extra = layer.penalty_gradients(xp, p)
        total.append({name: g[name] + extra[name] if name in extra else g[name] for name in g})
    return total
