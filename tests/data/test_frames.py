"""Frames and their columns become the arrays that NumPy makes of the same numbers."""

from __future__ import annotations

import decimal
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import bpnet
from bpnet.data import frames, missing

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")

DTYPES = {
    "bool": (np.bool, "boolean", polars.Boolean),
    "int8": (np.int8, "Int8", polars.Int8),
    "uint16": (np.uint16, "UInt16", polars.UInt16),
    "int64": (np.int64, "Int64", polars.Int64),
    "uint64": (np.uint64, "UInt64", polars.UInt64),
    "float32": (np.float32, "Float32", polars.Float32),
    "float64": (np.float64, "Float64", polars.Float64),
}
LIBRARIES = ("pandas", "pandas nullable", "polars")


def frame_of(library, columns):
    """Return a frame of (NumPy array, name of its dtype) with the names "0", "1", ..."""
    if library == "polars":
        return polars.DataFrame(
            {
                str(k): polars.Series(array, dtype=DTYPES[name][2])
                for k, (array, name) in enumerate(columns)
            }
        )
    nullable = library == "pandas nullable"
    return pandas.DataFrame(
        {
            str(k): pandas.array(array, dtype=DTYPES[name][1]) if nullable else array
            for k, (array, name) in enumerate(columns)
        }
    )


@st.composite
def columns(draw):
    """Draw columns of any dtypes, with all the numbers these hold."""
    rows, found = draw(st.integers(1, 4)), []
    for name in draw(st.lists(st.sampled_from(sorted(DTYPES)), min_size=1, max_size=4)):
        if name == "bool":
            numbers = st.booleans()
        elif "float" in name:
            numbers = st.floats(allow_nan=False, allow_infinity=False, width=int(name[5:]))
        else:
            low, high = np.iinfo(name).min, np.iinfo(name).max
            numbers = st.integers(int(low), int(high))
        drawn = draw(st.lists(numbers, min_size=rows, max_size=rows))
        found.append((np.array(drawn, DTYPES[name][0]), name))
    return found


@pytest.mark.parametrize("library", LIBRARIES)
@given(columns(), st.sampled_from(["float32", "float64"]))
@settings(max_examples=60, deadline=None)
def test_numbers_are_those_of_a_plain_array(library, given_columns, dtype):
    """The same bits as of the array of the columns' common dtype, also of large integers."""
    arrays = [array for array, _ in given_columns]
    common = np.result_type(*arrays)
    with np.errstate(over="ignore"):
        expected = np.stack([a.astype(common) for a in arrays], axis=1).astype(dtype)
        found = frames.as_numbers("X", frame_of(library, given_columns), dtype).astype(dtype)
    assert_array_equal(found, expected)


@pytest.mark.parametrize("library", LIBRARIES)
def test_one_column_keeps_its_dtype(library):
    for name, (dtype, *_) in DTYPES.items():
        frame = frame_of(library, [(np.array([0, 1, 1], dtype), name)])
        column = frame["0"]
        found = frames.as_numbers("y", column)
        assert found.dtype == dtype
        assert found.tolist() == [0, 1, 1]


def test_there_is_one_output_array():
    rows = 200_000
    kinds = ["float64", "bool", "int64", "float64", "bool", "int8", "float32", "uint16"]
    numbers = np.arange(rows) % 2
    for library in LIBRARIES:
        frame = frame_of(library, [(numbers.astype(DTYPES[k][0]), k) for k in kinds])
        frames.as_numbers("X", frame[:2], "float32")
        tracemalloc.start()
        result = frames.as_numbers("X", frame, "float32")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert result.dtype == np.float32
        assert peak < 2 * result.nbytes  # with one column at a time beside it


def test_labels_and_names_are_no_attributes():
    odd = ["type", "cast", "null_count", "layout", "toarray"]
    series = pandas.Series([1.0, 2.0, 0.0, 3.0, 4.0], index=odd, dtype="Float64")
    assert frames.as_numbers("y", series).tolist() == [1.0, 2.0, 0.0, 3.0, 4.0]
    frame = pandas.DataFrame([[True, 1.0, 2, 3, 4]], columns=odd)
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0).build(5)
    assert_array_equal(net.predict(frame), net.predict([[1.0, 1.0, 2.0, 3.0, 4.0]]))


def test_decimals_in_typed_columns_are_numbers():
    column = polars.Series([decimal.Decimal("0.25"), None], dtype=polars.Decimal(9, 2))
    assert_array_equal(frames.as_numbers("y", column), [0.25, np.nan])


def test_categories_of_numbers_are_these_numbers():
    column = pandas.Series([30, 10, 30], dtype="category")
    assert frames.as_numbers("y", column).tolist() == [30, 10, 30]


def test_arrow_tables_and_columns():
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"a": [1, 2], "b": [True, False], "c": [0.5, None]})
    assert_array_equal(frames.as_numbers("X", table), [[1.0, 1.0, 0.5], [2.0, 0.0, np.nan]])
    assert frames.column_names(table) == ("a", "b", "c")
    chunks = pyarrow.chunked_array([[1, None], [3]])
    assert_array_equal(frames.as_numbers("y", chunks), [1.0, np.nan, 3.0])
    assert frames.count_missing(chunks) == 1
    odd = pyarrow.table({"a": [1.0], "s": ["x"]})
    with pytest.raises(TypeError, match="got text in column 's' \\(dtype string\\)"):
        frames.as_numbers("X", odd)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            {"a": [1.0, None], "b": [None, None], "c": [1.0, np.inf]},
            r"^X must be finite in float32, got 4 missing \(NaN\) or infinite value\(s\): "
            r"1 in column 'a', 2 in column 'b', 1 in column 'c'$",
        ),
        (
            {f"x{k}": [np.nan, 1.0] for k in range(7)},
            r"got 7 .*: 1 in column 'x0', .*, 1 in column 'x4' and 2 more$",
        ),
        (
            {"n": [1.0, 2.0], "day": np.array(["2020", "2021"], "M8[s]"), "city": ["a", "b"]},
            r"^X must hold real numbers, got dates or times in column 'day' \(dtype datetime64"
            r".*\), \w+ in column 'city' \(dtype \w+.*\); convert them to numbers$",
        ),
    ],
)  # fmt: skip
def test_errors_name_the_columns(frame, message):
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
    frame = pandas.DataFrame(frame)
    if "b" in frame:
        frame = frame.astype({"a": "Int64", "b": "boolean"})
    with pytest.raises((TypeError, ValueError), match=message):
        net.predict(frame)


def test_missing_values_are_counted_in_every_form():
    for values in (
        pandas.Series(["a", None, float("nan"), pandas.NA, pandas.NaT], dtype=object),
        np.array([None, float("nan"), np.float32("nan"), pandas.NA, "nan", 1], object),
        pandas.Series([1, None, None, None, None], dtype="Int64"),
        pandas.Series([1.0] + [float("nan")] * 4),
        pandas.Series(["a"] + [None] * 4, dtype="category"),
        polars.Series([1.0, None, float("nan"), None, None]),
        polars.Series(["a", None, None, None, None]),
        np.array(["NaT"] * 4 + ["2020"], "M8[s]"),
        np.array(
            [np.datetime64("NaT", "s"), np.timedelta64("NaT", "s"), None, float("nan")], object
        ),
    ):
        held = frames.is_tabular(values)
        count = frames.count_missing if held else missing.count_missing
        assert count(values) == 4, values
