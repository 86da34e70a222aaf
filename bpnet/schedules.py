"""Learning-rate schedules.

A schedule maps the time in epochs to the learning rate: 0.0 is the start of training, 2.5 the
middle of the third epoch. It is called before every step. Pass one wherever an optimizer takes
a learning rate: ``Adam(Cosine(1e-2, epochs=100))``.
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
        """Return the learning rate at this time."""

    def observe(self, logs: Mapping[str, float]) -> None:
        """Receive the metrics at the end of an epoch; does nothing by default."""


class Constant(Schedule):
    """A constant learning rate.

    Examples
    --------
    >>> Constant(0.1)(7.5)
    0.1
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)

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
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)
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
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)
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
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)
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
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, above=True)
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

    @renamed_argument("then", "schedule")
    def __init__(self, schedule: float | Schedule, epochs: float, start: float = 0.0) -> None:
        self.schedule = get(schedule, "schedule")
        self.epochs = check_number("epochs", epochs, 0.0, above=True)
        self.start = check_number("start", start, 0.0, 1.0)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        if epoch >= self.epochs:
            return self.schedule(epoch - self.epochs)
        return self.schedule(0.0) * (self.start + (1.0 - self.start) * epoch / self.epochs)

    def observe(self, logs: Mapping[str, float]) -> None:
        """Pass the metrics to the schedule."""
        self.schedule.observe(logs)


class ReduceOnPlateau(Schedule):
    """Multiply by `factor` when a metric has not improved for more than `patience` epochs.

    Parameters
    ----------
    learning_rate : float
        Initial learning rate, > 0.
    monitor : str, default "loss"
        Metric of the history to monitor, such as "val_loss".
    factor : float, default 0.1
        0 < factor < 1.
    patience : int, default 10
        Number of epochs with no improvement that are tolerated.
    min_delta : float, default 1e-4
        Smallest change that counts as an improvement, in units of the metric.
    minimum : float, default 0.0
        Lower bound of the learning rate.
    mode : {"min", "max"}, default "min"
        Whether a lower or a higher metric is better.
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
        """Return the current learning rate."""
        return self.learning_rate

    def observe(self, logs: Mapping[str, float]) -> None:
        """Reduce the learning rate if patience is exhausted."""
        self.patience.observe(self.monitor, logs)
        if self.patience.exhausted:
            self.learning_rate = max(self.learning_rate * self.factor, self.minimum)
            self.patience.waited = 0


def get(learning_rate: float | Schedule, argument: str = "learning_rate") -> Schedule:
    """Return a schedule; a number becomes a Constant. Errors name the parameter `argument`."""
    if isinstance(learning_rate, Schedule):
        return learning_rate
    return Constant(check_number(argument, learning_rate, 0.0, above=True))
