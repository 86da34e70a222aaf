"""Learning-rate schedules.

A schedule gives the learning rate for a time counted in epochs: 0.0 at the start, 2.5 in
the middle of the third epoch. It is asked before every step. Pass one wherever an optimiser
takes a learning rate: ``Adam(Cosine(1e-2, epochs=100))``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

from bpnet.common.checks import check_choice, check_integer, check_number, check_text
from bpnet.common.deprecation import renamed_argument, renamed_property
from bpnet.common.patience import Patience


class Schedule(ABC):
    """The learning rate as a function of the time in epochs."""

    @abstractmethod
    def __call__(self, epoch: float) -> float:
        """Give the learning rate at this time."""

    def observe(self, logs: Mapping[str, float]) -> None:
        """Take note of an epoch's figures when it has ended; most schedules need not."""


class Constant(Schedule):
    """The same learning rate at all times.

    Examples
    --------
    >>> Constant(0.1)(7.5)
    0.1
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)

    def __call__(self, epoch: float) -> float:
        """Give the learning rate."""
        return self.learning_rate

    def __repr__(self) -> str:
        return f"{self.learning_rate:g}"


class Step(Schedule):
    """Multiply by `factor` every so many epochs: eta = eta_0 factor^floor(t / every).

    Examples
    --------
    >>> Step(0.1, every=10, factor=0.5)(25)
    0.025
    """

    def __init__(self, learning_rate: float, every: int, factor: float = 0.1) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)
        self.every = check_integer("every", every, 1)
        self.factor = check_number("factor", factor, 0.0, 1.0, above=True)

    def __call__(self, epoch: float) -> float:
        """Give the learning rate at this time."""
        return self.learning_rate * self.factor ** math.floor(epoch / self.every)


class Exponential(Schedule):
    """Decay by `factor` in each epoch, smoothly: eta = eta_0 factor^t.

    Examples
    --------
    >>> Exponential(0.1, factor=0.5)(1)
    0.05
    """

    def __init__(self, learning_rate: float, factor: float) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)
        self.factor = check_number("factor", factor, 0.0, 1.0, above=True)

    def __call__(self, epoch: float) -> float:
        """Give the learning rate at this time."""
        return self.learning_rate * float(self.factor**epoch)


class InverseScaling(Schedule):
    """eta = eta_0 / (1 + decay t)^power; power 1 satisfies Robbins and Monro (1951).

    Examples
    --------
    >>> InverseScaling(0.1, power=0.5)(3)
    0.05
    """

    def __init__(self, learning_rate: float, power: float = 0.5, decay: float = 1.0) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)
        self.power = check_number("power", power, 0.0)
        self.decay = check_number("decay", decay, 0.0)

    def __call__(self, epoch: float) -> float:
        """Give the learning rate at this time."""
        return self.learning_rate / float((1.0 + self.decay * epoch) ** self.power)


class Cosine(Schedule):
    """Fall from eta_0 to `minimum` along half a cosine, then stay there.

    Loshchilov and Hutter, "SGDR", 2017, equation 5, without restarts.

    Examples
    --------
    >>> Cosine(0.1, epochs=10)(5)
    0.05
    """

    def __init__(self, learning_rate: float, epochs: float, minimum: float = 0.0) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)
        self.epochs = check_number("epochs", epochs, 0.0, above=True)
        self.minimum = check_number("minimum", minimum, 0.0, self.learning_rate)

    def __call__(self, epoch: float) -> float:
        """Give the learning rate at this time."""
        done = min(epoch / self.epochs, 1.0)
        return self.minimum + (self.learning_rate - self.minimum) * 0.5 * (
            1.0 + math.cos(math.pi * done)
        )


class WarmUp(Schedule):
    """Rise in a line from `start` times the learning rate to all of it, then follow a schedule.

    Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2.

    Parameters
    ----------
    schedule : float or Schedule
        The learning rate after the warm-up; its time starts at 0 when the warm-up ends.
    epochs : float
        How long the warm-up takes.
    start : float, default 0.0
        Share of the first learning rate to begin with; 0 <= start <= 1.

    Examples
    --------
    >>> WarmUp(0.1, epochs=4)(1)
    0.025
    """

    then = renamed_property("then", "schedule")

    @renamed_argument("then", "schedule")
    def __init__(self, schedule: float | Schedule, epochs: float, start: float = 0.0) -> None:
        self.schedule = get(schedule, "schedule")
        self.epochs = check_number("epochs", epochs, 0.0, above=True)
        self.start = check_number("start", start, 0.0, 1.0)

    def __call__(self, epoch: float) -> float:
        """Give the learning rate at this time."""
        if epoch >= self.epochs:
            return self.schedule(epoch - self.epochs)
        return self.schedule(0.0) * (self.start + (1.0 - self.start) * epoch / self.epochs)

    def observe(self, logs: Mapping[str, float]) -> None:
        """Hand the figures on."""
        self.schedule.observe(logs)


class ReduceOnPlateau(Schedule):
    """Multiply by `factor` when a figure has not improved for `patience` epochs.

    Parameters
    ----------
    learning_rate : float
        Where to start, > 0.
    monitor : str, default "loss"
        The figure of the history to watch, such as "val_loss".
    factor : float, default 0.1
        0 < factor < 1.
    patience : int, default 10
        Epochs without improvement that are borne.
    min_delta : float, default 1e-4
        What counts as improvement, in units of the figure.
    minimum : float, default 0.0
        The learning rate is never less.
    mode : {"min", "max"}, default "min"
        Whether less or more is better.
    """

    def __init__(
        self,
        learning_rate: float,
        monitor: str = "loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        minimum: float = 0.0,
        mode: str = "min",
    ) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)
        self.monitor = check_text("monitor", monitor)
        self.factor = check_number("factor", factor, 0.0, 1.0, above=True, below=True)
        self.minimum = check_number("minimum", minimum, 0.0, self.learning_rate)
        check_choice("mode", mode, ("min", "max"))
        self.patience = Patience(patience, min_delta, mode)

    def __call__(self, epoch: float) -> float:
        """Give the learning rate at present."""
        return self.learning_rate

    def observe(self, logs: Mapping[str, float]) -> None:
        """Reduce the learning rate if patience is at its end."""
        self.patience.observe(self.monitor, logs)
        if self.patience.exhausted:
            self.learning_rate = max(self.learning_rate * self.factor, self.minimum)
            self.patience.waited = 0


def get(learning_rate: float | Schedule, argument: str = "learning_rate") -> Schedule:
    """Give a schedule; a number is a constant one. `argument` is what an error calls it."""
    if isinstance(learning_rate, Schedule):
        return learning_rate
    return Constant(check_number(argument, learning_rate, 0.0, above=True))
