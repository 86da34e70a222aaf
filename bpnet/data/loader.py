"""Where batches come from: data that is moved to the device once, or piece by piece."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.typing import Array
from bpnet.data.dataset import Dataset


class Loader:
    """The training examples, as the passes of an epoch need them.

    If they fit they stay on the device and batches are gathered there. Otherwise each epoch
    moves them in its order, in pieces of whole batches that fit; sparse ones batch by batch.
    Either way a batch holds the same examples.

    Parameters
    ----------
    data : Dataset
        Checked examples, of the host or of any library.
    backend : Backend
        Where they are needed.
    batch_size : int
        Examples in a batch.
    loss_weighting : {"weight", "rows"}
        What a batch's share of the epoch's loss is counted in.
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
        dtype = data.dtype
        # Most often all epochs have the same rates.
        self._rates_there = functools.lru_cache(1)(
            lambda rates: backend.asarray(np.asarray(rates), dtype)
        )

    @property
    def n_batches(self) -> int:
        """Number of batches in an epoch."""
        return -(-self.rows // self.batch_size)

    @property
    def sizes(self) -> set[int]:
        """The numbers of rows that batches have: full, and the remainder."""
        return {self.batch_size, self.rows % self.batch_size} - {0}

    def passes(
        self, order: Any, rates: Sequence[float]
    ) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Give, piece by piece, the data of a step and the sizes of its batches.

        Parameters
        ----------
        order : sequence of int or None
            The order of all examples; None is one batch of all of them.
        rates : sequence of float
            The learning rate of each batch of the epoch.
        """
        numbers = np.ravel(rates).tolist()  # a schedule of one's own may give arrays
        for start in range(0, self.rows, self.piece):
            rows = slice(start, min(start + self.piece, self.rows))
            first, count = start // self.batch_size, -(-(rows.stop - start) // self.batch_size)
            sizes = [self.batch_size] * count
            sizes[-1] = rows.stop - start - self.batch_size * (count - 1)
            X, y, w, local = self._piece(order, rows)
            yield (
                {
                    "X": X,
                    "y": y,
                    "w": w,
                    "order": local,
                    "rates": self._rates_there(tuple(numbers[first : first + count])),
                    "total": self.total,
                },
                sizes,
            )

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
        """Halve the piece until it fits; one batch must fit."""
        batches = 1 if self.data.is_sparse else self.n_batches
        bytes_per_batch = self.data.nbytes * self.batch_size / self.rows
        while batches > 1 and not self.backend.fits(int(batches * bytes_per_batch)):
            batches = -(-batches // 2)
        return batches * self.batch_size
