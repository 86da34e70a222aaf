"""Metrics of targets of which some are missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from bpnet.backend.compat import is_array
from bpnet.backend.typing import Array, Namespace
from bpnet.losses import Loss
from bpnet.losses.masked import is_there, without_missing
from bpnet.metrics.base import Metric, WholeMetric, number_of, sums_of


def for_targets_of(loss: Loss, metrics: Iterable[Metric], n_outputs: int) -> list[Metric]:
    """Return metrics as they are, or if targets may be missing, as means over the outputs."""
    if not loss.accepts_missing:
        return list(metrics)
    return [
        WholePerOutput(m) if isinstance(m, WholeMetric) else PerOutput(m, n_outputs)
        for m in metrics
    ]


class PerOutput(Metric):
    """The mean of a metric over the outputs, each over the examples with a target for it.

    Outputs without targets are left out.
    """

    def __init__(self, metric: Metric, n_outputs: int) -> None:
        self.metric, self.n_outputs = metric, n_outputs

    @property
    def name(self) -> str:
        """The name of the metric."""
        return self.metric.name

    def sums(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute, output by output, the sum of the weights, then those of the metric."""
        parts = []
        for column in _columns(xp, y, z, w):
            total = xp.reshape(xp.sum(column[-1]), (1,))
            parts += [total, sums_of(self.metric, xp, loss, *column)]
        return xp.concat(parts)

    def result(self, sums: Any, total_weight: float) -> float:
        """Compute the mean of the results of the outputs; NaN if none has targets."""
        results = [
            number_of(self.metric, "result", self.metric.result(own[1:], float(own[0])))
            for own in sums.reshape((self.n_outputs, -1))
            if own[0] > 0.0
        ]
        return sum(results) / len(results) if results else math.nan


class WholePerOutput(WholeMetric):
    """The same of a metric of all examples at once."""

    def __init__(self, metric: WholeMetric) -> None:
        self.metric = metric

    @property
    def name(self) -> str:
        """The name of the metric."""
        return self.metric.name

    def value(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute the mean of the values of the outputs; NaN if none has targets."""
        values, counts = [], []
        for y_k, z_k, own in _columns(xp, y, z, w):
            has_targets = xp.sum(own) > 0.0
            weights = xp.where(has_targets, own, w)  # without any, the value has no part
            value: Any = self.metric.value(xp, loss, y_k, z_k, weights)
            if not is_array(value):
                value = xp.full_like(xp.sum(own), value)
            values.append(xp.where(has_targets, value, xp.zeros_like(value)))
            counts.append(xp.astype(has_targets, value.dtype))
        return xp.sum(xp.stack(values)) / xp.sum(xp.stack(counts))


def _columns(
    xp: Namespace, y: Array, z: Array, w: Array
) -> Iterator[tuple[Array, Array, Array]]:
    """Yield targets, logits and weights of each output, of weight 0 where it has no target."""
    for k in range(z.shape[1]):
        own = slice(k, k + 1)
        there = is_there(y[:, k])
        yield (
            without_missing(xp, y[:, own]),
            z[:, own],
            xp.where(there, w, xp.zeros_like(w)),
        )
