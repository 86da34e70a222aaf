"""Missing values, and what else arrays of Python objects hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT, or the NA of pandas."""
    if isinstance(value, float | np.floating):
        return bool(value != value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def count_missing(array: Any) -> int:
    """Return the number of missing values in a NumPy array."""
    if array.dtype.kind == "f":
        return int(np.isnan(array).sum())
    if array.dtype.kind in "mM":
        return int(np.isnat(array).sum())
    return sum(map(is_missing, _objects(array)))


def kinds_in(array: Any) -> set[str]:
    """Return the names of the types in an array of objects, without missing values."""
    return {type(value).__name__ for value in _objects(array) if not is_missing(value)}


def contents(array: Any) -> str:
    """Describe an array of objects: the types, and how many values are missing."""
    kinds, missing = sorted(kinds_in(array)), count_missing(array)
    return ", ".join(kinds + ([f"{missing} missing value(s)"] if missing else []))


def _objects(array: Any) -> Iterator[Any]:
    return iter(array.flat if array.dtype.kind == "O" else ())
