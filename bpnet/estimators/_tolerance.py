"""The warning that `tol` ended training although the loss could fall further.

scikit-learn's `tol` is absolute, and so it is here. Targets of a small unit have a small loss,
which may fall to a fraction without falling by `tol`.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from bpnet.data.dataset import Dataset
from bpnet.diagnosis.data_profile import baseline_loss
from bpnet.losses import Loss

# Relative to the loss of a constant prediction: for regression, a `tol` larger than this is
# coarse (the cross-entropy of classes has no unit), and below this the loss has converged.
_COARSE = 0.05
_CONVERGED = 1e-3  # R^2 > 0.999


def warn_if_coarse(
    loss: float, tol: float, data: Dataset, kind: Loss, reason: str, stacklevel: int
) -> None:
    """Warn if `tol` ended training, and is coarse for these targets.

    Parameters
    ----------
    loss, tol : float
        The last loss, and the tolerance that ended training.
    data : Dataset
        The training examples.
    kind : Loss
        The loss function.
    reason : str
        What was less than `tol`.
    stacklevel : int
        Frames up to the caller of the estimator.
    """
    data = data._replace(X=data.y).to_host()
    if np.all(data.y == data.y[:1]):
        return
    n_outputs = int(data.y.max()) + 1 if data.y.ndim == 1 else data.y.shape[1]
    baseline = baseline_loss(kind, data.y, data.w, n_outputs)
    has_unit = kind.targets in ("real", "counts")
    is_coarse = loss < tol or (has_unit and tol > _COARSE * baseline)
    if not is_coarse or loss < _CONVERGED * baseline:
        return
    scale = ""
    if has_unit:
        scale = ", or scale the targets, as sklearn.compose.TransformedTargetRegressor does"
    warnings.warn(
        f"Training ended at a loss of {loss:.3g}, because {reason} than tol={tol:g}. That is "
        f"coarse for these targets: predicting a constant has a loss of {baseline:.3g}. Pass a "
        f"smaller tol{scale}.",
        ConvergenceWarning,
        stacklevel=stacklevel + 1,
    )
