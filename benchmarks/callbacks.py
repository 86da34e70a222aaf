"""Overhead of each callback per epoch, at its default settings."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import bpnet
from benchmarks import ours
from benchmarks.cases import Case
from benchmarks.runner import Column, Options, Row, has, number, race, ratio
from benchmarks.speed import BATCHES
from benchmarks.timing import Turn

NONE = "none"
# Epochs per training run, over which a callback's one-off cost at the start is spread.
EPOCHS = 50

COLUMNS: dict[str, Column] = {
    "/ none": ratio(lambda contestant: NONE),
    "ms per epoch": number("seconds", 1e3),
}

Make = Callable[[], list[bpnet.Callback]]


def measure(options: Options) -> Iterator[list[Row]]:
    """Train the first network with each callback on its own, on each backend."""
    case = options.cases[0]._replace(optimizer="Adam")
    with tempfile.TemporaryDirectory() as folder:
        for label, backend in options.backends.items():
            turns = {
                name: training(case, backend, make) for name, make in entrants(folder).items()
            }
            rows = race("callbacks", f"{case.name}, bpnet {label}", turns, options.rounds)
            for row in rows:
                row.values["seconds"] /= EPOCHS
            yield rows


def entrants(folder: str) -> dict[str, Make]:
    """Return factories that create new callbacks for each training run."""
    makers: dict[str, Make] = {
        NONE: list,
        "one without hooks": lambda: [bpnet.Callback()],
        "EarlyStopping": lambda: [bpnet.EarlyStopping("loss", patience=10**6)],
        "GradientFlow": lambda: [bpnet.GradientFlow()],
        "GradientFlow(every=1)": lambda: [bpnet.GradientFlow(every=1)],
        "Doctor": lambda: [bpnet.Doctor()],
        "Snapshots": lambda: [bpnet.Snapshots()],
    }
    if has("tqdm"):
        makers["ProgressBar"] = lambda: [bpnet.callbacks.progress.ProgressBar()]
    if has("safetensors"):
        path = Path(folder) / "network.safetensors"
        makers["Checkpoint"] = lambda: [bpnet.Checkpoint(path)]
    return makers


def training(case: Case, backend: bpnet.Backend, make: Make) -> Turn:
    """Return a turn that runs whole trainings of ``EPOCHS`` epochs."""
    X, y = case.examples(case.batch * BATCHES)
    net, rule = ours.network(case, backend), ours.optimizer(case)

    def turn(trainings: int) -> None:
        with warnings.catch_warnings():  # the labels are random, which Doctor reports
            warnings.simplefilter("ignore", bpnet.TrainingWarning)
            for _ in range(trainings):
                net.fit(
                    X, y, optimizer=rule, epochs=EPOCHS, batch_size=case.batch,
                    callbacks=make(), backend=backend,
                )  # fmt: skip

    return turn
