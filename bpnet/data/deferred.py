"""Large features on the host, which are cast where they are read instead of at once."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

# Bytes up to which features are cast, gathered or made dense at once. With larger ones, read
# anew in each epoch, epochs of small networks take up to 1.15 times as long (784-128-10 on 119
# MiB of float64, batches of 256), twice with columns in one piece, and `fit` begins 0.1 s
# earlier.
WHOLE = 2**26
# Elements that are checked at a time, so that temporaries stay in the cache.
CHECKED = 2**16
# Bytes of rows that are gathered before they are cast, while they are in the cache.
_GATHERED = 2**19
# Bytes of a memory map that may be in memory before they are given back. Linux may map 2 MiB
# around each row that is read.
_MAPPED = 2**24


class Deferred:
    """Stands for ``X[rows].astype(dtype)``, an array in C order that is never made as a whole.

    Indexing it, or ``np.asarray``, returns a NumPy array. X must not change meanwhile.

    Parameters
    ----------
    X : array (m, n_0)
        Host features of any real dtype and memory layout, perhaps a memory map.
    dtype : str
        Name of the dtype of what is read.
    rows : int array or None, default None
        Which rows, in which order; None is all of them.
    """

    ndim = 2

    def __init__(self, X: Any, dtype: str, rows: Any = None) -> None:
        self._X, self._rows, self.dtype = X, rows, np.dtype(dtype)
        self.shape = (len(X) if rows is None else len(rows), X.shape[1])
        self._map = _map_of(X)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the array in bytes, if it were made."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Any:
        """Return rows, or columns ``[:, j]`` of them, as an array in C order."""
        rows, *columns = key if isinstance(key, tuple) else (key,)
        with np.errstate(all="ignore"):
            found = np.asarray(self._X[(self._at(rows), *columns)], self.dtype, order="C")
        self._give_back()
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Return all rows."""
        return np.array(self[:], dtype, copy=copy)

    def read(self, rows: Any, out: Any) -> None:
        """Write rows into an array in C order."""
        rows = self._at(rows)
        with np.errstate(all="ignore"):
            for part in self._parts(rows):
                out[part] = self._X[rows[part]]
                self._give_back()

    def take(self, indices: Any) -> Any:
        """Return some rows, deferred too if they are large."""
        rows = np.asarray(indices)
        if not is_large((len(rows), self.shape[1]), self.dtype):
            return self[rows]
        return Deferred(self._X, self.dtype.name, self._at(rows))

    def count_not_finite(self) -> int:
        """Return how many elements are NaN or infinite in the dtype."""
        step = max(1, _MAPPED // self._row_bytes) if self._map else self.shape[0]
        found = 0
        for start in range(0, self.shape[0], step):
            found += _count_not_finite(self._X[start : start + step], self.dtype)
            self._give_back()
        return found

    def _at(self, rows: Any) -> Any:
        """Return where some rows are in X."""
        return rows if self._rows is None else self._rows[rows]

    def _parts(self, rows: Any) -> Iterator[Any]:
        """Yield which of the rows to read at a time.

        Rows that are not in one piece are read in the order of memory, which takes half as
        long; those of a map in the order of the file.
        """
        step = max(1, _GATHERED // self._row_bytes)
        if self._map is None and self._X.flags.c_contiguous:
            yield from (slice(start, start + step) for start in range(0, len(rows), step))
            return
        order = np.argsort(rows, kind="stable")
        ends: Any = range(step, len(rows), step)
        if self._map is not None:
            ends = np.flatnonzero(np.diff(rows[order] * self._row_bytes // _MAPPED)) + 1
        yield from np.split(order, ends)

    @property
    def _row_bytes(self) -> int:
        return int(self._X.shape[1] * self._X.itemsize)

    def _give_back(self) -> None:
        """Unmap the pages of a map; the system may keep them in its cache."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


def is_large(shape: tuple[int, ...], dtype: Any) -> bool:
    """Return whether an array is too large to be made beside what it is made of."""
    return bool(math.prod(shape) * np.dtype(dtype).itemsize > WHOLE)


def cast_or_deferred(X: Any, dtype: str) -> Any:
    """Return host features in a dtype, deferred if that, or C order, takes a large copy."""
    ready = X.dtype == dtype and X.flags.c_contiguous and _map_of(X) is None
    if not ready and is_large(X.shape, dtype):
        return Deferred(X, dtype)
    with np.errstate(all="ignore"):
        return X.astype(dtype, copy=False)


def take(X: Any, indices: Any) -> Any:
    """Return rows of host features, deferred if they are large."""
    if isinstance(X, np.ndarray) and is_large(X.shape, X.dtype):
        X = Deferred(X, X.dtype.name)
    return X.take(indices) if isinstance(X, Deferred) else X[indices]


def copied_if_mapped(array: Any, rows: slice) -> Any:
    """Return rows of a host array; of a memory map a copy, after which its pages are free."""
    if (mapped := _map_of(array)) is None:
        return array[rows]
    copy = np.array(array[rows])
    mapped.madvise(mmap.MADV_DONTNEED)
    return copy


def read(X: Any, rows: Any, out: Any) -> None:
    """Write rows of deferred features or of a sparse matrix into an array in C order."""
    if isinstance(X, Deferred):
        X.read(rows, out)
    else:
        X[rows].toarray(out=out)


def count_not_finite(array: Any) -> int:
    """Return how many elements of a host array are NaN or infinite, without temporaries."""
    if isinstance(array, Deferred):
        return array.count_not_finite()
    return _count_not_finite(array, array.dtype)


def _count_not_finite(array: Any, dtype: Any) -> int:
    """Return how many elements are not finite in a dtype, as they lie in memory."""
    if array.dtype.kind in "biu":
        return 0
    chunks: Any = np.nditer(
        array, ["external_loop", "buffered"], ["readonly"], np.dtype(dtype), order="K",
        casting="same_kind", buffersize=CHECKED,
    )  # fmt: skip
    with np.errstate(all="ignore"):
        return sum(chunk.size - int(np.count_nonzero(np.isfinite(chunk))) for chunk in chunks)


def _map_of(X: Any) -> Any:
    """Return the memory map of an array, if pages that are given back can be read again.

    Those of a private map (mode "c") would lose their changes; a view may not know its mode.
    """
    modes = set()
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            modes.add(X.mode)
        X = X.base
    shared = bool(modes) and modes <= {"r", "r+", "w+"}
    usable = shared and isinstance(X, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED")
    return X if usable else None
