"""A linear warm-up to another schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from bpnet.common.checks import (
    check_number,
)
from bpnet.common.deprecation import renamed_argument, renamed_property
from bpnet.schedules.base import Directions, Schedule, ScheduleState
from bpnet.schedules.lookup import get


class WarmUp(Schedule):
    """Warm up linearly from a fraction `start` of a schedule's first rate, then follow it.

    Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2.

    Parameters
    ----------
    schedule : float or Schedule
        The learning rate after the warm-up; its time starts at 0 when the warm-up ends.
    epochs : float
        Length of the warm-up.
    start : float, default 0.0
        Initial fraction of the schedule's first learning rate; 0 <= start <= 1.

    Examples
    --------
    >>> WarmUp(0.1, epochs=4)(1)
    0.025
    """

    then = renamed_property("then", "schedule")
    schedule: Schedule

    @renamed_argument("then", "schedule")
    def __init__(self, schedule: float | Schedule, epochs: float, start: float = 0.0) -> None:
        self.schedule = get(schedule, "schedule")
        self.epochs = check_number("epochs", epochs, 0.0, above=True)
        self.start = check_number("start", start, 0.0, 1.0)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        return self.value(epoch, self.initial_state())

    def initial_state(self) -> ScheduleState:
        """Return the memory of the schedule."""
        return self.schedule.initial_state()

    def value(self, epoch: float, state: ScheduleState) -> float:
        """Return the value at this time, given the memory of the schedule."""
        if epoch >= self.epochs:
            return self.schedule.value(epoch - self.epochs, state)
        first = self.schedule.value(0.0, state)
        return first * (self.start + (1.0 - self.start) * epoch / self.epochs)

    def observe(self, state: ScheduleState, logs: Mapping[str, float]) -> ScheduleState:
        """Pass the metrics to the schedule."""
        return self.schedule.observe(state, logs)

    def prepared(self, direction: Directions) -> Self:
        """Return a warm-up to the prepared schedule."""
        schedule = self.schedule.prepared(direction)
        return self if schedule is self.schedule else self.replace(schedule=schedule)
