"""The interface of a schedule."""

from __future__ import annotations

import copy
import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from bpnet.common.component import Component, attributes
from bpnet.common.deprecation import warn_renamed

# The memory of a schedule: JSON-serializable values by name.
ScheduleState = dict[str, Any]
# Returns "min" or "max" for a metric and the `mode` that was asked for.
Directions = Callable[[str, str | None], str]


class Schedule(Component):
    """A value >= 0, such as a learning rate, as a function of the time in epochs."""

    kind = "schedules"

    @abstractmethod
    def __call__(self, epoch: float) -> float:
        """Return the value at this time, in the initial state."""

    def initial_state(self) -> ScheduleState:
        """Return the memory at the start of training; {} for a function of time only."""
        return {}

    def value(self, epoch: float, state: ScheduleState) -> float:
        """Return the value at this time, given the memory."""
        return self(epoch)

    def observe(self, state: ScheduleState, logs: Mapping[str, float]) -> ScheduleState:
        """Return the memory after an epoch with these metrics; by default unchanged."""
        return state

    def prepared(self, direction: Directions) -> Schedule:
        """Return the schedule for a training run.

        ``direction(monitor, mode)`` returns whether lower or higher values of a metric are
        better, or raises ValueError if no metric of the run has that name.
        """
        return self

    def __init_subclass__(cls, **options: Any) -> None:
        """Adapt the deprecated ``observe(logs)``, which changes the schedule itself."""
        super().__init_subclass__(**options)
        observe = vars(cls).get("observe")
        if observe is not None and len(inspect.signature(observe).parameters) == 2:
            old = f"{cls.__name__}.observe(logs)"
            warn_renamed(old, "observe(state, logs)", stacklevel=4)  # beyond ABCMeta
            cls._former_observe = observe
            cls.initial_state = _former_state  # type: ignore[method-assign]
            cls.value = _former_value  # type: ignore[method-assign]
            cls.observe = _observe_as_before  # type: ignore[method-assign]

    _former_observe: Callable[..., None]


def _former_state(self: Schedule) -> ScheduleState:
    """Return the attributes of a schedule that changes itself."""
    return copy.deepcopy(attributes(self))


def _former_value(self: Schedule, epoch: float, state: ScheduleState) -> float:
    return _thawed(self, state)(epoch)


def _observe_as_before(
    self: Schedule, state: ScheduleState, logs: Mapping[str, float]
) -> ScheduleState:
    other = _thawed(self, state)
    other._former_observe(logs)
    return attributes(other)


def _thawed(schedule: Schedule, state: ScheduleState) -> Schedule:
    """Return a schedule with these attributes that may still change them."""
    other = object.__new__(type(schedule))
    other.__dict__.update(copy.deepcopy(state))
    return other
