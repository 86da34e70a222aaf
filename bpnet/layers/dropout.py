"""Dropout: a random mask on the activations, in training only."""

from __future__ import annotations

from typing import Any

from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import check_number
from bpnet.errors import ComponentError
from bpnet.layers.base import Context, Layer
from bpnet.random import uniform_bits
from bpnet.schedules import Schedule

_MOST = 2**32 - 1  # what a rate that rounds to 1 drops, of 2**32 hashes


class Dropout(Layer):
    """Inverted dropout: in training, set each activation to 0 with probability `rate`.

    The others are divided by 1 - rate, which preserves the expectation, so that prediction
    needs no rescaling. Srivastava et al., "Dropout: a simple way to prevent neural networks
    from overfitting", JMLR 15 (2014), section 10.

    The mask is hashed from the network's seed, the layer, the training step and the position
    in the batch (:func:`bpnet.random.uniform_bits`), so it is the same on every backend.

    Parameters
    ----------
    rate : float or Schedule
        Fraction of activations to drop; 0 <= rate < 1. A schedule from :mod:`bpnet.schedules`
        changes it during training, at any time to its current value.

    Examples
    --------
    >>> from bpnet import Dropout
    >>> Dropout(0.5)
    Dropout(0.5)
    """

    def __init__(self, rate: float | Schedule) -> None:
        self.rate = rate if isinstance(rate, Schedule) else self.check_value("rate", rate)

    def check_value(self, name: str, value: float) -> float:
        """Return a rate, which must be >= 0 and < 1."""
        return check_number(name, value, 0.0, 1.0, below=True)

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Multiply by a mask of 0 and 1 / (1 - rate) in training; do nothing otherwise."""
        if context.step is None or self.rate == 0.0:
            return a_previous, None
        bits = uniform_bits(xp, a_previous.shape, context.key, context.step, context.first_row)
        if isinstance(self.rate, Schedule):
            if "rate" not in context.values:
                raise ComponentError(
                    f"{self!r} needs context.values['rate'], the value of its schedule; a "
                    f"layer that contains it must return that from its own schedules(), and "
                    f"pass on its context"
                )
            rate = context.values["rate"]
            limit = xp.minimum(xp.astype(xp.round(rate * 2.0**32), xp.int64), _MOST) - 2**31
            limit = xp.astype(limit, xp.int32)
        else:
            rate, limit = self.rate, min(round(self.rate * 2**32), _MOST) - 2**31
        mask = xp.astype(bits >= limit, a_previous.dtype) * (1.0 / (1.0 - rate))
        return a_previous * mask, mask

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Multiply the error by the same mask."""
        return error if cache is None else error * cache, {}

    def __repr__(self) -> str:
        rate = f"{self.rate:g}" if isinstance(self.rate, float) else repr(self.rate)
        return f"{type(self).__name__}({rate})"
