"""The part of a batch that each process takes."""

from __future__ import annotations


def part_of(rows: int, rank: int, size: int) -> slice:
    """Return which rows of a batch a process takes: consecutive ones.

    The parts are those of ``np.array_split``: their sizes differ by at most 1. Of fewer rows
    than processes, the last processes take none.

    Examples
    --------
    >>> from bpnet.distributed.parts import part_of
    >>> [part_of(10, rank, 4) for rank in range(4)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None), slice(8, 10, None)]
    """
    least, more = divmod(rows, size)
    start = rank * least + min(rank, more)
    return slice(start, start + least + (rank < more))
