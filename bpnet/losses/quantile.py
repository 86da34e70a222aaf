"""The loss of quantiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number, check_sequence
from bpnet.losses.base import Loss, constants


class Quantile(Loss):
    """l = mean over outputs of max(q r, (q - 1) r), r = y - z: the pinball loss.

    Its minimum is the q-quantile of the targets (Koenker and Bassett 1978); for q = 1/2, half
    the absolute error.

    Parameters
    ----------
    q : float or sequence of float, default 0.5
        0 < q < 1. Several, rising, predict as many quantiles of each target: the last Dense
        has ``k * len(q)`` units for k targets, y still has k columns, and the predictions of
        the first target come first. Nothing keeps those of a target in order.

    Examples
    --------
    >>> import bpnet
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 1.1, 1.9, 3.2]
    >>> net = bpnet.Network([bpnet.Dense(3)], bpnet.losses.Quantile((0.1, 0.5, 0.9)), seed=0)
    >>> history = net.fit(X, y, epochs=1)
    >>> net.predict(X).shape
    (4, 3)
    """

    name = "quantile"
    identity_link = True

    def __init__(self, q: float | Sequence[float] = 0.5) -> None:
        def check(name: str, value: float) -> float:
            return check_number(name, value, 0.0, 1.0, above=True, below=True)

        self.q: float | tuple[float, ...]
        if isinstance(q, Iterable):
            self.q = tuple(check_sequence("q", q, check, rising=True))
        else:
            self.q = check("q", q)

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles of each target."""
        return self.q if isinstance(self.q, tuple) else (self.q,)

    @property
    def elementwise(self) -> bool:
        """Whether each output has its own target."""
        return len(self.quantiles) == 1

    def n_targets(self, n_outputs: int) -> int:
        """Return the number of targets, of which each has len(q) outputs."""
        n_quantiles = len(self.quantiles)
        if n_outputs % n_quantiles:
            raise ValueError(
                f"the last Dense must have {n_quantiles} units for each target, one for each "
                f"q of {self!r}; got {n_outputs}"
            )
        return n_outputs // n_quantiles

    def best_predictions(self, xp: Namespace, y: Array) -> Array:
        """Return y for each quantile."""
        n = len(self.quantiles)
        return xp.reshape(xp.stack([y] * n, axis=-1), (*y.shape[:-1], n * y.shape[-1]))

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute z."""
        return z

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of max(q r, (q - 1) r)."""
        q, r = self._levels_and_residuals(xp, y, z)
        return xp.mean(xp.maximum(q * r, (q - 1.0) * r), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute -q / n_L for r > 0, (1 - q) / n_L for r < 0, 0 at the kink."""
        q, r = self._levels_and_residuals(xp, y, z)
        below = xp.where(r < 0.0, 1.0 - q, xp.zeros_like(r))
        return xp.where(r > 0.0, -q, below) / z.shape[1]

    def _levels_and_residuals(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Return the q of each output (1, n_L), and y - z (m, n_L)."""
        n = len(self.quantiles)
        each = self.quantiles * (z.shape[1] // n)
        if n > 1:
            y = xp.reshape(y, (y.shape[0], y.shape[1], 1))
            difference = y - xp.reshape(z, (z.shape[0], y.shape[1], n))
            return constants(xp, each, z), xp.reshape(difference, z.shape)
        return constants(xp, each, z), y - z
