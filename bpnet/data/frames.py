"""Data frames and their columns as arrays, column by column.

pandas, polars and PyArrow are known by what their classes define, and never imported. NumPy
itself would make an object of each number where bools or nullable columns stand beside floats,
and read some dates as numbers.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bpnet.data import missing

# The dtypes of numbers in the three libraries, and what NumPy calls them if otherwise.
_NUMBER = re.compile(
    r"(?:sparse\[)?(u?int(?:8|16|32|64)\b|float(?:16|32|64)\b|"
    r"u?int128|float\b|double|halffloat|bool|decimal)"
)
_DISCRETE = re.compile(r"(?:u?int(?:8|16|32|64)|bool(?:ean)?)(?:\[pyarrow\])?")
_NUMPY_NAMES = {
    "float": "float32", "double": "float64", "halffloat": "float16", "decimal": "float64",
    "int128": "float64", "uint128": "float64",
}  # fmt: skip
# What else columns hold, by the names of their dtypes, and what helps.
_KINDS = (
    (r"categor|dictionary|enum", "categories", "encode them as numbers"),
    (r"(large_)?str|utf8", "text", "encode text as numbers, labels as 0, 1, ..."),
    (r"timedelta|duration", "durations", "convert them to numbers, such as seconds"),
    (r"datetime|timestamp|date|time", "dates or times", "convert them to numbers"),
    (r"period", "periods", "convert them to numbers"),
    (r".*interval", "intervals", "convert them to numbers"),
    (r"complex", "complex numbers", "pass real and imaginary parts as columns"),
    (r".*list|array|struct|map", "nested values", "pass each of them as a column"),
    (r"null", "only missing values", "leave them out"),
    (r"object", "objects", "if all of them are numbers, convert them to float"),
    (r"", "values of another kind", "convert them to numbers"),
)
TIMES = ("dates or times", "durations", "periods")
# Columns and rows that become a part of an array at a time, in whole lines of the cache: a
# quarter of the time that column by column takes.
_TOGETHER, _ROWS = 16, 2048
# So many columns are listed in an error.
_LISTED = 5


class _Reader(NamedTuple):
    """How to read a frame: the names of its columns, their dtypes, and the columns."""

    names: Callable[[Any], Iterable[Any]]
    dtypes: Callable[[Any], Iterable[Any]]
    columns: Callable[[Any], Iterable[Any]]


_PANDAS = _Reader(
    lambda frame: frame.columns,
    lambda frame: frame.dtypes,
    lambda frame: (column for _, column in frame.items()),
)
_POLARS = _Reader(
    lambda frame: frame.columns, lambda frame: frame.dtypes, lambda frame: frame.get_columns()
)
_ARROW = _Reader(
    lambda table: table.schema.names,
    lambda table: table.schema.types,
    lambda table: table.columns,
)
_COLUMN = _Reader(
    lambda column: (None,), lambda column: (_dtype(column),), lambda column: (column,)
)


def _reader(value: Any) -> _Reader | None:
    """Return how to read a frame or a column; None for anything else."""
    kind: Any = type(value)
    return _reader_of(kind)


@functools.lru_cache(maxsize=256)
def _reader_of(kind: Any) -> _Reader | None:

    def has(*names: str) -> bool:  # the class, as a column may have any name
        return all(hasattr(kind, name) for name in names)

    if has("iloc", "columns"):
        return _PANDAS
    if has("get_columns", "schema"):
        return _POLARS
    if has("columns", "schema", "num_columns"):
        return _ARROW
    if has("dtype", "isna") or has("dtype", "null_count") or has("type", "null_count"):
        return _COLUMN
    return None


def is_frame(value: Any) -> bool:
    """Return whether a value is a data frame, and not a single column."""
    return _reader(value) not in (None, _COLUMN)


def is_tabular(value: Any) -> bool:
    """Return whether a value is a data frame or a column."""
    return _reader(value) is not None


def column_names(value: Any) -> tuple[str, ...] | None:
    """Return the names of a frame's columns if all are strings; else None."""
    reader = _reader(value)
    if reader is None:
        return None
    names = tuple(reader.names(value))
    return tuple(map(str, names)) if names and all(map(_is_text, names)) else None


