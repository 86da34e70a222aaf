"""The estimators' edge: what scikit-learn checks on the host, and arrays of devices.

Features of the host pass scikit-learn's own checks; sparse ones stay sparse. Features on a
device stay there, and only targets, whose checks need the host, are brought to it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import (
    _check_n_features,
    _check_sample_weight,
    check_consistent_length,
    validate_data,
)

from bpnet._compat import array_namespace
from bpnet._inputs import as_features, is_sparse
from bpnet._placement import host
from bpnet._typing import Array
from bpnet.backend import Backend
from bpnet.registry import backend_of

_FLOATS = (np.float64, np.float32)


class Features(NamedTuple):
    """Checked features.

    Attributes
    ----------
    X : array or CSR matrix (m, n_0)
        Of the host, or of a device library.
    owner : Backend or None
        The backend whose array this is; None for the host.
    dtype : str
        Name of its dtype.
    """

    X: Array
    owner: Backend | None
    dtype: str


def check_features(estimator: Any, X: Any, dtype: str | None, reset: bool) -> Features:
    """Check features alone; `dtype` None keeps float32 and makes all else float64."""
    owner = backend_of(X=X)
    if owner is not None:
        return _device_features(estimator, X, owner, dtype, reset)
    with np.errstate(over="ignore"):  # an overflow is an infinity, which is refused
        X = validate_data(
            estimator, X, accept_sparse="csr", dtype=_host_dtype(dtype), reset=reset
        )
    return Features(X, None, X.dtype.name)


def check_examples(
    estimator: Any, X: Any, y: Any, dtype: str | None, *, reset: bool, y_numeric: bool
) -> tuple[Features, Any]:
    """Check features and targets together; the targets come back as an array of the host."""
    owner, y = backend_of(X=X), to_host(y)
    kind = {"multi_output": True, "y_numeric": y_numeric}
    if owner is None:
        with np.errstate(over="ignore"):  # an overflow is an infinity, which is refused
            X, y = validate_data(
                estimator, X, y,
                accept_sparse="csr", dtype=_host_dtype(dtype), reset=reset, **kind,
            )  # fmt: skip
        features = Features(X, None, X.dtype.name)
    else:
        y = validate_data(estimator, y=y, reset=reset, **kind)
        features = _device_features(estimator, X, owner, dtype, reset)
        check_consistent_length(features.X, y)
    return features, y.toarray() if is_sparse(y) else y


def check_weights(weights: Any, features: Features) -> Any:
    """Check weights of examples, >= 0 and not all 0; an array of the host in their dtype."""
    if weights is None:
        return None
    rows = np.empty((features.X.shape[0], 1), features.dtype)
    weights = _check_sample_weight(
        to_host(weights), rows, dtype=rows.dtype, ensure_non_negative=True
    )
    if not np.any(weights > 0.0):
        raise ValueError("sample_weight must have a weight > 0, got only 0")
    return weights


def to_host(value: Any) -> Any:
    """Bring an array of a device to the host; whatever else passes through."""
    return value if backend_of(value=value) is None else host(value)


def _host_dtype(dtype: str | None) -> Any:
    return _FLOATS if dtype is None else np.dtype(dtype)


def _device_features(
    estimator: Any, X: Array, owner: Backend, dtype: str | None, reset: bool
) -> Features:
    """Check features where they are, and their number as scikit-learn does."""
    with owner.activate():
        if dtype is None:
            xp = array_namespace(X)
            is_float = xp.isdtype(X.dtype, "real floating") and X.dtype != xp.float64
            dtype = "float32" if is_float else "float64"
        X = as_features(X, dtype)
    _check_n_features(estimator, X, reset=reset)
    return Features(X, owner, dtype)
