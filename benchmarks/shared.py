"""Training on NumPy in one process, and in several at once on the same cores."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks import fresh_process
from benchmarks.cases import Case
from benchmarks.runner import Column, Options, Row, number, ratio

COPIES = (1, 2, 4)
BATCHES = 32
EPOCHS = 10
FITS = 5
OURS = "bpnet numpy"
ONE = "bpnet numpy, one BLAS thread"

COLUMNS: dict[str, Column] = {
    "/ one thread": ratio(lambda contestant: ONE),
    "ms per epoch": number("seconds", 1e3),
    "slowest ms": number("slowest", 1e3),
}


def measure(options: Options) -> Iterator[list[Row]]:
    """Train copies of each network at once, beside copies with one BLAS thread."""
    for case in {case.sizes: case for case in options.cases}.values():
        for copies in COPIES:
            yield compare(case, copies, options.rounds)


def compare(case: Case, copies: int, rounds: int) -> list[Row]:
    """Let both settings take turns; return medians, and the slowest copy of any round."""
    found: dict[str, list[list[float]]] = {OURS: [], ONE: []}
    for _ in range(rounds):
        for name, threads in ((OURS, str(os.cpu_count())), (ONE, "1")):
            found[name].append(at_once(case, copies, threads))
    rows = []
    for name, turns in found.items():
        seconds = statistics.median(map(statistics.mean, turns))
        values = {"seconds": seconds, "slowest": max(map(max, turns))}
        rows.append(Row("shared", f"{case.name}, {copies} at once", name, values))
    return rows


def at_once(case: Case, copies: int, threads: str) -> list[float]:
    """Return the seconds per epoch of each of several processes that start together."""
    program = "from benchmarks.cases import Case\nfrom benchmarks import shared\n" + (
        f"shared.train({case!r})"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=fresh_process.ROOT,
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(copies)
    ]
    return [json.loads(answer) for answer in _answers(processes)]


def _answers(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Start all processes when each is ready, and return what they print."""
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate()[0] for process in processes]


def train(case: Case) -> None:
    """Wait for the start, and print the median seconds per epoch of some calls of `fit`."""
    import bpnet
    from benchmarks import ours

    turn = ours.epoch(case, bpnet.get_backend("numpy"), BATCHES)
    turn(1)
    print("ready", flush=True)
    sys.stdin.readline()
    times = []
    for _ in range(FITS):
        start = time.perf_counter()
        turn(EPOCHS)
        times.append((time.perf_counter() - start) / EPOCHS)
    print(statistics.median(times))
