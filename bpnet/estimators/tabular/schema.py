"""Which columns a table has, and which of them hold categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from bpnet.common.suggestions import did_you_mean
from bpnet.data import frames
from bpnet.estimators.tabular.table import (
    Table,
    is_categorical,
    levels_in,
    numbers_in,
)


class Schema(NamedTuple):
    """The columns of the table that an estimator was fitted to.

    Attributes
    ----------
    names : tuple of str or None
        Their names; None if the table had none.
    categorical : tuple of bool
        Whether each of them holds categories.
    """

    names: tuple[str, ...] | None
    categorical: tuple[bool, ...]

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return len(self.categorical)

    def read(self, X: Any) -> Table:
        """Return the columns of a table, found by name if they have names.

        Columns of a frame may be in any order, and those that are unknown are ignored.

        Parameters
        ----------
        X : data frame or NumPy array (m, n)
            A table with these columns.

        Raises
        ------
        ValueError, TypeError
            If a column is missing, or holds something else than in `fit`.
        """
        columns = self._columns(X)
        pairs = list(zip(columns, self.categorical, strict=True))
        numbers = [numbers_in(*column) for column, is_category in pairs if not is_category]
        joined = np.stack(numbers, axis=1) if numbers else np.empty((len(X), 0))
        return Table(joined, tuple(levels_in(*column) for column, is_c in pairs if is_c))

    def _columns(self, X: Any) -> list[tuple[Any, Any]]:
        """Return the columns with their names, or their numbers, in the order of `fit`."""
        columns = columns_of(X)
        names = frames.column_names(X) if frames.is_frame(X) else None
        if self.names is None or names is None:
            if len(columns) != self.n_columns:
                raise ValueError(
                    f"X has {len(columns)} features, but the estimator is expecting "
                    f"{self.n_columns} features as input"
                )
            return columns
        if lacking := [name for name in self.names if name not in names]:
            shown = ", ".join(map(repr, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
            raise ValueError(
                f"X must have the columns that the estimator was fitted to; missing: {shown}"
                f"{did_you_mean(lacking[0], names)}"
            )
        counts = Counter(names)
        if twice := [name for name in self.names if counts[name] > 1]:
            raise ValueError(f"X must have one column {twice[0]!r}; got {counts[twice[0]]}")
        found = dict(columns)
        return [(name, found[name]) for name in self.names]


def columns_of(X: Any) -> list[tuple[Any, Any]]:
    """Return the columns of a frame or an array, with their names or numbers."""
    if frames.is_frame(X):
        return frames.columns(X)
    return [(number, X[:, number]) for number in range(X.shape[1])]


def schema_of(X: Any, categorical_features: Any) -> Schema:
    """Return the columns of a table.

    Parameters
    ----------
    X : data frame or NumPy array (m, n)
        The table.
    categorical_features : "auto", or sequence of str, int or bool
        The columns that hold categories: those of which their dtypes say so, and, by names,
        numbers or a mask of all columns, others.

    Raises
    ------
    ValueError, TypeError
        If names are not unique, a column is unknown, or holds neither numbers nor categories.
    """
    columns = columns_of(X)
    names = frames.column_names(X) if frames.is_frame(X) else None
    if twice := [name for name, count in Counter(names or ()).items() if count > 1]:
        raise ValueError(f"X must have columns of different names; got {twice[0]!r} twice")
    labels = [label for label, _ in columns]
    chosen = _chosen(categorical_features, labels)
    return Schema(
        names,
        tuple(n in chosen or is_categorical(*column) for n, column in enumerate(columns)),
    )


def _chosen(categorical_features: Any, labels: list[Any]) -> set[int]:
    """Return the numbers of the columns given by names, numbers or a mask."""
    if isinstance(categorical_features, str) and categorical_features == "auto":
        return set()
    if isinstance(categorical_features, str) or not isinstance(categorical_features, Iterable):
        raise TypeError(
            f"categorical_features must be 'auto' or a sequence of names, numbers or bools; "
            f"got {categorical_features!r}"
        )
    given = np.asarray(list(categorical_features))
    if given.dtype.kind == "b":
        if len(given) != len(labels):
            raise ValueError(
                f"categorical_features must have an entry for each of {len(labels)} columns "
                f"if it is a mask; got {len(given)}"
            )
        return set(np.flatnonzero(given).tolist())
    if given.dtype.kind in "iu" and len(given):
        if given.min() < 0 or given.max() >= len(labels):
            raise ValueError(
                f"categorical_features must have numbers of columns from 0 to "
                f"{len(labels) - 1}; got {given.tolist()}"
            )
        return set(given.tolist())
    places = {label: number for number, label in enumerate(labels)}
    for name in given.tolist():
        if name not in places:
            raise ValueError(
                f"categorical_features must be columns of X; got {name!r}"
                f"{did_you_mean(str(name), map(str, labels))}"
            )
    return {places[name] for name in given.tolist()}
