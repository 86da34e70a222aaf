"""Out-of-memory errors that say what was requested and what to reduce."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bpnet.backend.base import Backend
from bpnet.errors import OutOfMemoryError


class explained:  # noqa: N801, a context manager, four times as fast as a generator
    """Convert a library's out-of-memory error into one that lists the needs, largest first.

    `needs` returns, for each need by name, its size in bytes and what to lower to reduce it.
    """

    def __init__(
        self, backend: Backend, needs: Callable[[], dict[str, tuple[int, str]]]
    ) -> None:
        self.backend, self.needs = backend, needs

    def __enter__(self) -> None:
        """Enter the context."""

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        """Raise OutOfMemoryError if that is what the error means."""
        if not isinstance(error, Exception) or isinstance(error, OutOfMemoryError):
            return
        backend = self.backend
        ordered = sorted(self.needs().items(), key=lambda item: -item[1][0])
        beyond = ordered[0][1][0] > sys.maxsize  # which libraries report as an invalid shape
        if not (beyond or backend.is_out_of_memory(error)):
            return
        asked = ", ".join(f"{in_units(size)} for {what}" for what, (size, _) in ordered if size)
        raise OutOfMemoryError(
            f"{backend.spec} ran out of memory; approximate needs: {asked}. "
            f"Lower {ordered[0][1][1]}"
        ) from error


def check_room(name: str, value: int, nbytes: int) -> None:
    """Reject a size that exceeds the host's memory, before anything is computed."""
    try:
        np.empty(min(nbytes, sys.maxsize), np.uint8)  # pages not written to take no memory
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{name} of {value:,} takes about {in_units(nbytes)}, more than available; lower it"
        ) from error


def in_units(nbytes: int) -> str:
    """Format a number of bytes in the largest unit that gives a value >= 1."""
    size, units = float(min(nbytes, 2**1000)), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024.0 and len(units) > 1:
        size, units = size / 1024.0, units[1:]
    return f"{size:.3g} {units[0]}"
