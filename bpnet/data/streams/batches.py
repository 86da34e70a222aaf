"""An iterable of batches, such as a torch DataLoader, as blocks and as a loader."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from bpnet.common.checks import kind_of
from bpnet.data.loader import Loader, on_host
from bpnet.data.streams.blocks import Blocks
from bpnet.data.streams.read_ahead import read_ahead

# Batches that are read ahead.
AHEAD = 4


class Batches(Blocks):
    """The batches of an iterable, in its order, which cannot be read by number.

    Parameters
    ----------
    iterable : iterable
        Each iteration yields the batches of an epoch, as (X, y) or (X, y, weights); or as X
        alone, to predict.

    Raises
    ------
    TypeError, ValueError
        If it can be iterated only once, is empty, or yields something else first.
    """

    def __init__(self, iterable: Iterable[Any]) -> None:
        self.iterable = iterable
        iterator = iter(iterable)
        if iterator is iterable:
            raise TypeError(
                f"X must be an iterable that can be read again in each epoch, such as a list "
                f"of batches, a torch DataLoader, or an object whose __iter__ yields them; got "
                f"{kind_of(iterable)}, which can be read only once. Wrap the function that "
                f"makes it in a class with the method __iter__; if it fits into memory, pass "
                f"list(...) of it"
            )
        first = next(iterator, None)
        if first is None:
            raise ValueError(f"X must yield at least one batch, got none from {self.name}")
        X, y, w = self._parts(0, first)
        shape = np.shape(X) if not hasattr(X, "shape") else X.shape
        if len(shape) != 2:
            raise ValueError(
                f"X of batch 0 of {self.name} must be 2-D (examples, features), got shape "
                f"{tuple(shape)}; torch's DataLoader(dataset, batch_size=...) makes batches of "
                f"single examples"
            )
        self.n_inputs = int(shape[1])
        self.labeled, self.weighted = y is not None, w is not None
        self.buffer_blocks = 1

    @property
    def name(self) -> str:
        """How errors name the iterable."""
        return f"the iterable {type(self.iterable).__name__}"

    @property
    def sizes(self) -> tuple[int, ...]:  # type: ignore[override]
        """The sizes of the batches, which are counted once."""
        return self._counted[0]

    @property
    def total_weight(self) -> float:
        """The sum of the weights, which are added once."""
        return self._counted[1]

    @functools.cached_property
    def _counted(self) -> tuple[tuple[int, ...], float]:
        sizes, total = [], 0.0
        for X, _, w in self._in_order():
            sizes.append(int(X.shape[0]) if hasattr(X, "shape") else len(X))
            total += 0.0 if w is None else float(on_host(w).sum(dtype=float))
        return tuple(sizes), total

    def _in_order(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield the batches of an iteration."""
        number, batches = 0, iter(self.iterable)
        while True:
            try:
                batch = next(batches, None)
            except Exception as error:
                error.add_note(f"raised by {self.where(number)}")
                raise
            if batch is None:
                return
            yield self._parts(number, batch)
            number += 1

    def first(self, block: int) -> int:
        """Return 0: rows are counted within each batch."""
        return 0

    def where(self, block: int) -> str:
        """Return how errors name a batch."""
        return f"batch {block} (from 0) of {self.name}"

    def _parts(self, number: int, batch: Any) -> tuple[Any, Any, Any]:
        """Return features, targets and weights of a batch."""
        if not isinstance(batch, tuple | list):
            batch = (batch,)
        if not 1 <= len(batch) <= 3 or isinstance(batch[0], str | bytes):
            raise TypeError(
                f"{self.name} must yield (X, y) or (X, y, weights); got {kind_of(batch)} of "
                f"{len(batch)} as batch {number} (from 0)"
            )
        X, y, w = (*batch, None, None)[:3]
        return X, y, w


class BatchesLoader(Loader):
    """Yields the batches of an iterable in each epoch, read ahead by a thread.

    The iterable is read once before, to count its batches and rows. If it has a method
    ``set_epoch(epoch)``, that is called before each epoch.

    Parameters
    ----------
    source : Batches
        The batches.
    """

    _announced = "as it did when it was first read"

    def __init__(self, source: Batches) -> None:
        if not source.labeled:
            raise ValueError(
                f"{source.name} must yield (X, y) or (X, y, weights) to train on; its first "
                f"batch has no targets"
            )
        self.source = source
        sizes = source.sizes
        super().__init__(
            sum(sizes), source.n_inputs, max(sizes), sizes=set(sizes), n_batches=len(sizes),
            total_weight=source.total_weight if source.weighted else None,
        )  # fmt: skip
        self._reader: Any = None

    @property
    def _described(self) -> str:
        """How errors name the iterable."""
        return self.source.name

    def begin_epoch(self, epoch: int) -> None:
        """Tell the iterable the number of the epoch."""
        super().begin_epoch(epoch)
        if hasattr(self.source.iterable, "set_epoch"):
            self.source.iterable.set_epoch(epoch)

    def batches(self, epoch: int) -> Iterator[tuple[Any, ...]]:
        """Yield the batches."""
        self._end_reading()
        self._reader = read_ahead(self.source._in_order(), AHEAD)
        return self._reader  # type: ignore[no-any-return]

    def _end_reading(self) -> None:
        """End the thread."""
        if self._reader is not None:
            self._reader.close()
