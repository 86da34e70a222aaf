"""Measure bpnet beside its peers, in one process.

Ratios of medians come first: contestants take turns, so what else the machine does falls on
all of them. The sections are: step, epoch, inference.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

SECTIONS = ("step", "epoch", "inference")
NETWORKS = ("small", "middle", "large")
PACKAGES = ("array-api-compat", "torch", "jax", "scikit-learn", "cupy-cuda12x", "cupy-cuda13x")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument(
        "--backends", nargs="+", default=("numpy", "torch", "jax", "cupy"), metavar="NAME"
    )
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contestant")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--compiled", action="store_true", help="race torch.compile too")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    sections = options.sections or SECTIONS
    if unknown := set(sections) - set(SECTIONS):
        parser.error(f"unknown section {', '.join(unknown)}; known are {', '.join(SECTIONS)}")
    for library in ("OMP", "OPENBLAS", "MKL"):  # read when the libraries are loaded
        os.environ[f"{library}_NUM_THREADS"] = str(options.threads)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"

    from benchmarks import cases, machine, speed
    from bpnet._summary import align

    about = machine.facts(*PACKAGES) | {"threads": str(options.threads)}
    print("\n".join(f"{name}: {value}" for name, value in about.items()), end="\n\n")
    rows = []
    names = tuple(options.backends)
    for group in options.networks:
        for case in getattr(cases, group.upper()):
            for variant in cases.variants(case):
                found = []
                if "step" in sections:
                    found += speed.steps(variant, names, options.rounds, options.compiled)
                if "epoch" in sections and group != "large":
                    found += speed.epochs(variant, names, options.rounds)
                if "inference" in sections and variant.optimizer == "SGD":
                    found += speed.inference(variant, names, options.rounds)
                print("\n".join(align(speed.table(found))), end="\n\n", flush=True)
                rows += found
    if options.json:
        figures = [row._asdict() for row in rows]
        options.json.write_text(json.dumps({"machine": about, "rows": figures}, indent=1))


if __name__ == "__main__":
    main()
