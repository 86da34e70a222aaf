"""What each callback adds to an epoch, at its default settings."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import bpnet
from benchmarks import ours
from benchmarks.cases import Case
from benchmarks.contest import Column, Options, Row, has, number, race, ratio
from benchmarks.speed import BATCHES
from benchmarks.timing import Turn

NONE = "none"
# Epochs of one training: over them what a callback does once, at the start, is spread.
EPOCHS = 50

COLUMNS: dict[str, Column] = {
    "/ none": ratio(lambda contestant: NONE),
    "ms per epoch": number("seconds", 1e3),
}

Make = Callable[[], list[bpnet.Callback]]


def measure(options: Options) -> Iterator[list[Row]]:
    """Train the first of the networks with each callback alone, on each backend."""
    case = options.cases[0]._replace(optimizer="Adam")
    with tempfile.TemporaryDirectory() as folder:
        for label, place in options.places.items():
            turns = {
                name: training(case, place, make) for name, make in entrants(folder).items()
            }
            rows = race("callbacks", f"{case.name}, bpnet {label}", turns, options.rounds)
            for row in rows:
                row.figures["seconds"] /= EPOCHS
            yield rows


def entrants(folder: str) -> dict[str, Make]:
    """Give what makes the callbacks, anew for each training."""
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


def training(case: Case, place: bpnet.Backend, make: Make) -> Turn:
    """Trainings of some epochs."""
    X, y = case.examples(case.batch * BATCHES)
    net, rule = ours.network(case, place), ours.optimizer(case)

    def turn(trainings: int) -> None:
        with warnings.catch_warnings():  # nothing can be learnt here, and Doctor says so
            warnings.simplefilter("ignore", bpnet.TrainingWarning)
            for _ in range(trainings):
                net.fit(
                    X, y, optimizer=rule, epochs=EPOCHS, batch_size=case.batch,
                    callbacks=make(), backend=place,
                )  # fmt: skip

    return turn
