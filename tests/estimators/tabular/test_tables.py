"""Tables as people have them: frames of two libraries, arrays, dtypes, gaps, names."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

import bpnet
from bpnet.estimators.tabular.schema import Schema, schema_of

NUMBERS = {
    "float64": np.array([1.5, np.nan, 3.0]),
    "float32": np.array([1.5, np.nan, 3.0], "float32"),
    "int8": np.array([1, 2, 3], "int8"),
    "uint64": np.array([1, 2, 3], "uint64"),
    "Int64": pd.array([1, None, 3], "Int64"),
    "Float32": pd.array([1.5, None, 3.0], "Float32"),
    "objects": pd.Series([1, None, 3.5], dtype=object),
    "NA among objects": pd.Series([1, pd.NA, 3.5], dtype=object),
    "polars": pl.Series([1.5, None, 3.0]),
    "polars integers": pl.Series([1, None, 3]),
    "only missing": pl.Series([None, None, None]),
    "None only": pd.Series([None, None, None], dtype=object),
}
CATEGORIES = {
    "category": pd.Categorical(["b", None, "a"], categories=["a", "b", "unused"]),
    "category of numbers": pd.Categorical([3, None, 1]),
    "str": pd.Series(["b", None, "a"], dtype="str"),
    "string": pd.array(["b", None, "a"], "string"),
    "objects": pd.Series(["b", None, "a"], dtype=object),
    "NaN among text": pd.Series(["b", float("nan"), "a"], dtype=object),
    "bool": np.array([True, False, True]),
    "boolean": pd.array([True, None, False], "boolean"),
    "mixed": pd.Series(["b", None, 3], dtype=object),
    "polars text": pl.Series(["b", None, "a"]),
    "polars category": pl.Series(["b", None, "a"], dtype=pl.Categorical),
    "polars enum": pl.Series(["b", None, "a"], dtype=pl.Enum(["a", "b", "c"])),
    "polars bool": pl.Series([True, None, False]),
}


def framed(column):
    frame = pl.DataFrame if isinstance(column, pl.Series) else pd.DataFrame
    return frame({"x": column})


def values(table):
    """Return the values of the only column."""
    if table.categories:
        ((levels, codes),) = table.categories
        return [None if code < 0 else levels[code] for code in codes]
    return [None if math.isnan(x) else x for x in table.numbers[:, 0].tolist()]


def as_list(column):
    missing = (None, pd.NA)
    return [
        None if any(v is m for m in missing) or v != v else v for v in pd.Series(list(column))
    ]


@pytest.mark.parametrize("name", NUMBERS)
def test_columns_of_numbers_are_numbers(name):
    X = framed(NUMBERS[name])
    schema = schema_of(X, "auto")
    assert schema == Schema(("x",), (False,))
    assert values(schema.read(X)) == as_list(NUMBERS[name])


@pytest.mark.parametrize("name", CATEGORIES)
def test_other_columns_are_categories(name):
    X = framed(CATEGORIES[name])
    schema = schema_of(X, "auto")
    assert schema == Schema(("x",), (True,))
    assert values(schema.read(X)) == as_list(CATEGORIES[name])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_dates_are_refused_by_name(frame):
    X = frame({"a": [1.0], "when": [datetime.datetime(2020, 1, 1)]})
    with pytest.raises(TypeError, match="column 'when' of X must hold numbers or categories"):
        schema_of(X, "auto")


@pytest.mark.parametrize("value", [datetime.date(2020, 1, 1), 1j, (1, 2), [1]])
def test_objects_that_are_no_categories_are_refused(value):
    X = pd.DataFrame({"odd": pd.Series([value, "a"], dtype=object)})
    schema = schema_of(X, "auto")
    with pytest.raises(TypeError, match="column 'odd' of X must hold"):
        schema.read(X)


@pytest.mark.parametrize("column", [[1.0, np.inf], pd.Series([1, 10**400], dtype=object)])
def test_infinity_is_refused_by_name(column):
    X = pd.DataFrame({"a": column})
    with pytest.raises(ValueError, match="column 'a' of X must not hold infinity"):
        schema_of(X, "auto").read(X)


def test_text_where_numbers_were_is_refused_by_name():
    schema = schema_of(pd.DataFrame({"age": [1, 2]}), "auto")
    for wrong in (["a", "b"], ["a", 1]):
        X = pd.DataFrame({"age": pd.Series(wrong, dtype=object)})
        with pytest.raises(TypeError, match="column 'age' of X must hold numbers, as in fit"):
            schema.read(X)
    with pytest.raises(TypeError, match="column 'age' of X must hold real numbers, got text"):
        schema.read(pl.DataFrame({"age": ["a", "b"]}))


def test_numbers_are_read_from_what_holds_only_gaps_now():
    schema = schema_of(pd.DataFrame({"age": [1, 2]}), "auto")
    assert np.isnan(schema.read(pd.DataFrame({"age": [None, None]})).numbers).all()
    assert np.isnan(schema.read(pl.DataFrame({"age": [None, None]})).numbers).all()


# --- names and order ----------------------------------------------------------------------


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_are_found_by_name(frame):
    X = frame({"a": [1.0, 2.0], "b": ["u", "v"], "c": [3.0, 4.0]})
    schema = schema_of(X, "auto")
    moved = frame({"c": [3.0, 4.0], "more": [0.0, 0.0], "b": ["u", "v"], "a": [1.0, 2.0]})
    expected, found = schema.read(X), schema.read(moved)
    assert_array_equal(found.numbers, expected.numbers)
    assert found.categories[0].levels == expected.categories[0].levels


def test_missing_columns_are_named():
    schema = schema_of(pd.DataFrame({"age": [1.0], "size": [2.0], "color": ["a"]}), "auto")
    with pytest.raises(ValueError, match="missing: 'size', 'color'; did you mean 'Size'"):
        schema.read(pd.DataFrame({"age": [1.0], "Size": [2.0]}))


def test_columns_of_one_name_are_refused():
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ValueError, match="different names; got 'a' twice"):
        schema_of(twice, "auto")
    with pytest.raises(ValueError, match="X must have one column 'a'; got 2"):
        schema_of(pd.DataFrame({"a": [1.0]}), "auto").read(twice)


def test_an_array_after_a_frame_goes_by_position():
    schema = schema_of(pd.DataFrame({"a": [1.0], "b": ["u"]}), "auto")
    assert schema.read(np.array([[2.0, "v"]], object)).numbers.tolist() == [[2.0]]
    with pytest.raises(ValueError, match="X has 3 features, but the estimator is expecting 2"):
        schema.read(np.ones((1, 3)))


# --- which columns hold categories --------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("auto", (False, False, True)),
        (["b"], (False, True, True)),
        ([1, 2], (False, True, True)),
        ([True, False, True], (True, False, True)),
        (np.array([True, False, True]), (True, False, True)),
        ([], (False, False, True)),
        ([True, False, False], (True, False, True)),
    ],
)
def test_categorical_features(chosen, expected):
    X = pd.DataFrame({"a": [1.0], "b": [2], "c": ["u"]})
    assert schema_of(X, chosen).categorical == expected


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ("b", TypeError, "a sequence of names"),
        (3, TypeError, "a sequence of names"),
        (["B"], ValueError, "got 'B'; did you mean 'b'"),
        ([3], ValueError, "from 0 to 2; got"),
        ([-1], ValueError, "from 0 to 2; got"),
        ([True], ValueError, "each of 3 columns if it is a mask; got 1"),
    ],
)
def test_unknown_categorical_features_are_refused(chosen, error, message):
    X = pd.DataFrame({"a": [1.0], "b": [2], "c": ["u"]})
    with pytest.raises(error, match=message):
        schema_of(X, chosen)


def test_numbers_may_be_categories_whatever_their_dtype_later():
    """Gaps turn integers into floats, and a category is the same number."""
    schema = schema_of(pd.DataFrame({"zip": [7, 9]}), ["zip"])
    levels, codes = schema.read(pd.DataFrame({"zip": [9.0, np.nan]})).categories[0]
    assert (levels, codes.tolist()) == ([9.0], [0, -1])
    assert levels[0] == 9


def test_a_frame_of_dask_is_refused_with_what_to_do():
    dd = pytest.importorskip("dask.dataframe")
    X = pd.DataFrame({"a": np.arange(20.0), "b": 1.0})
    y = np.arange(20) % 2
    model = bpnet.TabularClassifier("td-s", n_epochs=1).fit(X, y)
    lazy = dd.from_pandas(X, npartitions=2)
    for use in (lambda: model.fit(lazy, y), lambda: model.predict(lazy)):
        with pytest.raises(TypeError, match=r"X must be in memory, got .* pass X.compute\(\)"):
            use()
