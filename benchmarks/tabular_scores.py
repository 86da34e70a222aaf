"""Normalized scores on tables, their differences with intervals, and ratios of times.

Records are dictionaries with "set", "split", "method", "score", "fit" and "predict" (seconds).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# The unit of normalized scores is the best of these on each set.
FIXED = ("sklearn", "hgb", "lgbm", "pytabkit-td-s", "pytabkit-td")

Record = dict[str, Any]
# By set and split.
Scores = dict[str, dict[int, float]]


def by_method(records: Iterable[Record], field: str = "score") -> dict[str, Scores]:
    """Return one field of all records by method, set and split."""
    found: dict[str, Scores] = {}
    for record in records:
        of_set = found.setdefault(record["method"], {}).setdefault(record["set"], {})
        of_set[record["split"]] = record[field]
    return found


def normalized(scores: dict[str, Scores], fixed: Sequence[str] = FIXED) -> dict[str, Scores]:
    """Return (score - d) / (b - d) for all methods, on the sets that all fixed methods did.

    On each set, d is the mean score of "dummy", and b that of the best fixed method, both over
    the splits that all of these did. So 0 is a constant prediction, and 1 the best of the fixed
    methods' means.
    """
    units = {}
    for name in scores["dummy"]:
        done = [scores.get(method, {}).get(name, {}) for method in ("dummy", *fixed)]
        if shared := sorted(set.intersection(*map(set, done))):
            zero, *others = (statistics.fmean(of[s] for s in shared) for of in done)
            units[name] = (zero, max(others) - zero)
    return {
        method: {name: _scale(of, *units[name]) for name, of in sets.items() if name in units}
        for method, sets in scores.items()
    }


def _scale(of_set: dict[int, float], zero: float, unit: float) -> dict[int, float]:
    return {split: (score - zero) / unit for split, score in of_set.items()}


def differences(ours: Scores, theirs: Scores) -> dict[str, list[float]]:
    """Return ours minus theirs of each set, a number for each split that both did."""
    found = {
        name: [ours[name][s] - theirs[name][s] for s in sorted(ours[name]) if s in theirs[name]]
        for name in ours
        if name in theirs
    }
    return {name: values for name, values in found.items() if values}


def mean(values: dict[str, list[float]]) -> float:
    """Return the mean over the sets of the means over their splits."""
    return statistics.fmean(statistics.fmean(of_set) for of_set in values.values())


def interval(
    values: dict[str, list[float]], resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return a bootstrap interval of `mean`: sets are drawn, and splits of each drawn set.

    The ends are percentiles of the resampled means (Efron and Tibshirani, 1993, chapter 13).
    Paired differences as values make the comparison a paired one.
    """
    draw = np.random.default_rng(seed)
    sets = [np.asarray(of_set) for of_set in values.values()]
    chosen = draw.integers(len(sets), size=(resamples, len(sets)))
    means = np.empty(chosen.shape)
    for index, of_set in enumerate(sets):
        here = chosen == index
        splits = draw.integers(len(of_set), size=(int(here.sum()), len(of_set)))
        means[here] = of_set[splits].mean(axis=1)
    tail = 50 * (1 - level)
    low, high = np.percentile(means.mean(axis=1), (tail, 100 - tail))
    return float(low), float(high)


def wins(ours: Scores, theirs: Scores) -> tuple[int, int]:
    """Return on how many sets ours has the higher mean, and how many sets both did."""
    means = [statistics.fmean(values) for values in differences(ours, theirs).values()]
    return sum(value > 0 for value in means), len(means)


def time_ratio(ours: Scores, theirs: Scores) -> float:
    """Return the geometric mean over the sets of the ratio of median times."""
    ratios = [median(ours[name]) / median(theirs[name]) for name in ours if name in theirs]
    return statistics.geometric_mean(ratios)


def faster(times: Scores, others: Scores) -> Scores:
    """Return the smaller of the two median times, on the sets that both did."""
    return {
        name: {0: min(median(times[name]), median(others[name]))}
        for name in times
        if name in others
    }


def median(of_set: dict[int, float]) -> float:
    """Return the median of a set's values."""
    return statistics.median(of_set.values())
