"""Epochs of `fit` beside one compiled program per epoch, and networks after the first."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator

import bpnet
from benchmarks import ours, speed
from benchmarks.cases import Case
from benchmarks.runner import Column, Options, Row, number, race, ratio
from benchmarks.timing import Turn

SCAN = "JAX scan by hand"
# Epochs per training run, over which the fixed cost of a run is spread.
EPOCHS = 50

SCAN_COLUMNS: dict[str, Column] = {
    "/ scan": ratio(lambda contestant: SCAN),
    "ms per epoch": number("seconds", 1e3),
}
FURTHER_COLUMNS: dict[str, Column] = {
    "first fit ms": number("first_fit", 1e3, 1),
    "further fit ms": number("seconds", 1e3, 1),
    "further predict ms": number("predict", 1e3, 1),
}


def scan(options: Options) -> Iterator[list[Row]]:
    """Race `fit` on JAX with a ``jit(lax.scan)`` over the batches, written by hand."""
    found = [backend for backend in options.backends.values() if backend.name == "jax"]
    for backend, case in itertools.product(found, speed.every(options)):
        from benchmarks import jax_peer

        epochs = EPOCHS if case.step_flops < 1e8 else 5
        turns = {
            "bpnet jax": repeated(ours.epoch(case, backend, speed.BATCHES), epochs),
            SCAN: repeated(jax_peer.scan(case, backend.device, speed.BATCHES), epochs),
        }
        rows = race("scan", f"{case.name}, {epochs} epochs", turns, options.rounds)
        for row in rows:
            row.values["seconds"] /= epochs
        yield rows


def repeated(turn: Turn, epochs: int) -> Turn:
    """Return a turn whose every step is so many epochs."""

    def turns(steps: int) -> None:
        for _ in range(steps):
            turn(epochs)

    return turns


def further(options: Options) -> Iterator[list[Row]]:
    """Time the first `fit` and `predict` of networks of one architecture, one after another.

    Only seeds and learning rates differ, as in a grid search.
    """
    for case in dict.fromkeys(case._replace(optimizer="Adam") for case in options.cases):
        rows = []
        for label, backend in options.backends.items():
            fits, predictions = zip(
                *(first_calls(case, backend, seed) for seed in range(1 + options.rounds)),
                strict=True,
            )
            values = {
                "seconds": statistics.median(fits[1:]),
                "first_fit": fits[0],
                "predict": statistics.median(predictions[1:]),
            }
            rows.append(Row("further", case.name, f"bpnet {label}", values))
        yield rows


def first_calls(case: Case, backend: bpnet.Backend, seed: int) -> tuple[float, float]:
    """Return the seconds of the first `fit` of one epoch and the first `predict`."""
    net, (X, y) = ours.network(case, backend, seed), case.examples(2 * case.batch)
    rule = bpnet.Adam(1e-3 * (1 + seed))
    times = [time.perf_counter()]
    net.fit(X, y, optimizer=rule, epochs=1, batch_size=case.batch, backend=backend)
    times.append(time.perf_counter())
    net.predict(X)
    times.append(time.perf_counter())
    return times[1] - times[0], times[2] - times[1]
