"""The interface of a loss, and the weighted mean over the examples, taken once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number, check_sequence
from bpnet.common.component import Component

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
    elementwise : bool
        Whether the loss is the mean over outputs of the same function of one target and one
        logit, as :class:`Masked` needs. False by default.
    accepts_missing : bool
        Whether targets may be NaN, which the loss leaves out. False by default.
    """

    kind = "losses"
    name: ClassVar[str] = ""
    targets: ClassVar[TargetKind] = "real"
    identity_link: ClassVar[bool] = False
    accepts_missing: ClassVar[bool] = False

    @property
    def elementwise(self) -> bool:
        """Whether each output counts alone, and like any other."""
        return False

    @property
    def unmasked(self) -> Loss:
        """The loss that metrics see: this one, or what it wraps."""
        return self

    def n_targets(self, n_outputs: int) -> int:
        """Return the number of columns of y for a last Dense of so many units.

        By default as many. Raises ValueError if the loss does not suit the number.
        """
        return n_outputs

    def best_predictions(self, xp: Namespace, y: Array) -> Array:
        """Return the predictions of the least mean loss for mean targets y, (..., n_L)."""
        return y

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


def constants(xp: Namespace, values: Sequence[float], like: Array) -> Array:
    """Return numbers as an array (n,) of the dtype and device of another."""
    return xp.asarray(list(values), dtype=like.dtype, device=device(like))


def check_weights(name: str, weights: Sequence[float] | None) -> tuple[float, ...] | None:
    """Return weights >= 0, not all 0, as a tuple; None stays None."""
    if weights is None:
        return None
    checked = check_sequence(name, weights, lambda name, value: check_number(name, value, 0.0))
    if not any(checked):
        raise ValueError(f"{name} must not all be 0, got {checked}")
    return tuple(checked)


def check_length(name: str, weights: tuple[float, ...] | None, n_outputs: int) -> None:
    """Check that there is a weight for each unit of the last Dense."""
    if weights is not None and len(weights) != n_outputs:
        raise ValueError(
            f"{name} must have {n_outputs} value(s), one for each unit of the last Dense; got "
            f"{len(weights)}"
        )
