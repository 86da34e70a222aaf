"""The base class of the tabular estimators: fitting, prediction, pickling."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_feature_names,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from bpnet.backend import Backend
from bpnet.backend.graph import Graph
from bpnet.backend.registry import backend_of, get_backend
from bpnet.backend.transfer import is_sparse, to_device, to_host
from bpnet.backend.typing import Array
from bpnet.common.checks import kind_of
from bpnet.common.history import History
from bpnet.common.version import check_version_note, version_note
from bpnet.data import frames
from bpnet.data.streams.dask_collections import is_dask
from bpnet.estimators._files import FileState
from bpnet.estimators._hints import explains_settings
from bpnet.estimators._inputs import (
    check_weights,
    check_y,
    host_array,
    naming,
    refuse_unread,
    with_objects,
)
from bpnet.estimators._onnx import OnnxEstimator
from bpnet.estimators.tabular.examples import Examples, folds, held_out
from bpnet.estimators.tabular.files import file_state, restore_file_state
from bpnet.estimators.tabular.member import Member, Plan
from bpnet.estimators.tabular.onnx import outputs_of
from bpnet.estimators.tabular.parameters import TabularParameters
from bpnet.estimators.tabular.presets import Settings, settings_of
from bpnet.estimators.tabular.schema import Schema, schema_of
from bpnet.estimators.tabular.table import Table
from bpnet.losses import Loss
from bpnet.network import Network
from bpnet.random import generator


class BaseTabular(OnnxEstimator, TabularParameters, ABC):
    """Base estimator, independent of the kind of target."""

    # --- what depends on the kind of target -----------------------------------------------

    _presets: ClassVar[Mapping[str, Settings]]
    _default_metric: ClassVar[str]
    _y_numeric: ClassVar[bool] = False
    _schema: Schema
    _members: list[Member]

    @abstractmethod
    def _encode(self, y: Any, reset: bool) -> Any:
        """Return checked host targets as codes (m,) or numbers (m, n_outputs)."""

    @abstractmethod
    def _loss(self, settings: Settings) -> Loss:
        """Return the loss."""

    @abstractmethod
    def _count_outputs(self, y: Any) -> int:
        """Return the number of units of the last layer for encoded targets."""

    # --- fitting --------------------------------------------------------------------------

    @explains_settings
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: tuple[Any, ...] | None = None,
    ) -> Self:
        """Fit to a table.

        Ctrl-C ends training: the network has the weights of the best epoch so far, and an
        ensemble only the members that were finished, or else the first.

        Parameters
        ----------
        X : data frame or array (n_samples, n_features)
            Columns of numbers, bools, categories or text, of pandas, polars or PyArrow, with
            gaps; a NumPy array of numbers or objects, or a device array of numbers.
        y : array-like (n_samples,) or (n_samples, n_outputs)
            Class labels of any kind, or numbers.
        sample_weight : array-like (n_samples,) or None
            Weights >= 0 of the examples in the loss and in the metric.
        validation_data : tuple (X, y) or (X, y, sample_weight), or None
            The examples by which the best epoch is chosen, instead of a part of X.

        Returns
        -------
        object
            This estimator.

        Raises
        ------
        ValueError, TypeError
            If a parameter or a column is invalid; the estimator is left as it was.

        Warns
        -----
        ConvergenceWarning
            If a network diverged.
        """
        before, start = dict(vars(self)), time.perf_counter()
        try:
            self._fit(X, y, sample_weight, validation_data, start)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any, start: float
    ) -> None:
        examples, validation, plan, seed = self._prepared(X, y, sample_weight, validation_data)
        parts = self._parts(examples, validation, seed)
        self._members = []
        for number, (training, held) in enumerate(parts):
            seconds = None
            if self.time_budget is not None:  # what is left, in equal shares
                spent = time.perf_counter() - start
                seconds = max(self.time_budget - spent, 0.0) / (len(parts) - number)
            member = plan.train(training, held, seed + number, seconds)
            if not (self._members and member.is_interrupted):
                self._members.append(member)
            if member.is_interrupted:
                break

    def _prepared(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any
    ) -> tuple[Examples, Examples | None, Plan, int]:
        """Return training and validation examples, the plan of all members, and a seed."""
        owner = backend_of(X=X)
        examples = self._examples(X, y, sample_weight, reset=True)
        self.n_outputs_ = self._count_outputs(examples.y)
        validation = self._validation_examples(validation_data)
        group = self._processes()
        settings = settings_of(self._presets[self.preset], self.get_params(deep=False))
        plan = Plan(
            settings, self._loss(settings), self.metric or self._default_metric,
            self.n_outputs_, self.n_epochs, self.batch_size, self.missing_indicator,
            self.progress, bool(self.verbose), self._callback_list(),
            self.dtype, get_backend(self.backend) if self.backend else owner or get_backend(),
            group,
        )  # fmt: skip
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return examples, validation, plan, int(group.all_gather(seed)[0])

    def _parts(
        self, examples: Examples, validation: Examples | None, seed: int
    ) -> list[tuple[Examples, Examples | None]]:
        """Return the training and the validation examples of each member."""
        rng = generator(seed, "split")
        if self.ensemble == "bag":
            if validation is not None:
                raise ValueError(
                    "validation_data must be None for ensemble='bag', whose members each hold "
                    "out another part of X; use ensemble='seed'"
                )
            if examples.n_rows < self.n_ensemble:
                raise ValueError(
                    f"n_ensemble must be at most n_samples={examples.n_rows} for "
                    f"ensemble='bag'; got {self.n_ensemble}"
                )
            splits = folds(examples, self.n_ensemble, rng)
            return [(examples.take(train), examples.take(held)) for train, held in splits]
        fraction = self.validation_fraction if validation is None else 0.0
        train, held = held_out(examples, fraction, rng)
        if len(held):
            validation = examples.take(held)
        return [(examples.take(train), validation)] * self.n_ensemble

    # --- inputs ---------------------------------------------------------------------------

    def _examples(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> Examples:
        """Check examples; with `reset`, of which columns and classes they are."""
        X = self._checked(X, reset)
        if reset:
            self._schema = schema_of(X, self.categorical_features)
        table = self._schema.read(X)
        with naming("y"):
            y = host_array(y, "y")
            if y is None:  # scikit-learn's error message
                raise ValueError("fit requires y to be passed, but the target y is None")
            y = check_y(self, y, y_numeric=self._y_numeric)
            check_consistent_length(table.numbers, y)
            encoded = self._encode(y.toarray() if is_sparse(y) else y, reset)
        return Examples(table, encoded, self._weights(sample_weight, table.n_rows))

    def _weights(self, sample_weight: Any, n_rows: int) -> Any:
        """Check weights in the dtype of training too; those that are 0 there are 0."""
        weights = check_weights(sample_weight, n_rows, "float64")
        if weights is None or self.dtype == "float64":
            return weights
        return np.where(check_weights(weights, n_rows, self.dtype) > 0.0, weights, 0.0)

    def _validation_examples(self, validation_data: Any) -> Examples | None:
        if validation_data is None:
            return None
        if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
            raise TypeError("validation_data must be a tuple (X, y) or (X, y, sample_weight)")
        X, y, *w = validation_data
        with naming("validation_data"):
            return self._examples(X, y, w[0] if w else None, reset=False)

    def _checked(self, X: Any, reset: bool) -> Any:
        """Return a frame as it is, anything else as a NumPy array."""
        refuse_unread("X", X)
        if is_dask(X):
            raise TypeError(
                f"X must be in memory, got {kind_of(X)} of dask; pass X.compute(), or train a "
                f"bpnet.Network, which computes it block by block"
            )
        if not frames.is_frame(X):
            with naming("X"):
                X = to_host(X) if backend_of(X=X) is not None else X
                X = with_objects(X) if isinstance(X, list | tuple) else X
                return validate_data(
                    self, X, dtype=None, ensure_all_finite="allow-nan", reset=reset
                )
        if reset:
            _check_feature_names(self, X, reset=True)
            self.n_features_in_ = X.shape[1]
        if 0 in X.shape:
            raise ValueError(
                f"Found array with {X.shape[0]} sample(s) and {X.shape[1]} feature(s) "
                f"(shape={X.shape}) while a minimum of 1 is required."
            )
        return X

    # --- prediction -----------------------------------------------------------------------

    def _outputs(self, X: Any) -> tuple[Any, Backend | None]:
        """Return what each member predicts (members, m, n_outputs), and the owner of X."""
        check_is_fitted(self)
        owner = backend_of(X=X)
        table: Table = self._schema.read(self._checked(X, reset=False))
        backend = get_backend(self.backend) if self.backend else owner
        return np.stack([member.outputs(table, backend) for member in self._members]), owner

    def __sklearn_is_fitted__(self) -> bool:
        return bool(getattr(self, "_members", None))

    # --- attributes -----------------------------------------------------------------------

    @property
    def networks_(self) -> list[Network]:
        """The trained networks, one for each member of the ensemble."""
        return [member.network for member in self._fitted()]

    @property
    def network_(self) -> Network:
        """The first of the trained networks."""
        return self._fitted()[0].network

    @property
    def histories_(self) -> list[History]:
        """The metrics of each epoch, one for each member."""
        return [member.history for member in self._fitted()]

    @property
    def history_(self) -> History:
        """The metrics of each epoch of the first network."""
        return self._fitted()[0].history

    @property
    def best_epoch_(self) -> int:
        """The epoch, from 1, whose weights the first network has."""
        return _best(self.history_)

    @property
    def planned_epochs_(self) -> float | None:
        """What `n_epochs` there was time for: with it and no budget, `fit` does the same.

        It is an estimate by trial epochs, of which a machine that becomes busier may do fewer:
        `history_.epochs`. None if the estimator is of a file.
        """
        return self._fitted()[0].planned

    @property
    def metrics_(self) -> dict[str, float]:
        """The metrics in the best epoch, the mean over all members."""
        found = [
            {name: values[_best(history) - 1] for name, values in history.items()}
            for history in self.histories_
        ]
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    def _fitted(self) -> list[Member]:
        if not hasattr(self, "_members"):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet; call fit")
        return self._members

    # --- files, pickling and tags -----------------------------------------------------------

    def _file_state(self) -> dict[str, Any]:
        return file_state(self)

    def _restore_file_state(self, state: FileState) -> None:
        restore_file_state(self, state)

    def _onnx_mean(self, graph: Graph) -> Array:
        """Record the mean of the members' outputs (m, n_outputs)."""
        return outputs_of(graph, self._schema, self._members)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle with the version of bpnet."""
        return dict(super().__getstate__()) | version_note()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; warn if another version of bpnet wrote the pickle."""
        state = dict(state)
        check_version_note(state, type(self).__name__)
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """Declare that gaps, text and categories are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def in_type_of(array: Any, owner: Backend | None) -> Array:
    """Return a host array as the same type as the input."""
    return array if owner is None else to_device(array, owner)


def _best(history: History) -> int:
    return history.best_epoch or history.epochs
