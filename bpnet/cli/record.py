"""What a model file and a report say about a training run."""

from __future__ import annotations

import datetime
import shlex
from typing import Any

import numpy as np

from bpnet.cli.model_info import described
from bpnet.cli.plan import Plan
from bpnet.cli.results import Measured, Predictions
from bpnet.cli.run import Options
from bpnet.cli.split import Split
from bpnet.cli.surroundings import environment
from bpnet.common.history import History
from bpnet.common.plurals import number_of
from bpnet.diagnosis.report import Diagnosis
from bpnet.estimators.tabular.callbacks import SPENT


def record_of(
    options: Options, plan: Plan, split: Split, rows: dict[str, Any], model: Any,
    predictions: Predictions, results: list[Measured], diagnosis: Diagnosis | None,
    seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """Return the record of a run; `rows` are how many of them were used for what."""
    history = model.history_
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
        "rows": rows | {"test": len(split.test), "split": split.how},
        "training": {
            "preset": options.preset, "seed": options.seed, "epochs": history.epochs,
            "planned_epochs": model.planned_epochs_, "best_epoch": model.best_epoch_,
            "seconds": seconds, "stopped": history.stopped,
            "parameters": model.network_.n_parameters,
        },
        "test": [one._asdict() for one in results],
        "diagnosis": diagnosis and described(diagnosis),
        "command": reproduction(options, rows["streamed"], model.planned_epochs_),
        "not_repeated": not_repeated(history, model.planned_epochs_),
        "environment": environment(options.backend),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def reproduction(options: Options, streamed: int | None, planned: float) -> str:
    """Return the command that trains the same model, with the epochs there was time for.

    `streamed` is the number of rows that were in memory if others were streamed.
    """
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
    sample = options.sample if streamed is None else streamed
    words += [] if sample is None else ["--sample", str(sample)]
    words += [] if streamed is None else ["--stream"]
    words += ["--test-size", repr(options.test_size), "--preset", options.preset]
    words += ["--epochs", str(planned), "--time-limit", "0", "--seed", str(options.seed)]
    if options.early_stopping is not None:
        words += ["--early-stopping" if options.early_stopping else "--no-early-stopping"]
    words += [] if options.diagnose else ["--no-diagnose"]
    return shlex.join(words)


def stopped(history: History, planned: float) -> str | None:
    """Return what ended a run before its last epoch, if anything did."""
    if history.epochs >= planned or history.stopped is None:
        return None
    return "the time limit was reached" if history.stopped == SPENT else history.stopped


def not_repeated(history: History, planned: float) -> str | None:
    """Return why the command may train another model; None if it trains the same."""
    why = stopped(history, planned)
    if why is None or history.stopped not in ("interrupted", SPENT):
        return None
    return (
        f"This run was stopped ({why}) after {epochs_of(history.epochs, planned)}; the "
        f"command runs all of them, and so its best epoch may be a later one."
    )


def epochs_of(epochs: float, planned: float) -> str:
    """Return how many epochs of those that were planned, in words."""
    if min(epochs, planned) < 1.0:
        return f"one epoch of {min(epochs, planned):.1%} of the rows"
    return f"{epochs} of {number_of(planned, 'epoch')}"
