"""Measure bpnet beside its peers, in one process.

Ratios of medians come first: contestants take turns, so what else the machine does falls on
all of them. What needs a fresh process (import, first, memory) starts those one by one.
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
    "scaling": "scaling.measure",
    "callbacks": "callbacks.measure",
    "digits": "digits.measure",
    "import": "imports.measure",
    "first": "first.measure",
    "memory": "memory.measure",
}
NETWORKS = ("small", "middle", "large")
BACKENDS = ("numpy", "torch", "jax", "cupy")
PACKAGES = ("array-api-compat", "torch", "jax", "scikit-learn", "cupy-cuda12x", "cupy-cuda13x")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, print it, and write what is wanted."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"unknown section {', '.join(unknown)}; known are {', '.join(SECTIONS)}")
    if options.figures:
        measured = json.loads(options.figures.read_text())
    else:
        _pin(options.threads)
        measured = _measure(parser, options)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(measured, indent=1) + "\n")
    if options.plot:
        _plot(measured["rows"], options.plot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; default all")
    add("--networks", nargs="+", choices=("tiny", *NETWORKS), default=NETWORKS)
    add("--backends", nargs="+", metavar="SPEC", help="such as numpy torch:cuda:0; default: "
        f"those of {', '.join(BACKENDS)} that can run, each on its best device")  # fmt: skip
    add("--rounds", type=int, default=15, help="turns of each contestant")
    add("--threads", type=int, default=os.cpu_count())
    add("--compiled", action="store_true", help="race torch.compile too")
    add("--json", type=Path, help="file to write the figures to")
    add("--plot", type=Path, metavar="FOLDER", help="where to draw ratios and scaling")
    add("--from", dest="figures", type=Path, metavar="JSON",
        help="measure nothing, take the figures of that file")  # fmt: skip
    return parser


def _pin(threads: int) -> None:
    """Set what libraries read when they are loaded: threads, and products without TF32."""
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"


def _measure(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, Any]:
    import bpnet
    from benchmarks import cases, contest, hardware, machine
    from bpnet.common.tables import align

    try:
        places = _places(options.backends)
    except bpnet.BackendError as error:
        parser.error(f"argument --backends: {error}")
    networks = (case for group in options.networks for case in cases.GROUPS[group])
    wanted = contest.Options(tuple(networks), places, options.rounds, options.compiled)

    about = machine.facts(*PACKAGES) | {"threads": str(options.threads)}
    about["backends"] = ", ".join(place.spec for place in places.values())
    for device in {place.device.partition(":")[0]: place.device for place in places.values()}:
        about[f"peak of {device}"] = str(hardware.peak(device, places))
    print("\n".join(f"{name}: {value}" for name, value in about.items()), end="\n\n")

    rows = []
    for name in options.sections or SECTIONS:
        module, _, function = SECTIONS[name].partition(".")
        section: Any = importlib.import_module(f"benchmarks.{module}")
        for found in getattr(section, function)(wanted):
            print(f"{name}: {found[0].case}")
            print(
                "\n".join(align(contest.table(found, section.COLUMNS))), end="\n\n", flush=True
            )
            rows += found
    return {"machine": about, "rows": [row.flat() for row in rows]}


def _places(specs: Sequence[str] | None) -> dict[str, Any]:
    """Give backends by the names under which they appear: short ones, where that is clear."""
    import bpnet

    if specs is None:
        table = bpnet.available_backends()
        specs = [
            f"{name}:{table[name].devices[0]}" for name in BACKENDS if table[name].available
        ]
    places = [bpnet.get_backend(spec) for spec in dict.fromkeys(specs)]
    names = [place.name for place in places]
    return {p.name if names.count(p.name) == 1 else p.spec: p for p in places}


def _plot(rows: list[dict[str, Any]], folder: Path) -> None:
    from benchmarks import contest, pictures

    for path in pictures.draw([contest.Row.of(row) for row in rows], folder):
        print(path)


if __name__ == "__main__":
    main()
