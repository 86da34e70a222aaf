"""How often `bpnet.diagnose` names the illness of a training, and how often it sees none.

Run with: python benchmarks/diagnosis.py [--tuning] [--each N] [--out FILE]

Draws trainings of each illness, and healthy ones, until enough are what they were meant to be
(`sick_measures.is_sick`, apart from the diagnosis), and prints the confusion
matrix of the first finding. A diagnosis is right if that is the illness that was induced.

The thresholds were set with --tuning: other data sets, other seeds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

if __name__ == "__main__":  # two processes share two cores; before NumPy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import machine
from sick_measures import is_sick
from sick_trainings import HELD_OUT, RECIPES, REGRESSION, TUNING, make, train

import bpnet

EACH = 15
HEALTHY = 7  # times as many healthy ones as of an illness
SICK_RIGHT, HEALTHY_WRONG = 0.95, 0.05
HELD_OUT_SEEDS = 1000


class Result(NamedTuple):
    """One training that is what it was meant to be."""

    illness: str
    named: str
    case: str


class Batch(NamedTuple):
    """The trainings of one job, and how many candidates were thrown away."""

    illness: str
    results: list[Result]
    thrown_away: int


def data_sets(illness: str, tuning: bool) -> Sequence[str]:
    names = TUNING if tuning else HELD_OUT
    if illness == "unscaled targets":
        return REGRESSION[tuning]
    if illness == "class imbalance":
        return [name for name in names if not name.startswith("friedman")]
    return names


def draw(illness: str, tuning: bool, count: int, seed: int) -> Batch:
    """Draw candidates until `count` are what they were meant to be, then diagnose them."""
    names, results, thrown_away = data_sets(illness, tuning), [], 0
    while len(results) < count:
        if thrown_away > 5 * count + 20:
            raise RuntimeError(f"the recipe for {illness!r} hardly ever makes it")
        case = make(illness, names[seed % len(names)], seed)
        run = train(case)
        if is_sick(run):
            layers = ", ".join(map(repr, case.layers))
            text = f"{case.name}, seed {seed}: {layers}; {case.fit['optimizer']!r}"
            results.append(Result(illness, bpnet.diagnose(run.history).name, text))
        else:
            thrown_away += 1
        seed += 1
    return Batch(illness, results, thrown_away)


def measure(tuning: bool, each: int, first: int, workers: int) -> list[Batch]:
    jobs = [(illness, first) for illness in RECIPES if illness != "healthy"]
    jobs += [("healthy", first + 100 * k) for k in range(HEALTHY)]
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(draw, illness, tuning, each, seed) for illness, seed in jobs]
        return [future.result() for future in futures]


def rates(results: Sequence[Result]) -> tuple[float, float]:
    """Give the share of sick trainings named rightly, and of healthy ones called sick."""
    sick = [r.named == r.illness for r in results if r.illness != "healthy"]
    healthy = [r.named != "healthy" for r in results if r.illness == "healthy"]
    return sum(sick) / len(sick), sum(healthy) / len(healthy)


def confusion_matrix(results: Sequence[Result]) -> str:
    """Write induced illnesses as rows and the first findings as numbered columns."""
    names = list(RECIPES)
    counts = Counter((r.illness, r.named) for r in results)
    lines = [" " * 35 + "".join(f"{k:4d}" for k in range(len(names)))]
    for k, name in enumerate(names):
        cells = (counts[name, named] for named in names)
        lines.append(f"{k:2d} {name:32s}" + "".join(f"{n or '.':>4}" for n in cells))
    return "\n".join(lines)


def report(batches: Sequence[Batch], tuning: bool, first: int) -> str:
    results = [result for batch in batches for result in batch.results]
    sick, healthy = rates(results)
    n_healthy = sum(r.illness == "healthy" for r in results)
    names = dict.fromkeys([*data_sets("healthy", tuning), *REGRESSION[tuning]])
    wrong = [r for r in results if r.named != r.illness]
    return "\n".join(
        [
            machine.describe(),
            f"data sets {', '.join(names)}; seeds from {first}; "
            f"{sum(b.thrown_away for b in batches)} candidates were not what they were meant "
            f"to be and thrown away",
            "",
            "rows: what was induced; columns: the first finding",
            confusion_matrix(results),
            "",
            f"{len(results) - n_healthy} sick trainings: {100.0 * sick:.1f} % named rightly "
            f"(at least {100.0 * SICK_RIGHT:.0f} %)",
            f"{n_healthy} healthy trainings: {100.0 * healthy:.1f} % called sick "
            f"(at most {100.0 * HEALTHY_WRONG:.0f} %)",
            *(f"wrong: {r.illness} called {r.named}: {r.case}" for r in wrong),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tuning", action="store_true", help="the other half of the data")
    parser.add_argument("--each", type=int, default=EACH, help=f"of an illness ({EACH})")
    parser.add_argument(
        "--seed", type=int, help="first seed; other than 0 or 1000: fresh draws"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--out", help="file to write the result to as well")
    options = parser.parse_args()
    first = options.seed
    if first is None:
        first = 0 if options.tuning else HELD_OUT_SEEDS
    batches = measure(options.tuning, options.each, first, options.workers)
    text = report(batches, options.tuning, first)
    print(text)
    if options.out:
        with open(options.out, "w") as file:
            file.write(text + "\n")
    sick, healthy = rates([result for batch in batches for result in batch.results])
    return 0 if sick >= SICK_RIGHT and healthy <= HEALTHY_WRONG else 1


if __name__ == "__main__":
    sys.exit(main())
