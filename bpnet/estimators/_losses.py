"""scikit-learn's losses: sums over outputs, with probabilities clipped away from 0 and 1.

Values match ``sklearn.neural_network._base``, so that losses, stopping and numbers of epochs
are the same; link functions and output errors are bpnet's.
"""

from __future__ import annotations

from typing import Any

from bpnet import losses
from bpnet.backend.typing import Array, Namespace
from bpnet.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    one_hot,
)

NOT_IN_FILES = (
    "files cannot represent scikit-learn's losses, so estimators do not support "
    "bpnet.Checkpoint and Network.save; save the estimator itself, by its method save"
)


class NotInFiles:
    """Refuses to describe a loss, which model files do not have."""

    def config(self) -> dict[str, Any]:
        """Raise TypeError."""
        raise TypeError(f"{NOT_IN_FILES}; got the loss {type(self).__name__}")


class LogLoss(NotInFiles, CategoricalCrossentropy):
    """l = -ln p_k of the true class k, with p = softmax(z) clipped."""

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Return -ln p of the true class."""
        return self.value_and_error(xp, y, z)[0]

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Return both from one softmax; only the true class contributes."""
        y, p = one_hot(xp, y, z), self.link(xp, z)
        return -xp.log(_clipped(xp, xp.sum(y * p, axis=1))), p - y


class BinaryLogLoss(NotInFiles, BinaryCrossentropy):
    """l = sum over labels of -y ln p - (1 - y) ln(1 - p), with p = sigmoid(z) clipped."""

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Return the sum over labels."""
        return self.value_and_error(xp, y, z)[0]

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Return sigmoid(z) - y."""
        return self.link(xp, z) - y

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Return both from one sigmoid; as y is 0 or 1, only one logarithm contributes."""
        p = self.link(xp, z)
        true = _clipped(xp, xp.where(y > 0.5, p, 1.0 - p))
        return -xp.sum(xp.log(true), axis=1), p - y


class HalfSquaredError(NotInFiles, MeanSquaredError):
    """l = mean over outputs of (z - y)^2 / 2, with the gradient of the sum.

    scikit-learn reports the mean but descends the sum, so with several outputs its gradient is
    that many times the gradient of the reported loss. This loss does the same, for equal
    results.
    """

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Return the mean over outputs of (z - y)^2 / 2."""
        r = z - y
        return 0.5 * xp.mean(r * r, axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Return z - y."""
        return z - y


class HalfPoissonDeviance(NotInFiles, Poisson):
    """l = sum over outputs of y ln(y / e^z) - y + e^z: half the Poisson deviance."""

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Return the sum over outputs, with 0 ln 0 = 0."""
        positive = xp.where(y > 0.0, y, xp.ones_like(y))
        return xp.sum(y * (xp.log(positive) - z) - y + self.link(xp, z), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Return e^z - y."""
        return self.link(xp, z) - y


# The losses by their names in files.
_BY_NAME: dict[str, Loss] = {
    "log_loss": LogLoss(),
    "binary_log_loss": BinaryLogLoss(),
    "squared_error": HalfSquaredError(),
    "poisson": HalfPoissonDeviance(),
}


# The losses of regressors by the names of scikit-learn's estimators.
REGRESSION_LOSSES: dict[str, Loss] = {
    "squared_error": HalfSquaredError(),
    "poisson": HalfPoissonDeviance(),
    "absolute_error": MeanAbsoluteError(),
    "huber": Huber(),
}


def regression_loss(loss: str | Loss) -> Loss:
    """Return the loss of a regressor's parameter.

    Raises
    ------
    ValueError
        If it is not one of numbers.
    """
    found = REGRESSION_LOSSES[loss] if isinstance(loss, str) else losses.get(loss)
    if not is_of_numbers(found):
        raise ValueError(
            f"loss must be one of real targets or counts, such as bpnet.losses.Huber(2.0); got "
            f"{loss!r}, of {found.targets}. For classes use MLPClassifier"
        )
    return found


def is_of_numbers(loss: Loss) -> bool:
    """Return whether the targets of a loss are those of a regression."""
    return loss.targets in ("real", "counts")


def described_loss(loss: Loss) -> str | Loss:
    """Return the name of a loss in files; those of :mod:`bpnet.losses` describe themselves."""
    return next((name for name, own in _BY_NAME.items() if own == loss), loss)


def loss_of(name: str) -> Loss:
    """Return the loss of a name in a file."""
    return _BY_NAME[name]


def _clipped(xp: Namespace, p: Array) -> Array:
    """Clip probabilities to [eps, 1 - eps], so that their logarithms are finite."""
    eps = float(xp.finfo(p.dtype).eps)
    return xp.minimum(xp.maximum(p, eps), 1.0 - eps)
