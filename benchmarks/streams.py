"""Training on files larger than memory: rate and peak memory beside the same rows in memory.

Each contestant trains for one epoch, in a fresh process, on the same values. The peak is that
of the whole process, with the pages of files that it maps.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bpnet
from benchmarks import fresh_process
from benchmarks.runner import Column, Options, Row, number

ROWS = 20_000_000
GROUP = 100_000  # rows of a block
FEATURES = 50
BATCH = 1024
MEMORY = "in memory"
FORMS = (MEMORY, ".npy", "Parquet")
TARGET = "y"


def _rate(row: Row, others: dict[str, Row]) -> str:
    return f"{row.values['rows'] / row.values['seconds'] / 1e6:.3f}"


def _relative(row: Row, others: dict[str, Row]) -> str:
    return f"{others[MEMORY].values['seconds'] / row.values['seconds']:.2f}"


COLUMNS: dict[str, Column] = {
    "million rows/s": _rate,
    "/ in memory": _relative,
    "seconds": number("seconds", 1.0, 1),
    "CPU seconds": number("cpu", 1.0, 1),
    "peak MB": number("peak", 1e-6, 0),
    "threads left": number("threads", 1.0, 0),
}


def measure(options: Options) -> Iterator[list[Row]]:
    """Measure one epoch on each kind of file."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2e9
        found = {form: _measured(form, folder) for form in FORMS}
    case = f"{ROWS:,} x {FEATURES} float32, {size:.1f} GB, {FEATURES}-64-64-1, batch {BATCH}"
    yield [Row("streams", case, form, values) for form, values in found.items()]


def write(folder: Path) -> None:
    """Write the rows as .npy and as Parquet."""
    import pyarrow
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    names = [f"x{j}" for j in range(FEATURES)]
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", "float32", (ROWS, FEATURES))
    labels = np.empty(ROWS, "int8")
    fields = [(name, pyarrow.float32()) for name in names]
    schema = pyarrow.schema([*fields, (TARGET, pyarrow.int8())])
    file = folder / "data.parquet"
    with parquet.ParquetWriter(file, schema, use_dictionary=False) as writer:  # no repeats
        for start in range(0, ROWS, GROUP):
            some = rng.standard_normal((min(GROUP, ROWS - start), FEATURES), "float32")
            y = (some[:, 0] * some[:, 1] + some[:, 2] > 0).astype("int8")
            rows = slice(start, start + len(some))
            X[rows], labels[rows] = some, y
            writer.write_table(pyarrow.table([*some.T, y], schema=schema), GROUP)
    np.save(folder / "y.npy", labels)


def _measured(form: str, folder: str) -> dict[str, Any]:
    statements = (
        f"from benchmarks import streams\nresult = streams.trained({form!r}, {folder!r})"
    )
    return fresh_process.run(statements)["result"]  # type: ignore[no-any-return]


def trained(form: str, folder: str) -> dict[str, float]:
    """Return the time of an epoch on a form of the data, and the peak of this process."""
    import threading

    dense = [bpnet.Dense(64, "relu"), bpnet.Dense(64, "relu"), bpnet.Dense(1)]
    net = bpnet.Network(dense, "binary_crossentropy", seed=0)
    data = examples(form, Path(folder))
    start, cpu = time.perf_counter(), time.process_time()
    net.fit(*data, batch_size=BATCH, epochs=1, backend="numpy")
    return {
        "rows": len(np.load(Path(folder) / "y.npy", mmap_mode="r")),
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "peak": fresh_process.peak(),
        "threads": threading.active_count() - 1,
    }


def examples(form: str, folder: Path) -> tuple[Any, ...]:
    """Return what is passed to ``fit``."""
    y = np.load(folder / "y.npy")
    if form == MEMORY:
        return np.load(folder / "X.npy"), y
    if form == ".npy":
        X = np.load(folder / "X.npy", mmap_mode="r")
        return (bpnet.streams.Arrays(X, y, block_rows=GROUP),)
    return (bpnet.streams.Parquet(folder / "data.parquet", TARGET),)
