"""When memory does not suffice: an error that says what was asked for, and what to lower."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bpnet.errors import OutOfMemoryError

if TYPE_CHECKING:
    from bpnet.backend.base import Backend
    from bpnet.layers import Layer

ITEMSIZE = {"float32": 4, "float64": 8}


@contextlib.contextmanager
def explained(
    place: Backend, needs: Callable[[], dict[str, tuple[int, str]]]
) -> Iterator[None]:
    """Turn a library's error into one that names the needs, largest first.

    Parameters
    ----------
    place : Backend
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
        if not (beyond or place.is_out_of_memory(error)):
            raise
        asked = ", ".join(f"{in_units(size)} for {what}" for what, (size, _) in ordered if size)
        raise OutOfMemoryError(
            f"{place.spec} ran out of memory, where about this was asked for: {asked}. "
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


def parameter_bytes(layers: Sequence[Layer], n_inputs: int, dtype: str) -> int:
    """Count the bytes of the weights and biases of layers with units."""
    widths = _widths(layers, n_inputs)
    pairs = zip(layers, widths, widths[1:], strict=False)
    count = sum((n + 1) * units for layer, n, units in pairs if hasattr(layer, "units"))
    return ITEMSIZE[dtype] * count


def activation_bytes(layers: Sequence[Layer], n_inputs: int, rows: int, dtype: str) -> int:
    """Count the bytes of all z and a of some rows."""
    return ITEMSIZE[dtype] * rows * 2 * sum(_widths(layers, n_inputs)[1:])


def _widths(layers: Sequence[Layer], n_inputs: int) -> list[int]:
    widths = [n_inputs]
    for layer in layers:
        widths.append(layer.n_outputs(widths[-1]))
    return widths
