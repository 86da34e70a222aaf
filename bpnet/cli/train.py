"""The command ``bpnet train``: a model and a report from a table in a file."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend.registry import get_backend
from bpnet.cli import data_files, model_file
from bpnet.cli.data_files import Sample
from bpnet.cli.failures import CommandError, UserError
from bpnet.cli.memory import check_categories, shortage
from bpnet.cli.output import Output
from bpnet.cli.plan import Plan, plan_of
from bpnet.cli.processes import connected, prepared, speaking
from bpnet.cli.progress import ProgressLine
from bpnet.cli.record import epochs_of, record_of, stopped
from bpnet.cli.results import Predictions, measured, rows_of
from bpnet.cli.run import Options, Run
from bpnet.cli.split import Split, split_of
from bpnet.cli.stream import SAMPLE, Stream, check_streamed
from bpnet.common.plurals import number_of
from bpnet.common.streams import one_line
from bpnet.diagnosis.gradient_flow import GradientFlow
from bpnet.diagnosis.report import diagnose
from bpnet.distributed import Communicator
from bpnet.estimators import TabularClassifier, TabularRegressor
from bpnet.estimators.tabular.callbacks import SPENT
from bpnet.estimators.tabular.targets import UNITS
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
    line = ProgressLine(options.time_limit)
    planned = prepared(group, lambda: _planned(options, group, line, output))
    plan, split = planned.plan, planned.split
    model, seconds = _fitted(options, planned, group, line, output)
    if not group.is_main:  # it has the same model
        return 0
    predictions = predicted(model, plan, split)
    results = measured(predictions, options.seed)
    diagnosis = diagnose(model.history_) if options.diagnose else None
    record = record_of(
        options, plan, split, planned.rows, model, predictions, results, diagnosis, seconds
    )
    run = Run(options, plan, split, model, predictions, results, diagnosis, record)
    return _finished(run, planned.folder, output)


class Planned(NamedTuple):
    """What is going to be done.

    Attributes
    ----------
    sample : Sample
        The rows in memory.
    why : str or None
        Why the other rows are streamed; None if they are not.
    plan, split
        What is learned from these rows, and which of them are tested.
    stream : Stream or None
        All rows of the file.
    folder : Path
        Of the output.
    """

    sample: Sample
    why: str | None
    plan: Plan
    split: Split
    stream: Stream | None
    folder: Path

    @property
    def n_validation(self) -> int:
        """How many of the rows to train on choose the best epoch."""
        return int(_VALIDATION * len(self.split.training))

    @property
    def rows(self) -> dict[str, Any]:
        """How many rows are used for what, as the record says it."""
        stream, kept = self.stream, len(self.split.training) - self.n_validation
        return {
            "file": self.sample.total,
            "training": kept if stream is None else stream.n_rows,
            "validation": self.n_validation,
            "streamed": None if stream is None else self.sample.frame.height,
        }


def _planned(
    options: Options, group: Communicator, line: ProgressLine, output: Output
) -> Planned:
    """Read the data, say what will be done with it, and make the folder of the output."""
    backend = get_backend(options.backend)
    source = data_files.source_of(options.data, options.separator, options.encoding)
    folder = _folder(options)
    sample, why = _read(source, options, group)
    plan = plan_of(sample.frame, options.choices, sample.rows)
    check_categories(plan, options.preset)
    split = split_of(plan, options.test_size, options.seed)
    if group.is_main:
        _make(folder)
    stream = None if why is None else Stream(source, sample, plan, split, line)
    planned = Planned(sample, why, plan, split, stream, folder)
    output.table(_described(options, planned, backend.spec))
    for note in plan.notes:
        output.note(f"note: {note}")
    return planned


def _finished(run: Run, folder: Path, output: Output) -> int:
    """Write the files and print the results."""
    from bpnet.cli.report.page import report  # draws with matplotlib

    model_file.save(run.model, run.record, str(folder / MODEL))
    safetensors_file.write(str(folder / REPORT), (report(run).encode(),))
    history = run.model.history_
    output.say()
    output.table(rows_of(run.results))
    output.say()
    trained = run.record["training"]
    why = stopped(history, trained["planned_epochs"])
    ending = "" if why is None else f", stopped: {why}"
    output.table(
        [
            ("trained", f"{epochs_of(history.epochs, trained['planned_epochs'])} in "
             f"{trained['seconds']:.1f} s, best epoch {run.model.best_epoch_}{ending}"),
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
        history = run.model.history_
        done = history.epochs if history.stopped == SPENT and planned >= 1.0 else planned
        simpler = ", the simpler --preset td-s" if run.options.preset == "td" else ""
        found.append(
            f"there was time for {epochs_of(done, run.options.epochs)}; a longer "
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


def _read(
    source: data_files.Source, options: Options, group: Communicator
) -> tuple[Sample, str | None]:
    """Return the rows to hold in memory, and why others are streamed; None if they are not."""
    rows, why = options.sample, None
    if options.stream:
        why = "--stream was passed"
    elif rows is None:
        why = shortage(source)
    if why is None and rows is None:
        frame = data_files.read(source)
        return Sample(frame, np.arange(frame.height), frame.height), None
    if why is not None:
        check_streamed(source, why, group.size)
    return data_files.sample(source, rows or SAMPLE, options.seed), why


def _described(options: Options, planned: Planned, backend: str) -> list[tuple[str, str]]:
    """Return the plan in words."""
    (frame, _, total), why, plan, split, _, folder = planned
    n_text = sum(column.kind != "number" for column in plan.features)
    gaps = [column for column in plan.features if column.n_missing]
    n_gaps = sum(column.n_missing for column in gaps)
    kinds = f"{len(plan.features) - n_text} of numbers, {n_text} of categories"
    what = f"{len(np.unique(plan.y))} classes" if plan.task == "classification" else "numbers"
    n_validation = planned.n_validation
    epochs = number_of(options.epochs, "epoch")
    limit = f" or {options.time_limit:g} s" if options.time_limit else ""
    drawn = f"{frame.height:,} of " if frame.height < total and why is None else ""
    at_random = ", drawn at random" if drawn else ""
    rows = [
        (
            "data",
            f"{options.data}: {drawn}{total:,} rows{at_random}, "
            f"{number_of(frame.width, 'column')}",
        ),
        ("target", f"{plan.target}: {plan.task} of {what}, as {plan.why} (see --task)"),
        ("columns", f"{len(plan.features)}: {kinds}"),
        ("numbers", _NUMBERS),
    ]
    if n_gaps:
        rows.append(("gaps", f"{n_gaps:,} in {number_of(len(gaps), 'column')}: {_GAPS}"))
    if n_text:
        rows.append(("categories", _CATEGORIES.get(options.preset, "a column for each level")))
    rows += [("left out", f"{one.name}: {one.reason}") for one in plan.left_out]
    earlier = "" if plan.time is None else " that are earlier"
    held = (
        f"{n_validation:,} to choose the best epoch, {len(split.test):,} to test ({split.how})"
    )
    if why is None:
        rows.append(("rows", f"{len(split.training) - n_validation:,} to train on, {held}"))
    else:
        rows += [
            (
                "in memory",
                f"{frame.height:,} random rows, which decide the above, as {why}",
            ),
            (
                "rows",
                f"of these {held}; all others of the file{earlier} to train on, block by "
                f"block, from a copy in {folder}",
            ),
        ]
    rows += [
        ("training", f"preset {options.preset}, {epochs}{limit} at most, seed "
         f"{options.seed}, on {backend}"),
        ("output", str(folder)),
    ]  # fmt: skip
    return rows


# --- training ---------------------------------------------------------------------------------


def _fitted(
    options: Options, planned: Planned, group: Communicator, line: ProgressLine, output: Output
) -> tuple[Any, float]:
    """Return the trained model, and the seconds that it took."""
    plan, stream = planned.plan, planned.stream
    kind = TabularClassifier if plan.task == "classification" else TabularRegressor
    line.units = UNITS if kind is TabularRegressor else ""
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
    rows = planned.split.training
    try:
        with warnings.catch_warnings(record=True) as caught, line:
            warnings.simplefilter("always")
            if stream is None:
                model.fit(plan.table[rows], plan.y[rows])
            else:
                stream.fit(model, planned.folder)
    except MemoryError as error:
        raise CommandError(f"training needs more memory than there is: {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error
    for text in dict.fromkeys(one_line(str(warning.message)) for warning in caught):
        output.note(f"note: {text}")
    if model.history_.epochs == 0:
        raise KeyboardInterrupt  # before there is anything to save
    if stream is not None:
        start = stream.began
        output.say(f"\nrows to train on: {stream.n_rows:,}")
        if stream.without_target:
            output.note(
                f"note: rows of the file without a target, which are left out: "
                f"{stream.without_target:,}"
            )
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