def check_names(
    name: str, value: Any, expected: tuple[str, ...] | None, *, remembered: bool = True
) -> None:
    """Reject a frame whose columns are named otherwise, or ordered otherwise, than expected.

    What has no names passes, and so does everything if no names are expected. The error shows
    how to order them: as the network has `remembered`, or else one by one.
    """
    if expected is None or (names := column_names(value)) in (None, expected):
        return
    lacking, unknown = _without(expected, names), _without(names, expected)
    if lacking or unknown:
        parts = (("missing", lacking), ("unexpected", unknown))
        what = "; ".join(f"{kind} {_listed(list(map(repr, n)))}" for kind, n in parts if n)
    else:
        what = f"got the order {_listed(list(map(repr, names)))}"
    way = "To start anew with other features, call net.build(n_inputs)"
    if not lacking and len(set(names)) == len(names):
        way = f"Pass the columns {_listed(list(map(repr, expected)))}, in this order"
        way = "Pass X[list(net.feature_names)]" if remembered else way
    raise ValueError(
        f"{name} must have the features that the network was fitted on, in their order; "
        f"{what}. {way}"
    )


def as_numbers(name: str, value: Any, dtype: str | None = None) -> Any:
    """Return a frame or a column as a NumPy array.

    The values take the common dtype of the columns, as in NumPy, and then `dtype`, if given.
    Missing ones become NaN.

    Raises
    ------
    TypeError
        If a column holds something else than numbers; the error names it.
    """
    reader = _reader(value)
    assert reader is not None
    if _is_uniform(reader, value):
        return np.asarray(value)  # much faster than column by column
    refuse_odd(name, value)
    if reader is _COLUMN:
        return _numbers(value)
    columns = list(reader.columns(value))
    common = np.result_type(*map(_dtype_of_numbers, columns)) if columns else np.dtype(float)
    array = np.empty(value.shape, dtype or common)
    with np.errstate(over="ignore"):  # an overflow shows as an infinity
        for start in range(0, len(columns), _TOGETHER):
            some = [_numbers(column) for column in columns[start : start + _TOGETHER]]
            for row in range(0, len(array), _ROWS):
                rows = slice(row, row + _ROWS)
                part = np.stack([c[rows] for c in some], 1, dtype=common, casting="unsafe")
                array[rows, start : start + _TOGETHER] = part
    return array


def columns(frame: Any) -> list[tuple[Any, Any]]:
    """Return the columns of a frame with their names."""
    reader = _reader(frame)
    assert reader is not None
    return list(zip(reader.names(frame), reader.columns(frame), strict=True))


def content(column: Any) -> str:
    """Return what a column of a frame holds by its dtype.

    "numbers", "bools", "categories", "text", "objects", "only missing values", or something
    that is neither a number nor a category, such as "dates or times".
    """
    dtype = _dtype(column)
    text = str(dtype).lower()
    if text.startswith("bool"):
        return "bools"
    if _number(dtype) is not None and not re.match(_KINDS[0][0], text):
        return "numbers"
    return next(what for start, what, _ in _KINDS if re.match(start, text))


def as_list(column: Any) -> list[Any]:
    """Return the values of a column as Python objects."""
    for method in ("to_list", "to_pylist"):
        if _has(column, method):
            return list(getattr(column, method)())
    return list(np.asarray(column, object))


def refuse_odd(name: str, value: Any, kinds: tuple[str, ...] | None = None) -> None:
    """Reject a frame or column of other values than numbers, or of some `kinds` of them."""
    if (reader := _reader(value)) is None:
        return
    found = [odd for odd in _odd_columns(reader, value) if kinds is None or odd[0] in kinds]
    if found:
        listed = _listed([f"{what}{where}" for what, where, _ in found])
        raise TypeError(f"{name} must hold real numbers, got {listed}; {found[0][2]}")


def as_discrete(value: Any) -> Any | None:
    """Return a frame or column of nullable integers or bools, without gaps, as an array.

    None for other ones. NumPy reads their extension dtypes of pandas as floats or objects.
    """
    reader = _reader(value)
    assert reader is not None
    dtypes = list(reader.dtypes(value))
    names = [str(dtype).lower() for dtype in dtypes if not isinstance(dtype, np.dtype)]
    if not names or len(names) < len(dtypes) or not all(map(_DISCRETE.fullmatch, names)):
        return None
    return None if count_missing(value) else as_numbers("labels", value)


def not_finite(value: Any, array: Any) -> str:
    """Describe the values of a frame or column that are not finite in its array."""
    reader = _reader(value)
    assert reader is not None
    bad = np.reshape(~np.isfinite(array), (array.shape[0], -1)).sum(axis=0)
    total = f"{int(bad.sum())} missing (NaN) or infinite value(s)"
    counts = zip(reader.names(value), bad, strict=True)
    places = [f"{n} in column {label!r}" for label, n in counts if n and label is not None]
    return f"{total}: {_listed(places)}" if places else total


