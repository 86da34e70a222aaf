"""Sums over the GPUs of several processes, by CuPy's binding of NCCL.

Written after CuPy's documentation and source, and tried with a stand-in: there was no machine
with several GPUs to run it on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
from cupy.cuda import nccl

_TYPES = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}


class NcclGroup:
    """The GPU of this process among those of others, in place on the current stream.

    Parameters
    ----------
    rank, size : int
        The number of this process, and of all.
    share : callable
        ``share(value)`` returns the value of process 0.
    """

    def __init__(self, rank: int, size: int, share: Callable[[Any], Any]) -> None:
        identifier = share(nccl.get_unique_id() if rank == 0 else None)
        self._communicator = nccl.NcclCommunicator(size, identifier, rank)

    def all_reduce(self, array: Any) -> Any:
        """Return the sum of the arrays (n,) of all processes, in the memory of this one's."""
        place = array.data.ptr
        self._communicator.allReduce(
            place, place, array.size, _TYPES[array.dtype.name], nccl.NCCL_SUM, _stream()
        )
        return array

    def broadcast(self, array: Any) -> Any:
        """Return the array of process 0, in the memory of this one's."""
        self._communicator.bcast(
            array.data.ptr, array.size, _TYPES[array.dtype.name], 0, _stream()
        )
        return array


def _stream() -> int:
    return int(cupy.cuda.get_current_stream().ptr)
