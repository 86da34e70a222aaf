"""Tables in files: CSV (also compressed), Parquet, NumPy's formats and libsvm.

Every reader returns a frame of polars. Columns of a CSV are text until
:mod:`bpnet.cli.columns` decides what they hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bpnet.cli import array_files, csv_files
from bpnet.cli.failures import UserError
from bpnet.common.streams import one_line

KINDS = {
    ".csv": "CSV", ".tsv": "CSV", ".tab": "CSV", ".txt": "CSV",
    ".parquet": "Parquet", ".pq": "Parquet", ".npy": "npy", ".npz": "npz",
    ".svm": "libsvm", ".libsvm": "libsvm", ".svmlight": "libsvm",
}  # fmt: skip
# Rows that are read at a time.
_BLOCK = 50_000
# The first bytes of files that are often named otherwise.
_MAGIC = ((b"PAR1", "Parquet"), (b"\x93NUMPY", "npy"), (b"PK\x03\x04", "npz"))
_HINTS = {
    ".xlsx": "save the sheet as CSV", ".xls": "save the sheet as CSV",
    ".ods": "save the sheet as CSV", ".json": "convert it to CSV or Parquet",
    ".arrow": "convert it to Parquet", ".feather": "convert it to Parquet",
    ".pkl": "a pickle may run code when it is read; save CSV or Parquet",
    ".pickle": "a pickle may run code when it is read; save CSV or Parquet",
    ".safetensors": "it is a model; the table comes as another argument",
}  # fmt: skip


class Source(NamedTuple):
    """A file that exists and can be read.

    Attributes
    ----------
    path : str
        Its path.
    kind : str
        One of the values of `KINDS`.
    separator, encoding : str or None
        Of a CSV; None is to be found out, and UTF-8.
    state : tuple of int
        Its size, and when it was last changed, as it was opened.
    """

    path: str
    kind: str
    separator: str | None
    encoding: str | None
    state: tuple[int, int]


def source_of(path: str, separator: str | None = None, encoding: str | None = None) -> Source:
    """Return a file to read.

    Raises
    ------
    UserError
        If it does not exist, cannot be read, is empty, or is of another kind.
    """
    if os.path.isdir(path):
        raise UserError(f"{path!r} is a folder; pass one file of it")
    try:
        with open(path, "rb") as file:
            head, state = file.read(8), state_of(file.fileno())
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read {path!r}: {reason}") from None
    if not head:
        raise UserError(f"{path!r} is empty")
    kind = _kind_of(path)
    found = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
    if found not in (None, kind):
        ends = {"npz": "a zip archive, such as .npz or .xlsx", "npy": "a file of NumPy, .npy"}
        raise UserError(
            f"{path!r} is named as {kind}, but its content is "
            f"{ends.get(str(found), 'a Parquet file')}; give it the name of its kind"
        )
    return Source(path, kind, separator, encoding, state)


def state_of(file: str | int) -> tuple[int, int]:
    """Return the size of a file, by its path or descriptor, and when it was last changed."""
    found = os.stat(file)
    return found.st_size, found.st_mtime_ns


def _kind_of(path: str) -> str:
    name = Path(path).name.lower()
    for end in (".gz", ".zst"):
        if name.endswith(end) and KINDS.get(Path(name.removesuffix(end)).suffix) == "CSV":
            return "CSV"
    suffix = Path(name).suffix
    if suffix in KINDS:
        return KINDS[suffix]
    hint = _HINTS.get(suffix, "name the file by what it holds")
    raise UserError(
        f"{path!r} has the ending {suffix or 'of no kind'!r}, but a table ends in "
        f".csv, .tsv, .csv.gz, .parquet, .npy, .npz or .libsvm; {hint}"
    )


def read(source: Source, needed: tuple[str, ...] = ()) -> Any:
    """Return the whole table of a file as a frame of polars.

    `needed` are columns that a model takes; those that a libsvm file lacks are zeros.

    Raises
    ------
    UserError
        If the file is malformed, or has no row.
    """
    if source.kind == "CSV":
        frame = csv_files.read(source.path, source.separator, source.encoding)
    elif source.kind == "Parquet":
        try:
            frame = pl.read_parquet(source.path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _malformed(source, error) from None
    else:
        frame = array_files.READERS[source.kind](source.path, needed)
    if frame.height == 0:
        raise _without_rows(source)
    return frame


def batches(source: Source, rows: int, needed: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield the table of a file in frames of at most about `rows` rows, in order.

    CSV in UTF-8, Parquet and matrices in .npy are streamed; other files are read as a whole.
    """
    if source.kind == "CSV" and source.encoding is None:
        yield from csv_files.batches(source.path, source.separator, rows)
    elif source.kind == "Parquet":
        try:
            yield from pl.scan_parquet(source.path).collect_batches(chunk_size=rows)
        except pl.exceptions.PolarsError as error:
            raise _malformed(source, error) from None
    elif source.kind == "npy":
        yield from array_files.batches(source.path, rows)
    else:
        yield from read(source, needed).iter_slices(rows)


class Sample(NamedTuple):
    """Random rows of a table in their order, their numbers from 0, and how many it has."""

    frame: Any
    rows: Any
    total: int


def sample(source: Source, rows: int, seed: int) -> Sample:
    """Return random rows of a table.

    CSV in UTF-8 and Parquet are streamed once: each row draws a number, and those with the
    smallest are held in memory.

    Raises
    ------
    UserError
        As :func:`read`.
    """
    rng = np.random.default_rng(seed)
    frames, drawn, numbers = [], np.empty(0), np.empty(0, np.int64)
    limit, total = 1.0, 0
    for frame in batches(source, _BLOCK):
        draw = rng.random(frame.height)
        chosen = np.flatnonzero(draw < limit)
        frames.append(frame[chosen])
        drawn = np.concatenate([drawn, draw[chosen]])
        numbers = np.concatenate([numbers, total + chosen])
        total += frame.height
        if len(drawn) >= 2 * rows:
            limit, kept = _smallest(drawn, rows)
            frames, drawn, numbers = [pl.concat(frames)[kept]], drawn[kept], numbers[kept]
    if not total:
        raise _without_rows(source)
    _, kept = _smallest(drawn, rows)
    return Sample(pl.concat(frames)[kept], numbers[kept], total)


def _smallest(drawn: Any, count: int) -> tuple[float, Any]:
    """Return the largest of the smallest numbers, and the places of these in order."""
    places = np.argsort(drawn, kind="stable")[:count]
    return float(drawn[places[-1]]), np.sort(places)


def _without_rows(source: Source) -> UserError:
    return UserError(f"{source.path!r} has no row below its column names")


def _malformed(source: Source, error: Exception) -> UserError:
    return UserError(
        f"cannot read {source.path!r} as {source.kind}: {one_line(str(error))[:200]}"
    )
