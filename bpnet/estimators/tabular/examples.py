"""The examples of a tabular estimator, and how they are split for validation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bpnet.data.split import first_of_each, split_rows
from bpnet.estimators.tabular.table import Table


class Examples(NamedTuple):
    """Rows of a table with their targets.

    Attributes
    ----------
    table : Table
        The columns.
    y : array (m,) of int64, or (m, n_outputs) of float64
        Codes of the classes, or numbers.
    w : array (m,) or None
        Their weights.
    """

    table: Table
    y: Any
    w: Any

    @property
    def n_rows(self) -> int:
        """Number of examples."""
        return self.table.n_rows

    def take(self, rows: Any) -> Examples:
        """Return some examples, by their numbers."""
        w = None if self.w is None else self.w[rows]
        return Examples(self.table.take(rows), self.y[rows], w)


def held_out(examples: Examples, fraction: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return the numbers of the examples to train on and to validate on, both at random.

    `fraction` of the examples of weight > 0 are held out, rounded down, of each class in
    proportion. As far as their number allows, each class has examples on both sides.
    """

    def draw(rows: Any) -> tuple[Any, Any]:
        order = rows[rng.permutation(len(rows))]
        n = int(fraction * len(rows))
        inside = np.zeros(len(rows), bool)
        inside[:n] = True
        if examples.y.ndim == 1 and n:
            inside = first_of_each(examples.y[order], n)
        return order[~inside], order[inside]

    return split_rows(examples.n_rows, examples.w, draw)


def folds(examples: Examples, n_folds: int, rng: np.random.Generator) -> list[tuple[Any, Any]]:
    """Return as many splits, in each of which another part is held out.

    The parts are random, of about the same size, with the classes in proportion, and with them
    the examples of weight 0, so that no part has only those.

    Raises
    ------
    ValueError
        If fewer examples than `n_folds` have a weight > 0.
    """
    order = rng.permutation(examples.n_rows)
    if examples.y.ndim == 1:
        order = order[np.argsort(examples.y[order], kind="stable")]
    if examples.w is not None:
        is_void = examples.w[order] == 0.0
        if (n := int(np.sum(~is_void))) < n_folds:
            raise ValueError(
                f"sample_weight must be > 0 for at least n_ensemble={n_folds} examples with "
                f"ensemble='bag', for each member to hold out one; got {n}"
            )
        order = order[np.argsort(is_void, kind="stable")]
    part = np.arange(examples.n_rows) % n_folds
    return [
        (rng.permutation(order[part != number]), order[part == number])
        for number in range(n_folds)
    ]
