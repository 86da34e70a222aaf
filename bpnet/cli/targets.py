"""Class labels in a column of a file: large integers, and codes of the classes of a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.cli.columns import TRUTH, Column, column_of

# Up to this each integer is a float64.
_EXACT = 2**53
_WHOLE = r"^[+-]?\d+$"


def beyond_floats(series: Any, numbers: Column) -> Column | None:
    """Return a column of integers as text if some are 2**53 or more; None if none are.

    `numbers` is what the column was read as. Floats would round different ones to the same.
    """
    is_large = numbers.kind == "number" and (numbers.values.abs() >= _EXACT).any()
    if not is_large or series.dtype.is_float():
        return None
    text = column_of(series, "text")
    return text if text.values.drop_nulls().str.contains(_WHOLE).all() else None


def codes_of(series: Any, labels: list[Any], first_row: int) -> tuple[Any, Any]:
    """Return the labels of a column, null as gaps, and their codes, -1 where there is none.

    `labels` are those of all classes; `first_row` is the number of rows before, for errors.
    """
    is_text = isinstance(labels[0], str)
    kind = "number" if not is_text else "bool" if set(labels) <= set(TRUTH) else "text"
    values = column_of(series, kind, first_row).values
    codes = {label: code for code, label in enumerate(labels)}
    return values, np.array(
        [codes.get(value, -1) for value in values.to_list()], dtype=np.int64
    )
