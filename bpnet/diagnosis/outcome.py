"""What the trained network reaches: its training loss, and the recall of the rarest class."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.backprop import penalty
from bpnet.data.dataset import Dataset
from bpnet.diagnosis.data_profile import DataProfile, in_memory
from bpnet.metrics.classification import Accuracy
from bpnet.training.loop import Training

ROWS = 2000
FEW = 5  # examples of a class that are too few to measure its recall on


def outcome(training: Training, facts: DataProfile) -> dict[str, float]:
    """Return the outcome of a training run, as :class:`DataProfile` describes it."""
    sample = training.sample(ROWS)
    penalties = _penalty(training, sample)
    measured = _evaluate(
        training, sample, {"accuracy": Accuracy()} if facts.class_shares else {}
    )
    measured |= {
        "epoch": float(training.history.best_epoch or training.epoch),
        "loss": measured["loss"] - penalties,
        "penalty": penalties,
    }
    if facts.class_shares and not facts.one_target:
        measured |= _recall(training, sample, int(np.argmin(facts.class_shares)))
    return measured


def _recall(training: Training, sample: Dataset, rare: int) -> dict[str, float]:
    """Measure the recall of a class, of held-out examples if there are enough."""
    data = training.data
    held_out = training.validation and in_memory(training.validation)
    seen = data if isinstance(data, Dataset) else sample
    rows = _rows_of(seen, rare)
    if held_out is not None and len(found := _rows_of(held_out, rare)) >= FEW:
        seen, rows = held_out, found
    if not len(rows):
        return {}
    of_class = seen.take(rows[:ROWS])
    measured = _evaluate(training, of_class, {"accuracy": Accuracy()})
    return {"recall": measured["accuracy"]}


def _rows_of(data: Dataset, of: int) -> Any:
    """Return the examples of a class."""
    y = np.asarray(data.y if data.owner is None else data.owner.to_numpy(data.y))
    if y.ndim == 2:
        y = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0] > 0.5
    return np.flatnonzero(y == of)


def _evaluate(training: Training, data: Dataset, metrics: dict[str, Any]) -> dict[str, float]:
    return training.network.evaluate_data(training.backend, training.parameters, data, metrics)


def _penalty(training: Training, data: Dataset) -> float:
    """Return the share of penalties in the loss of some examples."""
    spec, xp = training.network.spec, training.backend.xp
    return float(penalty(xp, spec, training.parameters, data.total_weight))
