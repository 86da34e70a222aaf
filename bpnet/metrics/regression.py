"""Metrics of numbers: squared and absolute errors, R^2.

The prediction is that of ``Network.predict``, so e^z for the loss "poisson". With several
outputs each metric is the mean over the outputs.
"""

from __future__ import annotations

import math
from typing import Any

from bpnet.backend.typing import Array, Namespace
from bpnet.losses import Loss
from bpnet.metrics.base import MeanMetric, Metric, WholeMetric

NUMBERS = ("real", "counts")


class MeanSquaredError(MeanMetric):
    """The weighted mean of (prediction - y)^2, over examples and outputs."""

    name = "mean_squared_error"
    direction = "min"
    targets = NUMBERS

    def values(self, xp: Namespace, loss: Loss, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of (prediction - y)^2."""
        r = loss.link(xp, z) - y
        return xp.mean(r * r, axis=1)


class MeanAbsoluteError(MeanMetric):
    """The weighted mean of abs(prediction - y), over examples and outputs."""

    name = "mean_absolute_error"
    direction = "min"
    targets = NUMBERS

    def values(self, xp: Namespace, loss: Loss, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of abs(prediction - y)."""
        return xp.mean(xp.abs(loss.link(xp, z) - y), axis=1)


class RootMeanSquaredError(Metric):
    """The root of the weighted mean of (prediction - y)^2, in units of the target.

    With several outputs the mean of their roots, as in scikit-learn.
    """

    name = "root_mean_squared_error"
    direction = "min"
    targets = NUMBERS

    def sums(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute sum_i w_i (prediction - y)^2 of each output."""
        r = loss.link(xp, z) - y
        r = xp.where(w[:, None] > 0.0, r, xp.zeros_like(r))
        return xp.sum(w[:, None] * (r * r), axis=0)

    def result(self, sums: Any, total_weight: float) -> float:
        """Compute the mean over outputs of the root."""
        roots = [math.sqrt(total / total_weight) for total in sums.tolist()]
        return sum(roots) / len(roots)


class R2(WholeMetric):
    """R^2 = 1 - sum_i w_i (y_i - prediction_i)^2 / sum_i w_i (y_i - mean y)^2.

    1 is perfect, 0 as good as always predicting the mean. With several outputs their mean.

    Notes
    -----
    As in scikit-learn, an output with a constant target has R^2 = 1 if it is predicted exactly,
    else 0; and with less than two examples R^2 is NaN.
    """

    name = "r2"
    direction = "max"
    targets = NUMBERS

    def value(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute the mean over outputs, a 0-d array."""
        prediction, weights = loss.link(xp, z), w[:, None]
        r = xp.where(weights > 0.0, y - prediction, xp.zeros_like(y))
        residual = xp.sum(weights * (r * r), axis=0)
        # Relative to one of the targets, so that a constant has exactly no variance.
        y = y - xp.take(y, xp.reshape(xp.argmax(w), (1,)), axis=0)
        mean = xp.sum(weights * y, axis=0) / xp.sum(w)
        variance = xp.sum(weights * (y - mean) ** 2, axis=0)
        varies, one = variance > 0.0, xp.ones_like(variance)
        constant = xp.where(residual > 0.0, xp.zeros_like(one), one)
        score = xp.where(varies, one - residual / xp.where(varies, variance, one), constant)
        mean_score = xp.mean(score)
        return mean_score if y.shape[0] > 1 else xp.full_like(mean_score, xp.nan)
