"""Model files of ``bpnet train``: an estimator's file, with a record of its training.

The record is an entry of the document that :func:`bpnet.load` ignores: the target, what each
column holds, and how the model was trained and tested.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bpnet.cli.columns import KINDS, Column, column_of, frame_of
from bpnet.cli.failures import CommandError, UserError
from bpnet.common.suggestions import did_you_mean
from bpnet.errors import ModelFileError
from bpnet.estimators._files import contents
from bpnet.loading import load
from bpnet.serialization import safetensors_file

RECORD = "record"


class Loaded(NamedTuple):
    """A model and the record of its training, empty if another program saved it."""

    model: Any
    record: dict[str, Any]

    @property
    def target(self) -> str | None:
        """The column that it predicts, if it is known."""
        target = self.record.get("target")
        return target if isinstance(target, str) else None

    @property
    def is_classifier(self) -> bool:
        """Whether it predicts classes with labels."""
        return hasattr(self.model, "classes_")

    @property
    def features(self) -> dict[str, str | None]:
        """What it takes: the names of columns, and what each must hold if it is known."""
        recorded = self.record.get("columns")
        if recorded:
            return {column["name"]: column["kind"] for column in recorded}
        names = getattr(self.model, "feature_names_in_", None)
        if names is None:
            names = getattr(self.model, "feature_names", None)
        return {} if names is None else dict.fromkeys(map(str, names))

    def table(self, frame: Any, first_row: int = 0) -> Any:
        """Return the columns of a file that the model takes, as a frame.

        `first_row` is the number of rows before it in the file, for errors.

        Raises
        ------
        UserError
            If one is missing, or holds something else than in training.
        """
        names = self.features or dict.fromkeys(n for n in frame.columns if n != self.target)
        if lacking := [name for name in names if name not in frame.columns]:
            shown = ", ".join(map(repr, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
            raise UserError(
                f"the table lacks columns that the model was trained on: {shown}"
                f"{did_you_mean(lacking[0], frame.columns)}"
            )
        columns: list[Column] = []
        for name, kind in names.items():
            columns.append(column_of(frame[name], kind, first_row))
        return frame_of(columns)

    def predict(self, X: Any) -> Any:
        """Return what the model predicts for a table.

        Raises
        ------
        UserError
            If the model refuses it, such as for an infinity.
        """
        with _refusals():
            return np.asarray(self.model.predict(X))

    def probabilities(self, X: Any) -> Any:
        """Return the probability of each class for the rows of a table, as `predict`."""
        with _refusals():
            return np.asarray(self.model.predict_proba(X))


def save(estimator: Any, record: dict[str, Any], path: str) -> None:
    """Write a fitted estimator with the record of its training.

    Raises
    ------
    OSError
        If the file cannot be written.
    CommandError
        If a file cannot hold so much, such as the levels of an id.
    """
    try:
        document, tensors = contents(estimator)
        content = safetensors_file.encode({**document, RECORD: record}, tensors)
    except (ValueError, TypeError) as error:
        raise CommandError(f"the model cannot be saved: {error}") from error
    safetensors_file.write(path, content)


def read(path: str, backend: str | None = None) -> Loaded:
    """Load a model.

    Raises
    ------
    UserError
        If the file cannot be read, or is no model.
    """
    try:
        model = load(path, backend)
        document, _ = safetensors_file.read(path)
    except ModelFileError as error:
        raise UserError(str(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read {path!r}: {reason}") from None
    record: Any = document.get(RECORD)
    return Loaded(model, record if _is_record(record) else {})


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Let what a model refuses be the mistake of who passes it."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error


# The lists of a record, with the entries of each and their types.
_LISTS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "columns": {"name": str, "kind": str, "missing": int, "distinct": int},
    "left_out": {"name": str, "reason": str},
    "test": {"metric": str, "value": (int, float), "low": (int, float), "high": (int, float),
             "baseline": (int, float), "better": str},
}  # fmt: skip


def _is_record(record: Any) -> bool:
    """Return whether a record is one: a file may hold anything."""
    return (
        isinstance(record, dict)
        and all(_is_list(record.get(name, []), entries) for name, entries in _LISTS.items())
        and all(column["kind"] in KINDS for column in record.get("columns", []))
        and isinstance(record.get("constant", 0.0), int | float | list)
        and isinstance(training := record.get("training", {"seconds": 0.0}), dict)
        and isinstance(training.get("seconds"), int | float)
    )


def _is_list(value: Any, entries: Mapping[str, Any]) -> bool:
    """Return whether a value is a list of objects with these entries."""
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and one.keys() == entries.keys()
        and all(isinstance(one[name], kind) for name, kind in entries.items())
        for one in value
    )
