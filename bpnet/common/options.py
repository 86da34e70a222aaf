"""What options may be: each is checked before anything is computed, with one line of error."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from bpnet.common.checks import check_number


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and the message."""
        self.exit(2, f"{self.prog}: error: {one_line(message)}\n")


def one_line(text: str) -> str:
    """Write a text without line breaks."""
    return " ".join(text.split())


def integer(minimum: int) -> Callable[[str], int]:
    """Give a parser of integers of at least `minimum`."""

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
    """Give a parser of finite numbers in a range; `above` excludes the minimum."""

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
            f"must be layer sizes >= 1 with commas between, such as 64,64; got {text!r}"
        ) from None


def names(text: str) -> list[str]:
    """Parse names with commas between."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(
            f"must be names with commas between, such as torch,jax; got {text!r}"
        )
    return found


def directory(text: str) -> str:
    """Refuse what can be no name."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"must name a directory, got {text!r}")
    return text


def writable(out: str, names: Iterable[str]) -> Path:
    """Give the directory, made if need be, after a trial that it takes files."""
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
