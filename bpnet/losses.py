"""Loss functions, each with its output error and its link.

The last Dense layer is linear: its output z_L, shape (m, n_L), is called the logits, and the
loss includes the link from logits to predictions. So every loss is accurate for any logit, and
the output error has the textbook form ``delta_L = sigmoid(z_L) - y``.

A loss computes the loss of each example and its derivative with respect to the logits. The
weighted mean over examples is taken once, in :func:`mean_loss` and :func:`output_error`:

    L       = sum_i w_i l_i / sum_i w_i
    delta_L = dL/dz_L = (w_i / sum_i w_i) dl_i/dz_L        (1/m without weights)
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Literal, get_args

from bpnet.activations import sigmoid
from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number, kind_of
from bpnet.common.component import Component, is_own
from bpnet.common.suggestions import unknown_name
from bpnet.errors import ComponentError

TargetKind = Literal["labels", "probabilities", "counts", "real"]


class Loss(Component):
    """The loss of one example as a function of its target y and logits z, and the link.

    Subclasses implement :meth:`link`, :meth:`value` and :meth:`error` with Array API
    operations; an instance can then be passed wherever a name can.

    Attributes
    ----------
    name : str
        The name in ``Network(layers, loss="name")``.
    targets : {"labels", "probabilities", "counts", "real"}
        The kind of target: a class (integer or one-hot), one probability per output,
        a number >= 0 or any number.
    identity_link : bool
        Whether predictions equal the logits.
    """

    kind = "losses"
    name: ClassVar[str] = ""
    targets: ClassVar[TargetKind] = "real"
    identity_link: ClassVar[bool] = False

    @abstractmethod
    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute predictions from logits, shape (m, n_L)."""

    @abstractmethod
    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the loss l_i of each example, shape (m,)."""

    @abstractmethod
    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute dl_i/dz, shape (m, n_L)."""

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Compute value and error; a subclass may share work between them."""
        return self.value(xp, y, z), self.error(xp, y, z)


def mean_loss(xp: Namespace, values: Array, w: Array | None) -> Array:
    """Compute L = sum_i w_i l_i / sum_i w_i, a 0-d array; with w None, all weights are 1.

    Losses of weight 0 are masked, as 0 times infinity would be NaN.
    """
    if w is None:
        return xp.mean(values)
    values = xp.where(w > 0.0, values, xp.zeros_like(values))
    return xp.sum(values * (w / sum_of_weights(xp, values, w)))


def output_error(xp: Namespace, errors: Array, w: Array | None) -> Array:
    """Compute delta_L from the rows dl_i/dz, shape (m, n_L): 1/m is applied only here."""
    if w is None:
        return errors / errors.shape[0]
    errors = xp.where(w[:, None] > 0.0, errors, xp.zeros_like(errors))
    return errors * (w / sum_of_weights(xp, errors, w))[:, None]


def sum_of_weights(xp: Namespace, rows: Array, w: Array | None) -> Array | float:
    """Sum the sample weights (the number of rows if w is None).

    The result is 1 if all weights are 0, so that the gradients of such a batch are 0.
    """
    if w is None:
        return float(rows.shape[0])
    total = xp.sum(w)
    return xp.where(total > 0.0, total, xp.ones_like(total))


class BinaryCrossentropy(Loss):
    """l = mean over outputs of -y ln p - (1 - y) ln(1 - p), with p = sigmoid(z).

    In logits, ``softplus(z) - y z``. Targets are 0, 1 or a probability; several outputs are
    independent labels (multi-label classification).
    """

    name = "binary_crossentropy"
    targets = "probabilities"

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute p = sigmoid(z)."""
        return sigmoid.f(xp, z)

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of softplus(z) - y z, without cancellation.

        For a confident correct prediction the linear part is 0.
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
        """Compute p = softmax(z), shifted by the largest logit to avoid overflow."""
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
        """Compute z - max z, kept finite, as 0 times infinity would be NaN."""
        lowest = float(xp.finfo(z.dtype).min)
        return xp.maximum(z - xp.max(z, axis=1, keepdims=True), lowest)


def one_hot(xp: Namespace, y: Array, z: Array) -> Array:
    """One-hot encode integer labels (m,) like the logits z; 2-D targets are unchanged."""
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

    Huber 1964: quadratic near the target, linear beyond δ, so outliers have less influence.

    Parameters
    ----------
    delta : float, default 1.0
        Where the loss becomes linear, in units of the target.
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
    """l = mean over outputs of e^z - y z, for counts y with expectation e^z.

    The negative log-likelihood without ln y!. Beyond the square root of the largest float,
    the exponential continues as its tangent to avoid overflow.
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
        # Linear beyond the bound: computed separately, e^z and y z would overflow.
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

# Short names that a loss can be given by; its own name is the one in LOSSES.
ALIASES = {
    "bce": "binary_crossentropy", "cce": "categorical_crossentropy",
    "mse": "mean_squared_error", "mae": "mean_absolute_error",
}  # fmt: skip


def get(loss: str | Loss) -> Loss:
    """Look up a loss by name or short name; a Loss is returned unchanged.

    An unknown name raises ValueError, any other type TypeError, and a Loss of your own that
    describes itself wrongly ComponentError.
    """
    if isinstance(loss, Loss):
        _check_description(loss)
        return loss
    if not isinstance(loss, str):
        raise TypeError(f"loss must be a name or a bpnet Loss, got {kind_of(loss)}")
    name = ALIASES.get(loss, loss)
    if name not in LOSSES:
        raise unknown_name("loss", loss, [*LOSSES, *ALIASES])
    return LOSSES[name]


def _check_description(loss: Loss) -> None:
    """Check what a loss of the user's own says of itself."""
    name, identity_link, kinds = loss.name, loss.identity_link, get_args(TargetKind)
    if not is_own(loss) and (not isinstance(name, str) or not name):
        raise ComponentError(f"name of the loss {loss!r} must be a str; got {name!r}")
    if not isinstance(identity_link, bool):
        raise ComponentError(
            f"identity_link of the loss {loss!r} must be True or False; got {identity_link!r}"
        )
    if loss.targets not in kinds:
        raise ComponentError(
            f"targets of the loss {loss!r} must be one of {', '.join(kinds)}; got "
            f"{loss.targets!r}"
        )
