"""Regression with one or several outputs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from bpnet import inference
from bpnet.backend import Backend
from bpnet.backend.transfer import to_host
from bpnet.backend.typing import Array
from bpnet.common.keywords import explains_keywords
from bpnet.estimators._base import BaseMLP
from bpnet.estimators._docs import documented
from bpnet.estimators._files import FileState, in_files
from bpnet.estimators._hints import explains_settings
from bpnet.estimators._inputs import as_truth, check_weights, host_array, naming
from bpnet.estimators._losses import REGRESSION_LOSSES, is_of_numbers, regression_loss
from bpnet.losses import Loss, Poisson
from bpnet.optimizers import Optimizer
from bpnet.schedules import Schedule
from bpnet.training.loop import Training


@in_files
@documented
class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron regressor with scikit-learn's API.

    A drop-in replacement for :class:`sklearn.neural_network.MLPRegressor`: with the same
    parameters and `random_state` it has the same initial weights and shuffling and finds the
    same solution, up to rounding. Additional parameters, from `dropout` on, are keyword-only
    and off by default.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "absolute_error", "huber", "quantile"} or Loss, \
default "squared_error"
        Half the squared error; half the Poisson deviance of targets >= 0, which predicts the
        exponential of the last layer; the absolute error, which predicts the median and is
        robust to outliers; :class:`bpnet.losses.Huber`, a compromise;
        :class:`bpnet.losses.Quantile`, half the absolute error; or any other loss of real
        targets or counts, such as ``bpnet.losses.Quantile(0.9)``, with one output per target.
        Early stopping compares R^2 for
        the first two, which scikit-learn has, and for the others the loss, with the sign
        changed.
    <parameters>

    Attributes
    ----------
    <attributes>

    See Also
    --------
    MLPClassifier : The classifier.
    bpnet.Network : The underlying network.

    Examples
    --------
    >>> import bpnet
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> reg = bpnet.MLPRegressor(
    ...     hidden_layer_sizes=(10,), solver="lbfgs", max_iter=1000, random_state=0
    ... ).fit(X, y)
    >>> reg.score(X, y) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES)), Loss],
    }

    _y_numeric = True
    loss: str | Loss

    @explains_keywords
    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        clip_norm: float | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        init: Any = None,
        callbacks: Any = None,
        dtype: str | None = None,
        backend: str | Backend | None = None,
        progress: bool = False,
    ) -> None:
        self._set(locals())

    @available_if(lambda self: self._partial_fit_is_available())  # type: ignore[untyped-decorator]
    @explains_settings
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one epoch, continuing from the last call; arguments as in `fit`."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """Predict the targets.

        Parameters
        ----------
        X : array-like, SciPy sparse matrix or device array (n_samples, n_features)
            Finite features.

        Returns
        -------
        array (n_samples,) or (n_samples, n_outputs)
            Predictions of the same array type as X.
        """
        return self._infer(inference.predictions, X)[0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R^2, the fraction of the targets' variance that is explained."""
        predicted = host_array(self.predict(X))
        weights = check_weights(sample_weight, len(predicted), "float64")
        with naming("y"):
            return float(r2_score(as_truth(y), predicted, sample_weight=weights))

    def _check_combinations(self, incremental: bool, is_validated: bool) -> None:
        regression_loss(self.loss)  # raises if it is another
        super()._check_combinations(incremental, is_validated)

    # --- targets --------------------------------------------------------------------------

    def _encode(self, y: Any, incremental: bool, owner: Backend | None) -> Any:
        """Check targets; return them as columns."""
        return self._columns(y)

    def _encode_more(self, y: Any) -> Any:
        columns = self._columns(y)
        if columns.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y must have as many outputs as that of training, {self.n_outputs_}, got "
                f"{columns.shape[1]}"
            )
        return columns

    def _columns(self, y: Any) -> Any:
        """Check targets; return them as columns."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y must hold numbers, got dtype {y.dtype}")
        if regression_loss(self.loss).targets == "counts" and np.any(y < 0.0):
            raise ValueError(f"y must be >= 0 for loss {self.loss!r}, got {np.min(y):g}")
        return y[:, None] if y.ndim == 1 else y

    def _loss_and_link(self) -> tuple[Loss, str]:
        loss = regression_loss(self.loss)
        if loss.identity_link:
            return loss, "identity"
        return loss, "exp" if isinstance(loss, Poisson) else loss.name

    def _restore_file_state(self, state: FileState) -> None:
        super()._restore_file_state(state)
        assert self._architecture is not None
        if not is_of_numbers(self._architecture.loss):
            raise ValueError(f"the loss {self._architecture.loss!r} is not one of a regression")

    def _strata(self, targets: Any) -> Any:
        return None

    def _validation_score(self, training: Training) -> float:
        """Return R^2, computed on the host, or minus the loss; NaN if training has diverged."""
        if self.loss not in ("squared_error", "poisson"):
            return -training.logs["val_loss"]
        held_out, backend = training.validation, training.backend
        assert held_out is not None
        predicted = training.network.infer(
            inference.predictions, held_out.X, held_out.owner, backend, training.parameters
        )
        y, predicted = to_host(held_out.y), to_host(predicted)
        if not np.all(np.isfinite(predicted)):
            return float("nan")
        w = None if held_out.w is None else to_host(held_out.w)
        return float(r2_score(y, predicted, sample_weight=w))
