"""Input validation of the estimators.

Host features pass scikit-learn's own checks; sparse ones stay sparse. Device features stay on
the device; only targets, whose checks need the host, are copied to it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    validate_data,
)

from bpnet.backend import Backend
from bpnet.backend.compat import array_namespace
from bpnet.backend.registry import backend_of
from bpnet.backend.transfer import is_sparse, to_host
from bpnet.backend.typing import Array
from bpnet.common.checks import kind_of
from bpnet.data import frames, missing
from bpnet.data.validation import as_features, plain_features, refuse_special, vanish
from bpnet.errors import BackendError

_FLOATS = (np.float64, np.float32)
# Up to this each integer is a float64.
_EXACT = 2**53


class Features(NamedTuple):
    """Checked features (m, n_0): an array or CSR matrix, its owner (None: host) and dtype."""

    X: Array
    owner: Backend | None
    dtype: str


def check_features(estimator: Any, X: Any, dtype: str | None, reset: bool) -> Features:
    """Check features; `dtype` None keeps float32 and converts everything else to float64."""
    if not (reset or dtype is None or hasattr(estimator, "feature_names_in_")):
        # scikit-learn takes 0.1 ms to find out as much
        plain = plain_features(X, dtype, getattr(estimator, "n_features_in_", None))
        if plain is not None:
            return Features(plain, None, dtype)
    owner = backend_of(X=X)
    if owner is not None:
        return _device_features(estimator, X, owner, dtype, reset)
    refuse_unread("X", X)
    _refuse_times(X)
    with naming("X"):
        allowed: Any = _FLOATS if dtype is None else np.dtype(dtype)
        X = validate_data(estimator, X, accept_sparse="csr", dtype=allowed, reset=reset)
    return Features(X, None, X.dtype.name)


def check_examples(
    estimator: Any, X: Any, y: Any, dtype: str | None, *, reset: bool, y_numeric: bool
) -> tuple[Features, Any]:
    """Check features and targets together; the targets are returned as a host array."""
    features = check_features(estimator, X, dtype, reset)
    with naming("y"):
        y = host_array(y, "y")
        if y is None:  # scikit-learn's error message
            raise ValueError("fit requires y to be passed, but the target y is None")
        y = check_y(estimator, y, y_numeric=y_numeric)
        check_consistent_length(features.X, y)
    return features, y.toarray() if is_sparse(y) else y


def check_y(estimator: Any, y: Any, *, y_numeric: bool) -> Any:
    """Check host targets by themselves; return an array, or a sparse matrix."""
    check_targets(y)
    discrete = frames.as_discrete(y) if frames.is_tabular(y) else None
    y = y if discrete is None else discrete  # scikit-learn would make them floats
    y = _check_y(y, multi_output=True, y_numeric=y_numeric, estimator=estimator)
    if y_numeric:
        _refuse_merged(y)
    return y


def _refuse_merged(y: Any) -> None:
    """Reject integers that are different, but the same as floats."""
    if is_sparse(y) or y.dtype.kind not in "iu" or not y.size:
        return
    if int(y.max()) <= _EXACT and int(y.min()) >= -_EXACT:
        return
    for column in y.reshape(len(y), -1).T:
        found = np.unique(column)
        same = np.diff(found.astype(np.float64)) == 0.0
        if np.any(same):
            k = int(np.argmax(same))
            raise ValueError(
                f"y must hold numbers that float64 can tell apart; got {found[k]} and "
                f"{found[k + 1]}, as integers beyond 2**53 are rounded; subtract what they "
                f"have in common, or pass y.astype(float) to train on rounded ones"
            )


def check_targets(y: Any, name: str = "y") -> None:
    """Reject missing values and labels of several types, which NumPy would turn into text."""
    if is_sparse(y):
        return
    if frames.is_tabular(y):
        gaps = frames.count_missing(y)
    else:
        y = with_objects(y)
        gaps = missing.count_missing(y)
    if gaps:
        raise ValueError(
            f"{name} must have a value for each example, got {gaps} missing (None, NaN, NaT or "
            f"pd.NA)"
        )
    kinds = missing.kinds_in(np.asarray(y))
    text = kinds & {"str", "str_", "bytes", "bytes_"}
    if (kinds - text and text) or {"str", "bytes"} <= kinds:
        raise TypeError(f"{name} must hold labels of one type, got {', '.join(sorted(kinds))}")


def with_objects(values: Any) -> Any:
    """Return values as an array, of objects where NumPy would turn them into text."""
    array = np.asarray(values)
    is_list = array.dtype.kind in "US" and not isinstance(values, np.ndarray)
    return np.asarray(values, dtype=object) if is_list else array


def check_weights(weights: Any, n_rows: int, dtype: str) -> Any:
    """Check that example weights are >= 0, normal numbers or 0, and not all 0.

    Returns a host array of the dtype.
    """
    if weights is None:
        return None
    with naming("sample_weight"):
        rows = np.empty((n_rows, 1))
        weights = host_array(weights, "sample_weight")
        weights = _check_sample_weight(
            weights, rows, dtype=rows.dtype, ensure_non_negative=True
        )
        weights = in_dtype("sample_weight", weights, dtype)
        if not np.any(weights > 0.0):
            raise ValueError("sample_weight must have a weight > 0, got only 0")
        if not np.isfinite(np.sum(weights)):
            raise ValueError(f"sample_weight must have a finite sum in {dtype}, got inf")
    return weights


def in_dtype(name: str, weights: Any, dtype: str) -> Any:
    """Return host weights in a dtype, in which none is a subnormal number."""
    smallest = vanish(name, weights, dtype)
    weights = weights.astype(dtype, copy=False)
    return (
        np.where(weights < smallest, np.zeros_like(weights), weights) if smallest else weights
    )


@contextlib.contextmanager
def naming(argument: str) -> Iterator[None]:
    """Add the argument's name to errors of scikit-learn's checks and of NumPy.

    Overflow is not reported by NumPy, because the checks reject the resulting infinity.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            yield
    except (BackendError, TypeError, ValueError, RuntimeError) as error:
        text, is_backends = str(error), isinstance(error, BackendError)
        named = re.search(rf"\b{argument}\b", text)
        if named and is_backends:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise (type(error) if is_backends else kind)(
            text if named else f"{argument}: {text}"
        ) from error


