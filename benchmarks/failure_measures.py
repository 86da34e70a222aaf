"""Measure whether a training run shows the intended failure, or is healthy.

Independent of `bpnet.diagnose` and of what it reads: on all rows, in NumPy, often compared with
a sound network on the clean data. Candidates without the intended behavior are discarded before
any diagnosis is made.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from failing_runs import RECIPES, Problem, Run, problem

import bpnet


def as_intended(run: Run) -> bool:
    """Return whether a run shows the behavior its recipe intends, failing or healthy."""
    return bool(MEASURES[run.case.failure](run))


def baseline_loss(data: Problem) -> float:
    """Return the loss of the best constant prediction, in closed form."""
    if data.loss == "mean_squared_error":
        return float(np.var(data.y))
    shares = np.bincount(data.y) / len(data.y)
    return float(-np.sum(shares * np.log(np.maximum(shares, 1e-300))))


def final_loss(run: Run) -> float:
    """Return the training data's loss after training, or infinity if it is not finite."""
    data, net = run.case.problem, run.net
    with np.errstate(all="ignore"):
        z = net.forward(data.X)
        y = data.y if data.loss == "categorical_crossentropy" else data.y[:, None]
        loss = float(np.mean(net.loss.value(np, y, z)))
    return loss if np.isfinite(loss) else np.inf


def untrained(run: Run, **replaced: Any) -> bpnet.Network:
    """Return the network before training, or with other initial weights."""
    layers = [
        bpnet.Dense(layer.units, layer.activation, **replaced) if replaced else layer
        for layer in run.case.layers
    ]
    data = run.case.problem
    return bpnet.Network(layers, data.loss, seed=run.case.seed, dtype="float64").build(
        data.X.shape[1]
    )


def error_ratio(net: bpnet.Network, data: Problem) -> float:
    """Return the RMS of the error at the first layer, relative to the last layer's."""
    a, passed = data.X, []
    for layer, p in zip(net.layers, net.parameters, strict=True):
        z = a @ p["W"] + p["b"]
        passed.append((layer.activation.derivative(z), p["W"]))
        a = layer.activation(z)
    delta = first = np.ones_like(a)
    for (_, W), (slope, _) in zip(passed[:0:-1], passed[-2::-1], strict=True):
        delta = (delta @ W.T) * slope
    return float(np.sqrt(np.mean(delta**2) / np.mean(first**2)))


def gradient_norms(net: bpnet.Network, data: Problem) -> Any:
    with np.errstate(all="ignore"):
        _, gradients = net.loss_and_gradients(data.X, data.y)
    return np.array([np.linalg.norm(layer["W"]) for layer in gradients])


def activations(run: Run) -> list[tuple[Any, Any]]:
    """Return each hidden layer's activation and its z, on all training rows."""
    a, found = run.case.problem.X.astype(np.float32), []
    layers = [layer for layer in run.net.layers if isinstance(layer, bpnet.Dense)]
    with np.errstate(all="ignore"):
        for layer, p in zip(layers, run.net.parameters, strict=True):
            z = a @ p["W"] + p["b"]
            found.append((layer.activation, z))
            a = layer.activation(z)
    return found[:-1]


def measures_healthy(run: Run) -> bool:
    """Return whether a run learned, generalizes, and has no useless features.

    The last excludes draws of digits in which rare pixels coincide in all training images.
    """
    if measures_useless(run):
        return False
    data, val = run.case.problem, run.history["val_loss"]
    loss, unit = final_loss(run), baseline_loss(data)
    learned = loss <= max(2.0 * good_loss(run.case.name, run.case.seed), 0.15 * unit)
    return learned and val[-1] <= min(min(val) + 0.1 * unit, loss + 0.25 * unit)


def measures_vanishing(run: Run) -> bool:
    return error_ratio(untrained(run), run.case.problem) < 1e-3 and final_loss(
        run
    ) > 0.7 * baseline_loss(run.case.problem)


def measures_exploding(run: Run) -> bool:
    data = run.case.problem
    drawn = np.max(gradient_norms(untrained(run), data))
    default = np.max(gradient_norms(untrained(run, init=None), data))
    return drawn > 100.0 * default


