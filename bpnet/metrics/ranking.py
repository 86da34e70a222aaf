"""Metrics of the order of the scores: the area under the ROC curve."""

from __future__ import annotations

from bpnet.backend.compat import device, widest_float
from bpnet.backend.typing import Array, Namespace
from bpnet.losses import Loss
from bpnet.metrics.base import WholeMetric
from bpnet.metrics.classification import CLASSES, true_class


class ROCAUC(WholeMetric):
    """The area under the ROC curve: P(score of a positive > that of a negative), ties half.

    With one output, of class 1; with several classes, the mean over all of one against the
    rest; with several labels, their mean. Hanley and McNeil, 1982; Fawcett, "An introduction
    to ROC analysis", 2006.

    Notes
    -----
    Scores are logits, or of several classes log-odds, which keep the order of probabilities
    that would round to 0 or 1. Soft targets count as their most probable class, or as 1 if
    they are > 0.5.

    A class without positives or without negatives has no area. It is left out of the mean; if
    none remains, or a score is NaN, the result is NaN (as in scikit-learn for one class), which
    early stopping takes as no improvement.
    """

    name = "roc_auc"
    direction = "max"
    targets = CLASSES

    def value(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute the mean area, a 0-d array."""
        w = xp.astype(w, widest_float(xp, w))  # exact sums of many weights
        scores = log_odds(xp, z) if loss.targets == "labels" else z
        scores = xp.where(w[:, None] > 0.0, scores, xp.zeros_like(scores))
        classes = true_class(xp, y) if loss.targets == "labels" else None
        areas, pairs = [], []
        for k in range(z.shape[1]):
            positive = y[:, k] > 0.5 if classes is None else classes == k
            area, weight = area_and_pairs(xp, scores[:, k], positive, w)
            areas.append(area)
            pairs.append(weight)
        return _mean_of_defined(xp, scores, xp.stack(areas), xp.stack(pairs))


def log_odds(xp: Namespace, z: Array) -> Array:
    """Compute ln p_k / (1 - p_k) = z_k - ln sum_{j != k} e^z_j of a softmax, shape (m, n_L)."""
    classes = xp.arange(z.shape[1], dtype=xp.int64, device=device(z))
    columns = []
    for k in range(z.shape[1]):
        others = xp.where(classes[None, :] == k, xp.full_like(z, -xp.inf), z)
        largest = xp.max(others, axis=1)
        finite = xp.where(xp.isfinite(largest), largest, xp.zeros_like(largest))
        rest = xp.log(xp.sum(xp.exp(others - finite[:, None]), axis=1))
        columns.append(z[:, k] - finite - rest)
    return xp.stack(columns, axis=1)


def area_and_pairs(
    xp: Namespace, scores: Array, positive: Array, w: Array
) -> tuple[Array, Array]:
    """Return the weight of the pairs in the right order, and of all, of scores (m,).

    A pair is a positive and a negative; its weight is the product of theirs. Pairs of equal
    scores count half.
    """
    zero = xp.zeros_like(w)
    up, down = xp.where(positive, w, zero), xp.where(positive, zero, w)
    order = xp.argsort(scores)
    scores, up, down = (xp.take(a, order) for a in (scores, up, down))
    # Its element j is the weight of the first j negatives.
    below = xp.concat([zero[:1], xp.cumulative_sum(down)])
    less = xp.take(below, xp.searchsorted(scores, scores, side="left"))
    at_most = xp.take(below, xp.searchsorted(scores, scores, side="right"))
    return xp.sum(up * (less + at_most)) / 2.0, xp.sum(up) * xp.sum(down)


def _mean_of_defined(xp: Namespace, scores: Array, areas: Array, pairs: Array) -> Array:
    """Return the mean of areas / pairs where there are pairs; NaN if a score is NaN."""
    defined = pairs > 0.0
    parts = xp.where(
        defined, areas / xp.where(defined, pairs, xp.ones_like(pairs)), 0.0 * pairs
    )
    number = xp.sum(xp.astype(defined, pairs.dtype))
    known = xp.logical_and(number > 0.0, xp.logical_not(xp.any(xp.isnan(scores))))
    mean = xp.sum(parts) / xp.maximum(number, xp.ones_like(number))
    return xp.where(known, mean, xp.full_like(mean, xp.nan))
