"""The scheduled values of a training run: learning rate, weight decay, rates of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from bpnet.common.checks import check_number, kind_of
from bpnet.errors import ComponentError
from bpnet.layers import Layer
from bpnet.optimizers import Optimizer
from bpnet.schedules import Constant, Directions, Schedule

LEARNING_RATE = "learning_rate"
WEIGHT_DECAY = "weight_decay"


class ScheduledValue:
    """A schedule with its memory, and with the value that a callback has set instead.

    Parameters
    ----------
    name : str
        "learning_rate", "weight_decay", or "layers.K.NAME" for an attribute of layer K, from 0.
    schedule : Schedule
        The schedule.
    check : callable
        ``check(value)`` returns a value, or raises ValueError if it is out of range.

    Attributes
    ----------
    state : dict
        The memory of the schedule.
    fixed : float or None
        The value set by a callback; None follows the schedule.
    """

    def __init__(self, name: str, schedule: Schedule, check: Callable[[Any], float]) -> None:
        self.name, self.schedule, self.check = name, schedule, check
        self.state = self._memory("initial_state", schedule.initial_state())
        self.fixed: float | None = None
        self._last = -1.0  # an object that no schedule has returned yet

    def at(self, epoch: float) -> float:
        """Return the value at a time in epochs."""
        if self.fixed is not None:
            return self.fixed
        given: Any = self.schedule.value(epoch, self.state)
        if given is not self._last:  # that of a constant is checked once
            self._last = self._checked(epoch, given)
        return self._last

    def during(self, times: Sequence[float]) -> list[float]:
        """Return the values at some times in epochs."""
        if self.fixed is not None or type(self.schedule) is Constant:
            return [self.at(time) for time in times[:1]] * len(times)
        return [self.at(time) for time in times]

    def _checked(self, epoch: float, given: Any) -> float:
        """Check what a schedule returned."""
        if np.size(given) == 1 and not isinstance(given, int | float | str):
            given = np.ravel(given).tolist()[0]  # a user's schedule may return an array
        try:
            return self.check(given)
        except (TypeError, ValueError) as error:
            raise ComponentError(
                f"the schedule {self.schedule!r} of {self.name} returned a wrong value for "
                f"epoch {epoch:g}: {error}"
            ) from error

    def fix(self, value: float | None) -> None:
        """Use a value instead of the schedule; None returns to the schedule."""
        self.fixed = None if value is None else self.check(value)

    def observe(self, logs: Mapping[str, float]) -> None:
        """Pass the metrics of an epoch to the schedule."""
        self.state = self._memory("observe", self.schedule.observe(self.state, logs))

    def _memory(self, method: str, state: Any) -> dict[str, Any]:
        if not isinstance(state, dict):
            raise ComponentError(
                f"the schedule {self.schedule!r} of {self.name}: {method} must return its "
                f"memory, a dict; got {kind_of(state)}"
            )
        return state


def prepared_schedule(name: str, schedule: Schedule, direction: Directions) -> Schedule:
    """Return a schedule prepared for a run; errors say of what it is the schedule."""
    found: Any = schedule.prepared(direction)
    if not isinstance(found, Schedule):
        raise ComponentError(
            f"the schedule {schedule!r} of {name}: prepared must return a schedule; got "
            f"{kind_of(found)}"
        )
    return found


def prepared(optimizer: Optimizer, direction: Directions) -> Optimizer:
    """Return an optimizer with schedules prepared for a run.

    One that makes its own schedules, so that they cannot be replaced, is returned unchanged.
    """
    changes = {
        name: prepared_schedule(name, schedule, direction)
        for name in (LEARNING_RATE, WEIGHT_DECAY)
        if isinstance(schedule := getattr(optimizer, name), Schedule)
    }
    is_same = all(getattr(optimizer, name) is schedule for name, schedule in changes.items())
    if is_same or changes.keys() - optimizer.config().keys():
        return optimizer
    return optimizer.replace(**changes)


def scheduled_values(
    optimizer: Optimizer, layers: Sequence[Layer] = ()
) -> dict[str, ScheduledValue]:
    """Return everything that follows a schedule in a training run, by name."""
    schedules = {LEARNING_RATE: optimizer.learning_rate, WEIGHT_DECAY: optimizer.weight_decay}
    found = [
        ScheduledValue(name, schedule, partial(check_number, name, minimum=0.0))
        for name, schedule in schedules.items()
        if isinstance(schedule, Schedule)
    ]
    for number, layer in enumerate(layers):
        for name, schedule in _schedules_of(number, layer).items():
            check = partial(layer.check_value, name)
            found.append(ScheduledValue(f"layers.{number}.{name}", schedule, check))
    return {value.name: value for value in found}


def _schedules_of(number: int, layer: Layer) -> dict[str, Schedule]:
    """Return the schedules of a layer, which may be the user's own."""
    found: dict[str, Schedule] = layer.schedules()
    values = found.values() if isinstance(found, dict) else [found]
    if not all(isinstance(value, Schedule) for value in values):
        raise ComponentError(
            f"layer {number + 1}, {layer!r}: schedules must return a dict of names and "
            f"schedules, {{}} if there are none; got {found!r}"
        )
    return found
