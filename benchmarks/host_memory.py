"""Memory that large host data takes beside itself, on NumPy.

Each call runs in a fresh process, after the same call on a few rows. What counts is how far the
peak exceeds the memory in use before, relative to X; a memory map takes none before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bpnet
from benchmarks import fresh_process
from benchmarks.runner import Column, Options, Row, number

SHAPE = (50_000, 800)
BATCH = 256
FORMS = ("float32", "float64", "float32 columns", "float64 columns", "uint8", "float32 map",
         "float64 map")  # fmt: skip
CALLS = ("fit", "predict", "evaluate")

COLUMNS: dict[str, Column] = {
    "/ X": lambda row, others: f"{row.values['bytes'] / row.values['X']:.2f}",
    "MB": number("bytes", 1e-6, 1),
    "X MB": number("X", 1e-6, 1),
}


def measure(options: Options) -> Iterator[list[Row]]:
    """Measure each call on features in each form."""
    for call in CALLS:
        found = {form: _measured(call, form) for form in FORMS}
        case = f"{call}, X of {SHAPE[0]:,} x {SHAPE[1]}"
        yield [Row("host", case, form, values) for form, values in found.items()]


def _measured(call: str, form: str) -> dict[str, Any]:
    statements = (
        f"from benchmarks import host_memory\n"
        f"result = host_memory.extra({call!r}, {form!r}, {SHAPE!r})"
    )
    return fresh_process.run(statements)["result"]  # type: ignore[no-any-return]


def extra(call: str, form: str, shape: tuple[int, int]) -> dict[str, int]:
    """Return the bytes that a call adds to the peak of this process, and those of X."""
    layers = [bpnet.Dense(8, "relu"), bpnet.Dense(3)]
    net = bpnet.Network(layers, "categorical_crossentropy", seed=0).build(shape[1], "numpy")
    y = np.arange(shape[0]) % 3
    with tempfile.TemporaryDirectory() as folder:
        X = features(form, shape, Path(folder) / "X.npy")
        few = np.array(X[: 2 * BATCH], "float32")
        for examples in (few, X):
            before = fresh_process.resident()
            fresh_process.reset_peak()
            if call == "predict":
                net.predict(examples)
            elif call == "evaluate":
                net.evaluate(examples, y[: len(examples)])
            else:
                net.fit(examples, y[: len(examples)], epochs=2, batch_size=BATCH)
    return {"bytes": fresh_process.peak() - before, "X": X.nbytes}


def features(form: str, shape: tuple[int, int], path: Path) -> Any:
    """Return features of a dtype, in rows or columns, in memory or mapped from a file."""
    dtype, _, layout = form.partition(" ")
    if layout == "map":
        X = np.lib.format.open_memmap(path, "w+", dtype, shape)
    else:
        X = np.empty(shape, dtype, order="F" if layout else "C")
    rng = np.random.default_rng(0)
    for start in range(0, shape[0], 1000):
        rows = X[start : start + 1000]
        rows[...] = 9.0 * rng.random(rows.shape)
    if layout == "map":
        del X, rows
        return np.load(path, mmap_mode="r")
    return X
