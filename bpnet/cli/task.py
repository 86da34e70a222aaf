"""What is predicted: classes or numbers, and whether there is something to learn."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from bpnet.cli.columns import Column, column_of, no_number
from bpnet.cli.failures import UserError
from bpnet.cli.targets import beyond_floats
from bpnet.common.plurals import number_of

# Whole numbers of at most so many different values are classes.
_MOST_CLASSES = 20
# Rows that a test set, a validation set and a training set need.
_FEWEST_ROWS = 10
_AS_NUMBERS = "write its numbers with a point, and gaps as nothing"


class Target(NamedTuple):
    """What is predicted.

    Attributes
    ----------
    task : {"classification", "regression"}
        What kind of prediction it is.
    why : str
        Why it is that task.
    y : array (m,)
        The labels or numbers.
    column : Column
        The column that they are from, in the rows with a target.
    is_known : polars.Series
        Which rows these are.
    """

    task: str
    why: str
    y: Any
    column: Column
    is_known: Any

    @property
    def notes(self) -> list[str]:
        """What the user should know about the rows that are left out."""
        missing = (~self.is_known).sum()
        return [f"rows without a target, which are left out: {missing:,}"] if missing else []


def target_of(series: Any, task: str, is_sample: bool) -> Target:
    """Return what is predicted.

    Parameters
    ----------
    series : polars.Series
        The column to predict, as it was read.
    task : str
        "auto", "classification" or "regression".
    is_sample : bool
        Whether its file has further rows.

    Raises
    ------
    UserError
        If it cannot be learned.
    """
    column = column_of(series)
    exact = beyond_floats(series, column) or column
    is_known = column.values.is_not_null()
    if column.n_missing:
        column, exact = column.take(is_known), exact.take(is_known)
    _check_rows(len(column.values), len(series), is_sample)
    task, why = _task(column, exact.n_distinct, task)
    if task == "classification":
        _check_content(exact, is_sample)
        _check_classes(exact, is_sample)
        return Target(task, why, _labels(exact), column, is_known)
    _check_floats(column, exact.n_distinct)
    _check_content(column, is_sample)
    _check_numbers(column)
    return Target(task, why, column.values.to_numpy(), column, is_known)


def _check_rows(known: int, rows: int, is_sample: bool) -> None:
    if known < _FEWEST_ROWS:
        where = f"the sample of {rows:,} rows" if is_sample else "the table"
        raise UserError(
            f"{where} has {number_of(known, 'row')} with a target, but training, validation "
            f"and test need at least {_FEWEST_ROWS}"
        )


def _check_floats(target: Column, n_distinct: int) -> None:
    """Refuse different integers that are the same floats."""
    if n_distinct > target.n_distinct:
        raise UserError(
            f"the target {target.name!r} has {n_distinct:,} different integers, of which only "
            f"{target.n_distinct:,} stay different as floats, which are exact up to 2**53; "
            f"subtract what they have in common, or pass --task classification"
        )


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


def _check_content(target: Column, is_sample: bool) -> None:
    """Refuse what is neither a class nor a number, and what is always the same."""
    name = target.name
    if target.kind in ("date", "other"):
        raise UserError(
            f"the target {name!r} holds {target.words}; predict a number or a class"
        )
    if target.n_distinct == 1:
        always = f"the target {name!r} is always {target.values[0]!r}"
        if is_sample:
            raise UserError(
                f"{always} in the {len(target.values):,} rows that were drawn, so there is "
                f"nothing to learn from them; pass a larger --sample"
            )
        raise UserError(f"{always}, so there is nothing to learn")


def _check_numbers(target: Column) -> None:
    if target.kind != "number":
        wrong = no_number(target)
        raise UserError(
            f"the target {target.name!r} holds text such as {wrong or target.values[0]!r}, and "
            f"a regression predicts numbers; "
            + (_AS_NUMBERS if wrong else "pass --task classification")
        )
    if target.values.is_infinite().any():
        raise UserError(f"the target {target.name!r} has infinite values; remove these rows")


def _check_classes(target: Column, is_sample: bool) -> None:
    """Refuse more classes than can be learned, and those of a single row."""
    name, rows = target.name, len(target.values)
    if target.n_distinct > max(_MOST_CLASSES, rows // 5):
        wrong = no_number(target)
        raise UserError(
            f"the target {name!r} has {target.n_distinct:,} different values in {rows:,} rows, "
            f"too many for classes"
            + ("; pass --task regression" if target.kind == "number" else "")
            + (f"; it is text, as it has {wrong!r}: {_AS_NUMBERS}" if wrong else "")
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
