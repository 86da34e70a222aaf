"""Loss functions, each beside its output error and its link.

The last Dense layer is linear: its output z_L, shape (m, n_L), is called the logits, and the
loss owns the link that turns logits into predictions. So every loss is exact for any logit,
and the output error keeps the form of the textbook, ``delta_L = sigmoid(z_L) - y``.

A loss gives the loss of each example and the derivative of that by its logits. The weighted
mean over the examples is taken once, in :func:`mean_loss` and :func:`output_error`:

    L       = sum_i w_i l_i / sum_i w_i
    delta_L = dL/dz_L = (w_i / sum_i w_i) dl_i/dz_L        (1/m where no weights are given)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from bpnet.activations import sigmoid
from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number, kind_of
from bpnet.common.component import Described

TargetKind = Literal["labels", "probabilities", "counts", "real"]


class Loss(Described, ABC):
    """The loss of one example from its target y and its logits z, and the link.

    A new loss implements the three methods in operations of the Array API standard; an
    instance can then be passed wherever a name can.

    Attributes
    ----------
    name : str
        The name in ``Network(layers, loss="name")``.
    targets : {"labels", "probabilities", "counts", "real"}
        What a target is: a class (as integer or one-hot), one probability per output,
        a number >= 0 or any number.
    identity_link : bool
        Whether predictions are the logits themselves.
    """

    name: ClassVar[str] = ""
    targets: ClassVar[TargetKind] = "real"
    identity_link: ClassVar[bool] = False

    @abstractmethod
    def link(self, xp: Namespace, z: Array) -> Array:
        """Turn logits into predictions, shape (m, n_L)."""

    @abstractmethod
    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the loss l_i of each example, shape (m,)."""

    @abstractmethod
    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute dl_i/dz, shape (m, n_L)."""

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Compute both, as each step needs them; a loss may share what they have in common."""
        return self.value(xp, y, z), self.error(xp, y, z)


def mean_loss(xp: Namespace, values: Array, w: Array | None) -> Array:
    """Compute L = sum_i w_i l_i / sum_i w_i, a 0-d array; weights None are all 1.

    An example of weight 0 has no effect, whatever its loss: 0 times infinity were NaN.
    """
    if w is None:
        return xp.mean(values)
    values = xp.where(w > 0.0, values, xp.zeros_like(values))
    return xp.sum(values * (w / sum_of_weights(xp, values, w)))


def output_error(xp: Namespace, errors: Array, w: Array | None) -> Array:
    """Compute delta_L from the rows dl_i/dz, shape (m, n_L): the only place of 1/m."""
    if w is None:
        return errors / errors.shape[0]
    errors = xp.where(w[:, None] > 0.0, errors, xp.zeros_like(errors))
    return errors * (w / sum_of_weights(xp, errors, w))[:, None]


def sum_of_weights(xp: Namespace, rows: Array, w: Array | None) -> Array | float:
    """Sum the weights of the examples, their number without weights; 1 if all are 0.

    Rows of weight 0 alone have no gradient, and divided by 1 theirs stays 0.
    """
    if w is None:
        return float(rows.shape[0])
    total = xp.sum(w)
    return xp.where(total > 0.0, total, xp.ones_like(total))


class BinaryCrossentropy(Loss):
    """l = mean over outputs of -y ln p - (1 - y) ln(1 - p), with p = sigmoid(z).

    Written in logits, ``softplus(z) - y z``. Targets are 0 or 1, or a probability; with
    several outputs each is a label of its own (multi-label classification).
    """

    name = "binary_crossentropy"
    targets = "probabilities"

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute p = sigmoid(z)."""
        return sigmoid.f(xp, z)

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of softplus(z) - y z, in an order that is exact.

        For a right and sure prediction the first bracket is 0, so nothing cancels.
        """
        linear = xp.maximum(z, 0.0) - y * z
        return xp.mean(linear + xp.log1p(xp.exp(-xp.abs(z))), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute (sigmoid(z) - y) / n_L."""
        return (sigmoid.f(xp, z) - y) / z.shape[1]


class CategoricalCrossentropy(Loss):
    """l = -sum_k y_k ln p_k, with p = softmax(z): one of n_L classes.

    Targets are integer labels 0 ... n_L - 1, shape (m,), or rows of probabilities (one-hot
    or soft), shape (m, n_L).
    """

    name = "categorical_crossentropy"
    targets = "labels"

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute p = softmax(z), shifted by the largest logit so that it cannot overflow."""
        e = xp.exp(z - xp.max(z, axis=1, keepdims=True))
        return e / xp.sum(e, axis=1, keepdims=True)

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute -sum_k y_k ln p_k, with ln p = z - logsumexp(z)."""
        z = self._shifted(xp, z)
        log_p = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
        return -xp.sum(one_hot(xp, y, z) * log_p, axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute softmax(z) - y."""
        return self.link(xp, z) - one_hot(xp, y, z)

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Compute both from one exponential."""
        y, z = one_hot(xp, y, z), self._shifted(xp, z)
        e = xp.exp(z)
        total = xp.sum(e, axis=1, keepdims=True)
        return -xp.sum(y * (z - xp.log(total)), axis=1), e / total - y

    @staticmethod
    def _shifted(xp: Namespace, z: Array) -> Array:
        """Compute z - max z, finite also where it overflows: 0 times infinity were NaN."""
        lowest = float(xp.finfo(z.dtype).min)
        return xp.maximum(z - xp.max(z, axis=1, keepdims=True), lowest)


def one_hot(xp: Namespace, y: Array, z: Array) -> Array:
    """Write integer labels (m,) as rows of 0 and 1 like the logits z; rows pass through."""
    if y.ndim == 2:
        return y
    classes = xp.arange(z.shape[1], dtype=y.dtype, device=device(y))
    return xp.astype(y[:, None] == classes[None, :], z.dtype)


class MeanSquaredError(Loss):
    """l = mean over outputs of (z - y)^2."""

    name = "mean_squared_error"
    identity_link = True

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

    Huber 1964: squared near the target, absolute beyond δ, so outliers pull less.

    Parameters
    ----------
    delta : float, default 1.0
        Where the square ends, in units of the target.
    """

    name = "huber"
    identity_link = True

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


class Poisson(Loss):
    """l = mean over outputs of e^z - y z: counts y with the expectation e^z.

    The negative log-likelihood without ln y!. Where e^z would overflow, beyond the square
    root of the largest float, the exponential goes on as its tangent.
    """

    name = "poisson"
    targets = "counts"

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute e^z."""
        return xp.exp(self._bounded(xp, z))

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of e^z - y z."""
        bounded = self._bounded(xp, z)
        e = xp.exp(bounded)
        # Beyond the bound z counts once, by its slope: e^z and y z would overflow apart.
        return xp.mean(e - y * bounded + (z - bounded) * (e - y), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute (e^z - y) / n_L."""
        return (self.link(xp, z) - y) / z.shape[1]

    @staticmethod
    def _bounded(xp: Namespace, z: Array) -> Array:
        return xp.minimum(z, 0.5 * math.log(float(xp.finfo(z.dtype).max)))


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        BinaryCrossentropy(), CategoricalCrossentropy(), MeanSquaredError(),
        MeanAbsoluteError(), Huber(), Poisson(),
    )
}  # fmt: skip


def get(loss: str | Loss) -> Loss:
    """Give the loss of a name; a loss itself passes through.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a Loss.
    """
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise TypeError(f"loss is a name or a bpnet Loss, got {kind_of(loss)}")
    if loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}; allowed are {', '.join(sorted(LOSSES))}")
    return LOSSES[loss]
