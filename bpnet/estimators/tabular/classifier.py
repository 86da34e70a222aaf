"""Classification of the rows of a table."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target

from bpnet.activations import Activation
from bpnet.backend import Backend
from bpnet.backend.graph import Graph
from bpnet.backend.typing import Array
from bpnet.common.keywords import explains_keywords
from bpnet.distributed import Communicator
from bpnet.estimators._files import FileState, in_files
from bpnet.estimators._inputs import as_labels, check_weights, host_array, labels_in, naming
from bpnet.estimators._onnx import label_of
from bpnet.estimators.tabular.base import BaseTabular, in_type_of
from bpnet.estimators.tabular.documentation import documented
from bpnet.estimators.tabular.presets import CLASSIFIER, Settings
from bpnet.losses import CategoricalCrossentropy, Loss
from bpnet.metrics.base import Metric

_LABEL_SMOOTHING = """label_smoothing : float or None, default None
    Share of the probability in training that all classes get alike. "td", "td-s": 0.1.
"""


@in_files
@documented(
    label_smoothing=_LABEL_SMOOTHING, clip_output="", rates='0.04, "td-s": 0.04',
    metric='"accuracy"',
)  # fmt: skip
class TabularClassifier(ClassifierMixin, BaseTabular):  # type: ignore[misc]
    """A multi-layer perceptron for the classification of tables as they are.

    A data frame with numbers, categories, text and gaps goes in as it is: columns are found by
    their names, prepared for a network, and learned by RealMLP (Holzmüller, Grinsztajn and
    Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
    NeurIPS 2024), a multi-layer perceptron whose parts and defaults were tuned together on many
    tables, so that they need no more tuning on most.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    classes_ : array (n_classes,)
        The class labels.
    <attributes>

    See Also
    --------
    TabularRegressor : The regressor.
    MLPClassifier : A network for arrays, with the parameters of scikit-learn's.

    Examples
    --------
    >>> import bpnet
    >>> import numpy as np
    >>> X = np.array([[age, color] for age in range(20, 60) for color in ("red", "blue")],
    ...              dtype=object)
    >>> y = np.where((X[:, 0] > 40) & (X[:, 1] == "red"), "buys", "waits")
    >>> clf = bpnet.TabularClassifier("td-s", n_epochs=20, random_state=0).fit(X, y)
    >>> clf.predict([[55, "red"], [55, "blue"], [22, "red"]]).tolist()
    ['buys', 'waits', 'waits']
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        name: allowed
        for name, allowed in BaseTabular._parameter_constraints.items()
        if name != "clip_output"
    }
    _presets = CLASSIFIER
    _default_metric = "accuracy"

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
        label_smoothing: float | None = None,
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

    def predict(self, X: Any) -> Array:
        """Predict the classes.

        Parameters
        ----------
        X : data frame or array (n_samples, n_features)
            Columns as in `fit`. Those of a frame are found by name, in any order, and unknown
            ones are ignored; categories that were not in `fit` count as missing.

        Returns
        -------
        array (n_samples,)
            Labels, a NumPy array; numeric ones of the same array type as X.
        """
        p, owner = self._probabilities(X)
        labels = self.classes_[np.argmax(p, axis=1)]
        return labels if labels.dtype.kind in "OSUT" else in_type_of(labels, owner)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, in the order of `classes_`.

        Of an ensemble it is the mean of the members'.

        Returns
        -------
        array (n_samples, n_classes)
            Of the same array type as X; of a frame a NumPy array. Rows sum to 1.
        """
        return in_type_of(*self._probabilities(X))

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities; where one is 0, of the smallest number.

        Returns
        -------
        array (n_samples, n_classes)
            Of the same array type as X.
        """
        p, owner = self._probabilities(X)
        return in_type_of(np.log(np.maximum(p, np.finfo(p.dtype).smallest_normal)), owner)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the weighted fraction of examples with the right class."""
        predicted = host_array(self.predict(X))
        weights = check_weights(sample_weight, len(predicted), "float64")
        with naming("y"):
            return float(accuracy_score(as_labels(y), predicted, sample_weight=weights))

    def _probabilities(self, X: Any) -> tuple[Any, Backend | None]:
        outputs, owner = self._outputs(X)
        p = np.mean(outputs, axis=0)
        return (np.ones_like(p[:, :1]) if len(self.classes_) == 1 else p), owner

    # --- targets --------------------------------------------------------------------------

    def _encode(self, y: Any, reset: bool) -> Any:
        """Return the codes of class labels."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        kind = type_of_target(y)
        if "multioutput" in kind or kind.startswith("multilabel"):
            raise ValueError(
                f"y must have one class label for each example, got y of type {kind}; fit one "
                f"estimator for each label, as sklearn.multioutput.MultiOutputClassifier does"
            )
        found = labels_in(y)
        if reset:
            self.classes_ = found
            if len(found) == 1:
                warnings.warn(
                    f"y has a single class, {found.tolist()[0]!r}, so there is nothing to "
                    f"learn: every prediction will be this class, with probability 1",
                    RuntimeWarning,  # scikit-learn's tests allow no UserWarning here
                    stacklevel=9,
                )
        elif unknown := sorted(set(found.tolist()) - set(self.classes_.tolist())):
            raise ValueError(
                f"y of validation_data must have the classes of y; got {unknown[0]!r}"
            )
        return np.searchsorted(self.classes_, y)

    def _loss(self, settings: Settings) -> Loss:
        return CategoricalCrossentropy(settings.label_smoothing)

    def _count_outputs(self, y: Any) -> int:
        return max(2, len(self.classes_))

    # --- files ----------------------------------------------------------------------------

    def _onnx_outputs(self, graph: Graph) -> dict[str, Array]:
        xp, p = graph.xp, self._onnx_mean(graph)
        if len(self.classes_) == 1:
            p = xp.ones_like(p[:, :1])
        codes = xp.argmax(p, axis=1)
        return {"label": label_of(graph, self.classes_, codes), "probabilities": p}

    def _file_state(self) -> dict[str, Any]:
        return super()._file_state() | {"classes_": self.classes_}

    def _restore_file_state(self, state: FileState) -> None:
        super()._restore_file_state(state)
        self.classes_ = state.array("classes_", (None,))
        if self.n_outputs_ != max(2, len(self.classes_)) or not self.network_.is_classifier:
            raise ValueError("classes_ must be those of the network")
