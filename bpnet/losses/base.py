"""The interface of a loss, and the weighted mean over the examples, taken once."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

from bpnet.backend.typing import Array, Namespace
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
