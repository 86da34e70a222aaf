"""A background thread that draws the items of an iterator ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from typing import Any


def read_ahead(items: Iterator[Any], limit: int) -> Generator[Any, None, None]:
    """Yield the items of an iterator, which a thread draws ahead of their use.

    The errors of the iterator are raised where its next item would be. The thread ends, after
    the item that it is drawing, when this generator ends or is closed.

    Parameters
    ----------
    items : iterator
        Used by the thread alone.
    limit : int
        How many items may wait, with the one being drawn.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes 10 ms, if nothing streams

    end = object()
    thread = ThreadPoolExecutor(1, thread_name_prefix="bpnet-stream")
    try:
        waiting = deque(thread.submit(next, items, end) for _ in range(limit))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item
    finally:
        thread.shutdown(wait=True, cancel_futures=True)
