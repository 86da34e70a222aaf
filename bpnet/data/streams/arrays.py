"""Arrays that can be sliced, in memory or not, as a source of blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bpnet.backend.compat import is_array
from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_integer, kind_of
from bpnet.data import deferred, frames
from bpnet.data.streams.source import BUFFER, Source, default_rows, even_sizes
from bpnet.data.validation import as_array


class Arrays(Source):
    """Arrays that can be sliced, such as those of HDF5 and Zarr, read block by block.

    ``fit(X, y)`` itself makes this of arrays larger than 64 MiB that it does not know
    otherwise. Pass it for a memory-mapped array to read that sequentially too, which is faster
    from a disk than the rows of each batch.

    Parameters
    ----------
    X : array (m, n_0)
        Anything whose slices of rows NumPy can read, with ``shape`` and ``dtype``, or with
        ``len``.
    y : array (m,) or (m, n_L), or None
        Targets, sliced in the same way or in memory.
    sample_weight : array (m,) or None
        Weights >= 0, as y.
    block_rows : int or None, default None
        Rows of a block. None takes about 16 MiB, a multiple of the rows of the chunks in which
        X is stored, if it has any.
    buffer_blocks : int, default 4
        As in :class:`Source`.

    Raises
    ------
    ValueError, TypeError
        If the arrays differ in length, or have the wrong shape.

    Examples
    --------
    >>> import bpnet
    >>> import numpy as np
    >>> X, y = bpnet.datasets.make_spiral(400, seed=0)
    >>> np.save("spiral.npy", X)
    >>> stream = bpnet.streams.Arrays(np.load("spiral.npy", mmap_mode="r"), y, block_rows=50)
    >>> stream.sizes
    (50, 50, 50, 50, 50, 50, 50, 50)
    >>> net = bpnet.Network([bpnet.Dense(8), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    >>> history = net.fit(stream, epochs=2)
    """

    def __init__(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        block_rows: int | None = None,
        buffer_blocks: int = BUFFER,
    ) -> None:
        self.feature_names = frames.column_names(X)
        self.X = sliceable("X", X)
        if len(self.X.shape) != 2 or 0 in self.X.shape:
            raise ValueError(
                f"X must be 2-D (examples, features) and not empty, got shape "
                f"{tuple(self.X.shape)}"
            )
        rows, n_inputs = map(int, self.X.shape)
        self.y = None if y is None else sliceable("y", y)
        self.w = None if sample_weight is None else sliceable("sample_weight", sample_weight)
        for name, array in (("y", self.y), ("sample_weight", self.w)):
            if array is not None and array.shape[:1] != (rows,):
                raise ValueError(
                    f"{name} must have one entry for each of {rows} examples, got shape "
                    f"{tuple(array.shape)}"
                )
        if block_rows is None:
            bytes_per_row = n_inputs * np.dtype(self.X.dtype).itemsize
            block_rows = default_rows(bytes_per_row, _chunk_rows(self.X))
        size = check_integer("block_rows", block_rows, 1)
        super().__init__(
            even_sizes(rows, size), n_inputs,
            labeled=y is not None, weighted=self.w is not None, buffer_blocks=buffer_blocks,
        )  # fmt: skip
        self.block_rows = size

    def read(self, block: int) -> tuple[Any, Any, Any]:
        """Return the rows of a block."""
        start = block * self.block_rows
        rows = slice(start, start + self.sizes[block])
        return read_rows(self.X, rows), read_rows(self.y, rows), read_rows(self.w, rows)

    def weights(self, block: int) -> Any:
        """Return the weights of a block."""
        start = block * self.block_rows
        return read_rows(self.w, slice(start, start + self.sizes[block]))


def is_sliceable(value: Any) -> bool:
    """Return whether a value is an array that NumPy must slice to read a part of it."""
    kind = type(value)
    has_all = all(hasattr(kind, name) for name in ("shape", "dtype", "__getitem__"))
    if not has_all or frames.is_tabular(value) or hasattr(kind, "toarray"):
        return False
    return hasattr(kind, "__dask_graph__") or not is_array(value)


def nbytes(value: Any) -> int:
    """Return the size of an array in bytes."""
    return int(math.prod(value.shape)) * int(np.dtype(value.dtype).itemsize)


def sliceable(name: str, value: Any) -> Any:
    """Return what can be sliced; all other data as a NumPy array."""
    if isinstance(value, type) or value is None:
        raise TypeError(f"{name} must be an array, got {kind_of(value)}")
    if _has_rows_only(value):
        return _Rows(value)
    return value if is_sliceable(value) else to_host(as_array(name, value))


def _has_rows_only(value: Any) -> bool:
    """Whether a value has a length and can be sliced, and is no array, frame or sequence."""
    kind = type(value)
    looks_alike = any(hasattr(kind, name) for name in ("shape", "__array__", "keys"))
    is_rows = hasattr(kind, "__len__") and hasattr(kind, "__getitem__")
    return is_rows and not looks_alike and not isinstance(value, Sequence)


class _Rows:
    """Rows of an object that has no shape: that of the first one tells it."""

    def __init__(self, rows: Any) -> None:
        first = np.asarray(rows[:1])
        self.rows, self.dtype = rows, first.dtype
        self.shape = (len(rows), *first.shape[1:])

    def __getitem__(self, rows: slice) -> Any:
        return self.rows[rows]


def read_rows(array: Any, rows: slice) -> Any:
    """Return rows of an array as a NumPy array; of a memory map, a copy."""
    if array is None:
        return None
    if isinstance(array, np.ndarray):
        return deferred.copied_if_mapped(array, rows)
    return np.asarray(array[rows])


def _chunk_rows(array: Any) -> int:
    """Return how many rows are stored together; 1 if unknown."""
    chunks = getattr(array, "chunks", None)
    rows = chunks[0] if isinstance(chunks, tuple) and chunks else 1
    return rows if isinstance(rows, int) and rows > 0 else 1
