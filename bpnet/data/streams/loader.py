"""The loader of a stream: blocks in the order of an epoch, cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bpnet.backend import Backend
from bpnet.data.array_loaders import PIECE, arrays_over, batches_of
from bpnet.data.dataset import Dataset
from bpnet.data.loader import Loader, Piece
from bpnet.data.streams.checked import CheckedStream
from bpnet.data.streams.order import Window, windows
from bpnet.data.streams.read_ahead import read_ahead


class StreamLoader(Loader):
    """Batches of a stream, which a thread reads, checks, shuffles and cuts ahead of the steps.

    A piece is as many whole batches as take about 8 MiB, or a block. On the host, each is
    copied into the same arrays; to a device, the next one moves while the device computes.

    Parameters
    ----------
    stream : CheckedStream
        Validated examples.
    batch_size : int
        Examples per batch.
    seed : int or None
        The seed of :func:`bpnet.streams.row_order`; None is the order of the rows. A single
        batch takes them in order, too.
    """

    def __init__(self, stream: CheckedStream, batch_size: int, seed: int | None) -> None:
        super().__init__(
            stream.n_rows, stream.n_inputs, batch_size,
            total_weight=stream.total_weight if stream.source.weighted else None,
        )  # fmt: skip
        self.stream, self.seed = stream, seed
        self._reader: Any = None

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The names of the features, if they are known."""
        return self.stream.feature_names

    def pieces(self, backend: Backend) -> Iterator[Piece]:
        """Yield the pieces of the epoch on the backend."""
        self._end_reading()
        self._reader = read_ahead(self.stream.pieces(self._rows, self._plan(self._epoch)),
                                  self._ahead)  # fmt: skip
        if self.n_batches == 1:
            for data in self._reader:
                X, y, w = data.arrays_on(backend)
                yield Piece({"X": X, "y": y, "w": w, "order": None}, [self.n_rows])
        elif backend.on_host:
            yield from self._in_buffers(backend)
        else:
            yield from self._moved(backend)

    def _end_reading(self) -> None:
        """End the thread."""
        if self._reader is not None:
            self._reader.close()

    def sample(self, rows: int) -> Dataset:
        """Return the first examples of epoch 0, the same in each call."""
        return self.stream.sample(rows, self._plan(0))

    def fingerprint(self) -> list[Any]:
        """Return the fingerprint of the stream."""
        return self.stream.fingerprint()

    def _plan(self, epoch: int) -> list[Window] | None:
        if self.seed is None or self.n_batches == 1:
            return None
        source = self.stream.source
        return windows(source.sizes, self.seed, epoch, source.buffer_blocks)

    @property
    def _rows(self) -> int:
        """Rows of a piece: whole batches, of at most a block if that has some."""
        stream = self.stream
        most = min(PIECE, max(stream.source.sizes) * stream.bytes_per_row)
        bytes_per_batch = self.batch_size * stream.bytes_per_row
        return self.batch_size * batches_of(most, bytes_per_batch, self.n_batches)

    @property
    def _ahead(self) -> int:
        """How many pieces may wait: as many rows as are shuffled together."""
        source = self.stream.source
        return max(2, max(source.sizes) * source.buffer_blocks // self._rows)

    def _in_buffers(self, backend: Backend) -> Iterator[Piece]:
        """Yield all pieces in the same arrays, which a replayed step is bound to."""
        buffers: list[Any] = []
        arrays: dict[str, Any] = {}
        for data in self._reader:
            if not buffers:
                buffers = [  # in C order, as others would be copied to a backend
                    None if a is None else np.empty(a.shape, a.dtype) for a in data[:3]
                ]
                arrays = arrays_over(buffers, backend)
            for buffer, array in zip(buffers, data[:3], strict=True):
                if buffer is not None:
                    buffer[: data.n_rows] = array
            sizes = self._sizes_of(data.n_rows)
            del data, array  # whose memory the steps do not need
            yield Piece(arrays, sizes)

    def _moved(self, backend: Backend) -> Iterator[Piece]:
        """Yield each piece when the move of the next one has begun."""
        waiting: list[tuple[Any, int]] = []
        for data in self._reader:
            order = np.arange(data.n_rows, dtype=np.int64)
            arrays = dict(zip(("X", "y", "w"), data[:3], strict=True)) | {"order": order}
            waiting.append((backend.begin_transfer(arrays), data.n_rows))
            if len(waiting) > 1:
                yield self._arrived(*waiting.pop(0))
        for one in waiting:
            yield self._arrived(*one)

    def _arrived(self, arrays: Any, rows: int) -> Piece:
        return Piece(arrays(), self._sizes_of(rows))
