"""The loss of counts."""

from __future__ import annotations

import math

from bpnet.backend.typing import Array, Namespace
from bpnet.losses.base import Loss


class Poisson(Loss):
    """l = mean over outputs of e^z - y z, for counts y with expectation e^z.

    The negative log-likelihood without ln y!. Beyond the square root of the largest float,
    the exponential continues as its tangent to avoid overflow.
    """

    name = "poisson"
    targets = "counts"
    elementwise = True

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute e^z."""
        return xp.exp(self._bounded(xp, z))

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of e^z - y z."""
        bounded = self._bounded(xp, z)
        e = xp.exp(bounded)
        # Linear beyond the bound: computed separately, e^z and y z would overflow.
        return xp.mean(e - y * bounded + (z - bounded) * (e - y), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute (e^z - y) / n_L."""
        return (self.link(xp, z) - y) / z.shape[1]

    @staticmethod
    def _bounded(xp: Namespace, z: Array) -> Array:
        return xp.minimum(z, 0.5 * math.log(float(xp.finfo(z.dtype).max)))
