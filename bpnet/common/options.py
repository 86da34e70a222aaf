"""Parsers of command-line options, which reject bad values with a one-line error."""

from __future__ import annotations

import argparse
import math
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from bpnet.common.checks import check_number
from bpnet.common.streams import one_line
from bpnet.common.suggestions import did_you_mean


class Parser(argparse.ArgumentParser):
    """An argument parser with one-line errors."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and the message; for a misspelt choice, with what it may be."""
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        hint = did_you_mean(wrong[1], re.findall(r"[\w-]+", wrong[2])) if wrong else ""
        self.exit(2, f"{self.prog}: error: {one_line(message)}{hint}\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help and version; argparse itself hides that stdout cannot be written."""
        if message and file is not None and file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)


def integer(minimum: int) -> Callable[[str], int]:
    """Return a parser of integers >= `minimum`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be an integer >= {minimum}, got {text!r}")
        return value

    return parse


def number(
    minimum: float, maximum: float = math.inf, *, above: bool = False
) -> Callable[[str], float]:
    """Return a parser of finite numbers in a range; `above` excludes the minimum."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        try:
            return check_number("", value, minimum, maximum, above=above)
        except ValueError as error:
            allowed = str(error).strip().rpartition(",")[0]
            raise argparse.ArgumentTypeError(f"{allowed}, got {text!r}") from None

    return parse


def sizes(text: str) -> tuple[int, ...]:
    """Parse layer sizes, such as 64,64."""
    try:
        return tuple(map(integer(1), text.split(",")))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"must be comma-separated layer sizes >= 1, such as 64,64; got {text!r}"
        ) from None


def names(text: str) -> list[str]:
    """Parse comma-separated names."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(
            f"must be comma-separated names, such as torch,jax; got {text!r}"
        )
    return found


def directory(text: str) -> str:
    """Parse the name of a directory."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"must name a directory, got {text!r}")
    return text


def writable(out: str, names: Iterable[str]) -> Path:
    """Return a directory, created if necessary, after checking that files can be written."""
    directory = Path(out)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
        for name in names:
            if (directory / name).is_dir():
                raise IsADirectoryError(None, f"{name} is a directory")
    except OSError as error:
        raise OSError(
            f"argument --out: cannot write pictures into {out!r}: {error.strerror}"
        ) from error
    return directory
