"""What is learned from which columns, decided before training and told to the user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bpnet.cli.columns import Column, column_of, frame_of
from bpnet.cli.failures import UserError
from bpnet.cli.targets import beyond_floats
from bpnet.common.plurals import number_of
from bpnet.common.suggestions import did_you_mean

TASKS = ("classification", "regression")
# Whole numbers of at most so many different values are classes.
_MOST_CLASSES = 20
# Text in which a larger share of the values are different is no category.
_FREE_TEXT = 0.5
# Words of text that is written, not made up to tell rows apart.
_WORDS = 3
# Fewer different values say nothing about whether a column numbers the rows.
_FEWEST_IDS = 20
# Rows that a test set, a validation set and a training set need.
_FEWEST_ROWS = 10
_ID_NAME = re.compile(
    r"(^|[_\s-])(id|uuid|guid|index|key|nr|no)$|^(id|uuid|unnamed)[_\s-]|^row_?(name|num)", re.I
)


class LeftOut(NamedTuple):
    """A column that is not learned from, and why."""

    name: str
    reason: str


class Plan(NamedTuple):
    """What is learned.

    Attributes
    ----------
    target : str
        The column to predict.
    task : {"classification", "regression"}
        What kind of prediction it is.
    why : str
        Why it is that task.
    y : array (m,)
        The labels or numbers.
    features : list of Column
        What is learned from, in the rows with a target.
    left_out : list of LeftOut
        The other columns.
    notes : list of str
        What the user should know about the data.
    time : polars.Series or None
        What the rows are ordered by for a split in time.
    """

    target: str
    task: str
    why: str
    y: Any
    features: list[Column]
    left_out: list[LeftOut]
    notes: list[str]
    time: Any

    @property
    def table(self) -> Any:
        """The features, a frame of polars."""
        return frame_of(self.features)


class Choices(NamedTuple):
    """What the user decides about columns.

    Attributes
    ----------
    target : str
        The column to predict.
    task : str
        "auto" or one of `TASKS`.
    drop, keep, categorical : sequence of str
        Columns to leave out, to learn from although they look like ids, and to read as
        categories although they hold numbers.
    time : str or None
        What the rows are ordered by for a split in time.
    """

    target: str
    task: str = "auto"
    drop: Sequence[str] = ()
    keep: Sequence[str] = ()
    categorical: Sequence[str] = ()
    time: str | None = None


def plan_of(frame: Any, choices: Choices, rows: Any = None) -> Plan:
    """Return what is learned from a frame.

    `rows` are the numbers of its rows in the file; None if it is all of it.

    Raises
    ------
    UserError
        If a column is unknown, the target cannot be learned, or nothing is left to learn from.
    """
    _check_names(frame.columns, choices)
    notes: list[str] = []
    target = column_of(frame[choices.target])
    exact = beyond_floats(frame[choices.target], target) or target
    is_known = target.values.is_not_null()
    if target.n_missing:
        notes.append(f"rows without a target, which are left out: {target.n_missing:,}")
        target, exact = target.take(is_known), exact.take(is_known)
    rows = np.arange(frame.height) if rows is None else rows
    is_sample = bool(len(rows) and len(rows) <= rows[-1])
    if len(target.values) < _FEWEST_ROWS:
        where = f"the sample of {len(rows):,} rows" if is_sample else "the table"
        raise UserError(
            f"{where} has {number_of(len(target.values), 'row')} with a target, but training, "
            f"validation and test need at least {_FEWEST_ROWS}"
        )
    task, why = _task(target, exact.n_distinct, choices.task)
    if task == "regression" and exact.n_distinct > target.n_distinct:
        raise UserError(
            f"the target {choices.target!r} has {exact.n_distinct:,} different integers, of "
            f"which only {target.n_distinct:,} stay different as floats, which are exact up to "
            f"2**53; subtract what they have in common, or pass --task classification"
        )
    _check_target(exact if task == "classification" else target, task, is_sample)
    time, features, left_out = None, [], []
    for name in frame.columns:
        if name == choices.target:
            continue
        as_text = "text" if name in choices.categorical else None
        column = column_of(frame[name], as_text)
        notes += _doubts(column, choices)
        if name == choices.time:
            time = _time(column.take(is_known))
            left_out.append(LeftOut(name, "it orders the rows for the split"))
        elif (reason := _why_not(column, choices, rows)) is not None:
            left_out.append(LeftOut(name, reason))
        else:
            features.append(column.take(is_known))
            notes += _notes(features[-1], target)
    if not features:
        raise UserError(
            "no column is left to learn from"
            + "".join(f"; {one.name!r}: {one.reason}" for one in left_out[:5])
        )
    y = _labels(exact) if task == "classification" else target.values.to_numpy()
    return Plan(choices.target, task, why, y, features, left_out, notes, time)


def _check_names(columns: list[str], choices: Choices) -> None:
    named = {"--target": [choices.target], "--drop": choices.drop, "--keep": choices.keep,
             "--categorical": choices.categorical,
             "--time-column": [choices.time] if choices.time else []}  # fmt: skip
    for option, names in named.items():
        for name in names:
            if name not in columns:
                hint = did_you_mean(name, columns)
                shown = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
                raise UserError(
                    f"argument {option}: there is no column {name!r}; it has {shown}{hint}"
                )
    if len(columns) == 1:
        raise UserError(
            f"the table has a single column, {columns[0]!r}; if another character separates "
            f"its columns, pass --separator"
        )
    if choices.target in (*choices.drop, choices.time):
        raise UserError(f"argument --target: {choices.target!r} cannot be left out as well")


def _task(target: Column, n_distinct: int, task: str) -> tuple[str, str]:
    if task != "auto":
        return task, "as told by --task"
    if target.kind in ("text", "bool"):
        return "classification", f"its {target.n_distinct} values are text"
    if target.kind != "number":
        return "regression", ""  # refused next
    is_whole = (target.values % 1 == 0).all()
    if is_whole and n_distinct <= min(_MOST_CLASSES, max(2, len(target.values) // 5)):
        return "classification", f"it has {n_distinct} whole numbers as values"
    return "regression", f"it has {target.n_distinct:,} different numbers"


def _check_target(target: Column, task: str, is_sample: bool) -> None:
    name, rows = target.name, len(target.values)
    if target.kind in ("date", "other"):
        raise UserError(
            f"the target {name!r} holds {_words(target)}; predict a number or a class"
        )
    if target.n_distinct == 1:
        always = f"the target {name!r} is always {target.values[0]!r}"
        if is_sample:
            raise UserError(
                f"{always} in the {rows:,} rows that were drawn, so there is nothing to learn "
                f"from them; pass a larger --sample"
            )
        raise UserError(f"{always}, so there is nothing to learn")
    if task == "regression":
        if target.kind != "number":
            raise UserError(
                f"the target {name!r} holds text such as {target.values[0]!r}, and a "
                f"regression predicts numbers; pass --task classification"
            )
        if target.values.is_infinite().any():
            raise UserError(f"the target {name!r} has infinite values; remove these rows")
        return
    if target.n_distinct > max(_MOST_CLASSES, rows // 5):
        raise UserError(
            f"the target {name!r} has {target.n_distinct:,} different values in {rows:,} rows, "
            f"too many for classes"
            + ("; pass --task regression" if target.kind == "number" else "")
        )
    counts = target.values.value_counts(sort=True)
    rarest, count = counts.row(-1)
    if count < 2:
        rare = counts.filter(pl.col(counts.columns[1]) < 2).height
        ways = ["remove or join such classes"]
        ways += ["pass a larger --sample"] if is_sample else []
        ways += ["pass --task regression"] if target.kind == "number" else []
        raise UserError(
            f"the target {name!r} has {number_of(rare, 'class', 'classes')} of a single row, "
            f"such as {rarest!r}, and each needs one to train on and one to test on; "
            f"{', or '.join(ways)}"
        )


def _labels(target: Column) -> Any:
    """Return class labels: text, or integers where all numbers are whole."""
    values = target.values
    if target.kind == "number" and (values % 1 == 0).all() and values.abs().max() < 2**53:
        values = values.cast(pl.Int64)
    return values.to_numpy().astype(str) if target.kind != "number" else values.to_numpy()


def _time(column: Column) -> Any:
    if column.kind not in ("date", "number"):
        raise UserError(
            f"argument --time-column: {column.name!r} holds {_words(column)}, but must hold "
            f"dates (such as 2024-12-31) or numbers"
        )
    if column.n_missing:
        raise UserError(
            f"argument --time-column: {column.name!r} has "
            f"{number_of(column.n_missing, 'gap')}; fill them, or remove the rows"
        )
    return column.values


def _why_not(column: Column, choices: Choices, rows: Any) -> str | None:
    """Return why a column is not learned from; None if it is."""
    name = column.name
    known = len(rows) - column.n_missing
    if name in choices.drop:
        return "as told by --drop"
    if column.kind == "date":
        return "dates; turn them into numbers that mean something, such as an age in days"
    if column.kind == "other":
        return f"{_words(column)}; turn them into numbers or text"
    if known == 0:
        return "it is empty"
    if column.n_distinct == 1 and known == len(rows):
        return "it is constant"
    if name in choices.keep or name in choices.categorical or known < _FEWEST_IDS:
        return None
    if column.kind == "text" and column.n_distinct == known and not _is_prose(column):
        return "an id: every value is different (--keep learns from it)"
    if column.kind == "text" and column.n_distinct > _FREE_TEXT * known:
        return f"free text: {column.n_distinct:,} different values (--keep learns from it)"
    if column.kind == "number" and _numbers_the_rows(column, known, rows):
        return "an id: it numbers the rows (--keep learns from it)"
    return None


def _is_prose(column: Column) -> bool:
    """Return whether most values are of several words, as no id is."""
    spaces = column.values.drop_nulls().str.strip_chars().str.count_matches(r"\s+")
    return bool(spaces.median() >= _WORDS - 1)


def _numbers_the_rows(column: Column, known: int, rows: Any) -> bool:
    """Return whether all values are different whole numbers, in a row or named as an id.

    `rows` are the numbers of the rows in the file, which may be a sample of it.
    """
    values = column.values.drop_nulls()
    if column.n_distinct < known or not (values % 1 == 0).all():
        return False
    in_a_row = known == len(rows) and (np.diff(values.to_numpy()) == np.diff(rows)).all()
    return bool(in_a_row) or _ID_NAME.search(column.name) is not None


def _doubts(column: Column, choices: Choices) -> list[str]:
    """Return a note on text that is mostly numbers."""
    if column.kind != "text" or column.name in (*choices.drop, *choices.categorical):
        return []
    known = column.values.drop_nulls()
    numbers = known.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    if 2 * numbers.null_count() >= len(known):
        return []
    wrong = known.filter(known.cast(pl.Float64, strict=False).is_null())[0]
    return [
        f"column {column.name!r} is text, as it has {wrong!r}, but most of its values are "
        f"numbers; write these with a point, and gaps as nothing"
    ]


def _notes(column: Column, target: Column) -> list[str]:
    if column.kind == target.kind and column.values.equals(target.values):
        return [f"column {column.name!r} equals the target: is it known when you predict?"]
    if column.kind == "text" and column.n_distinct > 1000:
        return [
            f"column {column.name!r} is a category of {column.n_distinct:,} levels, for each "
            f"of which --preset td-s and plain add a column; td does not"
        ]
    return []


def _words(column: Column) -> str:
    return {"date": "dates", "text": "text", "bool": "truth values"}.get(
        column.kind, f"values of type {column.values.dtype}"
    )
