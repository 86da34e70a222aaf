"""The loaders of examples in arrays, which differ in how these come to the backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bpnet.backend import Backend
from bpnet.data.dataset import Dataset
from bpnet.data.deferred import read
from bpnet.data.loader import DatasetLoader, Order, Piece, in_order

# Bytes of dense rows in a piece of large data. 2**20 to 2**24 take about as long, but columns
# in one piece 1.3 times as long with 2**20 as with 2**24.
PIECE = 2**23


class ResidentLoader(DatasetLoader):
    """Examples that stay on the device, where the step gathers the rows of each batch.

    Its parameters are those of :class:`DatasetLoader`; the data is on the backend.
    """

    def pieces(self, backend: Backend) -> Iterator[Piece]:
        """Yield the epoch as a single piece."""
        X, y, w = self.data[:3]
        arrays = {"X": X, "y": y, "w": w, "order": self._order}
        yield Piece(arrays, self._sizes_of(self.n_rows))


class PiecewiseLoader(DatasetLoader):
    """Examples that do not fit: each epoch moves them in its order, in pieces that do.

    A piece is as many whole batches as fit; of sparse data, as become about 8 MiB. The
    parameters are those of :class:`DatasetLoader`; the data is on the host.
    """

    _rows = 0  # in a piece, as found when the first is moved

    def pieces(self, backend: Backend) -> Iterator[Piece]:
        """Yield pieces of whole batches."""
        if self._order is None:
            yield self._piece(self.data, None, backend)
            return
        step = self._rows = self._rows or self._fitting_rows(backend)
        for start in range(0, self.n_rows, step):
            some = self.data.take(self._order[start : start + step])
            yield self._piece(some, np.arange(some.n_rows, dtype=np.int64), backend)

    def _piece(self, data: Dataset, order: Any, backend: Backend) -> Piece:
        X, y, w = data.arrays_on(backend)
        return Piece({"X": X, "y": y, "w": w, "order": order}, self._sizes_of(data.n_rows))

    def _fitting_rows(self, backend: Backend) -> int:
        """Halve the piece until it fits; at least one batch."""
        batches = self.n_batches
        bytes_per_batch = self.data.nbytes * self.batch_size / self.n_rows
        if self.data.is_sparse:
            batches = batches_of(PIECE, bytes_per_batch, batches)
        while batches > 1 and not backend.fits(int(batches * bytes_per_batch)):
            batches = -(-batches // 2)
        return batches * self.batch_size


class BufferedLoader(DatasetLoader):
    """Large examples on the host: each epoch reads a few batches at a time into a buffer.

    There they are in the dtype and the order in which the steps read them, and the next ones
    overwrite them, so the backend must be :attr:`Backend.on_host`. Its parameters are those of
    :class:`DatasetLoader`; the data is on the host.
    """

    _buffers: tuple[Any, ...] = ()
    _arrays: dict[str, Any]

    def pieces(self, backend: Backend) -> Iterator[Piece]:
        """Yield pieces of whole batches, all of them in the same arrays."""
        if not self._buffers:
            self._allocate(backend)
        order, step = self._order, len(self._buffers[0])
        for start in range(0, self.n_rows, step):
            chosen = order[start : start + step]
            self._fill(chosen)
            yield Piece(self._arrays, self._sizes_of(len(chosen)))

    def _allocate(self, backend: Backend) -> None:
        """Make the buffers, and arrays of the backend that share their memory."""
        data, rows = self.data, self.batch_size
        rows *= batches_of(PIECE, data.nbytes * rows / data.n_rows, self.n_batches)
        self._buffers = tuple(
            None if a is None else np.empty((rows, *a.shape[1:]), a.dtype) for a in data[:3]
        )
        self._arrays = arrays_over(self._buffers, backend)

    def _fill(self, chosen: Any) -> None:
        X, *others = (None if b is None else b[: len(chosen)] for b in self._buffers)
        read(self.data.X, chosen, X)
        for array, buffer in zip(self.data[1:3], others, strict=True):
            if buffer is not None:
                buffer[...] = array[chosen]


def loader_for(
    data: Dataset, backend: Backend, batch_size: int, order: Order = in_order, seed: int = 0,
    drop_last: bool = False,
) -> DatasetLoader:  # fmt: skip
    """Return the loader of examples: resident if they fit on the backend as one array.

    The batches are the same in all loaders. The parameters are those of :class:`DatasetLoader`,
    with data on the host or any backend.
    """
    at_once = batch_size >= data.n_rows and backend.fits(data.nbytes)
    if at_once or data.fits(backend):
        return ResidentLoader(data.to_device(backend), batch_size, order, seed, drop_last)
    in_parts = backend.on_host and data.is_read_in_parts(backend)
    kind = BufferedLoader if in_parts else PiecewiseLoader
    return kind(data.to_host(), batch_size, order, seed, drop_last)


def arrays_over(buffers: Sequence[Any], backend: Backend) -> dict[str, Any]:
    """Return arrays of a backend on the host over buffers of X, y and w, with their order."""
    order = np.arange(len(buffers[0]), dtype=np.int64)
    arrays = [b if b is None else backend.asarray(b) for b in (*buffers, order)]
    return dict(zip(("X", "y", "w", "order"), arrays, strict=True))


def batches_of(nbytes: int, bytes_per_batch: float, n_batches: int) -> int:
    """Return how many batches make up about so many bytes, without a remainder if possible.

    A last piece of fewer batches takes the step another trace.
    """
    most = min(n_batches, max(1, int(nbytes // bytes_per_batch)))
    even = (k for k in range(most, most // 2, -1) if n_batches % k == 0)
    return next(even, most)
