"""What is read off the logits: probabilities and predictions."""

from __future__ import annotations

from collections.abc import Iterator

from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.backprop import ModelSpec, forward

# Rows computed at once, which bounds the memory that activations take; fewer of a sparse
# matrix, which may have many more columns than memory has room for.
ROWS = 4096
SPARSE_ROWS = 256


def row_blocks(m: int, sparse: bool = False) -> Iterator[slice]:
    """Cut m rows into blocks that are computed at once."""
    rows = SPARSE_ROWS if sparse else ROWS
    return (slice(start, min(start + rows, m)) for start in range(0, m, rows))


def logits(xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array) -> Array:
    """Compute z_L, shape (m, n_L)."""
    return forward(xp, model, parameters, X)[0]


def probabilities(xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array) -> Array:
    """Compute the probability of each class, or of each label."""
    z = logits(xp, model, parameters, X)
    if z.shape[1] == 1:  # P(0) = sigmoid(-z) keeps its precision where 1 - P(1) would not
        z = xp.concat([-z, z], axis=1)
    return model.loss.link(xp, z)


def predictions(xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array) -> Array:
    """Decide for classes, or give the expected targets; one column becomes 1-D."""
    z = logits(xp, model, parameters, X)
    if model.loss.targets == "labels":
        return xp.astype(xp.argmax(z, axis=1), xp.int64)
    if model.loss.targets == "probabilities":
        predicted = xp.astype(z > 0.0, xp.int64)
    else:
        predicted = model.loss.link(xp, z)
    return predicted[:, 0] if z.shape[1] == 1 else predicted
