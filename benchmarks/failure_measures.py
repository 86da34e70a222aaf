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
from failing_runs import FAILING, Run, train

import bpnet

HARM = 0.1  # a held-out loss that is worse by this much, relative to the best constant's
GAP, RISE = 0.28, 0.15  # of an overfitted net: over its training loss, and over its own minimum
ACCURACY_GAP = 0.1
LEARNED = 0.3  # a training loss that can be called overfitted
RARE = 9.0  # highly imbalanced: KEEL
RECALLED = 0.5
# Failures of the data, whose sound twin has the same examples without them.
OF_THE_DATA = (
    "unscaled inputs", "unscaled targets", "constant or duplicate features", "tiny_targets",
)  # fmt: skip
FEW = 5  # held-out examples of a class, below which its recall is that of all examples


class Good(NamedTuple):
    """What sound networks reach: the lowest held-out loss, and the training loss there."""

    train: float
    held_out: float


def true_name(run: Run) -> str:
    """Return what ails a run, "healthy", or "harmless: ..." and what was induced."""
    recipe = run.case.recipe
    if recipe in FAILING and is_present(run, recipe):
        return recipe
    if recipe == "tiny_targets" and harms(run):
        return "unscaled targets"
    if diverged(run):
        return "learning rate too high"
    if rare_class_is_missed(run):
        return "class imbalance"
    if run.case.validated and overfits(run):
        return "overfitting"
    if harms(run):
        return cause(run)
    return f"harmless: {recipe}" if recipe in FAILING else "healthy"


def diverged(run: Run) -> bool:
    """Return whether the loss became infinite; early stopping may have kept a sound net."""
    return not np.all(np.isfinite(run.history["loss"]))


def cause(run: Run) -> str:
    """Return why a run does harm, if not as meant: its rate, if a tenth of it does none."""
    rule = run.case.fit["optimizer"]
    slower = rule.replace(learning_rate=slowed(rule.learning_rate))
    slow = train(run.case._replace(fit=run.case.fit | {"optimizer": slower}))
    return "underfitting" if harms(slow) else "learning rate too high"


def slowed(schedule: Any) -> Any:
    """Return a schedule with a tenth of the rates."""
    if isinstance(schedule, bpnet.schedules.WarmUp):
        return schedule.replace(schedule=slowed(schedule.schedule))
    return schedule.replace(learning_rate=0.1 * schedule.learning_rate)


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
    case, (train_loss, held_out) = run.case, final_losses(run)
    of_data = case.recipe in OF_THE_DATA
    good = known_losses(case.name, case.seed % 2) if of_data else good_losses(case.problem)
    if train_loss > good.train + HARM and held_out > good.held_out + HARM:
        return True
    if not of_data or not case.validated:
        return False
    # What was better before is overfitting.
    return min(run.history["val_loss"]) / baseline(case.problem) > good.held_out + HARM


def overfits(run: Run) -> bool:
    """Return whether the final net is worse on held-out examples than in training or before."""
    train_loss, held_out = final_losses(run)
    if not np.isfinite(held_out):
        return False
    val = np.array(run.history["val_loss"]) / baseline(run.case.problem)
    kept = val[(run.history.best_epoch or len(val)) - 1]
    far = train_loss < LEARNED and (
        held_out > train_loss + GAP or accuracy_gap(run) > ACCURACY_GAP
    )
    return bool(far or (kept > val.min() + RISE and train_loss < kept - RISE))


def accuracy_gap(run: Run) -> float:
    """Return by how much fewer held-out examples are classified rightly; 0 for numbers."""
    data = run.case.problem
    if data.y.dtype.kind == "f":
        return 0.0
    seen, new = (
        np.mean(classified(run.net, data, X) == y)
        for X, y in ((data.X, data.y), (data.X_val, data.y_val))
    )
    return float(seen - new)


def classified(net: bpnet.Network, data: Problem, X: Any) -> Any:
    z = net.forward(X)
    return (z[:, 0] > 0.0).astype(int) if data.n_outputs == 1 else z.argmax(axis=1)


def rare_class_is_missed(run: Run) -> bool:
    """Return whether most examples of a rare class are taken for others.

    Held-out ones, if the run has any, and enough of that class. A net that is worse than a
    constant misses classes for another reason.
    """
    data = run.case.problem
    counts = np.bincount(data.y) if data.y.dtype.kind == "i" else np.ones(1)
    if len(counts) < 2 or counts.min() == 0 or counts.min() * RARE >= counts.max():
        return False
    if final_losses(run)[0] > 1.0 + HARM:
        return False
    rare = int(counts.argmin())
    X = data.X[data.y == rare]
    if run.case.validated and np.sum(data.y_val == rare) >= FEW:
        X = data.X_val[data.y_val == rare]
    return bool(np.mean(classified(run.net, data, X) == rare) < RECALLED)


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
            data.X, y, epochs=min(max(data.epochs, 30), 60), optimizer=bpnet.Adam(0.005),
            validation_data=(data.X_val, y_val),
        )  # fmt: skip
        best = int(np.argmin(history["val_loss"]))
        found.append(Good(history["loss"][best] / unit, history["val_loss"][best] / unit))
    return min(found, key=lambda good: good.held_out)
