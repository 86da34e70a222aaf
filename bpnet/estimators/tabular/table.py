"""Tables as arrays: numbers with gaps, and categories as codes of their levels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.data import frames
from bpnet.data.missing import is_missing

# What a level of a category may be; others, such as dates, are refused.
LEVELS = (str, bytes, bool, int, float)
# A number of these types in an array of objects.
_NUMBERS = (int, float, np.number)


class Levels(NamedTuple):
    """A column of categories.

    Attributes
    ----------
    levels : list
        The different values, each of them once.
    codes : array (m,) of int64
        The position of each value in `levels`; -1 where it is missing.
    """

    levels: list[Any]
    codes: Any


class Table(NamedTuple):
    """The columns of a table, those of numbers before those of categories.

    Attributes
    ----------
    numbers : array (m, p) of float64
        The columns of numbers; a missing one is NaN.
    categories : tuple of Levels
        The columns of categories.
    """

    numbers: Any
    categories: tuple[Levels, ...]

    @property
    def n_rows(self) -> int:
        """Number of rows m."""
        return len(self.numbers)

    def take(self, rows: Any) -> Table:
        """Return some rows, by their numbers."""
        return Table(
            self.numbers[rows],
            tuple(Levels(levels, codes[rows]) for levels, codes in self.categories),
        )


def is_categorical(label: Any, column: Any) -> bool:
    """Return whether a column holds categories: by its dtype, objects by their types.

    Raises
    ------
    TypeError
        If it holds neither numbers nor categories.
    """
    what = _content(column)
    if what == "objects":
        return not _are_numbers(_objects(column))
    if what in ("numbers", "only missing values"):
        return False
    if what not in ("bools", "categories", "text"):
        raise TypeError(
            f"{_named(label)} must hold numbers or categories, got {what} (dtype "
            f"{column.dtype}); convert them to numbers, or leave the column out"
        )
    return True


def numbers_in(label: Any, column: Any) -> Any:
    """Return a column of numbers as float64, with NaN where one is missing.

    Raises
    ------
    TypeError, ValueError
        If it holds something else, or an infinity.
    """
    what = _content(column)
    if what == "only missing values":
        return np.full(len(column), np.nan)
    if what == "objects":
        values = _objects(column)
        if not _are_numbers(values):
            kinds = sorted({type(v).__name__ for v in values if not is_missing(v)})
            raise TypeError(
                f"{_named(label)} must hold numbers, as in fit; got {', '.join(kinds)}"
            )
        array = np.array([np.nan if is_missing(v) else _float(v) for v in values], dtype=float)
    elif isinstance(column, np.ndarray):
        if what not in ("numbers", "bools"):
            raise TypeError(f"{_named(label)} must hold numbers, as in fit; got {what}")
        array = column.astype(np.float64)
    else:
        array = frames.as_numbers(_named(label), column).astype(np.float64)
    if np.isinf(array).any():
        raise ValueError(f"{_named(label)} must not hold infinity (inf); gaps may be NaN")
    return array


def levels_in(label: Any, column: Any) -> Levels:
    """Return a column of categories as codes.

    Raises
    ------
    TypeError
        If a value is neither text, a number nor a bool.
    """
    if hasattr(column, "cat") and hasattr(column.cat, "categories"):  # categories of pandas
        levels = column.cat.categories.tolist()
        codes = np.asarray(column.cat.codes, dtype=np.int64)
    else:
        values = column.tolist() if isinstance(column, np.ndarray) else frames.as_list(column)
        places: dict[Any, int] = {}
        try:
            codes = np.array(
                [places.setdefault(value, len(places)) for value in values], dtype=np.int64
            )
        except TypeError:
            raise TypeError(
                f"{_named(label)} must hold categories, got values that are no single ones"
            ) from None
        levels = list(places)
    return _checked(label, levels, codes)


def _checked(label: Any, levels: Sequence[Any], codes: Any) -> Levels:
    """Return levels of Python's own types, none of them missing."""
    kept = [level for level in levels if not is_missing(level)]
    if len(kept) < len(levels):
        order = itertools.count()
        new = [-1 if is_missing(level) else next(order) for level in levels]
        codes = np.array([*new, -1], dtype=np.int64)[codes]  # -1 stays the last one
    own = [level.item() if isinstance(level, np.generic) else level for level in kept]
    if odd := {type(level).__name__ for level in own if not isinstance(level, LEVELS)}:
        raise TypeError(
            f"{_named(label)} must hold text, numbers or bools as categories, got "
            f"{', '.join(sorted(odd))}; convert them"
        )
    return Levels(own, codes)


def _content(column: Any) -> str:
    """Return what a column of a frame or of an array holds, by its dtype."""
    if not isinstance(column, np.ndarray):
        return frames.content(column)
    kinds = {"b": "bools", "i": "numbers", "u": "numbers", "f": "numbers", "O": "objects"}
    kinds |= {"U": "text", "S": "text", "T": "text", "M": "dates or times", "m": "durations"}
    return kinds.get(column.dtype.kind, "values of another kind")


def _objects(column: Any) -> list[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else frames.as_list(column)


def _are_numbers(values: list[Any]) -> bool:
    """Return whether all objects are numbers, none of them a bool, or missing."""
    return all(
        (isinstance(v, _NUMBERS) and not isinstance(v, bool)) or is_missing(v) for v in values
    )


def _float(number: Any) -> float:
    """Return a number as a float, an infinity if it is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _named(label: Any) -> str:
    return f"column {label!r} of X"
