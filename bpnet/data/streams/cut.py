"""Blocks of any size cut into pieces of one."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import numpy as np

from bpnet.data.dataset import Dataset


def cut(parts: Iterable[tuple[Dataset, Any]], rows: int) -> Generator[Dataset, None, None]:
    """Yield so many rows at a time, of host examples one after another.

    Parameters
    ----------
    parts : iterable of (Dataset, int array or None)
        Examples, and the order of their rows; None takes them as they are.
    rows : int
        Rows of each piece; the last may have fewer.
    """
    held: list[Dataset] = []
    missing = rows
    for data, order in parts:
        start = 0
        while start < data.n_rows:
            stop = min(start + missing, data.n_rows)
            chosen = slice(start, stop)
            held.append(_rows(data, chosen if order is None else order[chosen]))
            missing, start = missing - (stop - start), stop
            if not missing:
                yield joined(held)
                held, missing = [], rows
        del data, order  # before the next ones are made
    if held:
        yield joined(held)


def joined(parts: list[Dataset]) -> Dataset:
    """Return host examples one after another."""
    if len(parts) == 1:
        return parts[0]
    X, y, w = (
        None if arrays[0] is None else np.concatenate(arrays)
        for arrays in zip(*(part[:3] for part in parts), strict=True)
    )
    return Dataset(X, y, w, None, parts[0].dtype)


def _rows(data: Dataset, chosen: Any) -> Dataset:
    """Return rows by a slice or by their numbers; NumPy's `take` lets other threads run."""
    X, y, w = (
        a if a is None else a[chosen] if isinstance(chosen, slice) else np.take(a, chosen, 0)
        for a in data[:3]
    )
    return Dataset(X, y, w, None, data.dtype)
