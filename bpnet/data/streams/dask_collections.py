"""Dask's arrays and data frames as a source of blocks, which its workers compute."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bpnet.common.checks import kind_of
from bpnet.data.streams.arrays import read_rows, sliceable
from bpnet.data.streams.source import BUFFER, Source, default_rows

_COLLECTIONS = ("dask.array", "dask.dataframe")


class Dask(Source):
    """A dask array or data frame, computed block by block.

    ``fit(X, y)`` itself makes this of dask's X. Make it once if X is a frame that is read by
    several calls, as the rows of its partitions are counted here: that computes one column.

    A block has whole chunks of rows or partitions of X: as many as take up to 16 MiB, or one
    that is larger. Chunks of 1 to 64 MiB are good; ``X.rechunk`` and ``X.repartition`` make
    others. If a ``distributed.Client`` is active, its workers compute up to `buffer_blocks`
    blocks beyond the one that is read; else dask's local scheduler computes one at a time.
    Requires dask: ``pip install "bpnet-array-api[dask]"``.

    Parameters
    ----------
    X : dask array (m, n_0) or dask DataFrame
        Features. An array may have chunks of columns too.
    y : dask array, Series or DataFrame, or array; (m,) or (m, n_L); or None
        Targets, by dask or in memory. Their chunks need not be those of X.
    sample_weight : array (m,) or None
        Weights >= 0, as y.
    buffer_blocks : int, default 4
        As in :class:`Source`.

    Raises
    ------
    ValueError
        If arrays differ in length, have the wrong shape, or chunks of unknown length.
    TypeError
        If X is no dask array or data frame.

    Examples
    --------
    >>> import bpnet
    >>> import dask.array
    >>> X, y = bpnet.datasets.make_spiral(400, seed=0)
    >>> X_dask = dask.array.from_array(X, chunks=(100, 2))
    >>> net = bpnet.Network([bpnet.Dense(8), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    >>> history = net.fit(X_dask, y, epochs=2)
    >>> net.predict(X_dask).shape
    (400,)
    """

    def __init__(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, buffer_blocks: int = BUFFER
    ) -> None:
        if not is_dask(X):
            raise TypeError(f"X must be a dask array or DataFrame, got {kind_of(X)}")
        if X.ndim != 2 or not X.shape[1]:
            raise ValueError(
                f"X must be 2-D (examples, features) and have features, got "
                f"{kind_of(X)} of {X.ndim} dimension(s)"
            )
        given = {"X": X, "y": y, "sample_weight": sample_weight}
        counts = _row_counts({name: a for name, a in given.items() if is_dask(a)})
        if not (rows := sum(counts["X"])):
            raise ValueError("X must have at least one row, got none")
        self._parts = [_rows_of(name, a, counts.get(name), rows) for name, a in given.items()]
        n_inputs = int(X.shape[1])
        itemsize = np.dtype(X.dtype).itemsize if hasattr(X, "chunks") else 8
        super().__init__(
            _grouped(counts["X"], default_rows(n_inputs * itemsize)), n_inputs,
            labeled=y is not None, weighted=sample_weight is not None,
            buffer_blocks=buffer_blocks,
        )  # fmt: skip

    def read(self, block: int) -> tuple[Any, Any, Any]:
        """Compute a block."""
        (found,) = self.read_blocks([block])
        return found

    def read_blocks(self, numbers: Iterable[int]) -> Iterator[tuple[Any, Any, Any]]:
        """Compute blocks, those that follow beforehand if a cluster does it."""
        from dask import persist

        waiting: deque[tuple[Any, list[slice]]] = deque()
        ahead = self.buffer_blocks if _has_cluster() else 0
        for number in numbers:
            values, rows = self._asked(number, self._parts)
            waiting.append((_together(persist, values) if ahead else values, rows))
            if len(waiting) > ahead:
                yield _computed(*waiting.popleft())
        while waiting:
            yield _computed(*waiting.popleft())

    def weights(self, block: int) -> Any:
        """Compute the weights of a block alone."""
        return _computed(*self._asked(block, self._parts[2:]))[0]

    def _asked(self, block: int, parts: list[Any]) -> tuple[list[Any], list[slice]]:
        """Return what to compute for a block, and which rows of that it is."""
        start = self.first(block)
        pairs = [part.asked(slice(start, start + self.sizes[block])) for part in parts]
        values, rows = zip(*pairs, strict=True)
        return list(values), list(rows)


class _Lazy(NamedTuple):
    """Rows of a dask collection, and where its chunks or partitions start."""

    value: Any
    starts: Any

    def asked(self, rows: slice) -> tuple[Any, slice]:
        """Return what to compute for some rows, and which rows of that they are."""
        if hasattr(self.value, "chunks"):
            return self.value[rows], slice(None)
        first = int(np.searchsorted(self.starts, rows.start, "right")) - 1
        last = int(np.searchsorted(self.starts, rows.stop, "left"))
        start = int(self.starts[first])
        return self.value.partitions[first:last], slice(rows.start - start, rows.stop - start)


class _InMemory(NamedTuple):
    """Rows that need no computing; None for what there is not."""

    value: Any

    def asked(self, rows: slice) -> tuple[Any, slice]:
        """Return the rows, all of which are asked for."""
        return read_rows(self.value, rows), slice(None)


def is_dask(value: Any) -> bool:
    """Return whether a value is a dask array, data frame or column of one."""
    kind = type(value)
    return hasattr(kind, "__dask_graph__") and any(
        base.__module__.startswith(_COLLECTIONS) for base in kind.__mro__
    )


def _row_counts(given: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the rows of each chunk or partition; those of frames are computed at once."""
    from dask import compute

    counts = {name: a.chunks[0] for name, a in given.items() if hasattr(a, "chunks")}
    for name, chunks in counts.items():
        if any(rows != rows for rows in chunks):  # NaN
            raise ValueError(
                f"{name} must have chunks of known length, got unknown ones, as of a selection "
                f"of rows or of a frame; call {name}.compute_chunk_sizes() before, or for an "
                f"array of a frame frame.to_dask_array(lengths=True)"
            )
    lazy = {name: _lengths(frame) for name, frame in given.items() if name not in counts}
    counted = compute(*lazy.values())
    # The length of a single partition is computed as a number.
    return counts | {
        name: tuple(np.atleast_1d(c).tolist()) for name, c in zip(lazy, counted, strict=True)
    }


def _lengths(frame: Any) -> Any:
    """Return the lengths of the partitions of a frame, still to be computed."""
    column = frame[[frame.columns[0]]] if frame.ndim == 2 else frame
    return column.map_partitions(len, enforce_metadata=False)


def _rows_of(name: str, value: Any, counts: tuple[int, ...] | None, rows: int) -> Any:
    """Return how to read the rows of features, targets or weights."""
    if value is not None and counts is None:
        value = sliceable(name, value)
        length, shape = value.shape[:1], tuple(value.shape)
    elif value is not None:
        length = (sum(counts or ()),)
        shape = (*length, *value.shape[1:])
    if value is not None and length != (rows,):
        raise ValueError(
            f"{name} must have one entry for each of {rows} examples, got shape {shape}"
        )
    return _InMemory(value) if counts is None else _Lazy(value, np.cumsum([0, *counts]))


def _grouped(counts: tuple[int, ...], most: int) -> list[int]:
    """Return the rows of blocks: whole chunks, of so many rows at most if they are smaller."""
    sizes = [0]
    for rows in counts:
        if sizes[-1] and sizes[-1] + rows > most:
            sizes.append(0)
        sizes[-1] += rows
    return sizes


def _computed(values: list[Any], rows: list[slice]) -> tuple[Any, ...]:
    """Compute values, and return some of their rows."""
    from dask import compute

    found = _together(compute, values)
    return tuple(
        a if r == slice(None) else getattr(a, "iloc", a)[r]
        for a, r in zip(found, rows, strict=True)
    )


def _together(function: Callable[..., Any], values: list[Any]) -> list[Any]:
    """Apply `compute` or `persist` to values, which may share tasks.

    Frames and arrays are two calls, as dask warns of one.
    """
    results = list(values)
    for are_arrays in (True, False):
        chosen = [
            k for k, v in enumerate(values) if is_dask(v) and hasattr(v, "chunks") == are_arrays
        ]
        found = function(*(values[k] for k in chosen))
        for k, result in zip(chosen, found, strict=True):
            results[k] = result
    return results


def _has_cluster() -> bool:
    """Whether workers compute in the background."""
    if (distributed := sys.modules.get("distributed")) is None:
        return False
    try:
        distributed.get_client()
    except ValueError:
        return False
    return True
