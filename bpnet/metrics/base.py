"""What a metric is: sums over the examples, a weighted mean, or a function of all scores."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

from bpnet.backend import unmodified
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import kind_of
from bpnet.common.component import Component, is_own
from bpnet.errors import ComponentError
from bpnet.losses import LOSSES, Loss


class Metric(Component):
    """A number that says how well a network predicts, from targets y and logits z.

    Examples are evaluated in blocks of rows. A metric computes :meth:`sums` of each block, the
    sums of all blocks are added, and :meth:`result` turns the total into the metric. Most
    metrics are a weighted mean of a value of each example: derive them from
    :class:`MeanMetric`. One that needs all examples at once derives from :class:`WholeMetric`.

    Array code uses the operations of the Array API standard in `xp`, without item assignment,
    boolean indexing or mixed-kind promotion; JAX traces it. Parameters given to ``__init__``
    are stored in attributes of the same name, and nothing else is.

    Attributes
    ----------
    name : str
        The name in the history and in what ``evaluate`` returns; by default that of the class.
        It may be a property.
    direction : {"min", "max"}
        Whether a lower or a higher value is better, for early stopping and checkpoints.
    targets : tuple of str or None
        The kinds of target (:class:`bpnet.losses.Loss`) that the metric is defined for; None,
        the default, is any kind.
    """

    kind = "metrics"
    direction: str
    targets: ClassVar[tuple[str, ...] | None] = None

    @property
    def name(self) -> str:
        """The name in the history."""
        return type(self).__name__

    def check(self, loss: Loss, n_outputs: int) -> None:
        """Refuse a network that the metric does not suit; by default by `targets`.

        Parameters
        ----------
        loss : Loss
            The loss of the network.
        n_outputs : int
            Number of units n_L of its last layer.

        Raises
        ------
        ValueError
            If the metric does not suit them.
        """
        if self.targets is not None and loss.targets not in self.targets:
            suited = ", ".join(n for n, own in LOSSES.items() if own.targets in self.targets)
            raise ValueError(
                f"metrics must suit the loss {loss.name!r} of the network; {self.name!r} is "
                f"for losses such as {suited}"
            )

    @abstractmethod
    def sums(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute the sums over a block of rows.

        Parameters
        ----------
        xp : namespace
            The Array API namespace of the arrays.
        loss : Loss
            The loss of the network; ``loss.link(xp, z)`` are its predictions.
        y : array (m,) of int64, or (m, n_L)
            Labels, or one target per output.
        z : array (m, n_L)
            Logits.
        w : array (m,)
            Sample weights >= 0.

        Returns
        -------
        array (s,)
            Weighted sums, in the dtype of z; as many in each block.
        """

    @abstractmethod
    def result(self, sums: Any, total_weight: float) -> float:
        """Compute the metric from the sums over all rows.

        Parameters
        ----------
        sums : numpy.ndarray (s,) of float64
            The sums of all blocks, on the host.
        total_weight : float
            The sum of all weights, > 0.

        Returns
        -------
        float
            The metric.
        """


class MeanMetric(Metric):
    """The weighted mean of a value of each example: sum_i w_i v_i / sum_i w_i.

    A subclass implements :meth:`values`.
    """

    @abstractmethod
    def values(self, xp: Namespace, loss: Loss, y: Array, z: Array) -> Array:
        """Compute the value of each example, shape (m,), in the dtype of z.

        The arguments are those of :meth:`Metric.sums`.
        """

    def sums(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute sum_i w_i v_i, shape (1,); a row of weight 0 counts 0, even if v is NaN."""
        values = self.values(xp, loss, y, z)
        _check(self, "values", values, z, (z.shape[0],))
        values = xp.where(w > 0.0, values, xp.zeros_like(values))  # 0 inf would be NaN
        return xp.reshape(xp.sum(w * values), (1,))

    def result(self, sums: Any, total_weight: float) -> float:
        """Compute the mean."""
        return float(sums[0]) / total_weight


class WholeMetric(Metric):
    """A metric of all examples at once, such as an area under a curve.

    A subclass implements :meth:`value`, which runs once, on the logits of all examples; it is
    not compiled.
    """

    @abstractmethod
    def value(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> float | Array:
        """Compute the metric, a float or a 0-d array.

        The arguments are those of :meth:`Metric.sums`, with all rows.
        """

    def sums(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Raise TypeError: this metric has no sums."""
        raise TypeError(f"{self.name!r} is computed from all rows, by `value`")

    def result(self, sums: Any, total_weight: float) -> float:
        """Raise TypeError: this metric has no sums."""
        raise TypeError(f"{self.name!r} is computed from all rows, by `value`")


# --- what the methods of a metric may return ----------------------------------------------


def sums_of(metric: Metric, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
    """Return the sums of a metric over a block.

    Raises
    ------
    ComponentError
        If they are not a 1-D array in the dtype of z, or the metric modifies its input.
    """
    if is_own(metric):
        return metric.sums(xp, loss, y, z, w)
    sums = unmodified_call(metric, "sums", functools.partial(metric.sums, xp, loss), y, z, w)
    _check(metric, "sums", sums, z, None)
    return sums


def unmodified_call(
    metric: Metric, method: str, function: Callable[..., Any], y: Array, z: Array, w: Array
) -> Any:
    """Call a method of a user's own metric; ComponentError if it modifies its input."""
    where = f"metric {metric.name!r}: {type(metric).__name__}.{method}"
    return unmodified.call(where, function, unmodified.copied(y), z, unmodified.copied(w))


def number_of(metric: Metric, method: str, value: Any) -> float:
    """Return a number that a method of a metric returned, as a float.

    Raises
    ------
    ComponentError
        If it is not a real number, on the host.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ComponentError(
            f"metric {metric.name!r}: {type(metric).__name__}.{method} must return a real "
            f"number; got {_described(value)}"
        )
    return float(value)


def _check(
    metric: Metric, method: str, array: Any, z: Array, shape: tuple[int, ...] | None
) -> None:
    """Check that a method returned an array of a shape, or 1-D, in the dtype of z."""
    found, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    fits = found is not None and (len(found) == 1 if shape is None else tuple(found) == shape)
    if not fits or dtype != z.dtype:
        due = "a 1-D array" if shape is None else f"an array of shape {shape}"
        raise ComponentError(
            f"metric {metric.name!r}: {type(metric).__name__}.{method} must return {due} "
            f"in the dtype of the logits, {z.dtype}; got {_described(array)}"
        )


def _described(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        return f"{value!r} ({kind_of(value)})"
    return f"an array of shape {tuple(shape)} and dtype {dtype}"
