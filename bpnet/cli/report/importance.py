"""How much a model relies on each column (Breiman, "Random forests", 2001, section 10)."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bpnet.cli.output import number
from bpnet.cli.results import Predictions, main_metric

# Test rows, repetitions and seconds that it may take.
_ROWS, _REPEATS, _SECONDS = 1000, 3, 6.0
# Columns that are shown.
SHOWN = 15


class Importance(NamedTuple):
    """Columns by importance, the most important first.

    Attributes
    ----------
    names : list of str
        The columns.
    means, spreads : array
        Increase of the metric when a column is permuted, and its standard deviation.
    metric : str
        "log loss" or "RMSE".
    skipped : int
        Columns for which there was no time.
    """

    names: list[str]
    means: Any
    spreads: Any
    metric: str
    skipped: int


def importance_of(model: Any, X: Any, predictions: Predictions, task: str) -> Importance:
    """Return how much worse predictions get when a column of the test rows is permuted."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(X.height)[:_ROWS]
    X, y = X[rows], predictions.y[rows]
    metric = main_metric(task)
    base = metric(y, predictions.outputs[rows])
    predict = model.predict_proba if task == "classification" else model.predict
    n, copies = X.height, pl.concat([X] * _REPEATS)
    deadline = time.perf_counter() + _SECONDS
    found: dict[str, Any] = {}
    for name in X.columns:
        if time.perf_counter() > deadline:
            break
        order = np.concatenate([rng.permutation(n) for _ in range(_REPEATS)])
        outputs = predict(copies.with_columns(X[name].gather(order).alias(name)))
        parts = np.split(np.asarray(outputs), _REPEATS)
        found[name] = [metric(y, part) - base for part in parts]
    names = sorted(found, key=lambda name: -float(np.mean(found[name])))
    return Importance(
        names[:SHOWN],
        np.array([np.mean(found[name]) for name in names[:SHOWN]]),
        np.array([np.std(found[name]) for name in names[:SHOWN]]),
        "log loss" if task == "classification" else "RMSE",
        len(X.columns) - len(found),
    )


def share(part: int, whole: int) -> str:
    """Return a share in percent; a small one is not nothing."""
    return "<1%" if 0 < part < 0.01 * whole else f"{part / whole:.0%}"


def profile(values: Any) -> str:
    """Return what a column holds, in a few words: quantiles, or the most frequent levels."""
    known = values.drop_nulls()
    if values.dtype == pl.String:
        counts = known.value_counts(sort=True)
        shown = [
            f"{level[:24]} ({share(count, len(known))})"
            for level, count in counts.head(3).rows()
        ]
        return ", ".join(shown) + (", ..." if counts.height > 3 else "")
    low, middle, high = known.min(), known.median(), known.max()
    return f"{number(low)} to {number(high)}, median {number(middle)}"
