"""Integers beyond 2**53, which floats round: labels stay apart, and numbers must; and bools."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import bpnet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LABELS = 2**53 + np.arange(3)
CODES = np.arange(60) % 3
X = np.eye(3)[CODES]
CLASSIFIERS = {
    "mlp": bpnet.MLPClassifier((8,), max_iter=2, random_state=0),
    "tabular": bpnet.TabularClassifier("td-s", n_epochs=2, random_state=0),
}
REGRESSORS = {
    "mlp": bpnet.MLPRegressor(hidden_layer_sizes=(8,), max_iter=2, random_state=0),
    "tabular": bpnet.TabularRegressor("td-s", n_epochs=2, random_state=0),
}


def series(dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    return pd.Series(LABELS[CODES], dtype=dtype)


@pytest.mark.parametrize("dtype", ["int64", "Int64", "UInt64", "int64[pyarrow]"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_labels_stay_different(name, dtype):
    model = CLASSIFIERS[name].fit(X, series(dtype))
    assert_array_equal(model.classes_, LABELS)
    assert model.classes_.dtype.kind in "iu"
    assert set(model.predict(X).tolist()) <= set(LABELS.tolist())


@pytest.mark.parametrize("dtype", ["boolean", "bool[pyarrow]"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_bools_stay_bools(name, dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    model = CLASSIFIERS[name].fit(X, pd.Series(CODES > 1, dtype=dtype))
    assert model.classes_.tolist() == [False, True]
    assert model.predict(X).dtype == bool


@pytest.mark.parametrize("dtype", ["int64", "Int64", "UInt64"])
@pytest.mark.parametrize("name", REGRESSORS)
def test_numbers_that_would_become_equal_are_refused(name, dtype):
    with pytest.raises(ValueError, match=f"y must hold .* got {2**53} and {2**53 + 1}, as"):
        REGRESSORS[name].fit(X, series(dtype))


@pytest.mark.parametrize("y", [(CODES - 1) * 2**62, LABELS[CODES].astype(float)])
def test_numbers_that_stay_different_or_are_rounded_are_taken(y):
    REGRESSORS["tabular"].fit(X, y)
