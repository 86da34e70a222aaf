"""scikit-learn's losses: sums over outputs, of probabilities that are kept from 0 and 1.

Their values are those of ``sklearn.neural_network._base``, so that losses, stops and numbers
of epochs are the same; their links and output errors are bpnet's.
"""

from __future__ import annotations

from bpnet.backend.typing import Array, Namespace
from bpnet.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    MeanSquaredError,
    Poisson,
    one_hot,
)


class LogLoss(CategoricalCrossentropy):
    """l = -ln p_k of the right class k, with p = softmax(z) kept from 0 and 1."""

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute -ln p of the right class."""
        return self.value_and_error(xp, y, z)[0]

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Compute both from one softmax; of each example one probability counts."""
        y, p = one_hot(xp, y, z), self.link(xp, z)
        return -xp.log(_inside(xp, xp.sum(y * p, axis=1))), p - y


class BinaryLogLoss(BinaryCrossentropy):
    """l = sum over labels of -y ln p - (1 - y) ln(1 - p), with p = sigmoid(z) kept inside."""

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the sum over labels."""
        return self.value_and_error(xp, y, z)[0]

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute sigmoid(z) - y."""
        return self.link(xp, z) - y

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Compute both from one sigmoid; as y is 0 or 1, one logarithm counts."""
        p = self.link(xp, z)
        right = _inside(xp, xp.where(y > 0.5, p, 1.0 - p))
        return -xp.sum(xp.log(right), axis=1), p - y


class HalfSquaredError(MeanSquaredError):
    """l = mean over outputs of (z - y)^2 / 2, descended along the gradient of the sum.

    scikit-learn reports the mean but steps as if it were the sum, so with several outputs
    its gradient is that many times the reported loss's. So is this one, for equal results.
    """

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of (z - y)^2 / 2."""
        r = z - y
        return 0.5 * xp.mean(r * r, axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute z - y."""
        return z - y


class HalfPoissonDeviance(Poisson):
    """l = sum over outputs of y ln(y / e^z) - y + e^z: half the Poisson deviance."""

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the sum over outputs, with 0 ln 0 = 0."""
        own = xp.where(y > 0.0, y, xp.ones_like(y))
        return xp.sum(y * (xp.log(own) - z) - y + self.link(xp, z), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute e^z - y."""
        return self.link(xp, z) - y


def _inside(xp: Namespace, p: Array) -> Array:
    """Keep probabilities in [eps, 1 - eps], so that their logarithms are finite."""
    eps = float(xp.finfo(p.dtype).eps)
    return xp.minimum(xp.maximum(p, eps), 1.0 - eps)
