"""The order of shuffled rows: blocks at random, and within some consecutive ones, rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.common.checks import check_integer, check_sequence
from bpnet.data.streams.source import BUFFER
from bpnet.random import generator


class Window(NamedTuple):
    """Blocks whose rows are shuffled together.

    Attributes
    ----------
    blocks : list of int
        Their numbers, as they follow one another in memory.
    rows : int
        The number of their rows.
    seed, epoch, number : int
        What their order is drawn from; windows are numbered within an epoch.
    """

    blocks: list[int]
    rows: int
    seed: int
    epoch: int
    number: int

    def order(self) -> Any:
        """Draw the order of the rows, which takes as much memory as a feature."""
        rng = generator(self.seed, "shuffle", self.epoch, self.number)
        return rng.permutation(self.rows)


def windows(sizes: Sequence[int], seed: int, epoch: int, buffer_blocks: int) -> list[Window]:
    """Return the windows of an epoch."""
    blocks = generator(seed, "shuffle", epoch).permutation(len(sizes)).tolist()
    parts = [blocks[k : k + buffer_blocks] for k in range(0, len(blocks), buffer_blocks)]
    return [
        Window(part, sum(sizes[block] for block in part), seed, epoch, number)
        for number, part in enumerate(parts)
    ]


def row_order(sizes: Sequence[int], seed: int, epoch: int, buffer_blocks: int = BUFFER) -> Any:
    """Return the order in which ``fit(..., shuffle=True)`` takes the rows of a stream.

    The blocks are permuted, and cut into groups of `buffer_blocks`; the rows of each group are
    permuted. The batches of an epoch are consecutive rows of the result. It depends on these
    arguments alone, so that a run can be repeated on arrays, whatever was read when.

    Parameters
    ----------
    sizes : sequence of int
        Rows of each block.
    seed : int
        The seed of the network.
    epoch : int
        Counted from 0 over all training runs of the network.
    buffer_blocks : int, default 4
        As in :class:`Source`.

    Returns
    -------
    numpy.ndarray (m,) of int64
        Row numbers, counted over all blocks from 0.

    Examples
    --------
    >>> import bpnet
    >>> bpnet.streams.row_order([3, 3, 2], seed=0, epoch=0, buffer_blocks=2)
    array([7, 4, 6, 3, 5, 2, 1, 0])
    """
    checked = check_sequence("sizes", sizes, lambda name, n: check_integer(name, n, 1))
    seed, epoch = check_integer("seed", seed, 0), check_integer("epoch", epoch, 0)
    count = check_integer("buffer_blocks", buffer_blocks, 1)
    starts = np.cumsum([0, *checked])
    return np.concatenate(
        [
            np.concatenate([np.arange(starts[b], starts[b + 1]) for b in window.blocks])[
                window.order()
            ]
            for window in windows(checked, seed, epoch, count)
        ]
    )
