"""What is learned from which columns, decided before training and told to the user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.cli.columns import Column, column_of, frame_of, no_number
from bpnet.cli.failures import UserError
from bpnet.cli.task import target_of
from bpnet.common.plurals import number_of
from bpnet.common.suggestions import did_you_mean

# Text in which a larger share of the values are different is no category.
_FREE_TEXT = 0.5
# Words of text that is written, not made up to tell rows apart.
_WORDS = 3
# Fewer different values say nothing about whether a column numbers the rows.
_FEWEST_IDS = 20
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
        "auto", "classification" or "regression".
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
    rows = np.arange(frame.height) if rows is None else rows
    is_sample = bool(len(rows) and len(rows) <= rows[-1])
    target = target_of(frame[choices.target], choices.task, is_sample)
    notes, time, features, left_out = target.notes, None, [], []
    for name in frame.columns:
        if name == choices.target:
            continue
        as_text = "text" if name in choices.categorical else None
        column = column_of(frame[name], as_text)
        notes += _doubts(column, choices)
        if name == choices.time:
            time = _time(column.take(target.is_known))
            left_out.append(LeftOut(name, "it orders the rows for the split"))
        elif (reason := _why_not(column, choices, rows)) is not None:
            left_out.append(LeftOut(name, reason))
        else:
            features.append(column.take(target.is_known))
            notes += _notes(features[-1], target.column)
    if not features:
        raise UserError(
            "no column is left to learn from"
            + "".join(f"; {one.name!r}: {one.reason}" for one in left_out[:5])
        )
    return Plan(
        choices.target, target.task, target.why, target.y, features, left_out, notes, time
    )


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


def _time(column: Column) -> Any:
    if column.kind not in ("date", "number"):
        raise UserError(
            f"argument --time-column: {column.name!r} holds {column.words}, but must hold "
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
        return f"{column.words}; turn them into numbers or text"
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
    if column.name in (*choices.drop, *choices.categorical):
        return []
    if (wrong := no_number(column)) is None:
        return []
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
