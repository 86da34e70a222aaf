"""Training data on the device: moved there once, or in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.typing import Array
from bpnet.data.dataset import Dataset


class Piece(NamedTuple):
    """Consecutive batches of an epoch.

    Attributes
    ----------
    arrays : dict
        The arrays "X", "y", "w" and "order" of :mod:`bpnet.training.step`.
    sizes : list of int
        The number of examples in each batch.
    """

    arrays: dict[str, Any]
    sizes: list[int]


class Loader:
    """Provide the training examples of each epoch on a backend.

    If they fit, they stay on the device and batches are gathered there. Otherwise each epoch
    moves them in shuffled order, in pieces of whole batches that fit; sparse data batch by
    batch. The batches are the same either way.

    Parameters
    ----------
    data : Dataset
        Validated examples, on the host or any backend.
    backend : Backend
        Where to put them.
    batch_size : int
        Examples per batch.
    loss_weighting : {"weight", "rows"}
        Whether batches count in the epoch's loss by their sample weights or their rows.
    """

    def __init__(
        self, data: Dataset, backend: Backend, batch_size: int, loss_weighting: str = "weight"
    ) -> None:
        self.backend = backend
        self.batch_size = batch_size
        self.rows = data.n_rows
        self.resident = not data.is_sparse and (
            data.owner == backend or backend.fits(data.nbytes)
        )
        self.data = data.to_device(backend) if self.resident else data.to_host()
        self.piece = self.rows if self.resident else self._fitting_rows()
        self.by_weight = loss_weighting == "weight" and data.w is not None
        total = data.total_weight if self.by_weight else float(self.rows)
        self.total = backend.asarray(total, data.dtype)

    @property
    def n_batches(self) -> int:
        """Number of batches in an epoch."""
        return -(-self.rows // self.batch_size)

    @property
    def sizes(self) -> set[int]:
        """The sizes of batches: the batch size and the remainder."""
        return {self.batch_size, self.rows % self.batch_size} - {0}

    def pieces(self, order: Any) -> Iterator[Piece]:
        """Yield the data of each piece and the sizes of its batches.

        `order` holds the order of all examples, or None for a single batch of all of them.
        """
        for start in range(0, self.rows, self.piece):
            rows = slice(start, min(start + self.piece, self.rows))
            count = -(-(rows.stop - start) // self.batch_size)
            sizes = [self.batch_size] * count
            sizes[-1] = rows.stop - start - self.batch_size * (count - 1)
            X, y, w, local = self._piece(order, rows)
            yield Piece({"X": X, "y": y, "w": w, "order": local}, sizes)

    def _piece(self, order: Any, rows: slice) -> tuple[Array, Array, Array | None, Array]:
        if self.resident:
            X, y, w = self.data[:3]
            if order is not None:
                order = self.backend.asarray(np.asarray(order, dtype=np.int64))
            return X, y, w, order
        if order is None:
            return (*self.data.arrays_on(self.backend), None)
        piece = self.data.take(np.asarray(order)[rows])
        local = np.arange(rows.stop - rows.start, dtype=np.int64)
        return (*piece.arrays_on(self.backend), self.backend.asarray(local))

    def _fitting_rows(self) -> int:
        """Halve the piece until it fits; at least one batch."""
        batches = 1 if self.data.is_sparse else self.n_batches
        bytes_per_batch = self.data.nbytes * self.batch_size / self.rows
        while batches > 1 and not self.backend.fits(int(batches * bytes_per_batch)):
            batches = -(-batches // 2)
        return batches * self.batch_size