def measures_dead(run: Run) -> bool:
    return (
        max(
            np.mean(np.all(np.abs(f.derivative(z)) < 1e-3, axis=0)) for f, z in activations(run)
        )
        > 0.5
    )


def measures_saturated(run: Run) -> bool:
    slopes = [f.derivative(z) / f.derivative(np.zeros(1))[0] for f, z in activations(run)]
    return max(np.mean(slope < 0.05) for slope in slopes) > 0.5


def measures_rate_high(run: Run) -> bool:
    good = good_loss(run.case.name, run.case.seed)
    return final_loss(run) > max(3.0 * good, 0.3 * baseline_loss(run.case.problem))


def measures_rate_low(run: Run) -> bool:
    losses = run.history["loss"]
    return (
        losses[-1] > 0.7 * losses[0]
        and good_loss(run.case.name, run.case.seed) < 0.5 * losses[-1]
    )


def measures_symmetric(run: Run) -> bool:
    return all(
        np.ptp(layer["W"], axis=1).max() <= 1e-5 * max(np.abs(layer["W"]).max(), 1e-30)
        for layer in run.net.parameters[:-1]
    )


def measures_overfitting(run: Run) -> bool:
    val = run.history["val_loss"]
    loss, unit = final_loss(run), baseline_loss(run.case.problem)
    gap = (val[-1] - loss) / unit
    return loss < 0.3 * unit and (gap > 0.4 or (gap > 0.2 and val[-1] > 1.3 * min(val)))


def measures_underfitting(run: Run) -> bool:
    loss = final_loss(run)
    return loss > 0.4 * baseline_loss(run.case.problem) and loss > 2.0 * good_loss(
        run.case.name, run.case.seed
    )


def measures_unscaled(run: Run) -> bool:
    loss = final_loss(run)
    worse = loss > max(
        1.5 * good_loss(run.case.name, run.case.seed), 0.1 * baseline_loss(run.case.problem)
    )
    return worse and np.abs(run.case.problem.X).max() > 50.0


def measures_unscaled_targets(run: Run) -> bool:
    y = run.case.problem.y
    relative = final_loss(run) / np.var(y)
    good = good_loss(run.case.name, run.case.seed)
    return relative > max(1.5 * good, 0.1) and np.abs(y).max() > 30.0


def measures_useless(run: Run) -> bool:
    X = run.case.problem.X
    return np.linalg.matrix_rank(X - X.mean(axis=0), tol=1e-6 * len(X)) < X.shape[1]


def measures_shuffled(run: Run) -> bool:
    true, y = problem(run.case.name, run.case.seed).y, run.case.problem.y
    return abs(np.corrcoef(true, y)[0, 1]) < 0.15


def measures_one_class(run: Run) -> bool:
    return len(np.unique(run.case.problem.y)) == 1


def measures_imbalance(run: Run) -> bool:
    counts = np.bincount(run.case.problem.y)
    return counts.max() >= 12 * counts.min()


@functools.lru_cache(maxsize=64)
def good_loss(name: str, seed: int) -> float:
    """Return the training loss that a sound network reaches on the clean data."""
    data = problem(name, seed)
    net = bpnet.Network(
        [bpnet.Dense(32, "tanh"), bpnet.Dense(32, "tanh"), bpnet.Dense(data.n_outputs)],
        data.loss, seed=seed,
    )  # fmt: skip
    net.fit(data.X, data.y, epochs=data.epochs, optimizer=bpnet.Adam(0.01))
    return net.evaluate(data.X, data.y)["loss"]


MEASURES: dict[str, Callable[[Run], Any]] = dict(
    zip(
        RECIPES,
        (
            measures_healthy, measures_vanishing, measures_exploding, measures_dead,
            measures_saturated, measures_rate_high, measures_rate_low, measures_symmetric,
            measures_overfitting, measures_underfitting, measures_unscaled,
            measures_unscaled_targets, measures_useless, measures_shuffled,
            measures_one_class, measures_imbalance,
        ),
        strict=True,
    )
)  # fmt: skip
