"""Splits of examples into training and validation, among the rows that count.

Rows of weight 0 stay on the training side, spread over it, so that validation consists of
examples with a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# draw(rows) splits these row numbers into training and validation rows.
Draw = Callable[[Any], tuple[Any, Any]]


def split_rows(n_rows: int, weights: Any, draw: Draw) -> tuple[Any, Any]:
    """Return the row numbers of training and validation examples.

    Parameters
    ----------
    n_rows : int
        Number of examples.
    weights : array (n_rows,) or None
        Their weights, on the host; without weights, every row counts.
    draw : callable
        ``draw(rows)`` splits the rows that count, in ascending order. If those are all rows,
        its result is returned as it is.
    """
    if weights is None or np.all(weights > 0.0):
        return draw(np.arange(n_rows))
    training, held_out = draw(np.flatnonzero(weights > 0.0))
    idle = np.flatnonzero(~(weights > 0.0))
    places = np.linspace(0, len(training), len(idle), endpoint=False).astype(np.int64)
    return np.insert(training, places, idle), held_out


def number_to_hold_out(
    share: float, n_counting: int, n_rows: int, rounded: Callable[[float], int], least: int
) -> int:
    """Return how many of the rows that count to hold out.

    If they are few, at least as many as are needed, `least`, unless `share` is too small even
    if all rows counted.
    """
    return max(rounded(share * n_counting), min(least, rounded(share * n_rows)))


def counted(n_counting: int, n_rows: int) -> str:
    """Return the number of examples for an error, and how many of them count."""
    if n_counting == n_rows:
        return f"{n_rows} examples"
    return f"the {n_counting} examples with a weight > 0 ({n_counting} of {n_rows} examples)"


def first_of_each(classes: Any, total: int) -> Any:
    """Return a mask of `total` rows: the first ones of each class, in proportion.

    Of the fractions that are left, the largest are rounded up (the method of largest
    remainders). As far as `total` allows, each class has a row inside and one outside.

    Parameters
    ----------
    classes : int array (m,)
        The class of each row.
    total : int
        Number of rows to choose, 0 < total < m.
    """
    _, classes, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    due = sizes * total / len(classes)
    chosen = np.floor(due).astype(np.int64)
    fewest, most = np.minimum(1, sizes - 1), np.maximum(sizes - 1, 1)
    if fewest.sum() <= total <= most.sum():
        chosen = np.clip(chosen, fewest, most)
    else:
        fewest, most = np.zeros_like(sizes), sizes
    while (missing := total - chosen.sum()) != 0:
        step = 1 if missing > 0 else -1
        room = chosen < most if step > 0 else chosen > fewest
        k = int(np.argmax(np.where(room, step * (due - chosen), -np.inf)))
        chosen[k] += step
    inside = np.zeros(len(classes), bool)
    for k, number in enumerate(chosen):
        inside[np.flatnonzero(classes == k)[:number]] = True
    return inside
