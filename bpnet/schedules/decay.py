"""Schedules that are functions of time only."""

from __future__ import annotations

import math

from bpnet.common.checks import (
    check_integer,
    check_number,
)
from bpnet.schedules.base import Schedule


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
        return half_cosine(self.learning_rate, self.minimum, min(epoch / self.epochs, 1.0))


class FlatCosine(Schedule):
    """Stay at eta_0 for half of `epochs`, then decrease to 0 along half a cosine.

    The schedule of weight decay and dropout rate in RealMLP (Holzmüller, Grinsztajn and
    Steinwart, "Better by default", 2024), there called flat_cos.

    Examples
    --------
    >>> schedule = FlatCosine(0.1, epochs=10)
    >>> schedule(5), schedule(7.5), schedule(10)
    (0.1, 0.05, 0.0)
    """

    def __init__(self, learning_rate: float, epochs: float) -> None:
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0)
        self.epochs = check_number("epochs", epochs, 0.0, above=True)

    def __call__(self, epoch: float) -> float:
        """Return the learning rate at this time."""
        done = min(epoch / self.epochs, 1.0)
        return half_cosine(self.learning_rate, 0.0, max(2.0 * done - 1.0, 0.0))


def half_cosine(first: float, last: float, done: float) -> float:
    """Return the value between two others along half a cosine, of which a part is done."""
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * done))
