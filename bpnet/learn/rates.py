"""The learning rate: from a training run that stalls to one that diverges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bpnet import datasets
from bpnet.common.checks import check_integer, check_sequence
from bpnet.common.keywords import suggests_keywords
from bpnet.common.plurals import number_of
from bpnet.diagnosis.lr_finder import RateTest, find_learning_rate
from bpnet.layers import Dense
from bpnet.learn._arguments import check_positive
from bpnet.learn.lesson import Lesson, compared
from bpnet.network import Network
from bpnet.optimizers import SGD
from bpnet.training.interrupt import uninterrupted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = tuple(float(f"{rate:.1g}") for rate in np.geomspace(1e-4, 100.0, 13))
# A run that lowered its loss by less than a tenth has stalled.
_STALLED = 0.9


class Run(NamedTuple):
    """One run of the sweep.

    The verdict is "diverged" if the final loss is not finite or above the initial loss,
    "stalled" if it is less than a tenth below it, and otherwise "learns".
    """

    losses: list[float]  # by epoch
    loss: float  # after the last epoch, as is `accuracy`
    accuracy: float
    verdict: str


@suggests_keywords
def learning_rate(*, rates: Sequence[float] = RATES, epochs: int = 60, seed: int = 0) -> Lesson:
    """Train the same network with plain gradient descent at a range of learning rates.

    The network (2-32-32-2, tanh) learns a two-armed spiral on the current backend, always with
    the same initial weights and batches.

    Parameters
    ----------
    rates : sequence of float
        Learning rates, increasing; 13 from 0.0001 to 100 by default.
    epochs : int, default 60
        Passes over the 300 examples, in batches of 32.
    seed : int, default 0
        Seed of data, weights and batches.

    Returns
    -------
    Lesson
        Its numbers: "start", the loss before training; "runs", {learning rate: Run}; "test",
        the :class:`bpnet.RateTest` of the same network.
    """
    rates = check_sequence("rates", rates, check_positive, rising=True)
    epochs, seed = check_integer("epochs", epochs, 1), check_integer("seed", seed, 0)
    X, y = datasets.make_spiral(300, seed=seed)
    layers = [Dense(32, "tanh"), Dense(32, "tanh"), Dense(2)]
    net = Network(layers, "categorical_crossentropy", seed=seed).build(2)
    start = net.evaluate(X, y)["loss"]
    runs = {rate: _run(net.replace(), X, y, rate, epochs, start) for rate in rates}
    test = find_learning_rate(net, X, y, optimizer=SGD(), low=1e-4, high=100.0, steps=200)
    head = ("learning rate", f"loss after {number_of(epochs, 'epoch')}", "accuracy", "")
    rows = [
        (f"{rate:g}", f"{run.loss:.4g}", f"{100.0 * run.accuracy:.1f} %", run.verdict)
        for rate, run in runs.items()
    ]
    numbers = {"start": start, "runs": runs, "test": test}
    return Lesson(
        f"Gradient descent at rates from {rates[0]:g} to {rates[-1]:g}: loss before training "
        f"{start:.4f}",
        [head, *rows],
        _reading(runs, test),
        numbers,
        lambda figure: _paint(figure, start, runs, test),
    )


def _run(net: Network, X: Any, y: Any, rate: float, epochs: int, start: float) -> Run:
    with np.errstate(over="ignore", invalid="ignore"):  # the verdict tells of them
        history = uninterrupted(
            net.fit(X, y, optimizer=SGD(rate), epochs=epochs, on_nonfinite="ignore")
        )
        measured = net.evaluate(X, y)
    loss = measured["loss"]
    if not loss <= start:  # NaN is not <= anything
        verdict = "diverged"
    else:
        verdict = "stalled" if loss > _STALLED * start else "learns"
    return Run(history["loss"], loss, measured["accuracy"], verdict)


def _reading(runs: Mapping[float, Run], test: RateTest) -> str:
    """Report where training stalls, learns best and diverges, and the range test."""
    stalled = [rate for rate, run in runs.items() if run.verdict == "stalled"]
    diverged = [rate for rate, run in runs.items() if run.verdict == "diverged"]
    learns = {rate: run for rate, run in runs.items() if run.verdict == "learns"}
    parts = []
    if stalled:
        parts.append(f"stalls at rates up to {max(stalled):g}")
    if learns:
        best = min(learns, key=lambda rate: learns[rate].loss)
        parts.append(
            f"learns best at {best:g}, where the loss falls to {learns[best].loss:.2g}"
        )
    if diverged:
        parts.append(f"diverges at rates from {min(diverged):g} on")
    whole = f"{', '.join(parts[:-1])}, and {parts[-1]}" if parts[1:] else parts[0]
    second = f"The range test, a single short run, suggests {test.suggestion:.2g}"
    if learns:
        second += f", which is {compared(test.suggestion / best)} the best of these rates"
    return f"The same network {whole}. {second}."


def _paint(figure: Figure, start: float, runs: Mapping[float, Run], test: RateTest) -> None:
    from bpnet.plot.style import COLORS, look

    left, right = figure.subplots(1, 2)
    left.axhline(start, color="0.4", linestyle=":", label="before training")
    left.axvline(test.suggestion, color=COLORS[4], linestyle="--", label="range test suggests")
    for k, verdict in enumerate(("stalled", "learns", "diverged")):
        ends = {r: run.loss for r, run in runs.items() if run.verdict == verdict}
        left.plot(
            list(ends), [_drawable(loss, start) for loss in ends.values()],
            **look(k) | {"linestyle": "", "markersize": 7}, label=verdict,
        )  # fmt: skip
    for k, rate in enumerate(_chosen(runs)):
        losses = [_drawable(loss, start) for loss in runs[rate].losses]
        right.plot(range(1, len(losses) + 1), losses, label=f"rate {rate:g}",
                   **look(k, len(losses)))  # fmt: skip
    left.set(xscale="log", yscale="log", xlabel="learning rate", title="After training",
             ylabel="final loss (mean per example)")  # fmt: skip
    right.set(yscale="log", xlabel="epoch", ylabel="loss (mean per example)",
              title="While training")  # fmt: skip
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.legend()


def _drawable(loss: float, start: float) -> float:
    """Clip a loss for the log scale; non-finite losses go to the top."""
    return min(loss, 1e3 * start) if math.isfinite(loss) else 1e3 * start


def _chosen(runs: Mapping[float, Run]) -> list[float]:
    """Choose the curves to show: lowest, middle, best and first diverged rate."""
    rates = list(runs)
    finite = [rate for rate in rates if math.isfinite(runs[rate].loss)] or rates
    best = min(finite, key=lambda rate: runs[rate].loss)
    between = rates[rates.index(best) // 2]
    diverged = [rate for rate in rates if runs[rate].verdict == "diverged"][:1]
    return sorted({rates[0], between, best, *diverged})
