"""What is said of a fit whose loss or weights are no longer finite."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

from sklearn.exceptions import ConvergenceWarning

from bpnet.data.dataset import Dataset
from bpnet.training.nan_guard import likely_cause

# As scikit-learn says it.
_SENTENCE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


class Ending(NamedTuple):
    """How training ended.

    Attributes
    ----------
    place : str
        Where, such as "in epoch 3".
    rate : float or None, default None
        The learning rate; None for "lbfgs", which has none.
    setting : str, default ""
        The parameter that sets the rate.
    diverged_to : str, default ""
        If the loss was not finite, the weights with which training ended.
    """

    place: str
    rate: float | None = None
    setting: str = ""
    diverged_to: str = ""

    def error(self, data: Dataset) -> ValueError:
        """Return the error for weights that are not finite."""
        return ValueError(f"{_SENTENCE} Training diverged {self.place}. {self._reason(data)}")

    def warn(self, data: Dataset, stacklevel: int) -> None:
        """Warn if training diverged, although it ended with finite weights."""
        if self.diverged_to:
            warnings.warn(
                f"Training diverged {self.place}: the loss is not finite. It ended with "
                f"{self.diverged_to}. {self._reason(data)}",
                ConvergenceWarning,
                stacklevel=stacklevel + 1,
            )

    def _reason(self, data: Dataset) -> str:
        """Return the likely cause, and the learning rate."""
        data = data.to_host()
        otherwise = "the loss is infinite, or overflows on the way down"
        if self.rate is not None:
            otherwise = f"the learning rate {self.rate:.3g} is too high; lower {self.setting}"
        features = _largest(data.X)
        targets = None if data.y.ndim == 1 else _largest(data.y)
        if not (math.isfinite(features) and (targets is None or math.isfinite(targets))):
            return (
                "Likely cause: X or y holds NaN or infinity, which scikit-learn was told not "
                "to look for; fit with sklearn.config_context(assume_finite=False)."
            )
        cause = likely_cause(features, targets, otherwise)
        also = f" The learning rate was {self.rate:.3g}." if self.rate is not None else ""
        return f"Likely cause: {cause}.{also if cause != otherwise else ''}"


def _largest(array: Any) -> float:
    """Return the largest magnitude in a host array or a sparse matrix."""
    return float(abs(array).max())
