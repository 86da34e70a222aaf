"""When memory does not suffice: an error that says what was asked for, and what to lower."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import numpy as np

from bpnet.backend.base import Backend
from bpnet.errors import OutOfMemoryError


@contextlib.contextmanager
def explained(
    backend: Backend, needs: Callable[[], dict[str, tuple[int, str]]]
) -> Iterator[None]:
    """Turn a library's error into one that names the needs, largest first.

    Parameters
    ----------
    backend : Backend
        Where it was computed.
    needs : callable
        Gives for each need its bytes, and what lowers it.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError):
            raise
        ordered = sorted(needs().items(), key=lambda item: -item[1][0])
        beyond = ordered[0][1][0] > sys.maxsize  # of which libraries say it is no shape
        if not (beyond or backend.is_out_of_memory(error)):
            raise
        asked = ", ".join(f"{in_units(size)} for {what}" for what, (size, _) in ordered if size)
        raise OutOfMemoryError(
            f"{backend.spec} ran out of memory, where about this was asked for: {asked}. "
            f"Lower {ordered[0][1][1]}"
        ) from error


def check_room(name: str, value: int, nbytes: int) -> None:
    """Refuse a size for which the host has no memory, before anything is computed."""
    try:
        np.empty(min(nbytes, sys.maxsize), np.uint8)  # what is not written to takes no memory
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{name} of {value:,} takes about {in_units(nbytes)}, more than there is; lower it"
        ) from error


def in_units(nbytes: int) -> str:
    """Write bytes in the largest unit of which there is one at least."""
    size, units = float(min(nbytes, 2**1000)), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024.0 and len(units) > 1:
        size, units = size / 1024.0, units[1:]
    return f"{size:.3g} {units[0]}"
