"""What a command writes: stdout, which may fail, its words on stderr, and pictures."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def one_line(text: str) -> str:
    """Collapse whitespace and line breaks."""
    return " ".join(text.split())


def complain(message: str) -> None:
    """Print a message as one line on stderr, if there is one that can be written."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(one_line(message), file=sys.stderr)


def written(name: str, run: Callable[[], int]) -> int:
    """Run a command; return its exit status, or 1 if its output cannot be written.

    A broken pipe ends it quietly, as `Python's documentation advises
    <https://docs.python.org/3/library/signal.html#note-on-sigpipe>`_; any other error is one
    line on stderr. What the encoding of stdout lacks is printed as an escape.
    """
    stream = sys.stdout
    if stream is None:
        complain(f"{name}: cannot write the output: stdout is closed")
        return 1
    try:
        with _any_character(stream):
            status = run()
            stream.flush()
        return status
    except BrokenPipeError:
        pass
    except OSError as error:
        where = "the output" if error.filename is None else repr(error.filename)
        complain(f"{name}: cannot write {where}: {error.strerror or error}")
    _discard_rest(stream)
    return 1


def save_picture(figure: Any, path: Path) -> Path:
    """Write a matplotlib figure as PNG, and return the path.

    Raises
    ------
    OSError
        With the name of the file, if it cannot be written; no part of it is left.
    """
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        if path.is_file():
            path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
    return path


@contextlib.contextmanager
def _any_character(stream: Any) -> Iterator[None]:
    """Let a strict stream escape what it cannot encode."""
    if not isinstance(stream, io.TextIOWrapper) or stream.errors != "strict":
        yield
        return
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the error of writing is raised already
            stream.reconfigure(errors="strict")


def _discard_rest(stream: Any) -> None:
    """Send what a failed stream still holds nowhere, else Python fails again at its exit."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError, AttributeError):  # a stream without a descriptor
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