def host_array(value: Any, name: str = "value") -> Any:
    """Copy a device array to the host; return what else is in memory and not special."""
    refuse_unread(name, value)
    return value if backend_of(**{name: value}) is None else to_host(value)


def refuse_unread(name: str, value: Any) -> None:
    """Reject special arrays, and frames still to be computed, such as polars' lazy ones."""
    refuse_special(name, value)
    if hasattr(type(value), "collect"):
        raise TypeError(
            f"{name} must be in memory, got {kind_of(value)}, which is still to be computed; "
            f"pass {name}.collect()"
        )


def as_truth(y: Any) -> Any:
    """Return targets to compare with predictions, as a NumPy array."""
    y = host_array(y, "y")
    check_targets(y)
    return y.toarray() if is_sparse(y) else np.asarray(y)


def as_labels(y: Any) -> Any:
    """Return labels to compare with predictions, as :func:`as_truth` does."""
    y = as_truth(y)
    _refuse_objects(y, "y")
    return y


def labels_in(y: Any, name: str = "y") -> Any:
    """Return the different labels in host targets, sorted."""
    label_kind(y, name)
    return unique_labels(y)


def label_kind(y: Any, name: str = "y") -> str:
    """Return what scikit-learn calls the type of host targets, if they are labels."""
    _refuse_objects(y, name)
    kind = str(type_of_target(y))
    if kind.startswith("continuous"):
        raise ValueError(
            f"Unknown label type: {name} must hold class labels, got real numbers that are no "
            f"integers ({kind}), as of a regression; fit a regressor to them, or pass "
            f"{name}.astype(str) if each of them is a class"
        )
    if "multioutput" in kind:
        raise ValueError(
            f"Multioutput target data is not supported: {name} must have one class label for "
            f"each example, or 0 and 1 in each column for multilabel targets; got {kind}; fit "
            f"one estimator for each column, as sklearn.multioutput.MultiOutputClassifier does"
        )
    return kind


def _refuse_objects(y: Any, name: str) -> None:
    """Reject Python objects that are not text, in scikit-learn's words, with the remedy."""
    if str(getattr(y, "dtype", "")) != "object" or type_of_target(y) != "unknown":
        return
    y = np.asarray(y)
    kinds, found = sorted(missing.kinds_in(y)), np.asarray(y.tolist()).dtype
    dtype = found.name if found.kind in "biuf" else "str"
    raise ValueError(
        f"Unknown label type: {name} must be an array of text or numbers; got one of Python "
        f"objects (dtype object) of type {', '.join(kinds)}, whose order and kind are not "
        f"known; pass {name}.astype({dtype!r})"
    )


def _refuse_times(X: Any) -> None:
    """Reject dates and durations, which scikit-learn would take as numbers of nanoseconds."""
    frames.refuse_odd("X", X, frames.TIMES)
    if not isinstance(X, np.ndarray | list | tuple):
        return
    try:
        array = np.asarray(X)
    except ValueError:  # rows of several lengths, which scikit-learn reports
        return
    if array.dtype.kind in "mM" or missing.kinds_in(array) & {"datetime64", "timedelta64"}:
        raise TypeError(
            f"X must hold real numbers, got dates or durations (dtype {array.dtype}); convert "
            f"them to numbers, such as days"
        )


def _device_features(
    estimator: Any, X: Array, owner: Backend, dtype: str | None, reset: bool
) -> Features:
    """Check features on their device, and their number as scikit-learn does."""
    with owner.activate():
        if dtype is None:
            xp = array_namespace(X)
            is_float = xp.isdtype(X.dtype, "real floating") and X.dtype != xp.float64
            dtype = "float32" if is_float else "float64"
        X = as_features(X, dtype)
    if reset:  # drop the names of a data frame fitted before
        _check_feature_names(estimator, X, reset=True)
    _check_n_features(estimator, X, reset=reset)
    return Features(X, owner, dtype)
