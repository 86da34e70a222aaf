"""Metrics as sums over examples, so that the sums of blocks of rows can be added."""

from __future__ import annotations

from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.backprop import ModelSpec
from bpnet.inference import logits
from bpnet.losses import one_hot


def sums(
    xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array, y: Array, w: Array | None
) -> Array:
    """Return the sums of weights, weighted losses and weighted correct predictions, (3,)."""
    z = logits(xp, model, parameters, X)
    w = xp.ones_like(z[:, 0]) if w is None else w
    loss = model.loss.value(xp, y, z)
    correct = _correct(xp, model, y, z)
    loss = xp.where(w > 0.0, loss, xp.zeros_like(loss))  # 0 times infinity would be NaN
    return xp.stack([xp.sum(w), xp.sum(w * loss), xp.sum(w * correct)])


def _correct(xp: Namespace, model: ModelSpec, y: Array, z: Array) -> Array:
    """Return 1 where all labels of an example are correct, else 0; 0 for regression."""
    if model.loss.targets == "labels":
        truth = xp.argmax(one_hot(xp, y, z), axis=1)
        return xp.astype(xp.argmax(z, axis=1) == truth, z.dtype)
    if model.loss.targets == "probabilities":
        return xp.astype(xp.all((z > 0.0) == (y > 0.5), axis=1), z.dtype)
    return xp.zeros_like(z[:, 0])
