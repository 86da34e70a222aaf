"""scikit-learn's MLPClassifier as a contestant."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.cases import LEARNING_RATE, Case
from benchmarks.timing import Turn


def classifier(case: Case, epochs: int) -> MLPClassifier:
    """Make one that takes just so many epochs."""
    return MLPClassifier(
        case.sizes[1:-1], case.activation, solver=case.optimizer.lower(), alpha=0.0,
        batch_size=case.batch, learning_rate_init=LEARNING_RATE, momentum=0.0,
        nesterovs_momentum=False, max_iter=epochs, tol=0.0, n_iter_no_change=10**9,
        random_state=0,
    )  # fmt: skip


def epoch(case: Case, batches: int) -> Turn:
    X, y = case.examples(case.batch * batches)

    def turn(epochs: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier(case, epochs).fit(X, y)

    return turn


def inference(case: Case) -> Turn:
    X, y = case.examples()
    fitted = classifier(case, 1).partial_fit(X, y, classes=np.arange(case.sizes[-1]))

    def turn(calls: int) -> None:
        for _ in range(calls):
            fitted.predict_proba(X)

    return turn
