"""Measure what ails a training run, independently of the diagnosis and of what it reads.

The final network is compared, on all rows and on held-out examples, with sound networks trained
on the same data without the induced failure. Losses are relative to that of the best constant.
An induced failure that does no harm is a row of its own, where the right answer is silence.
Nothing is discarded.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from failing_data import Problem, problem
from failing_runs import FAILING, SOUND, Run

import bpnet

HARM = 0.1  # a held-out loss that is worse by this much, relative to the best constant's
GAP, RISE = 0.4, 0.15  # of an overfitted net: over its training loss, and over its own minimum
LEARNED = 0.3  # a training loss that can be called overfitted
RARE = 9.0  # highly imbalanced: KEEL
RECALLED = 0.5
# What a sound recipe shows that does harm all the same.
IF_HARMFUL = {"tiny_targets": "unscaled targets", "fast": "learning rate too high"}
# Failures of the data, whose sound twin has the same examples without them.
OF_THE_DATA = (
    "unscaled inputs", "unscaled targets", "constant or duplicate features", "tiny_targets",
    "padded",
)  # fmt: skip


class Good(NamedTuple):
    """What sound networks reach: the lowest held-out loss, and the training loss there."""

    train: float
    held_out: float


def true_name(run: Run) -> str:
    """Return what ails a run, "healthy", or "harmless: ..." and what was induced."""
    recipe = run.case.recipe
    if recipe in FAILING and is_present(run, recipe):
        return recipe
    if rare_class_is_missed(run):
        return "class imbalance"
    if run.case.validated and overfits(run):
        return "overfitting"
    if recipe in SOUND:
        return IF_HARMFUL.get(recipe, "underfitting") if harms(run) else "healthy"
    return f"harmless: {recipe}"


def is_present(run: Run, failure: str) -> bool:
    """Return whether an induced failure is there."""
    match failure:
        case "shuffled labels":
            true = problem(run.case.name, run.case.seed % 2).y
            return bool(abs(np.corrcoef(true, run.case.problem.y)[0, 1]) < 0.15)
        case "one class":
            return len(np.unique(run.case.problem.y)) == 1
        case "class imbalance":
            return rare_class_is_missed(run)
        case "overfitting":
            return overfits(run)
        case _:
            return harms(run)


def harms(run: Run) -> bool:
    """Return whether held-out (and training) examples are predicted worse than is possible."""
    case = run.case
    data = problem(case.name, case.seed % 2) if case.recipe in OF_THE_DATA else None
    good = good_losses(case.problem) if data is None else known_losses(case.name, case.seed % 2)
    train, held_out = final_losses(run)
    if case.recipe in OF_THE_DATA:
        if case.validated:  # what rises again is overfitting
            held_out = min(held_out, min(run.history["val_loss"]) / baseline(case.problem))
        return held_out > good.held_out + HARM
    return train > good.train + HARM and held_out > good.held_out + HARM


def overfits(run: Run) -> bool:
    """Return whether the final net is worse on held-out examples than in training or before."""
    train, held_out = final_losses(run)
    if not np.isfinite(held_out):
        return False
    val = np.array(run.history["val_loss"]) / baseline(run.case.problem)
    kept = val[(run.history.best_epoch or len(val)) - 1]
    far = train < LEARNED and held_out > train + GAP
    return bool(far or (kept > val.min() + RISE and train < kept - RISE))


def rare_class_is_missed(run: Run) -> bool:
    """Return whether a rare class is recalled worse than by a net with balanced weights."""
    data = run.case.problem
    counts = np.bincount(data.y) if data.y.dtype.kind == "i" else np.ones(1)
    if len(counts) < 2 or counts.min() * RARE >= counts.max() or not np.any(counts.min()):
        return False
    rare = int(counts.argmin())
    found = recall(run.net, data, rare)
    if found >= RECALLED:
        return False
    w = (1.0 / np.maximum(counts, 1))[data.y] * len(data.y) / len(counts)
    net = bpnet.Network(
        [bpnet.Dense(32, "tanh"), bpnet.Dense(data.n_outputs)], data.loss, seed=0
    )
    net.fit(data.X, data.y, epochs=10, sample_weight=w, optimizer=bpnet.Adam(0.005))
    return recall(net, data, rare) > found + 0.2


def recall(net: bpnet.Network, data: Problem, of: int) -> float:
    """Return the share of a class that is recognized, of the held-out examples."""
    z = net.forward(data.X_val[data.y_val == of])
    named = (z[:, 0] > 0.0).astype(int) if data.n_outputs == 1 else z.argmax(axis=1)
    return float(np.mean(named == of))


def baseline(data: Problem) -> float:
    """Return the loss of the best constant prediction, in closed form."""
    if data.loss == "mean_squared_error":
        return float(np.var(data.y)) or 1.0
    shares = np.bincount(data.y) / len(data.y)
    return float(-np.sum(shares * np.log(np.maximum(shares, 1e-300)))) or 1.0


def final_losses(run: Run) -> tuple[float, float]:
    """Return the training and the held-out loss of the final net, without penalties."""
    data, unit = run.case.problem, baseline(run.case.problem)
    return (
        mean_loss(run.net, data, data.X, data.y) / unit,
        mean_loss(run.net, data, data.X_val, data.y_val) / unit,
    )


def mean_loss(net: bpnet.Network, data: Problem, X: Any, y: Any) -> float:
    with np.errstate(all="ignore"):
        z = net.forward(X)
        y = y if data.loss == "categorical_crossentropy" else y[:, None]
        loss = float(np.mean(net.loss.value(np, y, z)))
    return loss if np.isfinite(loss) else np.inf


@functools.lru_cache(maxsize=128)
def known_losses(name: str, seed: int) -> Good:
    return good_losses(problem(name, seed))


def good_losses(data: Problem) -> Good:
    """Return what the better of a linear and a tanh net reaches at its best epoch."""
    y, y_val = data.y, data.y_val
    if y.dtype.kind == "f":
        mean, deviation = y.mean(), y.std() or 1.0
        y, y_val = (y - mean) / deviation, (y_val - mean) / deviation
    unit = baseline(data._replace(y=y))
    tanh, found = [bpnet.Dense(32, "tanh"), bpnet.Dense(32, "tanh")], []
    for hidden in (tanh, []):
        net = bpnet.Network([*hidden, bpnet.Dense(data.n_outputs)], data.loss, seed=0)
        history = net.fit(
            data.X, y, epochs=min(max(data.epochs, 30), 60), validation_data=(data.X_val, y_val),
            optimizer=bpnet.Adam(0.005),
        )  # fmt: skip
        best = int(np.argmin(history["val_loss"]))
        found.append(Good(history["loss"][best] / unit, history["val_loss"][best] / unit))
    return min(found, key=lambda good: good.held_out)
