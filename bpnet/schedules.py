"""Schedules of the learning rate, the weight decay and the dropout rate.

A schedule maps the time in epochs to a value: 0.0 is the start of training, 2.5 the middle of
the third epoch. It is evaluated for every step. Pass one wherever an optimizer takes a learning
rate or a weight decay, or a layer a rate: ``Adam(Cosine(1e-2, epochs=100))``,
``Dropout(Step(0.5, every=10))``.

A schedule is frozen. One that depends on the metrics keeps its memory in a dict that belongs to
the training state: ``initial_state()`` creates it, ``observe(state, logs)`` returns that of the
next epoch, and ``value(epoch, state)`` reads it.
"""

from __future__ import annotations

import copy
import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

from bpnet.common.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_text,
)
from bpnet.common.component import Component, attributes
from bpnet.common.deprecation import renamed_argument, renamed_property, warn_renamed
from bpnet.common.patience import Patience

# The memory of a schedule: JSON-serializable values by name.
ScheduleState = dict[str, Any]
# The floor of a reduced learning rate, relative to the initial one. The first steps are mostly
# 1e-3 to 1e-1 of the weights, so a million times shorter ones round to nothing in float32.
_FLOOR = 1e-6
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


class Constant(Schedule):
    """A constant value, which a callback may change, by ``training.set_learning_rate``.

    Examples
    --------
    >>> Constant(0.1)(7.5)
    0.1
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate."""
        return self.learning_rate

    def __repr__(self) -> str:
        return f"{self.learning_rate:g}"


class Step(Schedule):
    """Multiply by `factor` after every `every` epochs: eta = eta_0 factor^floor(t / every).

    Examples
    --------
    >>> Step(0.1, every=10, factor=0.5)(25)
    0.025
    """

    def __init__(self, learning_rate: float, every: int, factor: float = 0.1) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)
        self.every = check_integer("every", every, 1)
        self.factor = check_number("factor", factor, 0.0, 1.0, above=True)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        return self.learning_rate * self.factor ** math.floor(epoch / self.every)


class Exponential(Schedule):
    """Decay smoothly by `factor` per epoch: eta = eta_0 factor^t.

    Examples
    --------
    >>> Exponential(0.1, factor=0.5)(1)
    0.05
    """

    def __init__(self, learning_rate: float, factor: float) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)
        self.factor = check_number("factor", factor, 0.0, 1.0, above=True)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        return self.learning_rate * float(self.factor**epoch)


class InverseScaling(Schedule):
    """eta = eta_0 / (1 + decay t)^power; power 1 satisfies Robbins and Monro (1951).

    Examples
    --------
    >>> InverseScaling(0.1, power=0.5)(3)
    0.05
    """

    def __init__(self, learning_rate: float, power: float = 0.5, decay: float = 1.0) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)
        self.power = check_number("power", power, 0.0)
        self.decay = check_number("decay", decay, 0.0)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        return self.learning_rate / float((1.0 + self.decay * epoch) ** self.power)


class Cosine(Schedule):
    """Decrease from eta_0 to `minimum` along half a cosine in `epochs`, then stay there.

    Loshchilov and Hutter, "SGDR", 2017, equation 5, without restarts.

    Examples
    --------
    >>> Cosine(0.1, epochs=10)(5)
    0.05
    """

    def __init__(self, learning_rate: float, epochs: float, minimum: float = 0.0) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)
        self.epochs = check_number("epochs", epochs, 0.0, above=True)
        self.minimum = check_number("minimum", minimum, 0.0, self.learning_rate)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        done = min(epoch / self.epochs, 1.0)
        return self.minimum + (self.learning_rate - self.minimum) * 0.5 * (
            1.0 + math.cos(math.pi * done)
        )


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


# How to write a schedule that someone has given by a name.
_EXAMPLES = {
    "cos": "Cosine(0.01, epochs=100)",
    "step": "Step(0.01, every=10)",
    "exp": "Exponential(0.01, factor=0.95)",
    "inv": "InverseScaling(0.01)",
    "warm": "WarmUp(0.01, epochs=5)",
    "plateau": "ReduceOnPlateau(0.01, 'val_loss')",
    "adaptive": "ReduceOnPlateau(0.01, 'val_loss')",
    "const": "Constant(0.01)",
    "": "Cosine(0.01, epochs=100)",
}


def example(name: str) -> str:
    """Return how to write the schedule that a name may stand for."""
    return f"bpnet.schedules.{next(c for word, c in _EXAMPLES.items() if word in name.lower())}"


def check_value(
    name: str, value: float | Schedule, minimum: float, *, above: bool = False
) -> float | Schedule:
    """Return a schedule, or a number in a range; the error for a name says how to write it."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, str):
        raise TypeError(
            f"{name} must be a number, got {value!r} (str); a schedule is given as "
            f"{example(value)}"
        )
    return check_number(name, value, minimum, above=above)


def get(learning_rate: float | Schedule, argument: str = "learning_rate") -> Schedule:
    """Return a schedule; a number becomes a Constant. Errors name the parameter `argument`."""
    value = check_value(argument, learning_rate, 0.0, above=True)
    return value if isinstance(value, Schedule) else Constant(value)
