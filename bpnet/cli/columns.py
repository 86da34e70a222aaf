"""What the columns of a table hold: numbers, text, truth values, dates, or something else."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from bpnet.cli.failures import UserError

# What stands for a missing value in text.
GAPS = ("", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "null", "NULL", "None", "?")
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y%m%dT%H%M%S")
_TIMES = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S%.f",
          "%Y-%m-%dT%H:%M:%S%.fZ", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M")  # fmt: skip
TRUTH = ("true", "false")
# What can be learned from.
KINDS = ("number", "text", "bool")


class Column(NamedTuple):
    """A column, with what it holds.

    Attributes
    ----------
    name : str
        Its name.
    kind : {"number", "text", "bool", "date", "other"}
        What it holds. A bool is the text "true" or "false".
    values : polars.Series
        Float64, String or Datetime, with nulls as gaps.
    n_missing, n_distinct : int
        Number of gaps, and of different values without them.
    """

    name: str
    kind: str
    values: Any
    n_missing: int
    n_distinct: int

    @property
    def words(self) -> str:
        """What it holds, in words."""
        return {"date": "dates", "text": "text", "bool": "truth values"}.get(
            self.kind, f"values of type {self.values.dtype}"
        )

    def take(self, rows: Any) -> Column:
        """Return the column in some rows, by a mask."""
        return _counted(self.name, self.kind, self.values.filter(rows))


def column_of(series: Any, kind: str | None = None, first_row: int = 0) -> Column:
    """Return a column of a file.

    Parameters
    ----------
    series : polars.Series
        As it was read: of text if the file does not say more.
    kind : str or None
        What a model was trained on, to which the column is converted; None is found out.
    first_row : int
        The rows before it in its file, for errors.

    Raises
    ------
    UserError
        If the column does not hold that kind.
    """
    if kind is None:
        kind, values = _found(series)
    else:
        values = _converted(series, kind, first_row)
    return _counted(series.name, kind, values)


def _counted(name: str, kind: str, values: Any) -> Column:
    n_missing = values.null_count()
    n_distinct = 0 if kind == "other" else values.n_unique() - (n_missing > 0)
    return Column(name, kind, values, n_missing, n_distinct)


def _found(series: Any) -> tuple[str, Any]:
    """Return what a column holds, and its values."""
    dtype = series.dtype
    if dtype.is_numeric() or dtype == pl.Null:
        return "number", _as_numbers(series)
    if dtype == pl.Boolean:
        return "bool", series.cast(pl.String)
    if dtype in (pl.Date, pl.Datetime):
        return "date", series.cast(pl.Datetime("us"))
    if dtype not in (pl.String, pl.Categorical, pl.Enum):
        return "other", series
    text = _as_text(series)
    known = text.null_count()
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.null_count() == known:
        return "number", numbers
    lower = text.str.to_lowercase()
    if lower.drop_nulls().is_in(TRUTH).all():
        return "bool", lower
    dates = _as_dates(text)
    return ("text", text) if dates is None else ("date", dates)


def _converted(series: Any, kind: str, first_row: int) -> Any:
    """Return the values of a column as the kind that a model was trained on."""
    dtype = series.dtype
    if kind == "number":
        if dtype.is_numeric() or dtype in (pl.Null, pl.Boolean):
            return _as_numbers(series)
        text = _as_text(series)
        numbers = text.cast(pl.Float64, strict=False)
        return _all_read(text, numbers, "numbers, as in training", first_row)
    text = _as_text(series)
    return text.str.to_lowercase() if kind == "bool" else text


def _all_read(text: Any, values: Any, what: str, first_row: int) -> Any:
    """Return the values that a column of text holds, or refuse the first that is none."""
    wrong = values.is_null() & text.is_not_null()
    if wrong.any():
        raise UserError(
            f"column {text.name!r} must hold {what}; got {text[wrong.arg_max()]!r} in row "
            f"{row_of(wrong, first_row):,}"
        )
    return values


def row_of(found: Any, first_row: int) -> int:
    """Return the number in its file, from 1, of the first row in which something was found."""
    return int(first_row + found.arg_max() + 1)


def _as_text(series: Any) -> Any:
    """Return a column as text without surrounding blanks; what stands for a gap is null."""
    text = series.cast(pl.String, strict=False).str.strip_chars()
    return text.set(text.is_in(GAPS), None)


def _as_numbers(series: Any) -> Any:
    """Return a column of numbers as Float64, NaN as null."""
    return series.cast(pl.Float64, strict=False).fill_nan(None)


def _as_dates(text: Any) -> Any | None:
    """Return a column of dates, if every value is one in the same form."""
    form = _form_of(text)
    return None if form is None else _parsed(text, form)


def _form_of(text: Any) -> str | None:
    """Return the form of the dates in a column of text; None if it holds something else."""
    known = text.drop_nulls()
    for form in (*_DATES, *_TIMES):
        start = known.head(20)  # most columns hold no dates
        if not _parsed(start, form).null_count() and not _parsed(known, form).null_count():
            return form
    return None


def dates_like(series: Any, sample: Any, first_row: int) -> Any:
    """Return the dates of a column, written as in another one, which holds dates.

    Raises
    ------
    UserError
        If a value is none; `first_row` is the number of rows before.
    """
    if series.dtype != pl.String:
        return series.cast(pl.Datetime("us"))
    text = _as_text(series)
    dates = _parsed(text, _form_of(_as_text(sample)))
    return _all_read(text, dates, f"dates such as {sample.drop_nulls()[0]!r}", first_row)


def _parsed(text: Any, form: Any) -> Any:
    if "%H" in form:
        return text.str.to_datetime(form, strict=False, time_unit="us", time_zone=None)
    return text.str.to_date(form, strict=False).cast(pl.Datetime("us"))


def no_number(column: Column) -> str | None:
    """Return the first text that is no number, if most are, perhaps with a comma for a point.

    None for other columns.
    """
    if column.kind != "text":
        return None
    known = column.values.drop_nulls()
    numbers = known.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    if 2 * numbers.null_count() >= len(known):
        return None
    wrong = known.filter(known.cast(pl.Float64, strict=False).is_null())
    return str(wrong[0]) if len(wrong) else None


def frame_of(columns: list[Column]) -> Any:
    """Return a frame of columns, as the estimators take it."""
    return pl.DataFrame([column.values.alias(column.name) for column in columns])
