"""Single examples by number, as a torch Dataset has them, as a source of blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_integer, kind_of
from bpnet.data.streams.source import BUFFER, Source, default_rows, even_sizes

# Rows of a block at most by default, as each example is a call.
_ROWS = 2**12


class Examples(Source):
    """Examples that are read one by one, by number, such as those of a torch Dataset.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset, or any object with ``len`` and ``[number]``
        ``dataset[i]`` is (x, y) or (x, y, weight), x of shape (n_0,); or x alone, to predict.
        If it has ``__getitems__(numbers)``, that returns a list of them.
    block_rows : int or None, default None
        Rows of a block; None takes about 16 MiB, at most 4,096 rows.
    buffer_blocks : int, default 4
        As in :class:`Source`.

    Raises
    ------
    ValueError, TypeError
        If the first example is not as above.

    Examples
    --------
    >>> import bpnet
    >>> import numpy as np
    >>> class Sums:
    ...     def __len__(self):
    ...         return 200
    ...     def __getitem__(self, i):
    ...         x = np.array([i % 7, i % 5], dtype="float32")
    ...         return x, x.sum()
    >>> net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
    >>> history = net.fit(bpnet.streams.Examples(Sums(), block_rows=50), epochs=2)
    """

    def __init__(
        self, dataset: Any, *, block_rows: int | None = None, buffer_blocks: int = BUFFER
    ) -> None:
        if not all(hasattr(type(dataset), name) for name in ("__len__", "__getitem__")):
            raise TypeError(
                f"dataset must have len(dataset) and dataset[number], got {kind_of(dataset)}"
            )
        if not (rows := len(dataset)):
            raise ValueError("dataset must have at least one example, got none")
        self.dataset = dataset
        first = self._parts(0, dataset[0])
        x = first[0]
        if x.ndim != 1 or not x.size:
            raise ValueError(
                f"dataset[number] must be (x, y) or (x, y, weight) with x of shape (n_0,), "
                f"got x of shape {x.shape}; flatten it"
            )
        if block_rows is None:
            block_rows = min(_ROWS, default_rows(x.nbytes))
        self.block_rows = check_integer("block_rows", block_rows, 1)
        super().__init__(
            even_sizes(rows, self.block_rows), x.size,
            labeled=len(first) > 1, weighted=len(first) > 2, buffer_blocks=buffer_blocks,
        )  # fmt: skip

    def read(self, block: int) -> tuple[Any, Any, Any]:
        """Return the examples of a block."""
        start = block * self.block_rows
        numbers = range(start, start + self.sizes[block])
        if hasattr(self.dataset, "__getitems__"):
            items = self.dataset.__getitems__(list(numbers))
        else:
            items = [self.dataset[number] for number in numbers]
        rows = [self._parts(n, item) for n, item in zip(numbers, items, strict=True)]
        parts = [np.stack(part) for part in zip(*rows, strict=True)]
        X, y, w = (*parts, None, None)[:3]
        return X, y, w

    def _parts(self, number: int, item: Any) -> list[Any]:
        """Return the arrays of an example."""
        parts = item if isinstance(item, tuple | list) else (item,)
        if not 1 <= len(parts) <= 3:
            raise ValueError(
                f"dataset[{number}] must be (x, y) or (x, y, weight), got {kind_of(item)} of "
                f"{len(parts)}"
            )
        return [to_host(part) for part in parts]
