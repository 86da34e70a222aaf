"""The loss and metrics of a model: sums over blocks of rows, compiled once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.transfer import to_device
from bpnet.backend.typing import Array, Parameters
from bpnet.backprop import ModelSpec
from bpnet.common.component import is_own, nested
from bpnet.errors import ComponentError
from bpnet.inference import logits
from bpnet.losses import Loss
from bpnet.metrics.base import Metric, WholeMetric, number_of, sums_of, unmodified_call
from bpnet.metrics.per_output import for_targets_of


class Evaluation:
    """The metrics of a model on a backend.

    Parameters
    ----------
    backend : Backend
        Where to compute.
    model : ModelSpec
        The layers and the loss.
    loss : Loss
        The loss itself, for the metrics.
    metrics : sequence of Metric
        The metrics, checked.

    Attributes
    ----------
    keeps_logits : bool
        Whether a metric needs the logits of all rows.
    """

    def __init__(
        self, backend: Backend, model: ModelSpec, loss: Loss, metrics: Sequence[Metric]
    ) -> None:
        metrics = for_targets_of(loss, metrics, model.layers[-1].n_outputs(0))
        self.backend, self.model, self.metrics = backend, model, metrics
        self.loss = loss.unmasked
        self.additive = [m for m in metrics if not isinstance(m, WholeMetric)]
        self.keeps_logits = len(self.additive) < len(metrics)
        self._compiled = backend.compile_pure(self._block)
        self._values = [
            self._value_of(m) if isinstance(m, WholeMetric) else None for m in metrics
        ]
        self._sizes: list[int] = []  # the number of sums of each additive metric

    def __call__(
        self, parameters: Parameters, X: Array, y: Array, w: Array | None
    ) -> tuple[Array, Array | None]:
        """Return the sums over a block as one array (s,), and its logits if they are needed.

        First the sums of the weights and of the weighted losses, then those of the metrics.
        """
        return self._compiled(parameters, X, y, w)

    def _block(
        self, parameters: Parameters, X: Array, y: Array, w: Array | None
    ) -> tuple[Array, Array | None]:
        xp = self.backend.xp
        z = logits(xp, self.model, parameters, X)
        w = xp.ones_like(z[:, 0]) if w is None else w
        losses = self.model.loss.value(xp, y, z)
        losses = xp.where(w > 0.0, losses, xp.zeros_like(losses))  # 0 inf would be NaN
        first = xp.stack([xp.sum(w), xp.sum(w * losses)])
        parts = [sums_of(metric, xp, self.loss, y, z, w) for metric in self.additive]
        self._remember([int(part.shape[0]) for part in parts])
        sums = xp.concat([first, *parts]) if parts else first
        return sums, z if self.keeps_logits else None

    def _value_of(self, metric: WholeMetric) -> Callable[..., Any]:
        """Return `value` of a metric, compiled if that is sure to stay on the device."""
        value = functools.partial(metric.value, self.backend.xp, self.loss)
        if all(map(is_own, nested(metric))):
            return self.backend.compile_pure(value)
        return functools.partial(unmodified_call, metric, "value", value)

    def _remember(self, sizes: list[int]) -> None:
        """Keep the numbers of sums, which only tracing tells."""
        before = self._sizes or sizes
        for metric, old, new in zip(self.additive, before, sizes, strict=True):
            if old != new:
                raise ComponentError(
                    f"metric {metric.name!r}: {type(metric).__name__}.sums must return as many "
                    f"sums for each block of rows; got {old}, then {new}"
                )
        self._sizes = sizes

    def results(self, sums: Any, z: Sequence[Array], y: Array, w: Array | None) -> list[float]:
        """Return the metrics, in their order.

        Parameters
        ----------
        sums : numpy.ndarray (s,) of float64
            The sums of all blocks.
        z : sequence of array
            The logits of all blocks, if they are needed.
        y, w : array, array or None
            Targets and weights of all rows, on any backend.
        """
        start, sizes, results = 2, iter(self._sizes), []
        arrays = self._all_rows(z, y, w) if self.keeps_logits else ()
        for metric, value_of in zip(self.metrics, self._values, strict=True):
            if value_of is None:
                own = slice(start, start := start + next(sizes))
                value = metric.result(sums[own], float(sums[0]))
                results.append(number_of(metric, "result", value))
            else:
                results.append(number_of(metric, "value", self._on_host(value_of(*arrays))))
        return results

    def _all_rows(
        self, z: Sequence[Array], y: Array, w: Array | None
    ) -> tuple[Array, Array, Array]:
        """Return targets, logits and weights of all rows on the device."""
        xp, backend = self.backend.xp, self.backend
        whole = xp.concat(z, axis=0)
        ones = xp.ones_like(whole[:, 0])
        return to_device(y, backend), whole, ones if w is None else to_device(w, backend)

    def _on_host(self, value: Any) -> Any:
        """Return a 0-d array as a number; leave all else unchanged."""
        if isinstance(value, Real):  # also a scalar of NumPy
            return float(value)
        is_scalar = getattr(value, "shape", None) == () and hasattr(value, "dtype")
        return self.backend.to_numpy(value).item() if is_scalar else value


def foreign(metrics: Iterable[Metric]) -> list[Metric]:
    """Return the metrics with sums that are not bpnet's own.

    Those of all rows are left out: they may need more rows than a trial has.
    """
    return [
        metric
        for metric in metrics
        if not is_own(metric) and not isinstance(metric, WholeMetric)
    ]


def try_out(
    metrics: Iterable[Metric], backend: Backend, loss: Loss, y: Array, z: Array
) -> None:
    """Try metrics on a few rows, before anything is trained.

    Raises
    ------
    ComponentError
        If one returns what its interface does not allow.
    """
    for metric in for_targets_of(loss, metrics, z.shape[1]):
        sums = sums_of(metric, backend.xp, loss.unmasked, y, z, backend.xp.ones_like(z[:, 0]))
        on_host = backend.to_numpy(sums).astype("float64")
        number_of(metric, "result", metric.result(on_host, float(z.shape[0])))
