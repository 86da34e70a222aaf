"""Columns of a layer's input: some are transformed, the others pass through."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from bpnet.common.checks import check_integer, described


def check_columns(argument: str, columns: Iterable[int]) -> tuple[int, ...]:
    """Return indices >= 0 of columns, at least one and each only once, in ascending order.

    Raises
    ------
    TypeError
        If `columns` is no sequence of integers.
    ValueError
        If it is empty, or an index is negative or occurs twice.
    """
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise TypeError(
            f"{argument} must be integers, the indices of columns; got {described(columns)}"
        )
    checked = sorted(check_integer(argument, column, 0) for column in columns)
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(
            f"{argument} must name one column or more, each only once; got {checked}"
        )
    return tuple(checked)


def others(columns: Sequence[int], n: int) -> list[int]:
    """Return the other ones of n columns."""
    chosen = set(columns)
    return [column for column in range(n) if column not in chosen]


def runs(columns: Sequence[int]) -> list[slice]:
    """Return ascending columns as slices of adjacent ones, whose arrays are views.

    Examples
    --------
    >>> runs([0, 1, 2, 5])
    [slice(0, 3, None), slice(5, 6, None)]
    """
    found = []
    for _, run in itertools.groupby(enumerate(columns), lambda pair: pair[1] - pair[0]):
        adjacent = [column for _, column in run]
        found.append(slice(adjacent[0], adjacent[-1] + 1))
    return found


def check_width(layer: object, columns: Sequence[int], n_inputs: int) -> None:
    """Raise ValueError if an input of this width does not have these columns."""
    if columns[-1] >= n_inputs:
        raise ValueError(
            f"{layer!r} needs column {columns[-1]} of its input, counted from 0; the input has "
            f"{n_inputs} columns"
        )
