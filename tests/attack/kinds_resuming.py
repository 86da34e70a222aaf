"""Resuming accepts the same run only, and then continues it bit for bit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attack import Probe, bind, kind, must_equal, must_refuse
from available import available

import bpnet
from bpnet.callbacks import ProgressBar

ROWS = 1000
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3))
Y = (X[:, 0] > 0).astype(int)
W = np.linspace(0.5, 1.5, ROWS)
VX, VY = RNG.normal(size=(700, 3)), np.arange(700) % 2


def network(dtype: str = "float32") -> bpnet.Network:
    layers = [bpnet.Dense(3, "tanh"), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=0, dtype=dtype)


def train(path: Any, *, dtype: str = "float32", first: bool = False, **given: Any) -> Any:
    """Train two epochs and write a file, or resume it for a third."""
    settings: dict[str, Any] = {
        "X": X, "y": Y, "batch_size": 500, "epochs": 2 if first else 3, "callbacks": [],
        "validation_data": (VX, VY),
    } | given  # fmt: skip
    settings["callbacks"] = list(settings["callbacks"])
    if first:
        settings["callbacks"] += [bpnet.Checkpoint(path)]
    else:
        settings["resume_from"] = path
    net = network(dtype)
    try:
        return net, net.fit(settings.pop("X"), settings.pop("y"), **settings)
    except ValueError:
        assert not net.is_built, "the network has changed"
        raise


def other(words: tuple[str, ...], before: dict[str, Any], after: dict[str, Any]) -> None:
    """Another run than the file's is refused, in these words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        train(path, first=True, **before)
        must_refuse(lambda: train(path, **after), *words)


