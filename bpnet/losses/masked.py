"""A loss whose outputs have weights, and of which some targets may be missing."""

from __future__ import annotations

from collections.abc import Sequence

from bpnet.backend.typing import Array, Namespace
from bpnet.losses.base import Loss, TargetKind, check_length, check_weights, constants
from bpnet.losses.table import get


class Masked(Loss):
    """l = sum_k o_k t_k l_k / sum_k o_k t_k: another loss, over the targets that are there.

    l_k is the loss of output k alone. t_k is 0 where y is NaN, else 1: a missing target has no
    loss, and its output no error.

    An example with no target at all has no loss, and weight 0; if a :class:`bpnet.Loader`
    yields it, its weight stays, unless the loader says 0 itself. Metrics are the mean over the
    outputs, each over the examples with a target for it; so the accuracy is the mean of those
    of all labels.

    Parameters
    ----------
    loss : str or Loss
        A loss that is a mean over outputs, by name or instance: any but categorical
        cross-entropy, and those with other parameters for each output.
    output_weights : sequence of float or None, default None
        The weight o_k >= 0 of each output, not all 0; None weights them equally.

    Raises
    ------
    ValueError, TypeError
        If the loss is no mean over outputs (:attr:`Loss.elementwise`), or a weight is wrong.

    Examples
    --------
    >>> import bpnet
    >>> nan = float("nan")
    >>> X, Y = [[0.0], [1.0], [2.0]], [[1.0, nan], [nan, 2.0], [3.0, 4.0]]
    >>> net = bpnet.Network([bpnet.Dense(2)], bpnet.losses.Masked("mse"), seed=0)
    >>> _ = net.fit(X, Y, epochs=2)
    >>> sorted(net.evaluate(X, Y, metrics=["mae", "r2"]))
    ['loss', 'mae', 'r2']
    """

    accepts_missing = True

    def __init__(self, loss: str | Loss, output_weights: Sequence[float] | None = None) -> None:
        self.loss = get(loss)
        if not self.loss.elementwise:
            raise ValueError(
                f"loss must be the mean over outputs of a loss of each (elementwise); got "
                f"{self.loss!r}"
            )
        self.output_weights = check_weights("output_weights", output_weights)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the loss, said to be masked."""
        return f"masked_{self.loss.name}"

    @property
    def targets(self) -> TargetKind:  # type: ignore[override]
        """The kind of target of the loss."""
        return self.loss.targets

    @property
    def identity_link(self) -> bool:  # type: ignore[override]
        """Whether predictions equal the logits."""
        return self.loss.identity_link

    @property
    def unmasked(self) -> Loss:
        """The loss."""
        return self.loss

    def n_targets(self, n_outputs: int) -> int:
        """Return the number of outputs."""
        check_length("output_weights", self.output_weights, n_outputs)
        return self.loss.n_targets(n_outputs)

    def best_predictions(self, xp: Namespace, y: Array) -> Array:
        """Return those of the loss."""
        return self.loss.best_predictions(xp, y)

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute the predictions of the loss."""
        return self.loss.link(xp, z)

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the weighted mean of the losses of the outputs."""
        share = self._share(xp, y)
        return self._mean(xp, share, self.loss.value(xp, *_in_one_column(xp, y, z)))

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the error of each output, times its share."""
        share = self._share(xp, y)
        return _times(xp, share, self.loss.error(xp, *_in_one_column(xp, y, z)))

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Compute both."""
        share = self._share(xp, y)
        values, errors = self.loss.value_and_error(xp, *_in_one_column(xp, y, z))
        return self._mean(xp, share, values), _times(xp, share, errors)

    def _share(self, xp: Namespace, y: Array) -> Array:
        """Compute o_k t_k / sum_k o_k t_k, 0 in a row without targets."""
        weights = xp.astype(is_there(y), y.dtype)
        if self.output_weights is not None:
            weights = weights * constants(xp, self.output_weights, y)
        total = xp.sum(weights, axis=1, keepdims=True)
        return weights / xp.where(total > 0.0, total, xp.ones_like(total))

    @staticmethod
    def _mean(xp: Namespace, share: Array, values: Array) -> Array:
        return xp.sum(_times(xp, share, values), axis=1)


def is_there(y: Array) -> Array:
    """Return which targets are there: those that are not NaN."""
    return y == y


def without_missing(xp: Namespace, y: Array) -> Array:
    """Return targets with 0, which every loss allows, in the place of NaN."""
    return xp.where(is_there(y), y, xp.zeros_like(y))


def _in_one_column(xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
    """Return targets and logits (m, n_L) as examples with one output, (m n_L, 1)."""
    shape = (z.shape[0] * z.shape[1], 1)
    return xp.reshape(without_missing(xp, y), shape), xp.reshape(z, shape)


def _times(xp: Namespace, share: Array, values: Array) -> Array:
    """Multiply by the shares; what has none is 0, as 0 times infinity would be NaN."""
    values = xp.reshape(values, share.shape)
    return xp.where(share > 0.0, values, xp.zeros_like(values)) * share
