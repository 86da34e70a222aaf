"""Schedules that rise and fall."""

from __future__ import annotations

import math

from bpnet.common.checks import check_integer, check_number
from bpnet.schedules.base import Schedule
from bpnet.schedules.decay import half_cosine


class CosLog(Schedule):
    """Cosine waves that double in length: eta = eta_0 (1 - cos(2 π log2(1 + s t / T))) / 2.

    With ``s = 2^cycles - 1``, so that eta is 0 at the start, between two cycles, and from T on.
    With 4 cycles it is coslog4, the learning rate of RealMLP (Holzmüller, Grinsztajn and
    Steinwart, "Better by default", 2024).

    Parameters
    ----------
    learning_rate : float
        The highest rate eta_0, >= 0, in the middle of each cycle (of the logarithm).
    epochs : float
        Length T of all cycles together.
    cycles : int, default 4
        Number of cycles, >= 1, each twice as long as the one before.

    Examples
    --------
    >>> schedule = CosLog(0.1, epochs=15)
    >>> [round(schedule(epoch), 3) for epoch in (0, 1, 1.8284271, 3, 7, 15)]
    [0.0, 0.0, 0.1, 0.0, 0.0, 0.0]
    """

    def __init__(self, learning_rate: float, epochs: float, cycles: int = 4) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)
        self.epochs = check_number("epochs", epochs, 0.0, above=True)
        self.cycles = check_integer("cycles", cycles, 1)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        done = min(epoch / self.epochs, 1.0)
        cycle = math.log2(1.0 + (2.0**self.cycles - 1.0) * done)
        return self.learning_rate * 0.5 * (1.0 - math.cos(2.0 * math.pi * cycle))


class OneCycle(Schedule):
    """Rise to eta_max along half a cosine, then fall far below the start along another.

    Smith and Topin, "Super-convergence", 2018. As ``torch.optim.lr_scheduler.OneCycleLR`` with
    its defaults, but for the time: there, each half ends with its last step, here with the
    step after that. The momentum is not cycled.

    Parameters
    ----------
    learning_rate : float
        The highest rate eta_max, >= 0.
    epochs : float
        Length of the cycle; afterwards, the rate stays at its end.
    peak : float, default 0.3
        When the rate is highest, as a fraction of `epochs`; 0 < peak < 1.
    start, end : float, default 1/25 and 4e-6
        The first and the last rate as fractions of eta_max, 0 to 1.

    Examples
    --------
    >>> schedule = OneCycle(0.1, epochs=10)
    >>> [round(schedule(epoch), 9) for epoch in (0, 3, 10)]
    [0.004, 0.1, 4e-07]
    """

    def __init__(
        self,
        learning_rate: float,
        epochs: float,
        peak: float = 0.3,
        start: float = 0.04,
        end: float = 4e-6,
    ) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)
        self.epochs = check_number("epochs", epochs, 0.0, above=True)
        self.peak = check_number("peak", peak, 0.0, 1.0, above=True, below=True)
        self.start = check_number("start", start, 0.0, 1.0)
        self.end = check_number("end", end, 0.0, 1.0)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        done = min(epoch / self.epochs, 1.0)
        if done < self.peak:
            fraction = half_cosine(self.start, 1.0, done / self.peak)
        else:
            fraction = half_cosine(1.0, self.end, (done - self.peak) / (1.0 - self.peak))
        return self.learning_rate * fraction


class CosineRestarts(Schedule):
    """Decrease along half a cosine, again and again: SGDR with warm restarts.

    Loshchilov and Hutter, "SGDR", 2017, equation 5. As
    ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``.

    Parameters
    ----------
    learning_rate : float
        The rate after each restart, >= 0.
    epochs : float
        Length T_0 of the first cycle.
    growth : int, default 1
        T_mult, >= 1: each cycle is so many times as long as the one before.
    minimum : float, default 0.0
        The rate at the end of each cycle.

    Examples
    --------
    >>> schedule = CosineRestarts(0.1, epochs=10, growth=2)
    >>> schedule(5), schedule(10), schedule(20), schedule(30)
    (0.05, 0.1, 0.05, 0.1)
    """

    def __init__(
        self, learning_rate: float, epochs: float, growth: int = 1, minimum: float = 0.0
    ) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)
        self.epochs = check_number("epochs", epochs, 0.0, above=True)
        self.growth = check_integer("growth", growth, 1)
        self.minimum = check_number("minimum", minimum, 0.0, self.learning_rate)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        length = self.epochs
        if self.growth == 1:
            epoch = math.fmod(epoch, length)
        while epoch >= length:  # a logarithm could miss the first step after a restart
            epoch -= length
            length *= self.growth
        return half_cosine(self.learning_rate, self.minimum, epoch / length)
