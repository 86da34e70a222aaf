"""A single process, which has nobody to talk to."""

from __future__ import annotations

from typing import Any

from bpnet.backend import Backend
from bpnet.backend.typing import Array
from bpnet.distributed.base import Communicator


class SingleProcess(Communicator):
    """The communicator of a process that trains alone, whatever has started it.

    Examples
    --------
    >>> from bpnet.distributed import SingleProcess
    >>> alone = SingleProcess()
    >>> alone.rank, alone.size, alone.all_gather("loss")
    (0, 1, ['loss'])
    """

    rank, size, local_rank = 0, 1, 0

    def all_reduce(self, array: Array, backend: Backend) -> Array:
        """Return the array."""
        return array

    def broadcast(self, array: Array, backend: Backend) -> Array:
        """Return the array."""
        return array

    def all_gather(self, value: Any) -> list[Any]:
        """Return the value alone."""
        return [value]

    def abort(self, error: BaseException) -> None:
        """Do nothing: the error ends the process."""

    def __repr__(self) -> str:
        return "SingleProcess()"


ALONE = SingleProcess()