def count_missing(value: Any) -> int:
    """Return the number of None, NaN, NaT and NA in a frame or column."""
    reader = _reader(value)
    assert reader is not None
    return sum(_count_missing(column) for column in reader.columns(value))


# --- columns ------------------------------------------------------------------------------


def _without(names: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    """Return the names that the others lack, those given twice also if they have it once."""
    return list((Counter(names) - Counter(others)).elements())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _listed(texts: list[str]) -> str:
    more = len(texts) - _LISTED
    return ", ".join(texts[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _is_uniform(reader: _Reader, frame: Any) -> bool:
    """Whether NumPy reads a frame of numbers as a whole, in the common dtype."""
    kinds = set(reader.dtypes(frame)) if reader in (_PANDAS, _POLARS) else set()
    if reader is _PANDAS and all(isinstance(k, np.dtype) and k.kind in "iuf" for k in kinds):
        return bool(kinds)
    if len(kinds) != 1:
        return False
    (kind,) = kinds
    if isinstance(kind, np.dtype):
        return kind.kind in "biuf"
    return reader is _POLARS and bool(re.fullmatch(r"(U?Int|Float)(8|16|32|64)", str(kind)))


def _odd_columns(reader: _Reader, value: Any) -> Iterator[tuple[str, str, str]]:
    """Yield what columns hold that is no number, where, and what helps."""
    pairs = zip(reader.names(value), reader.dtypes(value), strict=True)
    for number, (label, dtype) in enumerate(pairs):
        if _number(dtype) is None:
            text, where = str(dtype).lower(), f"dtype {dtype}"
            if text == "object":
                column = next(c for k, c in enumerate(reader.columns(value)) if k == number)
                objects = np.asarray(column, object)
                where += f": {missing.contents(objects)}"
                text = "str" if missing.kinds_in(objects) == {"str"} else text
            what, hint = next((w, h) for start, w, h in _KINDS if re.match(start, text))
            place = "" if label is None else f" in column {label!r}"
            yield what, f"{place} ({where})", hint


def _has(column: Any, name: str) -> bool:
    """Whether a column has an attribute by its class, and not as the label of a value."""
    return hasattr(type(column), name)


def _dtype(column: Any) -> Any:
    return column.type if _has(column, "type") else column.dtype


def _number(dtype: Any) -> np.dtype[Any] | None:
    """Return what NumPy calls the dtype of a column of numbers; None for other columns."""
    categories = getattr(getattr(dtype, "categories", None), "dtype", None)
    kind = categories if isinstance(categories, np.dtype) else dtype
    if isinstance(kind, np.dtype):
        return kind if kind.kind in "biuf" else None
    found = _NUMBER.match(str(dtype).lower())
    return np.dtype(_NUMPY_NAMES.get(found[1], found[1])) if found else None


def _dtype_of_numbers(column: Any) -> np.dtype[Any]:
    """Return the dtype of a column of numbers as an array, where missing ones are NaN."""
    kind = _number(_dtype(column))
    assert kind is not None
    return kind if kind.kind == "f" or not _n_null(column) else np.dtype(float)


def _n_null(column: Any) -> int:
    """Return the number of missing values, in polars and PyArrow without NaN."""
    if isinstance(_dtype(column), np.dtype):
        return 0  # a float is NaN, an integer never missing
    if not _has(column, "null_count"):
        return int(column.isna().sum())
    count = column.null_count
    return int(count() if callable(count) else count)


def _numbers(column: Any) -> Any:
    """Return a column of numbers as an array; missing ones are NaN."""
    dtype, has_gaps = _dtype(column), _n_null(column) > 0
    if _has(column, "cast"):  # polars and PyArrow
        if has_gaps or re.match("decimal|u?int128", str(dtype).lower()):
            column = column.cast("float64" if _has(column, "type") else float)
        return np.asarray(column)
    kind = _dtype_of_numbers(column)
    if has_gaps and hasattr(dtype, "numpy_dtype"):  # a nullable dtype of pandas
        return column.to_numpy(kind, na_value=np.nan)
    return np.asarray(column, kind)


def _count_missing(column: Any) -> int:
    kind = _number(_dtype(column))
    if kind is not None and kind.kind == "f":
        return missing.count_missing(_numbers(column))
    if isinstance(_dtype(column), np.dtype):
        return missing.count_missing(np.asarray(column))
    return _n_null(column)
