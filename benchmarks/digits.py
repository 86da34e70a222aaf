"""Wall time to 97 % accuracy on held-out handwritten digits.

scikit-learn's 1,797 digits, standardized, a quarter held out; a 64-128-10 network with Adam.
Each contestant draws its own weights and shuffles and evaluates the held-out digits after each
epoch. The time to compile a new network counts.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import bpnet
from benchmarks import ours
from benchmarks.cases import Case
from benchmarks.runner import (
    EAGER,
    SKLEARN,
    Column,
    Options,
    Row,
    eager,
    has,
    number,
    ratio,
)

CASE = Case((64, 128, 10), 64, "relu", "Adam")
GOAL, LIMIT = 0.97, 100

COLUMNS: dict[str, Column] = {
    "/ eager": ratio(eager),
    "/ scikit-learn": ratio(lambda contestant: SKLEARN),
    "ms": number("seconds", 1e3, 0),
    "epochs": number("epochs", digits=0),
    "accuracy": number("accuracy", digits=4),
}


class Digits(NamedTuple):
    """Standardized float32 digits, for training and held out."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any


def measure(options: Options) -> Iterator[list[Row]]:
    """Train the contestants in turn, with a new seed each round."""
    if not has("sklearn"):
        print("digits: needs scikit-learn's digits; install it with: pip install scikit-learn")
        return
    contestants = entrants(options)
    for train in contestants.values():
        train(load(0), 0, 0.0)  # imports the libraries
    found: dict[str, list[tuple[float, int, float]]] = {name: [] for name in contestants}
    names = list(contestants)
    for seed in range(options.rounds):
        data, first = load(seed), seed % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            reached = contestants[name](data, seed, GOAL)
            found[name].append((time.perf_counter() - start, *reached))
    rows = []
    for name, results in found.items():
        seconds, epochs, accuracy = map(statistics.median, zip(*results, strict=True))
        values = {"seconds": seconds, "epochs": epochs, "accuracy": accuracy}
        rows.append(Row("digits", f"{CASE.name}, to {GOAL:.0%}", name, values))
    yield rows


def entrants(options: Options) -> dict[str, Callable[[Digits, int, float], tuple[int, float]]]:
    """Return functions of data, seed and goal that train and return epochs and accuracy."""
    found: dict[str, Any] = {
        f"bpnet {label}": functools.partial(with_bpnet, backend)
        for label, backend in options.backends.items()
    }
    if has("torch"):
        found[EAGER] = functools.partial(with_torch, options.device(EAGER))
    return found | {SKLEARN: with_sklearn}


def load(seed: int) -> Digits:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=seed)
    mean, scale = X.mean(axis=0), X.std(axis=0)
    scale[scale == 0.0] = 1.0
    X, X_test = (((Z - mean) / scale).astype(np.float32) for Z in (X, X_test))
    return Digits(X, y, X_test, y_test)


class StopAt(bpnet.Callback):
    """Stop training once the validation accuracy reaches a goal."""

    def __init__(self, goal: float) -> None:
        self.goal = goal

    def on_epoch_end(self, training: Any) -> None:
        if training.logs["val_accuracy"] >= self.goal:
            training.stop("the goal is reached")


def with_bpnet(
    backend: bpnet.Backend, data: Digits, seed: int, goal: float
) -> tuple[int, float]:
    history = ours.network(CASE, backend, seed).fit(
        data.X, data.y, validation_data=(data.X_test, data.y_test), epochs=LIMIT,
        batch_size=CASE.batch, optimizer=ours.optimizer(CASE), callbacks=[StopAt(goal)],
        backend=backend,
    )  # fmt: skip
    return history.epochs, history["val_accuracy"][-1]


def with_torch(device: str, data: Digits, seed: int, goal: float) -> tuple[int, float]:
    import torch

    from benchmarks import torch_peer

    torch.manual_seed(seed)
    net = torch_peer.network(CASE, device, seed)
    rule, loss = torch_peer.optimizer(CASE, net), torch_peer.loss_of(net, None)
    X, y, X_test, y_test = (torch.from_numpy(array).to(device) for array in data)

    def measure() -> float:
        with torch.no_grad():
            return float((net(X_test).argmax(1) == y_test).float().mean())

    return until(goal, lambda: torch_peer.pass_over(X, y, CASE.batch, rule, loss), measure)


def with_sklearn(data: Digits, seed: int, goal: float) -> tuple[int, float]:
    from benchmarks import sklearn_peer

    fitted = sklearn_peer.classifier(CASE, seed)
    return until(
        goal,
        lambda: fitted.partial_fit(data.X, data.y, classes=np.arange(10)),
        lambda: float(fitted.score(data.X_test, data.y_test)),
    )


def until(
    goal: float, train: Callable[[], Any], measure: Callable[[], float]
) -> tuple[int, float]:
    """Train epoch by epoch until the goal, or ``LIMIT`` epochs, is reached."""
    for epochs in range(1, 1 + LIMIT):
        train()
        accuracy = measure()
        if accuracy >= goal:
            return epochs, accuracy
    return LIMIT, accuracy
