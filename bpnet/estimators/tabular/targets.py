"""The targets of a regression: standardized for training, and the range of predictions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace
from bpnet.losses import Loss
from bpnet.metrics.regression import RootMeanSquaredError

# What the losses and metrics of training are of.
UNITS = "standardized targets"


class TargetScale(NamedTuple):
    """Mean, scale and range of the targets in training.

    Attributes
    ----------
    mean, deviation : array (n_outputs,)
        Weighted mean and standard deviation of each output.
    low, high : array (n_outputs,)
        The smallest and the largest prediction; infinite if they are not clipped.
    """

    mean: Any
    deviation: Any
    low: Any
    high: Any

    def standardized(self, y: Any) -> Any:
        """Return targets (m, n_outputs) with mean 0 and deviation 1; a constant one is 0."""
        return (y - self.mean) / np.where(self.deviation > 0.0, self.deviation, 1.0)

    def predictions(self, xp: Namespace, z: Array) -> Array:
        """Return predictions in units of the targets from the outputs of a network."""
        mean, deviation, low, high = map(xp.asarray, self)
        return xp.clip(xp.astype(z, xp.float64) * deviation + mean, low, high)

    @property
    def limits(self) -> tuple[list[float], list[float]]:
        """The range of the outputs of the network."""
        low, high = self.standardized(self.low), self.standardized(self.high)
        return low.tolist(), high.tolist()


def scale_of(y: Any, w: Any, clip: bool) -> TargetScale:
    """Return the scale of targets (m, n_outputs) with weights (m,) or None.

    With `clip`, predictions stay in the range of the targets.
    """
    small, exponent = _reduced(y)
    mean = np.ldexp(np.average(small, axis=0, weights=w), exponent)
    with np.errstate(over="ignore"):
        small, exponent = _reduced(y - mean)
    deviation = np.ldexp(np.sqrt(np.average(small**2, axis=0, weights=w)), exponent)
    infinite = np.full_like(mean, np.inf)
    low, high = (y.min(axis=0), y.max(axis=0)) if clip else (-infinite, infinite)
    return TargetScale(mean, deviation, low, high)


def _reduced(y: Any) -> tuple[Any, Any]:
    """Return columns below 1 in magnitude, whose squares have a sum, and their exponents of 2.

    Powers of 2 change no digit, so that the mean and the deviation have the bits of those of y
    wherever the latter neither overflow nor vanish.
    """
    exponent = np.frexp(np.max(np.abs(y), axis=0))[1]
    return np.ldexp(y, -exponent), exponent


class ClippedRootMeanSquaredError(RootMeanSquaredError):
    """The root of the mean of (prediction - y)^2, of predictions clipped to a range.

    Parameters
    ----------
    low, high : sequence of float
        The range of each output.
    """

    name = "rmse"

    def __init__(self, low: Iterable[float], high: Iterable[float]) -> None:
        self.low, self.high = tuple(low), tuple(high)

    def sums(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute sum_i w_i (prediction - y)^2 of each output."""
        low, high = (
            xp.asarray(list(end), dtype=z.dtype, device=device(z))[None, :]
            for end in (self.low, self.high)
        )
        return super().sums(xp, loss, y, xp.minimum(xp.maximum(z, low), high), w)
