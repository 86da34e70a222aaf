"""Losses of real targets."""

from __future__ import annotations

from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number
from bpnet.losses.base import Loss


class MeanSquaredError(Loss):
    """l = mean over outputs of (z - y)^2."""

    name = "mean_squared_error"
    identity_link = True
    elementwise = True

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute z."""
        return z

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of (z - y)^2."""
        r = z - y
        return xp.mean(r * r, axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute 2 (z - y) / n_L."""
        return (z - y) * (2.0 / z.shape[1])


class MeanAbsoluteError(Loss):
    """l = mean over outputs of abs(z - y)."""

    name = "mean_absolute_error"
    identity_link = True
    elementwise = True

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute z."""
        return z

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of abs(z - y)."""
        return xp.mean(xp.abs(z - y), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute sign(z - y) / n_L, 0 at the kink."""
        return xp.sign(z - y) / z.shape[1]


class Huber(Loss):
    """l = mean over outputs of r^2 / 2 for abs(r) <= δ, else δ (abs(r) - δ/2); r = z - y.

    Huber 1964: quadratic near the target, linear beyond δ, so outliers have less influence.

    Parameters
    ----------
    delta : float, default 1.0
        Where the loss becomes linear, in units of the target.
    """

    name = "huber"
    identity_link = True
    elementwise = True

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = check_number("delta", delta, 0.0, above=True)

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute z."""
        return z

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute c (abs(r) - c / 2), with c = min(abs(r), δ)."""
        size = xp.abs(z - y)
        c = xp.minimum(size, self.delta)
        return xp.mean(c * (size - 0.5 * c), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute clip(r, -δ, δ) / n_L."""
        return xp.clip(z - y, min=-self.delta, max=self.delta) / z.shape[1]
