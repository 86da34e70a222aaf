"""The commands ``bpnet predict`` and ``bpnet evaluate``: a saved model on another table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bpnet.cli import data_files
from bpnet.cli.columns import column_of
from bpnet.cli.failures import CommandError, UserError
from bpnet.cli.model_file import Loaded, read
from bpnet.cli.new_file import new_file
from bpnet.cli.output import Output
from bpnet.cli.results import Predictions, measured, rows_of
from bpnet.cli.targets import codes_of
from bpnet.common.plurals import number_of

CHUNK = 50_000
_ENDINGS = (".csv", ".parquet")


class Options(NamedTuple):
    """The options of the commands; their help describes them."""

    model: str
    data: str
    separator: str | None
    encoding: str | None
    backend: str | None
    as_json: bool


def predict(
    options: Options, out: str, proba: bool, keep: list[str], chunk: int, force: bool
) -> int:
    """Write the predictions for each row of a table; return the exit status.

    Raises
    ------
    UserError, OSError
        If an argument is wrong, or the file cannot be written.
    """
    output = Output(options.as_json)
    target = new_file("--out", out, _ENDINGS, force)
    loaded = read(options.model, options.backend)
    if proba and not loaded.is_classifier:
        raise UserError("argument --proba: the model predicts no classes with labels")
    source = data_files.source_of(options.data, options.separator, options.encoding)
    parts = _parts(loaded, source, proba, keep, chunk)
    write = _write_csv if target.suffix.lower() == ".csv" else _write_parquet
    n_rows = write(target, parts)
    if not n_rows:
        raise UserError(f"{options.data!r} has no row below its column names")
    output.say(f"{number_of(n_rows, 'prediction')}: {target}")
    output.document({"rows": n_rows, "out": str(target)})
    return 0


def evaluate(options: Options, target: str | None) -> int:
    """Print how well a model predicts a table with known targets; return the exit status.

    Raises
    ------
    UserError
        If an argument is wrong.
    """
    output, loaded = Output(options.as_json), read(options.model, options.backend)
    name = target if target is not None else loaded.target
    if name is None:
        raise UserError("the model does not say what it predicts; pass --target")
    if not hasattr(loaded.model, "predict") or not hasattr(loaded.model, "get_params"):
        raise UserError(
            f"{options.model!r} holds a network without labels; evaluate it in Python: "
            f"bpnet.load({options.model!r}).evaluate(X, y)"
        )
    source = data_files.source_of(options.data, options.separator, options.encoding)
    predictions, n_without = _of_table(loaded, source, name)
    if n_without:
        output.note(f"note: rows without a target, which are left out: {n_without:,}")
    results = measured(predictions)
    output.say(f"{options.model} on {number_of(len(predictions.y), 'row')} of {options.data}\n")
    output.table(rows_of(results, "these rows"))
    output.document({"rows": len(predictions.y), "test": [one._asdict() for one in results]})
    return 0


def _of_table(loaded: Loaded, source: data_files.Source, name: str) -> tuple[Predictions, int]:
    """Return the predictions of the rows with a target, and the number of others."""
    n_rows, targets, outputs = 0, [], []
    for frame in data_files.batches(source, CHUNK, tuple(loaded.features)):
        if name not in frame.columns:
            raise UserError(f"the table has no column {name!r} with the targets; pass --target")
        of_part = _classes if loaded.is_classifier else _numbers
        y, is_known = of_part(loaded, frame[name], n_rows)
        if len(y):
            X = loaded.table(frame, n_rows).filter(is_known)
            outputs.append(loaded.probabilities(X) if loaded.is_classifier
                           else np.ravel(loaded.predict(X)))  # fmt: skip
            targets.append(y)
        n_rows += frame.height
    if not n_rows:
        raise UserError(f"{source.path!r} has no row below its column names")
    if not targets:
        raise UserError(f"column {name!r} is empty, so there is nothing to compare with")
    y = np.concatenate(targets)
    labels = loaded.model.classes_.tolist() if loaded.is_classifier else None
    constant = loaded.record.get("constant")
    if constant is None:
        shares = None if labels is None else np.bincount(y, minlength=len(labels)) / len(y)
        constant = np.mean(y) if shares is None else shares
    found = Predictions(y, np.concatenate(outputs), np.asarray(constant), labels)
    return found, n_rows - len(y)


def _numbers(loaded: Loaded, series: Any, first_row: int) -> tuple[Any, Any]:
    """Return the targets of a regression that are known, and where."""
    values = column_of(series, "number", first_row).values
    is_known = values.is_not_null()
    return values.filter(is_known).to_numpy(), is_known


def _classes(loaded: Loaded, series: Any, first_row: int) -> tuple[Any, Any]:
    """Return the codes of the classes that are known, and where."""
    labels = loaded.model.classes_.tolist()
    values, found = codes_of(series, labels, first_row)
    unknown = values.filter((found < 0) & values.is_not_null().to_numpy())
    if len(unknown):
        raise UserError(
            f"column {series.name!r} has the class {unknown[0]!r}, which the model does not "
            f"know; it has {', '.join(map(repr, labels[:8]))}"
        )
    return found[found >= 0], pl.Series(found >= 0)


# --- predicting in parts ----------------------------------------------------------------------


def _parts(
    loaded: Loaded, source: data_files.Source, proba: bool, keep: list[str], chunk: int
) -> Iterator[Any]:
    """Yield the predictions of each part of a table as a frame."""
    first_row = 0
    for frame in data_files.batches(source, chunk, tuple(loaded.features)):
        if frame.height == 0:
            continue
        if unknown := [name for name in keep if name not in frame.columns]:
            raise UserError(f"argument --keep: there is no column {unknown[0]!r}")
        X = loaded.table(frame, first_row)
        first_row += frame.height
        yield pl.DataFrame([*(frame[name] for name in keep), *_columns(loaded, X, proba)])


def _columns(loaded: Loaded, X: Any, proba: bool) -> list[Any]:
    """Return the columns of predictions."""
    name = loaded.target or "prediction"
    name = f"predicted_{name}" if loaded.target else name
    if not proba:
        found = loaded.predict(X)
        if found.ndim == 1 or found.shape[1] == 1:
            return [pl.Series(name, found.reshape(-1))]
        return [pl.Series(f"{name}_{k}", found[:, k]) for k in range(found.shape[1])]
    p = loaded.probabilities(X)
    labels = loaded.model.classes_
    chosen = labels[np.argmax(p, axis=1)]
    return [
        pl.Series(name, chosen),
        *(pl.Series(f"probability_{label}", p[:, k]) for k, label in enumerate(labels)),
    ]


def _write_csv(path: Path, parts: Iterator[Any]) -> int:
    """Write parts one after the other; the file appears when it is complete."""
    n_rows = 0
    with _replaced(path) as temporary, open(temporary, "wb") as file:
        for part in parts:
            part.write_csv(file, include_header=n_rows == 0)
            n_rows += part.height
    return n_rows


def _write_parquet(path: Path, parts: Iterator[Any]) -> int:
    """Write all predictions together; they are small beside the table."""
    frames = list(parts)
    if not frames:
        return 0
    whole = pl.concat(frames)
    with _replaced(path) as temporary:
        whole.write_parquet(temporary)
    return int(whole.height)


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[str]:
    """Yield the name of a file that takes the place of another, unless it stays empty."""
    temporary = str(path.with_name(f".{path.name}.{os.getpid()}.tmp"))
    try:
        open(temporary, "xb").close()  # tempfile's are for the user alone
        yield temporary
        if os.path.getsize(temporary):
            os.replace(temporary, path)
    except (OSError, pl.exceptions.ComputeError) as error:  # that of polars for Parquet
        reason = getattr(error, "strerror", None) or str(error).rpartition(": ")[2]
        reason = reason.partition(" (os error")[0]
        raise CommandError(
            f"cannot write {str(path)!r}: {reason}; nothing was written"
        ) from None
    finally:
        Path(temporary).unlink(missing_ok=True)
