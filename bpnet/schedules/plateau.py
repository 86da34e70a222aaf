"""A schedule that follows a metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from bpnet.common.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_text,
)
from bpnet.common.patience import Patience
from bpnet.schedules.base import Directions, Schedule, ScheduleState

# The floor of a reduced learning rate, relative to the initial one. The first steps are mostly
# 1e-3 to 1e-1 of the weights, so a million times shorter ones round to nothing in float32.
_FLOOR = 1e-6


class ReduceOnPlateau(Schedule):
    """Multiply by `factor` when a metric has not improved for more than `patience` epochs.

    Like ``torch.optim.lr_scheduler.ReduceLROnPlateau``, with its defaults but for `minimum`.

    Parameters
    ----------
    learning_rate : float
        Initial learning rate, >= 0.
    monitor : str, default "loss"
        Metric of the history to monitor, such as "val_loss".
    factor : float, default 0.1
        0 < factor < 1.
    patience : int, default 10
        Number of epochs with no improvement that are tolerated.
    min_delta : float, default 1e-4
        Smallest change that counts as an improvement.
    minimum : float or None, default None
        Lower bound of the learning rate. None is 1e-6 of the initial one: still shorter steps
        hardly change weights of float32, which have 7 digits, so training would only seem to
        go on. 0.0 sets no bound.
    mode : {"min", "max"} or None, default None
        Whether a lower or a higher metric is better; None asks the metric.
    relative : bool, default True
        Whether `min_delta` is a fraction of the best value's magnitude, < 1, so that the unit
        of the metric does not matter. False: it is in units of the metric.

    Examples
    --------
    >>> schedule = ReduceOnPlateau(0.1, patience=0, factor=0.5, mode="min")
    >>> state = schedule.initial_state()
    >>> for loss in (1e-6, 5e-7, 5e-7):
    ...     state = schedule.observe(state, {"loss": loss})
    ...     print(schedule.value(0.0, state))
    0.1
    0.1
    0.05
    """

    relative: bool = False  # in pickles of earlier versions

    def __init__(
        self,
        learning_rate: float,
        monitor: str = "loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        minimum: float | None = None,
        mode: str | None = None,
        relative: bool = True,
    ) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)
        self.monitor = check_text("monitor", monitor)
        self.factor = check_number("factor", factor, 0.0, 1.0, above=True, below=True)
        self.patience = check_integer("patience", patience, 0)
        self.min_delta = check_number("min_delta", min_delta, 0.0)
        self.minimum = minimum
        if minimum is not None:
            self.minimum = check_number("minimum", minimum, 0.0, self.learning_rate)
        self.mode = mode if mode is None else check_choice("mode", mode, ("min", "max"))
        self.relative = check_flag("relative", relative)
        self._patience()  # checks min_delta

    def __call__(self, epoch: float) -> float:
        """Return the initial learning rate."""
        return self.learning_rate

    def prepared(self, direction: Directions) -> Self:
        """Return the schedule with the direction of its metric."""
        mode = direction(self.monitor, self.mode)
        return self if mode == self.mode else self.replace(mode=mode)

    def initial_state(self) -> ScheduleState:
        """Return the initial rate, and an infinitely bad best value."""
        return {"rate": self.learning_rate, "best": self._patience().best, "waited": 0}

    def value(self, epoch: float, state: ScheduleState) -> float:
        """Return the current learning rate."""
        return check_number("rate", state["rate"], 0.0)

    def observe(self, state: ScheduleState, logs: Mapping[str, float]) -> ScheduleState:
        """Reduce the learning rate if patience is exhausted."""
        patience, rate = self._patience(), self.value(0.0, state)
        patience.restore(state["best"], state["waited"])
        patience.observe(self.monitor, logs)
        if patience.exhausted:
            rate, patience.waited = max(rate * self.factor, self._floor), 0
        return {"rate": rate, "best": patience.best, "waited": patience.waited}

    @property
    def _floor(self) -> float:
        return _FLOOR * self.learning_rate if self.minimum is None else self.minimum

    def _patience(self) -> Patience:
        return Patience(self.patience, self.min_delta, self.mode or "min", self.relative)
