"""Backpropagation: a forward pass through the layers, then a backward pass in reverse.

Pure functions of arrays, in Array API operations; the two loops through the layers are in
:mod:`bpnet.layers.sequence`. `parameters` holds one dict per layer, {} for a layer without
parameters; gradients have one dict per layer, too, with those of the trained parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.layers import Context, Layer, sequence
from bpnet.losses import Loss, mean_loss, output_error, sum_of_weights


class ModelSpec(NamedTuple):
    """The static description of a model, without its parameters.

    Attributes
    ----------
    layers : tuple of Layer
        From the input to the logits.
    loss : Loss
        The loss, including its link function.
    average_penalty : bool
        Divide penalties by the sum of the sample weights (the number of examples without
        weights), as scikit-learn does.
    """

    layers: tuple[Layer, ...]
    loss: Loss
    average_penalty: bool = False


def forward(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    contexts: Sequence[Context] | None = None,
) -> tuple[Array, Sequence[Any]]:
    """Pass X (m, n_0) through all layers; return the logits (m, n_L) and the layers' caches.

    In training there is a context for each layer; without them, dropout is inactive.
    """
    contexts = contexts or [Context()] * len(model.layers)
    return sequence.forward(xp, model.layers, parameters, X, contexts)


def backward(
    xp: Namespace, model: ModelSpec, parameters: Parameters, caches: Sequence[Any], delta: Array
) -> Parameters:
    """Propagate the output error delta_L (m, n_L) back; return the gradients of all layers."""
    _, gradients = sequence.backward(
        xp, model.layers, parameters, caches, delta, propagate=False
    )
    return gradients


def loss_and_gradients(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None = None,
    contexts: Sequence[Context] | None = None,
) -> tuple[Array, Parameters]:
    """Compute the loss, a 0-d array, and its gradients with respect to all parameters."""
    loss, gradients = data_loss_and_gradients(xp, model, parameters, X, y, w, contexts)
    return add_penalties(xp, model, parameters, loss, gradients, sum_of_weights(xp, X, w))


def training_pass(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None,
    contexts: Sequence[Context],
) -> tuple[Array, Parameters, Parameters]:
    """Compute the loss, its gradients, and what changes without one: running statistics."""
    loss, gradients, caches = _data_pass(xp, model, parameters, X, y, w, contexts)
    loss, gradients = add_penalties(
        xp, model, parameters, loss, gradients, sum_of_weights(xp, X, w)
    )
    return loss, gradients, _updated(xp, model, parameters, caches)


def part_of_training_pass(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None,
    contexts: Sequence[Context],
    share: Array | float,
) -> tuple[Array, Parameters, Parameters]:
    """Compute what :func:`training_pass` does of a part of a batch, without penalties.

    Loss and gradients are multiplied by its `share` in the batch: delta_L is, once.
    """
    loss, gradients, caches = _data_pass(xp, model, parameters, X, y, w, contexts, share)
    return share * loss, gradients, _updated(xp, model, parameters, caches)


def data_loss_and_gradients(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None = None,
    contexts: Sequence[Context] | None = None,
) -> tuple[Array, Parameters]:
    """Compute the loss without penalties, and its gradients."""
    loss, gradients, _ = _data_pass(xp, model, parameters, X, y, w, contexts)
    return loss, gradients


def _data_pass(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    X: Array,
    y: Array,
    w: Array | None,
    contexts: Sequence[Context] | None,
    share: Array | float | None = None,
) -> tuple[Array, Parameters, Sequence[Any]]:
    """Compute the loss without penalties, its gradients, times a share, and the caches."""
    z, caches = forward(xp, model, parameters, X, contexts)
    values, errors = model.loss.value_and_error(xp, y, z)
    delta = output_error(xp, errors, w)
    delta = delta if share is None else share * delta
    return mean_loss(xp, values, w), backward(xp, model, parameters, caches, delta), caches


def _updated(
    xp: Namespace, model: ModelSpec, parameters: Parameters, caches: Sequence[Any]
) -> Parameters:
    """Return what changes without a gradient, by layer."""
    by_layer = zip(model.layers, parameters, caches, strict=True)
    return [layer.updated(xp, p, cache) for layer, p, cache in by_layer]


def add_penalties(
    xp: Namespace,
    model: ModelSpec,
    parameters: Parameters,
    loss: Array,
    gradients: Parameters,
    total: Array | float,
) -> tuple[Array, Parameters]:
    """Add the penalties to the loss and gradients; `total` is the sum of the sample weights."""
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
    """Sum the penalties of all layers; 0.0 if no layer has one."""
    parts = [
        part
        for layer, layer_parameters in zip(model.layers, parameters, strict=True)
        if (part := layer.penalty(xp, layer_parameters)) is not None
    ]
    return _averaged(model, sum(parts), total) if parts else 0.0


def _averaged(model: ModelSpec, part: Array, total: Array | float) -> Array:
    return part / total if model.average_penalty else part
