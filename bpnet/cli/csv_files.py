"""CSV files as frames of text: separators, encodings and malformed rows."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import polars as pl

from bpnet.cli.failures import UserError
from bpnet.common.streams import one_line

_SEPARATORS = (",", ";", "\t", "|")
# Bytes in which the header must end.
_HEAD = 2**20
# Lines of one row; a row with more has lost a quote.
_MOST_LINES = 50
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read(path: str, separator: str | None, encoding: str | None) -> Any:
    """Return a frame in which every column is text, named by the first line.

    Raises
    ------
    UserError
        If the encoding, the names or a row is malformed.
    """
    names, separator = header(path, separator, encoding)
    source: Any = path
    if encoding is not None:
        source = io.BytesIO(_decoded(path, encoding).encode())
    try:
        frame = pl.read_csv(source, separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise _explained(path, separator, encoding, len(names), error) from None
    except OSError as error:  # compressed, and cut off
        raise _unreadable(path, error) from None
    frame.columns = names
    return frame


def batches(path: str, separator: str | None, rows: int) -> Iterator[Any]:
    """Yield frames of text of at most about `rows` rows, in order; the file is in UTF-8."""
    names, separator = header(path, separator, None)
    try:
        lazy = pl.scan_csv(path, separator=separator, infer_schema=False)
        for frame in lazy.collect_batches(chunk_size=rows):
            frame.columns = names
            yield frame
    except pl.exceptions.PolarsError as error:
        raise _explained(path, separator, None, len(names), error) from None
    except OSError as error:  # compressed, and cut off
        raise _unreadable(path, error) from None


def header(path: str, separator: str | None, encoding: str | None) -> tuple[list[str], str]:
    """Return the names in the first line, and what separates them.

    A name that is empty, as pandas writes for its index, becomes "unnamed_1", by its place.
    """
    line = _first_line(path, encoding)
    if separator is not None:
        if len(separator) != 1 or separator in '"\r\n':
            raise UserError(f"argument --separator: must be one character, got {separator!r}")
    else:
        separator = max(_SEPARATORS, key=lambda one: len(_fields(line, one)))
    fields = [field.strip() for field in _fields(line, separator)]
    names = [name or f"unnamed_{number}" for number, name in enumerate(fields, 1)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [str(number) for number, name in enumerate(names, 1) if name == twice[0]]
        raise UserError(
            f"{path!r} has {len(places)} columns named {twice[0]!r} (numbers "
            f"{', '.join(places)}); give each another name"
        )
    if _looks_like_data(fields):
        raise UserError(
            f"the first line of {path!r} holds numbers ({line.strip()[:40]}...), not names; "
            f"insert a line with the names of the columns"
        )
    return names, separator


def _looks_like_data(fields: list[str]) -> bool:
    """Return whether names are numbers with fractions; whole ones may be names."""
    try:
        return any(float(field) % 1.0 != 0.0 for field in fields)
    except ValueError:
        return False


def _fields(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _first_line(path: str, encoding: str | None) -> str:
    if encoding is not None:
        return next(iter(_decoded(path, encoding).lstrip("\ufeff").splitlines()), "")
    with _opened(path) as file:
        try:
            line = file.readline(_HEAD)
        except (OSError, EOFError) as error:
            raise UserError(f"cannot decompress {path!r}: {error}") from None
    if line.startswith(_UTF16):
        raise UserError(f"{path!r} is encoded as UTF-16; pass --encoding utf-16")
    if b"\r" in line.rstrip(b"\r\n"):
        raise UserError(
            f"{path!r} ends its lines with a carriage return alone, as old Macs did; save it "
            f"with the line ends of Unix or Windows"
        )
    if b"\0" in line:
        raise UserError(f"{path!r} is no text, but binary data; a table ends in .csv, ...")
    try:
        return str(line, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, 1, line[error.start]) from None


def _opened(path: str) -> Any:
    if path.lower().endswith(".gz"):
        return gzip.open(path, "rb")
    return open(path, "rb")


def _decoded(path: str, encoding: str) -> str:
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, ValueError):
        raise UserError(
            f"argument --encoding: unknown encoding {encoding!r}; the usual ones are utf-8, "
            f"utf-16, latin-1 and cp1252"
        ) from None
    try:
        with _opened(path) as file:
            return str(file.read(), codec.name)
    except UnicodeError as error:
        raise UserError(f"{path!r} is not encoded as {encoding}: {error}") from None


def _unreadable(path: str, error: Exception) -> UserError:
    return UserError(f"cannot read {path!r}: {one_line(str(error))[:200]}")


def _explained(
    path: str, separator: str, encoding: str | None, width: int, error: Exception
) -> UserError:
    """Return why a file cannot be read, with the line if it is found."""
    if "utf-8" in str(error).lower() and encoding is None:
        with _opened(path) as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as found:
                    return _not_utf8(path, number, line[found.start])
    with io.TextIOWrapper(_opened(path), encoding or "utf-8", errors="replace") as text:
        reader, last = csv.reader(text, delimiter=separator), 0
        for row in reader:
            if reader.line_num > last + _MOST_LINES:
                return UserError(
                    f"line {last + 1} of {path!r} has a quote that is not closed; double it, "
                    f"or remove it"
                )
            last = reader.line_num
            if len(row) > width:
                return UserError(
                    f"line {reader.line_num} of {path!r} has {len(row)} fields, but the first "
                    f"line has {width} names; fields with {separator!r} need quotes"
                )
    return UserError(f"cannot read {path!r} as CSV: {one_line(str(error))[:200]}")


def _not_utf8(path: str, line: int, byte: int) -> UserError:
    return UserError(
        f"{path!r} is not encoded as UTF-8 (byte 0x{byte:02x} in line {line}); pass its "
        f"--encoding, often latin-1 or cp1252"
    )
