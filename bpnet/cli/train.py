"""The command ``bpnet train``: a model and a report from a table in a file."""

from __future__ import annotations

import datetime
import shlex
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bpnet.backend.registry import get_backend
from bpnet.cli import data_files, model_file
from bpnet.cli.failures import CommandError, UserError
from bpnet.cli.memory import check_categories, check_memory
from bpnet.cli.model_info import described
from bpnet.cli.output import Output
from bpnet.cli.plan import Plan, plan_of
from bpnet.cli.processes import connected, prepared, speaking
from bpnet.cli.progress import ProgressLine
from bpnet.cli.results import Measured, Predictions, measured, rows_of
from bpnet.cli.run import Options, Run
from bpnet.cli.split import Split, split_of
from bpnet.cli.surroundings import environment
from bpnet.common.streams import one_line
from bpnet.diagnosis.gradient_flow import GradientFlow
from bpnet.diagnosis.report import Diagnosis, diagnose
from bpnet.distributed import Communicator
from bpnet.estimators import TabularClassifier, TabularRegressor
from bpnet.serialization import safetensors_file

MODEL, REPORT = "model.safetensors", "report.html"
_VALIDATION = 0.2
# What the estimators do with columns, by preset.
_NUMBERS = "centered at the median, scaled by the quartiles, smoothly clipped"
_GAPS = "a number takes the median, another column says where; a category has zeros or a vector"
_CATEGORIES = {"td": "up to 8 levels: a column for each; more: a learned vector of 8 numbers"}


def train(options: Options) -> int:
    """Run the command; return the exit status.

    Raises
    ------
    UserError, CommandError, bpnet.BackendError, OSError
        If something about the options or the data is wrong; or if training failed.
    """
    group = connected()
    output = Output(options.as_json, is_silent=not group.is_main)
    return speaking(group, lambda: _train(options, group, output))


def _train(options: Options, group: Communicator, output: Output) -> int:
    plan, split, folder = prepared(group, lambda: _planned(options, group, output))
    line = ProgressLine(options.time_limit)
    model, seconds = _fitted(options, plan, split, group, line, output)
    if not group.is_main:  # it has the same model
        return 0
    predictions = predicted(model, plan, split)
    results = measured(predictions, options.seed)
    diagnosis = diagnose(model.history_) if options.diagnose else None
    record = _record(
        options, plan, split, model, predictions, results, diagnosis, line, seconds
    )
    run = Run(options, plan, split, model, predictions, results, diagnosis, record)
    return _finished(run, folder, output)


def _planned(options: Options, group: Communicator, output: Output) -> tuple[Plan, Split, Path]:
    """Read the data, say what will be done with it, and make the folder of the output."""
    backend = get_backend(options.backend)
    source = data_files.source_of(options.data, options.separator, options.encoding)
    folder = _folder(options)
    frame, total = _read(source, options)
    plan = plan_of(frame, options.choices)
    check_categories(plan, options.preset)
    split = split_of(plan, options.test_size, options.seed)
    if group.is_main:
        _make(folder)
    output.table(_described(options, frame, total, plan, split, backend.spec, folder))
    for note in plan.notes:
        output.note(f"note: {note}")
    return plan, split, folder


def _finished(run: Run, folder: Path, output: Output) -> int:
    """Write the files and print the results."""
    from bpnet.cli.report.page import report  # draws with matplotlib

    model_file.save(run.model, run.record, str(folder / MODEL))
    safetensors_file.write(str(folder / REPORT), (report(run).encode(),))
    history = run.model.history_
    output.say()
    output.table(rows_of(run.results))
    output.say()
    stopped = f", stopped: {history.stopped}" if history.stopped else ""
    trained = run.record["training"]
    output.table(
        [
            ("trained", f"{history.epochs} of {trained['planned_epochs']} epochs in "
             f"{trained['seconds']:.1f} s, best epoch {run.model.best_epoch_}{stopped}"),
            *_diagnosed(run),
            ("model", str(folder / MODEL)),
            ("report", str(folder / REPORT)),
        ]
    )  # fmt: skip
    for advice in _advice(run):
        output.note(f"note: {advice}")
    output.document(run.record | {"model": str(folder / MODEL), "report": str(folder / REPORT)})
    if history.stopped == "interrupted":
        output.note("bpnet train: interrupted; the best epoch so far was saved")
        return 130
    return 0


