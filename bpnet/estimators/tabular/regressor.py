"""Regression of the rows of a table."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d

from bpnet.activations import Activation
from bpnet.backend import Backend
from bpnet.backend.graph import Graph
from bpnet.backend.typing import Array
from bpnet.common.checks import check_flag
from bpnet.common.keywords import explains_keywords
from bpnet.distributed import Communicator
from bpnet.estimators._files import FileState, in_files
from bpnet.estimators._inputs import as_truth, check_weights, host_array, naming
from bpnet.estimators.tabular.base import BaseTabular, in_type_of
from bpnet.estimators.tabular.documentation import documented
from bpnet.estimators.tabular.presets import REGRESSOR, Settings
from bpnet.losses import Loss, MeanSquaredError
from bpnet.metrics.base import Metric

_CLIP_OUTPUT = """clip_output : bool or None, default None
    Keep predictions within the range of the training targets. "td": True.
"""


@in_files
@documented(
    label_smoothing="", clip_output=_CLIP_OUTPUT, rates='0.2, "td-s": 0.07',
    metric='"rmse", of the standardized targets',
)  # fmt: skip
class TabularRegressor(RegressorMixin, BaseTabular):  # type: ignore[misc]
    """A multi-layer perceptron for the regression of tables as they are.

    A data frame with numbers, categories, text and gaps goes in as it is: columns are found by
    their names, prepared for a network, and learned by RealMLP (Holzmüller, Grinsztajn and
    Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
    NeurIPS 2024), a multi-layer perceptron whose parts and defaults were tuned together on many
    tables, so that they need no more tuning on most. The targets are standardized for training.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    <attributes>

    See Also
    --------
    TabularClassifier : The classifier.
    MLPRegressor : A network for arrays, with the parameters of scikit-learn's.

    Examples
    --------
    >>> import bpnet
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> size, floor = rng.uniform(20.0, 200.0, 500), rng.choice(["low", "high"], 500)
    >>> X = np.stack([size.astype(object), floor.astype(object)], axis=1)
    >>> rent = size * np.where(floor == "high", 15.0, 12.0)
    >>> reg = bpnet.TabularRegressor("td-s", n_epochs=30, random_state=0).fit(X, rent)
    >>> reg.score(X, rent) > 0.98
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        name: allowed
        for name, allowed in BaseTabular._parameter_constraints.items()
        if name != "label_smoothing"
    }
    _presets = REGRESSOR
    _default_metric = "rmse"
    _y_numeric = True
    _one_dimensional: bool

    @explains_keywords
    def __init__(
        self,
        preset: str = "td",
        *,
        categorical_features: Any = "auto",
        max_one_hot_size: float | None = None,
        missing_indicator: bool = True,
        hidden_layer_sizes: Any = None,
        activation: str | Activation | None = None,
        parametric_activation: bool | None = None,
        parametrization: str | None = None,
        init: str | None = None,
        scale_layer: bool | None = None,
        num_embedding: str | None = None,
        num_embedding_frequencies: int | None = None,
        num_embedding_size: int | None = None,
        num_embedding_sigma: float | None = None,
        category_embedding_size: int | None = None,
        dropout: float | None = None,
        dropout_schedule: str | None = None,
        learning_rate: float | None = None,
        learning_rate_schedule: str | None = None,
        bias_learning_rate_factor: float | None = None,
        scale_learning_rate_factor: float | None = None,
        activation_learning_rate_factor: float | None = None,
        num_embedding_learning_rate_factor: float | None = None,
        weight_decay: float | None = None,
        weight_decay_schedule: str | None = None,
        beta_1: float | None = None,
        beta_2: float | None = None,
        epsilon: float | None = None,
        clip_output: bool | None = None,
        n_epochs: float = 256,
        batch_size: int = 256,
        validation_fraction: float = 0.2,
        metric: str | Metric | None = None,
        early_stopping: bool | None = None,
        time_budget: float | None = None,
        n_ensemble: int = 1,
        ensemble: str = "seed",
        random_state: Any = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
        communicator: str | Communicator | None = None,
        progress: bool = False,
        callbacks: Any = None,
        verbose: bool | int = False,
    ) -> None:
        self._set(locals())

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the targets.

        Parameters
        ----------
        X : data frame or array (n_samples, n_features)
            Columns as in `fit`. Those of a frame are found by name, in any order, and unknown
            ones are ignored; categories that were not in `fit` count as missing.
        return_std : bool, default False
            Also return the standard deviation of the predictions of an ensemble's members: how
            uncertain the networks are, without the noise of the targets themselves.

        Returns
        -------
        array (n_samples,) or (n_samples, n_outputs)
            Predictions, of an ensemble the mean of the members', of the same array type as X;
            of a frame a NumPy array. With `return_std` a tuple of two.

        Raises
        ------
        ValueError
            If `return_std` is True but `n_ensemble` was 1.
        """
        return_std = check_flag("return_std", return_std)
        outputs, owner = self._outputs(X)
        outputs = outputs[:, :, 0] if self._one_dimensional else outputs
        if return_std and len(outputs) == 1:
            raise ValueError("return_std needs an ensemble: fit with n_ensemble >= 2, got 1")
        mean = in_type_of(np.mean(outputs, axis=0), owner)
        if not return_std:
            return mean
        return mean, in_type_of(np.std(outputs, axis=0, ddof=1), owner)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R^2, the fraction of the targets' variance that is explained."""
        predicted: Array = host_array(self.predict(X))
        weights = check_weights(sample_weight, len(predicted), "float64")
        with naming("y"):
            return float(r2_score(as_truth(y), predicted, sample_weight=weights))

    # --- targets --------------------------------------------------------------------------

    def _encode(self, y: Any, reset: bool) -> Any:
        """Return targets as columns of numbers."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y must hold numbers, got dtype {y.dtype}")
        columns = y.reshape(len(y), -1).astype(np.float64)
        if reset:
            self._one_dimensional = y.ndim == 1
        elif columns.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y of validation_data must have {self.n_outputs_} columns, like y; got "
                f"{columns.shape[1]}"
            )
        return columns

    def _loss(self, settings: Settings) -> Loss:
        return MeanSquaredError()

    def _count_outputs(self, y: Any) -> int:
        return int(y.shape[1])

    def __sklearn_tags__(self) -> Any:
        """Declare support for several outputs."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    # --- files ----------------------------------------------------------------------------

    def _onnx_outputs(self, graph: Graph) -> dict[str, Array]:
        predicted = self._onnx_mean(graph)
        return {"prediction": predicted[:, 0] if self._one_dimensional else predicted}

    def _file_state(self) -> dict[str, Any]:
        return super()._file_state() | {"one_dimensional": self._one_dimensional}

    def _restore_file_state(self, state: FileState) -> None:
        super()._restore_file_state(state)
        self._one_dimensional = state.take("one_dimensional", bool)
        if self.network_.is_classifier or (self._one_dimensional and self.n_outputs_ > 1):
            raise ValueError("n_outputs_ must be that of the network")
