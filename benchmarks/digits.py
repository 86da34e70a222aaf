"""Wall time until 97 % of held-out handwritten digits are recognised.

scikit-learn's 1,797 digits, a quarter held out, standardised; a 64-128-10 network with Adam.
All start from their own weights and shuffles, look at the held-out digits after each epoch, and
what they compile for a new network counts.
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
from benchmarks.contest import (
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
    """Standardised digits, float32, and those held out."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any


def measure(options: Options) -> Iterator[list[Row]]:
    """Train with other seeds in each round, in turn."""
    if not has("sklearn"):
        print("digits: needs scikit-learn's digits; install it with: pip install scikit-learn")
        return
    contestants = entrants(options)
    for train in contestants.values():
        train(load(0), 0, 0.0)  # loads libraries
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
        figures = {"seconds": seconds, "epochs": epochs, "accuracy": accuracy}
        rows.append(Row("digits", f"{CASE.name}, to {GOAL:.0%}", name, figures))
    yield rows


def entrants(options: Options) -> dict[str, Callable[[Digits, int, float], tuple[int, float]]]:
    """Give functions of data, seed and goal that train, and give epochs and accuracy."""
    found: dict[str, Any] = {
        f"bpnet {label}": functools.partial(with_bpnet, place)
        for label, place in options.places.items()
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
    """End training when enough of the held-out examples are classified rightly."""

    def __init__(self, goal: float) -> None:
        self.goal = goal

    def on_epoch_end(self, training: Any) -> None:
        if training.logs["val_accuracy"] >= self.goal:
            training.stop("the goal is reached")


def with_bpnet(place: bpnet.Backend, data: Digits, seed: int, goal: float) -> tuple[int, float]:
    history = ours.network(CASE, place, seed).fit(
        data.X, data.y, validation_data=(data.X_test, data.y_test), epochs=LIMIT,
        batch_size=CASE.batch, optimizer=ours.optimizer(CASE), callbacks=[StopAt(goal)],
        backend=place,
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
    """Train epoch by epoch until the goal is reached, or too many were needed."""
    for epochs in range(1, 1 + LIMIT):
        train()
        accuracy = measure()
        if accuracy >= goal:
            return epochs, accuracy
    return LIMIT, accuracy
