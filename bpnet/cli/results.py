"""How well a model predicts rows it has not seen, beside a constant prediction.

The intervals are of the percentile bootstrap over the rows (Efron and Tibshirani, "An
introduction to the bootstrap", 1993, chapter 13): the model is fixed, its test rows are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from bpnet.cli.output import number

LEVEL = 0.95
# Resamples, and how many rows all of them may have together.
_RESAMPLES, _MOST_ROWS = 400, 10_000_000
# Smallest probability in the log loss.
_SMALLEST = 1e-15


class Predictions(NamedTuple):
    """What a model says of rows with known targets.

    Attributes
    ----------
    y : array (m,)
        Codes of the classes, or numbers.
    outputs : array (m, n_classes) or (m,)
        Probabilities, or predictions.
    constant : array (n_classes,) or float
        The best constant prediction in training: the shares of the classes, or the mean.
    classes : list or None
        The labels; None for a regression.
    """

    y: Any
    outputs: Any
    constant: Any
    classes: list[Any] | None


class Measured(NamedTuple):
    """A metric of a model with its interval, and of the constant prediction."""

    metric: str
    value: float
    low: float
    high: float
    baseline: float
    better: str


Values = Mapping[str, float]
BETTER = {
    "accuracy": "higher", "balanced accuracy": "higher", "log loss": "lower",
    "ROC AUC": "higher", "RMSE": "lower", "MAE": "lower", "R2": "higher",
}  # fmt: skip


def measured(predictions: Predictions, seed: int = 0) -> list[Measured]:
    """Return the metrics of predictions, with intervals of 95 % by the bootstrap."""
    metrics = _regression if predictions.classes is None else _classification
    y, outputs = predictions.y, predictions.outputs
    constant = np.broadcast_to(predictions.constant, np.shape(outputs))
    values, baseline = metrics(y, outputs), metrics(y, constant)
    rng = np.random.default_rng(seed)
    n = min(_RESAMPLES, max(50, _MOST_ROWS // len(y)))
    draws = []
    for _ in range(n):
        rows = rng.integers(0, len(y), len(y))
        draws.append(metrics(y[rows], outputs[rows]))
    tail = 50.0 * (1.0 - LEVEL)
    found = []
    for name, value in values.items():
        drawn = np.array([draw[name] for draw in draws])
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.percentile(drawn, [tail, 100.0 - tail]) if len(drawn) else (np.nan,) * 2
        found.append(
            Measured(name, value, float(low), float(high), baseline[name], BETTER[name])
        )
    return found


def rows_of(results: list[Measured], head: str = "test") -> list[tuple[str, ...]]:
    """Return the results as a table of words; `head` says what they were measured on."""
    return [
        ("metric", head, "95% interval", "constant prediction"),
        *(
            (one.metric, number(one.value), f"{number(one.low)} to {number(one.high)}",
             number(one.baseline))
            for one in results
        ),
    ]  # fmt: skip


def main_metric(task: str) -> Callable[[Any, Any], float]:
    """Return the loss by which the importance of columns is measured: lower is better."""
    if task == "classification":
        return _log_loss
    return lambda y, predicted: _squared_error(y, predicted) ** 0.5


def _classification(y: Any, p: Any) -> dict[str, float]:
    chosen = np.argmax(p, axis=1)
    right = chosen == y
    counts = np.bincount(y, minlength=p.shape[1])
    recalls = np.bincount(y, right, p.shape[1])[counts > 0] / counts[counts > 0]
    return {
        "accuracy": float(np.mean(right)),
        "balanced accuracy": float(np.mean(recalls)),
        "log loss": _log_loss(y, p),
        "ROC AUC": _auc(y, p, bool((counts > 0).all())),
    }


def _log_loss(y: Any, p: Any) -> float:
    of_truth = np.clip(p[np.arange(len(y)), y], _SMALLEST, 1.0)
    return float(-np.mean(np.log(of_truth)))


def _auc(y: Any, p: Any, has_all: bool) -> float:
    """Return the area under the ROC curve, of several classes the mean of one against the rest.

    It is the share of pairs of rows that are ranked rightly (Hanley and McNeil, "The meaning
    and use of the area under a receiver operating characteristic (ROC) curve", 1982).
    scikit-learn's checks its input for longer than it computes, for each resample.
    """
    if not has_all:
        return float("nan")
    areas = []
    for k in range(1, 2) if p.shape[1] == 2 else range(p.shape[1]):
        is_k = y == k
        n, n_rest = int(is_k.sum()), int((~is_k).sum())
        ranks = rankdata(p[:, k])[is_k]
        areas.append((float(ranks.sum()) - 0.5 * n * (n + 1)) / (n * n_rest))
    return float(np.mean(areas))


def _regression(y: Any, predicted: Any) -> dict[str, float]:
    variance, squared = float(np.var(y)), _squared_error(y, predicted)
    return {
        "RMSE": squared**0.5,
        "MAE": float(np.mean(np.abs(predicted - y))),
        "R2": 1.0 - squared / variance if variance > 0.0 else float("nan"),
    }


def _squared_error(y: Any, predicted: Any) -> float:
    return float(np.mean((predicted - y) ** 2))
