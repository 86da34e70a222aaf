"""What connects the processes of a training run."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.typing import Array


class Communicator(ABC):
    """The processes that train together, numbered from 0, seen from one of them.

    All of them call the same methods in the same order. To connect them otherwise than by MPI,
    subclass this, set the attributes, and define the methods that are abstract.

    Attributes
    ----------
    rank : int
        The number of this process, 0 <= rank < size.
    size : int
        How many processes there are.
    local_rank : int
        The number of this process among those of the same machine: by default it takes the GPU
        of that number.
    shards : bool
        Whether each process passes examples of its own to ``fit``. False: all of them pass the
        same examples, of which each takes its part.
    """

    rank: int
    size: int
    local_rank: int
    shards: bool = False

    @abstractmethod
    def all_reduce(self, array: Array, backend: Backend) -> Array:
        """Return the sum of the arrays of all processes, in all of them the same bits.

        Parameters
        ----------
        array : array (n,) of float32 or float64
            The addend of this process, whose memory may be used for the sum.
        backend : Backend
            The backend of the array and of the sum.
        """

    @abstractmethod
    def broadcast(self, array: Array, backend: Backend) -> Array:
        """Return the array of process 0, which has the same shape and dtype in all of them."""

    @abstractmethod
    def all_gather(self, value: Any) -> list[Any]:
        """Return the values of all processes by rank: small objects, which pickle can store."""

    @abstractmethod
    def abort(self, error: BaseException) -> None:
        """End all processes, after saying which one failed and how."""

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.all_gather(None)

    @property
    def is_main(self) -> bool:
        """Whether this is process 0, which alone writes files and shows progress."""
        return self.rank == 0

    @contextlib.contextmanager
    def aborting(self) -> Iterator[None]:
        """End all processes if an error leaves this block, as the others would wait forever."""
        try:
            yield
        except BaseException as error:
            if self.size > 1:
                self.abort(error)
            raise
