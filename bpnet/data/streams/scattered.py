"""Rows that come in any order, scattered over files at random: blocks to train on.

Each block is a random part of all rows, even if these are sorted by class or by date. So blocks
in a random order, with shuffled rows in each, are about as good as rows shuffled at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from bpnet.data.streams.source import BLOCK, Source
from bpnet.random import generator

# Files at most, so that many small parts are not written of each chunk.
_MOST_BLOCKS = 256


class Scattered(Source):
    """Rows in files, one for each block.

    Parameters
    ----------
    folder : str
        The folder of the files.
    rows : list of int
        The rows of each file, none of them 0.
    row : numpy.dtype
        Of a row, with the fields "X" and "y".
    seed : int
        Which rows a part has.
    targets : callable or None
        ``targets(y)`` returns the targets to train on; None takes them as they are.
    share : float, default 1.0
        The share of each block's rows that is read.
    """

    def __init__(
        self, folder: str, rows: list[int], row: np.dtype[Any], seed: int,
        targets: Callable[[Any], Any] | None, share: float = 1.0,
    ) -> None:  # fmt: skip
        sizes = [max(1, int(share * n)) for n in rows]
        super().__init__(sizes, row["X"].shape[0], buffer_blocks=1)
        self.folder, self.rows, self.row, self.seed = folder, rows, row, seed
        self.targets = targets

    def read(self, block: int) -> tuple[Any, Any, None]:
        """Return the rows of a block, of a part the same ones in each call."""
        found = np.fromfile(_file(self.folder, block), self.row)
        if len(found) != self.rows[block]:
            raise OSError(f"it has {len(found)} rows instead of {self.rows[block]}")
        if self.sizes[block] < len(found):
            order = generator(self.seed, "sample", block).permutation(len(found))
            found = found[np.sort(order[: self.sizes[block]])]
        X, y = (np.ascontiguousarray(found[name]) for name in ("X", "y"))
        return X, y if self.targets is None else self.targets(y), None

    def part(self, share: float) -> Scattered:
        """Return a random share of the rows."""
        return Scattered(self.folder, self.rows, self.row, self.seed, self.targets, share)


class Scatter:
    """Writes rows as they come, each into a file that is drawn at random.

    Parameters
    ----------
    folder : str
        An empty folder, which the caller removes.
    expected : int
        About how many rows will come: they determine the number of files, of some 16 MiB.
    n_inputs : int
        Number of features.
    dtype : str
        Dtype of the features.
    target : str, tuple
        Dtype and shape of a target.
    seed : int
        Which rows go where.
    """

    def __init__(
        self, folder: str, expected: int, n_inputs: int, dtype: str,
        target: tuple[str, tuple[int, ...]], seed: int,
    ) -> None:  # fmt: skip
        self.folder, self.seed = folder, seed
        self.row = np.dtype([("X", dtype, (n_inputs,)), ("y", *target)])
        n_blocks = -(-expected * self.row.itemsize // BLOCK)
        self.sizes = [0] * min(max(n_blocks, 1), _MOST_BLOCKS)
        self._rng = generator(seed, "split", 1)

    def add(self, X: Any, y: Any) -> None:
        """Write some rows."""
        rows = np.empty(len(X), self.row)
        rows["X"], rows["y"] = X, y
        chosen = self._rng.integers(0, len(self.sizes), len(rows))
        rows = rows[np.argsort(chosen, kind="stable")]
        start = 0
        for block, n in enumerate(np.bincount(chosen, minlength=len(self.sizes)).tolist()):
            if n:
                with open(_file(self.folder, block), "ab") as file:
                    file.write(rows[start : start + n].view(np.uint8).data)
            self.sizes[block] += n
            start += n

    def source(self, targets: Callable[[Any], Any] | None = None) -> Scattered:
        """Return the rows that were written, at least one; `targets` as in Scattered."""
        for block, kept in enumerate(np.flatnonzero(self.sizes).tolist()):
            if block < kept:  # few rows may have left a file out
                os.replace(_file(self.folder, kept), _file(self.folder, block))
        rows = [n for n in self.sizes if n]
        return Scattered(self.folder, rows, self.row, self.seed, targets)


def _file(folder: str, block: int) -> str:
    return os.path.join(folder, f"rows-{block}")
