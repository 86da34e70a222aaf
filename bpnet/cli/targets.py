"""Class labels in a column of a file, as codes of the classes that a model knows."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.cli.columns import TRUTH, column_of


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