def same(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The same run is resumed, and equals the whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        train(path, first=True, **before)
        net, history = train(path, **after)
        whole = network(before.get("dtype", "float32"))
        rest = {"X": X, "y": Y, "batch_size": 500, "validation_data": (VX, VY)} | before
        rest.pop("dtype", None)
        expected = whole.fit(rest.pop("X"), rest.pop("y"), epochs=3, **rest)
        assert dict(history) == dict(expected)
        for p, q in zip(net.parameters, whole.parameters, strict=True):
            for name in p:
                must_equal(net.backend.to_numpy(p[name]), whole.backend.to_numpy(q[name]))


def flipped(values: Any, row: int, column: int | None = None) -> Any:
    """Change one value."""
    changed = values.copy()
    at = row if column is None else (row, column)
    changed[at] = 1 - changed[at]
    return changed


def swapped(values: Any, i: int, j: int) -> Any:
    changed = values.copy()
    changed[[i, j]] = values[[j, i]]
    return changed


def on(backend: str) -> dict[str, Any]:
    """Return the same examples as arrays of a backend."""
    found = bpnet.get_backend(backend)
    return {"X": found.asarray(X, "float64"), "y": found.asarray(Y, "int64")}


class Quiet(bpnet.Callback):
    """Adds a name to the logs."""

    adds = {"extra": "min"}  # noqa: RUF012

    def on_epoch_end(self, training: Any) -> None:
        training.logs["extra"] = 1.0


class Own(bpnet.Callback):
    """Has settings that a resumed run must share."""

    def __init__(self, how: Any) -> None:
        self.how = how

    def settings(self) -> dict[str, Any]:
        return {"how": self.how}


class Stream(bpnet.Loader):
    """Examples of a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(n_rows=40, n_inputs=3, batch_size=20)
        self.seed = seed

    def fingerprint(self) -> list[Any]:
        return [*super().fingerprint(), self.seed]

    def batches(self, epoch: int) -> Iterator[Any]:
        rng = np.random.default_rng([self.seed, epoch])
        for _ in range(2):
            A = rng.normal(size=(20, 3))
            yield A, (A[:, 0] > 0).astype(int)


def stream(seed: int) -> dict[str, Any]:
    return {"X": Stream(seed), "y": None, "batch_size": 32}


def stop(*args: Any, **given: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"callbacks": [bpnet.EarlyStopping(*args, **given)]}


def two(*monitors: str) -> Callable[[], dict[str, Any]]:
    return lambda: {"callbacks": [bpnet.EarlyStopping(m, patience=9) for m in monitors]}


def best(**given: Any) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        path = Path(tempfile.mkdtemp(dir=SCRATCH.name), "best")
        return {"callbacks": [bpnet.Checkpoint(path, **given)]}

    return made


SCRATCH = tempfile.TemporaryDirectory()
nothing = dict
ACCURACY = {"metrics": ["accuracy", "f1"]}

# What is another run: the words of the error, the run before, and the run that resumes it.
Made = Callable[[], dict[str, Any]]
OTHERS: dict[str, tuple[tuple[str, ...], Made, Made]] = {
    "another monitor": (
        ("EarlyStopping", "monitor", "val_loss", "loss"), stop(), stop("loss")),
    "another patience": (("EarlyStopping", "patience", "9", "3"),
                         stop(patience=9), stop(patience=3)),
    "another min_delta": (("EarlyStopping", "min_delta", "0.1"), stop(), stop(min_delta=0.1)),
    "another mode": (("EarlyStopping", "mode", "min", "max"), stop(), stop(mode="max")),
    "no restore_best": (("EarlyStopping", "restore_best"), stop(), stop(restore_best=False)),
    "early stopping is new": (("EarlyStopping",), nothing, stop()),
    "early stopping is missing": (("EarlyStopping",), stop(), nothing),
    "two instead of one": (("EarlyStopping",), two("loss"), two("loss", "loss")),
    "one instead of two": (("EarlyStopping",), two("loss", "loss"), two("loss")),
    "one of two watches another": (
        ("EarlyStopping", "monitor"), two("loss", "val_loss"), two("loss", "val_accuracy")),
    "the best of another metric": (
        ("Checkpoint", "monitor", "val_loss", "val_accuracy"),
        best(best_only=True), best(best_only=True, monitor="val_accuracy")),
    "the best in another direction": (
        ("Checkpoint", "mode", "min", "max"),
        best(best_only=True), best(best_only=True, mode="max")),
    "another sample of the gradients": (
        ("GradientFlow", "rows"), lambda: {"callbacks": [bpnet.GradientFlow(32)]},
        lambda: {"callbacks": [bpnet.GradientFlow(64)]}),
    "the gradients are new": (
        ("GradientFlow",), nothing, lambda: {"callbacks": [bpnet.GradientFlow()]}),
    "a name of the logs is missing": (
        ("extra",), lambda: {"callbacks": [Quiet()]}, nothing),
    "two in the other order": (
        ("EarlyStopping", "monitor"), two("loss", "val_loss"), two("val_loss", "loss")),
    "an own callback of other settings": (
        ("Own", "how", "fast", "slow"), lambda: {"callbacks": [Own("fast")]},
        lambda: {"callbacks": [Own("slow")]}),
    "an own callback is missing": (("Own",), lambda: {"callbacks": [Own(3)]}, nothing),
    "fewer metrics": (("metrics",), lambda: ACCURACY, nothing),
    "more metrics": (("metrics",), nothing, lambda: ACCURACY),
    "no training metrics": (
        ("metrics",), lambda: {"training_metrics": True}, nothing),
    "training metrics": (("metrics",), nothing, lambda: {"training_metrics": True}),
    "no validation": (("validation",), nothing, lambda: {"validation_data": None}),
    "weights": (("training examples",), nothing, lambda: {"sample_weight": W}),
    "no weights": (("training examples",), lambda: {"sample_weight": W}, nothing),
    "no shuffling": (("shuffle",), nothing, lambda: {"shuffle": False}),
    "fewer epochs": (("epochs",), nothing, lambda: {"epochs": 1}),
    "another dtype": (("dtype",), nothing, lambda: {"dtype": "float64"}),
    "another loader": (("training examples",), lambda: stream(0), lambda: stream(1)),
}  # fmt: skip

SAMES: dict[str, tuple[Made, Made]] = {
    "as it was": (nothing, nothing),
    "float32 for float64": (nothing, lambda: {"X": X.astype("f4")}),
    "lists": (nothing, lambda: {"X": X.tolist(), "y": Y.tolist()}),
    "labels of other integers": (nothing, lambda: {"y": Y.astype("int8")}),
    "Fortran order": (nothing, lambda: {"X": np.asfortranarray(X)}),
    "a view of every other row": (nothing, lambda: {"X": np.repeat(X, 2, axis=0)[::2]}),
    "the same weights": (lambda: {"sample_weight": W}, lambda: {"sample_weight": W.copy()}),
    "float64": (lambda: {"dtype": "float64"}, lambda: {"dtype": "float64"}),
    "the mode said": (stop(), stop(mode="min")),
    "two that watch two": (two("loss", "val_loss"), two("loss", "val_loss")),
    "the same own callback": (lambda: {"callbacks": [Own((1, 2))]},
                              lambda: {"callbacks": [Own((1, 2))]}),
    "snapshots and a bar too": (
        nothing, lambda: {"callbacks": [bpnet.Snapshots(), ProgressBar()]}),
    "a checkpoint elsewhere": (nothing, best(every=7)),
    "the best as well": (nothing, best(best_only=True)),
    "the same loader": (lambda: stream(3), lambda: stream(3)),
}  # fmt: skip


def in_precision(before: str, after: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        with bpnet.matmul_precision(before):
            train(path, first=True)
        with bpnet.matmul_precision(after):
            must_refuse(lambda: train(path), "precision", before, after)


def built(before: Made, after: Made, check: Callable[..., None], *words: Any) -> None:
    """Make callbacks anew for each run."""
    check(*words, before(), after())


@kind("resuming")
def resuming(rng: np.random.Generator) -> Iterator[Probe]:
    """Only the same run is resumed: the same examples, settings, callbacks and metrics."""
    for name, (words, before, after) in OTHERS.items():
        yield Probe(f"refused: {name}", bind(built, before, after, other, words))
    for name, (before, after) in SAMES.items():
        yield Probe(f"resumed: {name}", bind(built, before, after, same))
    for row in {1, ROWS - 2, *map(int, rng.integers(0, ROWS, 4))}:
        words = ("training examples",)
        yield Probe(f"label {row} flipped", bind(other, words, {}, {"y": flipped(Y, row)}))
    for row in map(int, rng.integers(0, ROWS, 2)):
        words, column = ("training examples",), int(rng.integers(3))
        changed = {"X": flipped(X, row, column)}
        yield Probe(f"feature {row}, {column} changed", bind(other, words, {}, changed))
        weights = {"sample_weight": W + 0.125 * (np.arange(ROWS) == row)}
        yield Probe(
            f"weight {row} changed {column}", bind(other, words, {"sample_weight": W}, weights)
        )
    for row in map(int, rng.integers(0, 700, 2)):
        validation = {"validation_data": (VX, flipped(VY, row))}
        yield Probe(
            f"validation label {row} flipped {rng.integers(999)}",
            bind(other, ("validation examples",), {}, validation),
        )
    i, j = map(int, rng.permutation(ROWS)[:2])
    yield Probe(
        "two rows swapped",
        bind(other, ("training examples",), {}, {"X": swapped(X, i, j), "y": swapped(Y, i, j)}),
    )
    for backend in available("torch", "jax", "array_api_strict"):
        yield Probe(
            f"the examples on {backend}",
            bind(same, {"backend": "numpy"}, on(backend) | {"backend": "numpy"}),
        )
        yield Probe(
            f"a label on {backend} flipped",
            bind(
                other,
                ("training examples",),
                {},
                on(backend)
                | {"y": bpnet.get_backend(backend).asarray(flipped(Y, 77), "int64")},
            ),
        )
    yield Probe("another precision", lambda: in_precision("highest", "high"))
    yield Probe("the precision again", lambda: in_precision("medium", "highest"))