def _diagnosed(run: Run) -> list[tuple[str, str]]:
    """Return the row that names the failures of training."""
    if run.diagnosis is None:
        return []
    names = ", ".join(dict.fromkeys(one.name for one in run.diagnosis.findings))
    return [("diagnosis", f"{names} (see the report)" if names else "healthy")]


def _advice(run: Run) -> list[str]:
    """Return what may make the model better."""
    first, planned, found = run.results[0], run.record["training"]["planned_epochs"], []
    sign = 1.0 if first.better == "higher" else -1.0
    if sign * first.value < sign * first.baseline:
        found.append(f"the {first.metric} is worse than that of a constant prediction")
    if planned < run.options.epochs:
        simpler = ", the simpler --preset td-s" if run.options.preset == "td" else ""
        found.append(
            f"there was time for {planned} of {run.options.epochs} epochs; a longer "
            f"--time-limit{simpler} or another --backend (bpnet bench) may predict better"
        )
    return found


# --- before training --------------------------------------------------------------------------


def _folder(options: Options) -> Path:
    """Return the folder of the output, which holds no model yet unless --force is given."""
    name = Path(options.data).name
    while (shorter := Path(name).stem) != name:
        name = shorter
    folder = Path(options.out if options.out is not None else f"{name}-model")
    if options.out is not None and (not options.out.strip() or "\0" in options.out):
        raise UserError(f"argument --out: must name a folder, got {options.out!r}")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"argument --out: {str(folder)!r} is a file, not a folder")
    taken = [name for name in (MODEL, REPORT) if (folder / name).exists()]
    if taken and not options.force:
        raise UserError(
            f"{str(folder / taken[0])!r} exists already; pass --force to replace it, or "
            f"another --out"
        )
    return folder


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (MODEL, REPORT):
            safetensors_file.check_writable(folder / name)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(";")[0]
        raise UserError(
            f"argument --out: cannot write into {str(folder)!r}: {reason}"
        ) from None


def _read(source: data_files.Source, options: Options) -> tuple[Any, int]:
    """Return the table to learn from, and the number of rows in the file."""
    if options.sample is None:
        check_memory(source)
        frame = data_files.read(source)
        return frame, frame.height
    return data_files.sample(source, options.sample, options.seed)


def _described(
    options: Options,
    frame: Any,
    total: int,
    plan: Plan,
    split: Split,
    backend: str,
    folder: Path,
) -> list[tuple[str, str]]:
    """Return the plan in words."""
    n_text = sum(column.kind != "number" for column in plan.features)
    gaps = [column for column in plan.features if column.n_missing]
    n_gaps = sum(column.n_missing for column in gaps)
    kinds = f"{len(plan.features) - n_text} of numbers, {n_text} of categories"
    what = f"{len(np.unique(plan.y))} classes" if plan.task == "classification" else "numbers"
    n_validation = _n_validation(split)
    limit = f" or {options.time_limit:g} s" if options.time_limit else ""
    drawn = f"{frame.height:,} of " if frame.height < total else ""
    rows = [
        ("data", f"{options.data}: {drawn}{total:,} rows, {frame.width} columns"),
        ("target", f"{plan.target}: {plan.task} of {what}, as {plan.why} (see --task)"),
        ("columns", f"{len(plan.features)}: {kinds}"),
        ("numbers", _NUMBERS),
    ]
    if n_gaps:
        rows.append(("gaps", f"{n_gaps:,} in {len(gaps)} columns: {_GAPS}"))
    if n_text:
        rows.append(("categories", _CATEGORIES.get(options.preset, "a column for each level")))
    rows += [("left out", f"{one.name}: {one.reason}") for one in plan.left_out]
    rows += [
        ("rows", f"{len(split.training) - n_validation:,} to train on, {n_validation:,} to "
         f"choose the best epoch, {len(split.test):,} to test ({split.how})"),
        ("training", f"preset {options.preset}, {options.epochs} epochs{limit} at most, seed "
         f"{options.seed}, on {backend}"),
        ("output", str(folder)),
    ]  # fmt: skip
    return rows


def _n_validation(split: Split) -> int:
    """Return how many of the rows to train on choose the best epoch."""
    return int(_VALIDATION * len(split.training))


# --- training ---------------------------------------------------------------------------------


