"""Accuracy of `bpnet.diagnose` on failing and on healthy training runs.

Run with: python benchmarks/diagnosis.py [--tuning] [--each N] [--out FILE]

Draws runs for each failure, and healthy ones, until enough of them show the intended behavior
(as measured by `failure_measures.as_intended`, independently of the diagnosis), and prints the
confusion matrix of the first finding. A diagnosis is right if it is the induced failure.

The thresholds were tuned with --tuning, which uses other data sets and seeds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

if __name__ == "__main__":  # one thread per worker; set before NumPy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import machine
from failing_runs import HELD_OUT, RECIPES, REGRESSION, TUNING, make, train
from failure_measures import as_intended

import bpnet

EACH = 15
HEALTHY = 7  # times as many healthy runs as runs of each failure
FAILING_RIGHT, HEALTHY_WRONG = 0.95, 0.05
HELD_OUT_SEEDS = 1000


class Result(NamedTuple):
    """One run that shows the intended behavior."""

    failure: str
    named: str
    case: str


class Batch(NamedTuple):
    """The runs of one job, and how many candidates were discarded."""

    failure: str
    results: list[Result]
    discarded: int


def data_sets(failure: str, tuning: bool) -> Sequence[str]:
    names = TUNING if tuning else HELD_OUT
    if failure == "unscaled targets":
        return REGRESSION[tuning]
    if failure == "class imbalance":
        return [name for name in names if not name.startswith("friedman")]
    return names


def draw(failure: str, tuning: bool, count: int, seed: int) -> Batch:
    """Draw candidates until `count` show the intended behavior, and diagnose those."""
    names, results, discarded = data_sets(failure, tuning), [], 0
    while len(results) < count:
        if discarded > 5 * count + 20:
            raise RuntimeError(f"the recipe for {failure!r} hardly ever produces it")
        case = make(failure, names[seed % len(names)], seed)
        run = train(case)
        if as_intended(run):
            layers = ", ".join(map(repr, case.layers))
            text = f"{case.name}, seed {seed}: {layers}; {case.fit['optimizer']!r}"
            results.append(Result(failure, bpnet.diagnose(run.history).name, text))
        else:
            discarded += 1
        seed += 1
    return Batch(failure, results, discarded)


def measure(tuning: bool, each: int, first: int, workers: int) -> list[Batch]:
    jobs = [(failure, first) for failure in RECIPES if failure != "healthy"]
    jobs += [("healthy", first + 100 * k) for k in range(HEALTHY)]
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(draw, failure, tuning, each, seed) for failure, seed in jobs]
        return [future.result() for future in futures]


def rates(results: Sequence[Result]) -> tuple[float, float]:
    """Return the share of failing runs diagnosed correctly and of healthy ones that are not."""
    failing = [r.named == r.failure for r in results if r.failure != "healthy"]
    healthy = [r.named != "healthy" for r in results if r.failure == "healthy"]
    return sum(failing) / len(failing), sum(healthy) / len(healthy)


def confusion_matrix(results: Sequence[Result]) -> str:
    """Return a table: induced failures as rows, first findings as numbered columns."""
    names = list(RECIPES)
    counts = Counter((r.failure, r.named) for r in results)
    lines = [" " * 35 + "".join(f"{k:4d}" for k in range(len(names)))]
    for k, name in enumerate(names):
        cells = (counts[name, named] for named in names)
        lines.append(f"{k:2d} {name:32s}" + "".join(f"{n or '.':>4}" for n in cells))
    return "\n".join(lines)


def report(batches: Sequence[Batch], tuning: bool, first: int) -> str:
    results = [result for batch in batches for result in batch.results]
    failing, healthy = rates(results)
    n_healthy = sum(r.failure == "healthy" for r in results)
    names = dict.fromkeys([*data_sets("healthy", tuning), *REGRESSION[tuning]])
    wrong = [r for r in results if r.named != r.failure]
    return "\n".join(
        [
            machine.describe(),
            f"data sets {', '.join(names)}; seeds from {first}; "
            f"{sum(b.discarded for b in batches)} candidates did not show "
            f"the intended behavior and were discarded",
            "",
            "rows: induced failure; columns: first finding",
            confusion_matrix(results),
            "",
            f"{len(results) - n_healthy} failing runs: {100.0 * failing:.1f} % diagnosed "
            f"correctly (at least {100.0 * FAILING_RIGHT:.0f} %)",
            f"{n_healthy} healthy runs: {100.0 * healthy:.1f} % diagnosed as failing "
            f"(at most {100.0 * HEALTHY_WRONG:.0f} %)",
            *(f"wrong: {r.failure} diagnosed as {r.named}: {r.case}" for r in wrong),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--tuning", action="store_true", help="use the tuning data sets and seeds"
    )
    parser.add_argument(
        "--each", type=int, default=EACH, help=f"runs per failure (default: {EACH})"
    )
    parser.add_argument("--seed", type=int, help="first seed; other than 0 or 1000, new draws")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="number of processes"
    )
    parser.add_argument("--out", help="file to write the result to, too")
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
    failing, healthy = rates([result for batch in batches for result in batch.results])
    return 0 if failing >= FAILING_RIGHT and healthy <= HEALTHY_WRONG else 1


if __name__ == "__main__":
    sys.exit(main())
