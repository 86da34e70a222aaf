"""Waiting for a metric to improve, for early stopping and ReduceOnPlateau."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from bpnet.common.checks import check_choice, check_flag, check_integer, check_number
from bpnet.common.suggestions import did_you_mean

# How to get metrics of validation data.
VALIDATE = "pass validation_data or validation_split"


class Patience:
    """Count the epochs since the best value of a metric.

    `best` is the best value so far, infinite before the first; `waited` the epochs since then.
    A `mode` of None is to be chosen by :meth:`start`; until then lower is better. The smallest
    change that counts is `min_delta`, if `relative` times the magnitude of the best value.
    """

    relative = False  # in pickles of earlier versions

    def __init__(
        self, patience: int, min_delta: float, mode: str | None, relative: bool = True
    ) -> None:
        self.patience = check_integer("patience", patience, 0)
        self.min_delta = check_number("min_delta", min_delta, 0.0)
        self.relative = check_flag("relative", relative)
        if self.relative and self.min_delta >= 1.0:
            raise ValueError(
                f"min_delta must be < 1, as it is a fraction of the best value, got "
                f"{self.min_delta:g}; for a change in units of the metric pass relative=False"
            )
        if mode is not None:
            check_choice("mode", mode, ("min", "max"))
        self.start(mode or "min")

    def start(self, mode: str) -> None:
        """Restore the initial state, for a metric of which the "min" or the "max" is best."""
        self.sign = -1.0 if mode == "max" else 1.0
        self.reset()

    def reset(self) -> None:
        """Restore the initial state."""
        self.best = self.sign * math.inf
        self.waited = 0

    def restore(self, best: float, waited: int) -> None:
        """Continue from a best value and the number of epochs since then."""
        if not isinstance(best, float):
            raise TypeError(f"best must be a float, got {type(best).__name__}")
        if math.isnan(best):
            raise ValueError("best must be a number, got nan")
        self.waited = check_integer("waited", waited, 0)
        self.best = best

    def observe(self, monitor: str, logs: Mapping[str, float]) -> bool:
        """Record the metrics of an epoch; return whether the monitored one is the best yet."""
        if monitor not in logs:
            raise unknown_monitor(monitor, logs)
        if self.sign * (self.best - logs[monitor]) > self._smallest_change:
            self.best, self.waited = logs[monitor], 0
            return True
        self.waited += 1
        return False

    @property
    def _smallest_change(self) -> float:
        """The change that an improvement must exceed; any will do if the best is infinite."""
        if not self.relative:
            return self.min_delta
        return self.min_delta * abs(self.best) if math.isfinite(self.best) else 0.0

    @property
    def exhausted(self) -> bool:
        """Whether more than `patience` epochs have passed with no improvement."""
        return self.waited > self.patience


def unknown_monitor(monitor: str, known: Iterable[str]) -> ValueError:
    """Return the error for a metric that is not among the known ones."""
    missing = str(monitor).startswith("val_") and "val_loss" not in known
    return ValueError(
        f"monitor must be one of {', '.join(sorted(known))}; got {monitor!r}"
        + (f"; {VALIDATE}" if missing else did_you_mean(monitor, known))
    )
