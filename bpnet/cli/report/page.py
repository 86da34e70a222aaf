"""The report as a page: what it says, in HTML that needs no network and no script."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.cli.output import number
from bpnet.cli.record import epochs_of
from bpnet.cli.report import figures
from bpnet.cli.report.html import (
    Markup,
    command,
    definitions,
    document,
    paragraph,
    section,
    table,
)
from bpnet.cli.report.importance import importance_of, profile, share
from bpnet.cli.results import rows_of
from bpnet.cli.run import Run
from bpnet.common.plurals import number_of
from bpnet.estimators.tabular.targets import UNITS

# Classes of a confusion matrix that fits on a page.
_MOST_CLASSES = 12
# Columns of a profile; a file with thousands would be unreadable.
_MOST_COLUMNS = 200


def report(run: Run) -> str:
    """Return the report of a training run as an HTML document."""
    parts = [
        _summary(run), _curves(run), _errors(run), _calibration(run), _importance(run),
        _gradients(run), _diagnosis(run), _data(run), _configuration(run), _environment(run),
    ]  # fmt: skip
    name = run.options.data.replace("\\", "/").rpartition("/")[2]
    return document(f"{run.plan.target} in {name}", [part for part in parts if part])


def _summary(run: Run) -> Markup:
    first = run.results[0]
    rows, history = run.record["rows"], run.model.history_
    better = f"A constant prediction has {number(first.baseline)}."
    return section(
        "Summary",
        paragraph(
            f"{run.plan.task.capitalize()} of {run.plan.target}: {first.metric} "
            f"{number(first.value)} on {rows['test']:,} test rows (95% interval "
            f"{number(first.low)} to {number(first.high)}). {better}",
            "lead",
        ),
        table(
            "Metrics on the test rows, which were not trained on",
            ("metric", "test", "95% interval", "constant prediction", "better is"),
            [
                (*row, one.better)
                for row, one in zip(rows_of(run.results)[1:], run.results, strict=True)
            ],
        ),
        paragraph(
            f"Trained on {_rows_trained_on(run)} for "
            f"{number_of(history.epochs, 'epoch')} in "
            f"{run.record['training']['seconds']:.1f} s; {rows['validation']:,} rows chose "
            f"the weights of epoch {run.model.best_epoch_}. The intervals are from a "
            f"bootstrap of the test rows."
        ),
        *([paragraph(_sampled(run))] if _sampled(run) else []),
        *(paragraph(f"Note: {note}.") for note in run.plan.notes),
    )


def _rows_trained_on(run: Run) -> str:
    """Return how many rows were trained on: all, unless there was no time for an epoch."""
    n_rows, planned = run.record["rows"]["training"], run.record["training"]["planned_epochs"]
    if planned >= 1.0:
        return f"{n_rows:,} rows"
    return f"{planned:.1%} of {n_rows:,} rows, as there was no time for all,"


def _sampled(run: Run) -> str:
    """Return what was done with a sample of the file; "" if all was done with all rows."""
    rows, n_plan = run.record["rows"], run.record["rows"]["streamed"]
    earlier = "" if run.plan.time is None else "that are earlier "
    if n_plan is not None:
        return (
            f"The file has {rows['file']:,} rows. Columns, scales and categories were found "
            f"out in {n_plan:,} of them, drawn at random; the test rows, the rows that chose "
            f"the epoch and the data below are of these, too. All others {earlier}were trained "
            f"on block by block."
        )
    if (sampled := run.options.sample) is not None and sampled < rows["file"]:
        return (
            f"{sampled:,} of the {rows['file']:,} rows of the file were used, drawn at random."
        )
    return ""


def _curves(run: Run) -> Markup:
    history, parts = run.model.history_, []
    units = ""
    if run.predictions.classes is None:
        units = f" of {UNITS}"
        parts = [
            paragraph(
                f"The network learns {UNITS}: a unit is the standard deviation of "
                f"{run.plan.target}, and 0 its mean."
            )
        ]
    losses = [name for name in ("loss", "val_loss") if name in history]
    pictures = [figures.learning_curves(history, losses, f"loss{units}", "loss")]
    chosen = [n for n in history if n.startswith("val_") and n != "val_loss" and "/" not in n]
    pictures += [
        figures.learning_curves(history, [name], name.removeprefix("val_") + units, "metric")
        for name in chosen[:1]
    ]
    return section("Training", *parts, figure_row(pictures))


def figure_row(pictures: list[str]) -> Markup:
    """Return pictures beside each other where there is room."""
    return Markup(
        '<div class="figures">' + "".join(f"<figure>{one}</figure>" for one in pictures)
        + "</div>"
    )  # fmt: skip


def _errors(run: Run) -> Markup | None:
    predictions, target = run.predictions, run.plan.target
    if predictions.classes is None:
        pictures = [
            figures.predicted_and_actual(predictions, target),
            figures.residuals(predictions, target),
        ]
        return section("Errors", figure_row(pictures))
    labels = [str(label) for label in predictions.classes]
    matrix = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(matrix, (predictions.y, np.argmax(predictions.outputs, axis=1)), 1)
    if len(labels) > _MOST_CLASSES:
        return section("Errors", _confusions(labels, matrix))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    rows = [
        (label, *(f"{count:,}" for count in counts), number(float(shares[k, k])))
        for k, (label, counts) in enumerate(zip(labels, matrix, strict=True))
    ]
    shades = [[*(float(share) for share in row), 0.0] for row in shares]
    return section(
        "Confusion matrix",
        table(
            "Test rows by actual class (rows) and predicted class (columns)",
            ("actual", *labels, "recall"), rows, shades,
        ),
    )  # fmt: skip


def _confusions(labels: list[str], matrix: Any) -> Markup:
    """Return the most frequent confusions of many classes."""
    wrong = matrix * (1 - np.eye(len(labels), dtype=int))
    order = np.argsort(wrong, axis=None)[::-1][:_MOST_CLASSES]
    rows = []
    for place in order:
        actual, predicted = divmod(int(place), len(labels))
        if wrong[actual, predicted]:
            rows.append((labels[actual], labels[predicted], f"{wrong[actual, predicted]:,}"))
    return table(
        "The most frequent confusions in the test rows", ("actual", "predicted", "rows"), rows
    )


def _calibration(run: Run) -> Markup:
    if run.predictions.classes is None:
        picture = figures.calibration_of_numbers(run.predictions, run.plan.target)
        text = (
            "Test rows in groups of similar predictions: on the dotted line, means are right."
        )
    else:
        picture = figures.reliability(run.predictions)
        text = (
            "Test rows in groups of similar probability: on the dotted line, what is predicted "
            "with a probability of 0.8 is true of 80% of the rows."
        )
        if run.options.preset != "plain":
            text += " The training smooths labels, which keeps probabilities away from 0 and 1."
    return section("Calibration", paragraph(text), figure_row([picture]))


def _importance(run: Run) -> Markup:
    X = run.plan.table[run.split.test]
    if run.predictions.classes is not None:  # without classes that came later
        X = X.filter(np.isin(run.plan.y[run.split.test], run.model.classes_))
    found = importance_of(run.model, X, run.predictions, run.plan.task)
    picture = figures.importance_bars(found.names, found.means, found.spreads, found.metric)
    rest = len(run.plan.features) - len(found.names) - found.skipped
    text = (
        f"By how much the {found.metric} of the test rows rises when a column is permuted, so "
        f"that it says nothing; the lines are standard deviations over three permutations. "
        f"Columns that say the same share their importance."
    )
    text += f" Less important and not shown: {number_of(rest, 'column')}." if rest else ""
    text += (
        f" Not measured, for time: {number_of(found.skipped, 'column')}."
        if found.skipped
        else ""
    )
    return section("Permutation importance", paragraph(text), figure_row([picture]))


def _gradients(run: Run) -> Markup | None:
    """Return how the gradients went; None if they were not recorded."""
    if run.diagnosis is None:
        return None
    text = (
        "Norm of the gradient of the loss with respect to the weights W of each Dense layer, "
        "counted from the input, on a sample of the training rows. If that of the first layer "
        "is many powers of ten below that of the last, the first hardly learns."
    )
    picture = figures.gradient_norms(run.model.history_)
    return section("Gradient flow", paragraph(text), figure_row([picture]))


def _diagnosis(run: Run) -> Markup | None:
    """Return what was wrong with the training; None if gradients were not recorded."""
    found = run.diagnosis
    if found is None:
        return None
    best, text = run.model.best_epoch_, "Healthy: no failure of training was found."
    if best < run.model.history_.epochs:
        text += f" It is judged by the weights of epoch {best}, which the model has."
    parts = [paragraph(text)]
    if found.findings:
        rows = [
            (one.name, str(one.layer or "-"), one.evidence, one.remedy)
            for one in found.findings
        ]
        parts = [
            table("Failures of training, causes first",
                  ("failure", "layer", "evidence", "remedy"), rows)
        ]  # fmt: skip
    parts += [paragraph(f"Note: {note}.") for note in found.notes]
    parts += [
        paragraph(f"Not checked: {name}, as {why}.") for name, why in found.not_examined.items()
    ]
    return section("Diagnosis", *parts)


def _data(run: Run) -> Markup:
    columns = run.plan.features[:_MOST_COLUMNS]
    total = len(run.plan.y)
    rows = [
        (c.name, {"number": "number", "bool": "truth value"}.get(c.kind, "category"),
         f"{c.n_missing:,} ({share(c.n_missing, total)})" if c.n_missing else "0",
         f"{c.n_distinct:,}", profile(c.values))
        for c in columns
    ]  # fmt: skip
    parts = [
        table(
            f"What was learned from, in {total:,} rows"
            + (" that were drawn at random" if _sampled(run) else "")
            + (f"; {len(columns)} of {len(run.plan.features)} columns" if
               len(columns) < len(run.plan.features) else ""),
            ("column", "kind", "gaps", "different values", "values"), rows,
        )
    ]  # fmt: skip
    if run.plan.left_out:
        left_out = [(one.name, one.reason) for one in run.plan.left_out[:_MOST_COLUMNS]]
        parts.append(table("Columns that were left out", ("column", "why"), left_out))
    return section("Data", *parts)


def _configuration(run: Run) -> Markup:
    network, options = run.model.network_, run.options
    planned = run.record["training"]["planned_epochs"]
    rows = [
        ("Task", f"{run.plan.task} of {run.plan.target}, as {run.plan.why}"),
        ("Rows", f"{run.split.how}; test share {options.test_size:g}"),
        ("Preset", options.preset),
        ("Network", ", ".join(_brief(layer) for layer in network.layers)),
        ("Parameters", f"{network.n_parameters:,}"),
        ("Epochs", epochs_of(run.record["training"]["epochs"], planned)
         + f" (at most {options.epochs})" * (planned != options.epochs)),
        ("Time limit", f"{options.time_limit:g} s" if options.time_limit else "none"),
        ("Seed", str(options.seed)),
    ]  # fmt: skip
    return section(
        "Configuration",
        definitions(rows),
        Markup("<h3>Command to reproduce</h3>"),
        command(run.record["command"]),
        *([paragraph(run.record["not_repeated"])] if run.record["not_repeated"] else []),
    )  # fmt: skip


def _brief(layer: Any) -> str:
    """Return a layer in a word, with its units."""
    units = getattr(layer, "units", None)
    return type(layer).__name__ + (f" {units}" if units is not None else "")


def _environment(run: Run) -> Markup:
    rows = [*run.record["environment"].items(), ("created", run.record["created"])]
    return section("Environment", definitions(rows))
