"""The command ``bpnet bench``: which backend trains faster, on this machine and this table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bpnet.backend.registry import available_backends, get_backend
from bpnet.cli import data_files
from bpnet.cli.kernels import slow_kernels
from bpnet.cli.output import Output
from bpnet.cli.plan import Choices, plan_of
from bpnet.common.plurals import number_of
from bpnet.errors import BackendError
from bpnet.estimators import TabularClassifier, TabularRegressor
from bpnet.training.interrupt import uninterrupted
from bpnet.training.loop import Callback, Training

# Rows and columns of the example that takes the place of a table.
_EXAMPLE = (2000, 10)
# Epochs are not compared below this ratio: measurements differ by as much from run to run.
_SAME = 1.1


class Timed(NamedTuple):
    """How fast a backend is: until the first epoch is done, and rows per second after it."""

    backend: str
    first: float
    speed: float


class Clock(Callback):
    """Record when epochs end, and stop after some seconds."""

    adds: Mapping[str, str | None] = {}

    def __init__(self, seconds: float) -> None:
        self.seconds, self.times, self.rows = seconds, [time.perf_counter()], 0

    def on_epoch_end(self, training: Training) -> None:
        """Record the time."""
        self.times.append(time.perf_counter())
        self.rows = training.data.n_rows
        if len(self.times) > 3 and self.times[-1] - self.times[1] > self.seconds:
            training.stop("measured")


def bench(
    data: str | None, target: str | None, backends: list[str] | None, preset: str,
    seconds: float, as_json: bool,
) -> int:  # fmt: skip
    """Measure the training of one network on each backend, and say which to use.

    Returns
    -------
    int
        The exit status: 1 if a backend failed.
    """
    output = Output(as_json)
    specs = [get_backend(spec).spec for spec in backends or _available()]
    X, y, classifies, what = _table(data, target)
    output.say(f"preset {preset} on {what}; {seconds:g} s for each backend\n")
    rows, found, failed = [("backend", "first epoch", "rows/s after it")], [], False
    for spec in specs:
        kind = TabularClassifier if classifies else TabularRegressor
        clock = Clock(seconds)
        model = kind(preset, n_epochs=10_000, random_state=0, backend=spec, callbacks=[clock],
                     validation_fraction=0.0)  # fmt: skip
        try:
            uninterrupted(model.fit(X, y).history_)
        except (BackendError, MemoryError, RuntimeError) as error:
            output.note(f"bpnet bench: {spec}: {error}")
            failed = True
            continue
        steps = np.diff(clock.times).tolist()
        timed = Timed(spec, steps[0], clock.rows / statistics.median(steps[1:]))
        found.append(timed)
        rows.append((spec, f"{timed.first:.2f} s", f"{timed.speed:,.0f}"))
    output.table(rows)
    advice = _advice(found)
    output.say(f"\n{advice}")
    hint = slow_kernels() if any(one.backend == "numpy:cpu" for one in found) else ""
    if hint:
        output.note(f"bpnet bench: {hint}")
    output.document(
        {"backends": [one._asdict() for one in found], "advice": advice, "hint": hint}
    )
    return 1 if failed else 0


def _advice(found: list[Timed]) -> str:
    """Return which backend to use, in words."""
    if not found:
        return "no backend could be measured"
    best = max(found, key=lambda one: one.speed)
    rest = [one for one in found if one is not best]
    near = [one.backend for one in rest if best.speed < _SAME * one.speed]
    if not rest:
        return f"use --backend {best.backend}, the only one that was measured"
    advice = f"use --backend {best.backend}"
    if near:
        return f"{advice}; {', '.join(near)} is about as fast"
    second = max(rest, key=lambda one: one.speed)
    advice += f", {best.speed / second.speed:.1f} times as fast as {second.backend}"
    if best.first > second.first:  # rows after which it has made up for its start
        rows = (best.first - second.first) / (1 / second.speed - 1 / best.speed)
        advice += f"; its slower start is made up after {rows:,.0f} rows, over all epochs"
    return advice


def _available() -> Iterator[str]:
    """Yield the backends that are for speed: array-api-strict is for tests."""
    for name, found in available_backends().items():
        if found.available and name != "array_api_strict":
            yield name


def _table(data: str | None, target: str | None) -> tuple[Any, Any, bool, str]:
    """Return examples, whether they are classified, and what they are in words."""
    if data is not None and target is not None:
        frame = data_files.read(data_files.source_of(data))
        plan = plan_of(frame, Choices(target))
        what = f"{data}: {len(plan.y):,} rows, {number_of(len(plan.features), 'column')}"
        return plan.table, plan.y, plan.task == "classification", what
    rng = np.random.default_rng(0)
    X = rng.standard_normal(_EXAMPLE)
    y = X[:, 0] + X[:, 1] * X[:, 2] > 0.0
    frame = pl.DataFrame({f"x{k}": X[:, k] for k in range(_EXAMPLE[1])})
    return frame, y, True, f"an example of {_EXAMPLE[0]:,} rows, {_EXAMPLE[1]} columns"
