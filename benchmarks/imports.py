"""Import time in a fresh process, compared with other libraries."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import fresh_process
from benchmarks.runner import Column, Options, Row, has, number, ratio

MODULES = ("bpnet", "numpy", "sklearn.neural_network", "torch", "jax")

COLUMNS: dict[str, Column] = {
    "/ numpy": ratio(lambda contestant: "numpy"),
    "ms": number("seconds", 1e3, 0),
}


def measure(options: Options) -> Iterator[list[Row]]:
    """Import the modules in turn."""
    modules = [module for module in MODULES if has(module.partition(".")[0])]
    programs = {module: f"import {module}" for module in modules}
    times = fresh_process.medians(programs, options.rounds)
    yield [
        Row("import", "in a fresh process", name, {"seconds": t}) for name, t in times.items()
    ]
