"""Benchmark bpnet against its peers in one process.

The contestants take turns, so other load on the machine affects all of them alike; compare
ratios of medians, not times. Sections that need a fresh process (import, first, memory, host,
shared, streams) start one for each measurement.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SECTIONS = {
    "step": "speed.step",
    "epoch": "speed.epoch",
    "inference": "speed.inference",
    "scan": "whole_epochs.scan",
    "further": "whole_epochs.further",
    "latency": "latency.measure",
    "requests": "requests.measure",
    "scaling": "scaling.measure",
    "shared": "shared.measure",
    "callbacks": "callbacks.measure",
    "digits": "digits.measure",
    "import": "imports.measure",
    "first": "cold_start.measure",
    "memory": "memory.measure",
    "host": "host_memory.measure",
    "streams": "streams.measure",
    "sparse": "estimators.sparse",
    "regressor": "estimators.regressor",
}
# Only by name: they write many GB.
LARGE = {"streams"}
NETWORKS = ("small", "middle", "large")
BACKENDS = ("numpy", "torch", "jax", "cupy")
PACKAGES = (
    "array-api-compat", "torch", "jax", "scikit-learn", "cupy-cuda12x", "cupy-cuda13x",
    "nvmath-python", "cuda-bindings", "nvidia-cublas", "nvidia-cublas-cu12",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen sections, print their tables, and write the requested files."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"unknown section {', '.join(unknown)}; choose from {', '.join(SECTIONS)}")
    if options.results:
        measured = json.loads(options.results.read_text())
        _write(measured, options.json)
    else:
        _pin(options.threads)
        measured = _measure(parser, options)
    if options.plot:
        _plot(measured["rows"], options.plot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    named = f"{', '.join(SECTIONS)}; default all but {', '.join(LARGE)}"
    add("sections", nargs="*", metavar="SECTION", help=named)
    add("--networks", nargs="+", choices=("tiny", *NETWORKS), default=NETWORKS)
    add("--backends", nargs="+", metavar="SPEC", help="such as numpy torch:cuda:0; default: "
        f"the available ones of {', '.join(BACKENDS)}, each on its best device")  # fmt: skip
    add("--rounds", type=int, default=15, help="turns per contestant")
    add("--threads", type=int, default=os.cpu_count())
    add("--compiled", action="store_true", help="also measure torch.compile")
    add("--json", type=Path, help="file to write the results to")
    add("--plot", type=Path, metavar="FOLDER", help="folder for plots of ratios and scaling")
    add("--from", dest="results", type=Path, metavar="JSON",
        help="read the results from this file instead of measuring")  # fmt: skip
    return parser


def _pin(threads: int) -> None:
    """Set the variables that libraries read on import: thread counts, and no TF32."""
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"


def _measure(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, Any]:
    import bpnet
    from benchmarks import cases, hardware, machine, runner
    from bpnet.common.tables import align

    try:
        backends = _backends(options.backends)
    except bpnet.BackendError as error:
        parser.error(f"argument --backends: {error}")
    networks = (case for group in options.networks for case in cases.GROUPS[group])
    wanted = runner.Options(tuple(networks), backends, options.rounds, options.compiled)

    about = machine.facts(*PACKAGES) | {"threads": str(options.threads)}
    about["backends"] = ", ".join(backend.spec for backend in backends.values())
    for device in {
        backend.device.partition(":")[0]: backend.device for backend in backends.values()
    }:
        about[f"peak of {device}"] = str(hardware.peak(device, backends))
    print("\n".join(f"{name}: {value}" for name, value in about.items()), end="\n\n")

    rows = []
    for name in options.sections or [n for n in SECTIONS if n not in LARGE]:
        module, _, function = SECTIONS[name].partition(".")
        section: Any = importlib.import_module(f"benchmarks.{module}")
        columns = getattr(section, f"{function.upper()}_COLUMNS", None) or section.COLUMNS
        for found in getattr(section, function)(wanted):
            print(f"{name}: {found[0].case}")
            print("\n".join(align(runner.table(found, columns))), end="\n\n", flush=True)
            rows += [row.flat() for row in found]
            _write({"machine": about, "rows": rows}, options.json)  # if it is cut short
    return {"machine": about, "rows": rows}


def _write(measured: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measured, indent=1) + "\n")


def _backends(specs: Sequence[str] | None) -> dict[str, Any]:
    """Return backends by display name: the short name where it is unambiguous."""
    import bpnet

    if specs is None:
        table = bpnet.available_backends()
        specs = [
            f"{name}:{table[name].devices[0]}" for name in BACKENDS if table[name].available
        ]
    backends = [bpnet.get_backend(spec) for spec in dict.fromkeys(specs)]
    names = [backend.name for backend in backends]
    return {p.name if names.count(p.name) == 1 else p.spec: p for p in backends}


def _plot(rows: list[dict[str, Any]], folder: Path) -> None:
    from benchmarks import pictures, runner

    for path in pictures.draw([runner.Row.of(row) for row in rows], folder):
        print(path)


if __name__ == "__main__":
    main()
