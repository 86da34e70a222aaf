"""Logits, and the probabilities and predictions computed from them."""

from __future__ import annotations

from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.backprop import ModelSpec, forward
from bpnet.losses import Loss

# Rows computed at once, to bound the memory of activations; fewer for a sparse matrix, whose
# dense rows may be very wide.
ROWS = 4096
SPARSE_ROWS = 256


def row_blocks(m: int, sparse: bool = False) -> list[slice]:
    """Return slices that split m rows into blocks computed at once."""
    rows = SPARSE_ROWS if sparse else ROWS
    return [slice(start, min(start + rows, m)) for start in range(0, m, rows)]


def logits(xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array) -> Array:
    """Compute z_L, shape (m, n_L)."""
    return forward(xp, model, parameters, X)[0]


def probabilities(xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array) -> Array:
    """Compute the probability of each class or label."""
    return probabilities_of(xp, model.loss, logits(xp, model, parameters, X))


def probabilities_of(xp: Namespace, loss: Loss, z: Array) -> Array:
    """Compute the probability of each class or label from logits."""
    if z.shape[1] == 1:  # P(0) = sigmoid(-z) is accurate where 1 - P(1) cancels
        z = xp.concat([-z, z], axis=1)
    return loss.link(xp, z)


def predictions(xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array) -> Array:
    """Compute predicted classes or expected targets; a single column becomes 1-D."""
    return predictions_of(xp, model.loss, logits(xp, model, parameters, X))


def predictions_of(xp: Namespace, loss: Loss, z: Array) -> Array:
    """Compute predicted classes or expected targets from logits."""
    if loss.targets == "labels":
        return xp.astype(xp.argmax(z, axis=1), xp.int64)
    if loss.targets == "probabilities":
        predicted = xp.astype(z > 0.0, xp.int64)
    else:
        predicted = loss.link(xp, z)
    return predicted[:, 0] if z.shape[1] == 1 else predicted
