"""Backpropagation: the layers forward, then the same layers in reverse.

Pure functions of arrays, in the operations of the Array API standard; this is the only
forward and the only backward pass of bpnet. `parameters` holds one dict per layer, {} for a
layer that has none, and gradients have the same structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.layers import Context, Layer
from bpnet.losses import Loss, mean_loss, output_error, sum_of_weights


class ModelSpec(NamedTuple):
    """What is computed, without the numbers it is computed with.

    Attributes
    ----------
    layers : tuple of Layer
        From the input to the logits.
    loss : Loss
        The loss, which owns the link.
    keys : tuple of int
        For each layer the 32-bit key of its random masks.
    average_penalty : bool
        Whether the penalties are divided by the sum of the examples' weights (their number
        without weights), as scikit-learn does: the more examples, the less they count.
    """

    layers: tuple[Layer, ...]
    loss: Loss
    keys: tuple[int, ...]
    average_penalty: bool = False


def forward(
    xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array, step: Array | None = None
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
    xp: Namespace, model: ModelSpec, parameters: Parameters, caches: Sequence[Any], delta: Array
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
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None = None,
    step: Array | None = None,
) -> tuple[Array, Parameters]:
    """Compute the loss, a 0-d array, and its gradients by all parameters."""
    loss, gradients = data_loss_and_gradients(xp, model, parameters, X, y, w, step)
    return add_penalties(xp, model, parameters, loss, gradients, sum_of_weights(xp, X, w))


def data_loss_and_gradients(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None = None,
    step: Array | None = None,
) -> tuple[Array, Parameters]:
    """Compute the loss without penalties, and its gradients."""
    z, caches = forward(xp, model, parameters, X, step)
    values, errors = model.loss.value_and_error(xp, y, z)
    delta = output_error(xp, errors, w)
    return mean_loss(xp, values, w), backward(xp, model, parameters, caches, delta)


def add_penalties(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    loss: Array,
    gradients: Parameters,
    total: Array | float,
) -> tuple[Array, Parameters]:
    """Add the regularisers' parts to the loss and to its gradients.

    `total` is the sum of the examples' weights, which an average penalty is divided by.
    """
    sums = []
    for layer, p, g in zip(model.layers, parameters, gradients, strict=True):
        extra = layer.penalty_gradients(xp, p)
        sums.append(
            {k: g[k] + _averaged(model, extra[k], total) if k in extra else g[k] for k in g}
        )
    return loss + penalty(xp, model, parameters, total), sums


def penalty(
    xp: Namespace, model: ModelSpec, parameters: Parameters, total: Array | float
) -> Array | float:
    """Sum the regularisers' parts of the loss; 0.0 where no layer has one."""
    parts = [
        part
        for layer, layer_parameters in zip(model.layers, parameters, strict=True)
        if (part := layer.penalty(xp, layer_parameters)) is not None
    ]
    return _averaged(model, sum(parts), total) if parts else 0.0


def _averaged(model: ModelSpec, part: Array, total: Array | float) -> Array:
    return part / total if model.average_penalty else part
