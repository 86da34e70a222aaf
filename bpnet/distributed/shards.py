"""The examples of one process, as part of those of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bpnet.backend import Backend
from bpnet.data.loader import Loader, Piece
from bpnet.distributed.base import Communicator


class ShardLoader(Loader):
    """A loader of one process: its batches are parts of those of all processes.

    Batch k of an epoch consists of the k-th batch of each process, by rank. A process with
    fewer batches than others ends its epoch with empty ones.

    Parameters
    ----------
    loader : Loader
        The examples of this process.
    communicator : Communicator
        The processes, all of which make their loader at once.

    Attributes
    ----------
    n_rows, total_weight, n_batches
        Those of all processes; other numbers are of this one.
    first_row : int
        The number of the first row of this process in a batch of all.

    Raises
    ------
    ValueError
        In all processes, if only some of them have weights.
    """

    def __init__(self, loader: Loader, communicator: Communicator) -> None:
        self.loader = loader
        every = communicator.all_gather(
            (loader.n_rows, loader.total_weight, loader.n_batches, loader.batch_size,
             loader.weighted)
        )  # fmt: skip
        rows, weights, batches, sizes, weighted = zip(*every, strict=True)
        if len(set(weighted)) > 1:
            with_weights = [rank for rank, has in enumerate(weighted) if has]
            raise ValueError(
                f"the shards of all processes must have sample weights, or none of them; got "
                f"weights in the processes {with_weights} of {communicator.size}"
            )
        self.n_inputs, self.weighted = loader.n_inputs, loader.weighted
        self.n_rows, self.total_weight, self.n_batches = sum(rows), sum(weights), max(batches)
        self.batch_size = loader.batch_size
        self.first_row = sum(sizes[: communicator.rank])
        self._missing = self.n_batches - loader.n_batches
        self.sizes = loader.sizes | ({0} if self._missing else set())

    def begin_epoch(self, epoch: int) -> None:
        """Begin the epoch of the loader."""
        self.loader.begin_epoch(epoch)

    def pieces(self, backend: Backend) -> Iterator[Piece]:
        """Yield the pieces of the loader, and empty batches after them."""
        for piece in self.loader.pieces(backend):
            yield piece
        if self._missing:
            yield Piece(piece.arrays, [0] * self._missing)

    def place(self) -> dict[str, Any]:
        """Return the place of the loader."""
        return self.loader.place()

    def seek(self, place: Mapping[str, Any]) -> None:
        """Let the loader continue from a place."""
        self.loader.seek(place)

    def sample(self, rows: int) -> Any:
        """Return the sample of the loader."""
        return self.loader.sample(rows)

    def fingerprint(self) -> list[Any]:
        """Return the fingerprint of the loader."""
        return self.loader.fingerprint()