def _fitted(
    options: Options, plan: Plan, split: Split, group: Communicator, line: ProgressLine,
    output: Output,
) -> tuple[Any, float]:  # fmt: skip
    """Return the trained model, and the seconds that it took."""
    kind = TabularClassifier if plan.task == "classification" else TabularRegressor
    model = kind(
        options.preset,
        n_epochs=options.epochs,
        time_budget=options.time_limit or None,
        random_state=options.seed,
        early_stopping=options.early_stopping,
        validation_fraction=_VALIDATION,
        backend=options.backend,
        communicator=group,
        callbacks=[line, *([GradientFlow()] if options.diagnose else [])],
    )
    start = time.perf_counter()
    rows = split.training
    try:
        with warnings.catch_warnings(record=True) as caught, line:
            warnings.simplefilter("always")
            model.fit(plan.table[rows], plan.y[rows])
    except MemoryError as error:
        raise CommandError(f"training needs more memory than there is: {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error
    for text in dict.fromkeys(one_line(str(warning.message)) for warning in caught):
        output.note(f"note: {text}")
    if model.history_.epochs == 0:
        raise KeyboardInterrupt  # before there is anything to save
    return model, time.perf_counter() - start


def predicted(model: Any, plan: Plan, split: Split) -> Predictions:
    """Return what a model says of the test rows."""
    X, y, known = plan.table[split.test], plan.y[split.test], plan.y[split.training]
    if plan.task == "regression":
        return Predictions(y, model.predict(X), float(np.mean(known)), None)
    classes = model.classes_
    is_known = np.isin(y, classes)  # a split in time may test classes that came later
    X, y = X.filter(is_known), y[is_known]
    if not len(y):
        raise UserError("no class of the test rows occurs in training; use another split")
    shares = np.bincount(np.searchsorted(classes, known), minlength=len(classes)) / len(known)
    codes = np.searchsorted(classes, y)
    return Predictions(codes, model.predict_proba(X), shares, classes.tolist())


# --- what is remembered -----------------------------------------------------------------------


def _record(
    options: Options, plan: Plan, split: Split, model: Any, predictions: Predictions,
    results: list[Measured], diagnosis: Diagnosis | None, line: ProgressLine,
    seconds: float,
) -> dict[str, Any]:  # fmt: skip
    history, n_validation = model.history_, _n_validation(split)
    return {
        "target": plan.target, "task": plan.task, "why": plan.why,
        "columns": [
            {"name": c.name, "kind": c.kind, "missing": c.n_missing, "distinct": c.n_distinct}
            for c in plan.features
        ],
        "left_out": [one._asdict() for one in plan.left_out],
        "notes": plan.notes,
        "classes": predictions.classes,
        "constant": np.asarray(predictions.constant).tolist(),
        "rows": {
            "training": len(split.training) - n_validation, "validation": n_validation,
            "test": len(split.test), "split": split.how,
        },
        "training": {
            "preset": options.preset, "seed": options.seed, "epochs": history.epochs,
            "planned_epochs": line.planned, "best_epoch": model.best_epoch_,
            "seconds": seconds, "stopped": history.stopped,
            "parameters": model.network_.n_parameters,
        },
        "test": [one._asdict() for one in results],
        "diagnosis": diagnosis and described(diagnosis),
        "command": reproduction(options, line.planned),
        "environment": environment(options.backend),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def reproduction(options: Options, planned: int) -> str:
    """Return the command that trains the same model, with the epochs there was time for."""
    words = ["bpnet", "train", options.data, "--target", options.choices.target]
    choices = options.choices
    if choices.task != "auto":
        words += ["--task", choices.task]
    for name in ("drop", "keep", "categorical"):
        for column in getattr(choices, name):
            words += [f"--{name}", column]
    if choices.time:
        words += ["--time-column", choices.time]
    for name in ("separator", "encoding", "backend"):
        if getattr(options, name) is not None:
            words += [f"--{name}", getattr(options, name)]
    words += [] if options.sample is None else ["--sample", str(options.sample)]
    words += ["--test-size", f"{options.test_size:g}", "--preset", options.preset]
    words += ["--epochs", str(planned), "--time-limit", "0", "--seed", str(options.seed)]
    words += ["--early-stopping"] if options.early_stopping else []
    words += [] if options.diagnose else ["--no-diagnose"]
    return shlex.join(words)
