"""Classification: binary, multiclass or multilabel."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from bpnet import inference
from bpnet.activations import softplus
from bpnet.backend import Backend
from bpnet.backend.compat import array_namespace
from bpnet.backend.graph import Graph
from bpnet.backend.registry import backend_of
from bpnet.backend.transfer import is_sparse, to_device, to_host
from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.backprop import ModelSpec
from bpnet.common.keywords import explains_keywords
from bpnet.estimators._base import BaseMLP
from bpnet.estimators._class_weights import class_factors
from bpnet.estimators._docs import documented
from bpnet.estimators._files import FileState, in_files
from bpnet.estimators._hints import explains_settings
from bpnet.estimators._inputs import (
    as_labels,
    check_targets,
    check_weights,
    host_array,
    label_kind,
    labels_in,
    naming,
)
from bpnet.estimators._losses import BinaryLogLoss, LogLoss
from bpnet.estimators._onnx import label_of
from bpnet.losses import Loss
from bpnet.optimizers import Optimizer
from bpnet.schedules import Schedule
from bpnet.serialization.config import short
from bpnet.training.loop import Training


@in_files
@documented
class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron classifier with scikit-learn's API.

    A drop-in replacement for :class:`sklearn.neural_network.MLPClassifier`: with the same
    parameters and `random_state` it has the same initial weights and shuffling and finds the
    same solution, up to rounding. Additional parameters, from `dropout` on, are keyword-only
    and off by default.

    Parameters
    ----------
    <parameters>
    class_weight : dict, list of dict, "balanced" or None, default None
        Factors for the example weights of each class; "balanced" gives all classes the same
        total weight. Multilabel targets take a list with one dict per label. Classes without
        an entry have the factor 1, those of weight 0 are not trained on.

    Attributes
    ----------
    classes_ : array (n_classes,)
        The class labels; for multilabel targets their column numbers.
    <attributes>

    See Also
    --------
    MLPRegressor : The regressor.
    bpnet.Network : The underlying network.

    Examples
    --------
    >>> import bpnet
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = bpnet.MLPClassifier((16,), "gelu", random_state=0, learning_rate_init=0.1)
    >>> clf.fit(X, y).predict(X[:3])
    array([0, 0, 0])
    >>> clf.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    loss = "log_loss"
    class_weight: Any
    _kind: str

    @explains_keywords
    def __init__(
        self,
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
        class_weight: Any = None,
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
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Train for one epoch, continuing from the last call.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array-like (n_classes,) or None
            All labels across all calls; required in the first call.

        Returns
        -------
        MLPClassifier
            This estimator.
        """
        with self._unchanged_on_error():
            self._check_classes(classes, y)
            return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """Predict the classes.

        Parameters
        ----------
        X : array-like, SciPy sparse matrix or device array (n_samples, n_features)
            Finite features.

        Returns
        -------
        array (n_samples,) or (n_samples, n_labels)
            Labels, or 0 and 1 for multilabel targets, of the same array type as X; non-numeric
            labels are always a NumPy array.
        """
        codes, owner = self._infer(inference.predictions, X)
        if self._kind == "multilabel":
            return codes
        classes = host_array(self.classes_)
        labels = classes[np.minimum(to_host(codes), len(classes) - 1)]
        return (
            labels if owner is None or labels.dtype.kind in "OSU" else to_device(labels, owner)
        )

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, in the order of `classes_`.

        Returns
        -------
        array (n_samples, n_classes)
            Of the same array type as X. Rows sum to 1, except for multilabel targets, where
            each column is the probability of one label. The probability of a single class is 1.
        """
        p = self._infer(inference.probabilities, X)[0]
        return _filled(p, 1.0) if self._has_one_class else p

    def predict_log_proba(self, X: Any) -> Array:
        """Return the log-probabilities, finite even where probabilities round to 0."""
        log_p = self._infer(log_probabilities, X)[0]
        return _filled(log_p, 0.0) if self._has_one_class else log_p

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the weighted fraction of examples with every label correct."""
        predicted = host_array(self.predict(X))
        weights = check_weights(sample_weight, len(predicted), "float64")
        with naming("y"):
            return float(accuracy_score(as_labels(y), predicted, sample_weight=weights))

    @property
    def _has_one_class(self) -> bool:
        return self._kind != "multilabel" and self.classes_.shape[0] == 1

    # --- targets --------------------------------------------------------------------------

    def _check_classes(self, classes: Any, y: Any) -> None:
        """Check the labels passed to `partial_fit`, and store them in the first call."""
        known = getattr(self, "classes_", None)
        if classes is None:
            if known is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            return
        owner = backend_of(classes=classes)
        with naming("classes"):
            classes = host_array(classes, "classes")
            check_targets(classes, "classes")
            classes = labels_in(classes, "classes")
        if known is None:
            with naming("y"):
                y = host_array(y, "y")
                check_targets(y)
                self._set_classes(classes, y, owner)
        elif not np.array_equal(host_array(known), classes):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                f"{host_array(known)!r}"
            )

    def _encode(self, y: Any, incremental: bool, owner: Backend | None) -> Any:
        """Check labels; return class indices, or columns of 0 and 1."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._set_classes(labels_in(y), y, owner)
        else:
            self._check_known(labels_in(y))
        return self._codes(y)

    def _encode_more(self, y: Any) -> Any:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        labels = y.shape[1] if y.ndim == 2 else None
        if labels != (self.n_outputs_ if self._kind == "multilabel" else None):
            raise ValueError(
                f"y must have the form of that of training, "
                f"{f'{self.n_outputs_} columns' if self._kind == 'multilabel' else '1-D'}, got "
                f"shape {y.shape}"
            )
        known = host_array(self.classes_)
        if new := [label for label in labels_in(y).tolist() if label not in known.tolist()]:
            raise ValueError(
                f"y must hold classes of the y of training, {known.tolist()}, got also "
                f"{new[:5]}, of which nothing is learned"
            )
        return self._codes(y)

    def _codes(self, y: Any) -> Any:
        """Return class indices, or columns of 0 and 1."""
        if self._kind == "multilabel":
            return y != 0
        codes = np.searchsorted(host_array(self.classes_), y)
        return codes if self._kind == "multiclass" else codes[:, None] == 1

    def _set_classes(self, classes: Any, y: Any, owner: Backend | None) -> None:
        """Store the labels, on the device of the targets, and the kind of classification."""
        if label_kind(y).startswith("multilabel"):
            self._kind = "multilabel"
            _warn_of_one_hot(y)
        else:
            self._kind = "binary" if len(classes) <= 2 else "multiclass"
            if len(classes) == 1:
                warnings.warn(
                    f"y has a single class, {classes.tolist()[0]!r}, so there is nothing to "
                    f"learn: every prediction will be this class, with probability 1",
                    RuntimeWarning,  # scikit-learn's tests allow no UserWarning here
                    stacklevel=7,
                )
        self.classes_ = classes if owner is None else to_device(classes, owner)

    def _check_known(self, classes: Any) -> None:
        known = host_array(self.classes_)
        if self.warm_start and set(classes) != set(known):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {known}, `y` has {classes}"
            )
        if len(np.setdiff1d(classes, known, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {known}. 'y' has {classes}."
            )

    def _count_outputs(self, targets: Any) -> int:
        return int(self.classes_.shape[0]) if targets.ndim == 1 else int(targets.shape[1])

    def _loss_and_link(self) -> tuple[Loss, str]:
        if self._kind == "multiclass":
            return LogLoss(), "softmax"
        return BinaryLogLoss(), "logistic"

    def _class_weights(self, y: Any, incremental: bool) -> Any:
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all examples at once, so partial_fit does not "
                "support it; pass a dict from sklearn.utils.class_weight.compute_class_weight"
            )
        classes = host_array(self.classes_)
        return class_factors(self.class_weight, y, classes, self._kind == "multilabel")

    def _strata(self, targets: Any) -> Any:
        return None if self._kind == "multilabel" else targets

    def _validation_score(self, training: Training) -> float:
        return training.logs["val_accuracy"]

    # --- files and pickling ---------------------------------------------------------------

    def _onnx_outputs(self, graph: Graph) -> dict[str, Array]:
        xp, z = graph.xp, self._onnx_logits(graph)
        loss = self._loss_and_link()[0]
        codes = inference.predictions_of(xp, loss, z)
        p = inference.probabilities_of(xp, loss, z)
        if self._kind == "multilabel":
            return {"label": codes, "probabilities": p}
        classes = host_array(self.classes_)
        if self._has_one_class:
            p, codes = xp.ones_like(p[:, :1]), xp.zeros_like(codes)
        return {"label": label_of(graph, classes, codes), "probabilities": p}

    def _file_state(self) -> dict[str, Any]:
        return super()._file_state() | {"classes_": self.classes_, "_kind": self._kind}

    def _restore_file_state(self, state: FileState) -> None:
        super()._restore_file_state(state)
        self._kind, classes = state.take("_kind", str), state.array("classes_", (None,))
        outputs, loss = self.n_outputs_, self._loss_and_link()[0]
        n = min(len(classes), 2) if self._kind == "binary" else outputs
        is_one_column = self._kind != "binary" or outputs == 1
        assert self._architecture is not None
        matches = loss == self._architecture.loss and len(classes) == n and is_one_column
        if not matches or not np.array_equal(np.unique(classes), classes):
            raise ValueError(f"{outputs} outputs do not match the classes {short(classes)}")
        self.classes_ = classes

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "classes_" in state:
            state["classes_"] = host_array(state["classes_"])
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _warn_of_one_hot(y: Any) -> None:
    """Warn if the rows of multilabel targets look like one-hot encoded classes."""
    y = y.toarray() if is_sparse(y) else np.asarray(y)
    if y.shape[0] > 1 and np.all(np.count_nonzero(y, axis=1) == 1):
        warnings.warn(
            "every row of y has exactly one 1, as if it were one-hot encoded, but columns are "
            "trained as independent labels (multilabel), whose probabilities do not sum to 1. "
            "If they are classes, pass y.argmax(axis=1), for a data frame y.idxmax(axis=1)",
            UserWarning,
            stacklevel=8,
        )


def _filled(rows: Array, value: float) -> Array:
    """Return a column of one value, like some rows (m, n)."""
    xp = array_namespace(rows)
    return xp.full_like(rows[:, :1], value)


def log_probabilities(
    xp: Namespace, model: ModelSpec, parameters: Parameters, X: Array
) -> Array:
    """Return ln p, computed from the logits where p underflows, so that it stays finite."""
    z = inference.logits(xp, model, parameters, X)
    z = xp.concat([-z, z], axis=1) if z.shape[1] == 1 else z
    p, tiny = model.loss.link(xp, z), float(xp.finfo(z.dtype).smallest_normal)
    if model.loss.targets == "labels":
        z = z - xp.max(z, axis=1, keepdims=True)
        exact = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
    else:
        exact = -softplus.f(xp, -z)
    return xp.where(p >= tiny, xp.log(xp.clip(p, min=tiny)), exact)
