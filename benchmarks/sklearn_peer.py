"""scikit-learn's MLPClassifier as a contestant.

For two classes it has one output where the others have two, which is slightly less work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.cases import LEARNING_RATE, Case
from benchmarks.timing import Turn, calls_of


def classifier(case: Case, seed: int = 0) -> MLPClassifier:
    """Return a classifier that runs exactly the given epochs, without a penalty."""
    return MLPClassifier(
        case.sizes[1:-1], case.activation, solver=case.optimizer.lower(), alpha=0.0,
        batch_size=case.batch, learning_rate_init=LEARNING_RATE, momentum=0.0,
        nesterovs_momentum=False, tol=0.0, n_iter_no_change=10**9, random_state=seed,
        warm_start=True,
    )  # fmt: skip


def epoch(case: Case, device: str, batches: int) -> Turn:
    """Return a turn of epochs of `fit`, with shuffling and warm starts, as for the others."""
    X, y = case.examples(case.batch * batches)
    fitted = classifier(case)

    def turn(epochs: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.set_params(max_iter=epochs).fit(X, y)

    return turn


def inference(case: Case, device: str) -> Turn:
    """Return a turn of predictions for one batch."""
    return calls_of(predictor(case, device), case.examples()[0])


def predictor(case: Case, device: str, dtype: str = "float32") -> Callable[[Any], Any]:
    """Return a function of rows that returns probabilities, computed in a dtype."""
    X, y = case.examples()
    fitted = classifier(case).partial_fit(X.astype(dtype), y, classes=np.arange(case.sizes[-1]))
    return fitted.predict_proba  # type: ignore[no-any-return]
