"""Precision of float32 products in libraries that set it for the whole process.

The first context entered changes the setting and the last one restores it, also across threads.
Where threads want different precisions, the most exact one holds.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bpnet.backend.precision import PRECISIONS, wanted_precision


class ProductPrecision:
    """Reentrant, thread-safe contexts.

    Parameters
    ----------
    change : callable
        Sets one of `PRECISIONS`, and returns a function that restores the previous setting.
    """

    def __init__(self, change: Callable[[str], Callable[[], Any]]) -> None:
        self._change = change
        self._restore: Callable[[], Any] | None = None
        self._inside: Counter[str] = Counter()
        self._strictest: str | None = None
        self._lock = threading.Lock()

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Compute with the precision wanted in this thread, or a more exact one."""
        precision = wanted_precision()
        self._count(precision, 1)
        try:
            yield
        finally:
            self._count(precision, -1)

    def _count(self, precision: str, change: int) -> None:
        with self._lock:
            before = self._strictest
            self._inside[precision] += change
            if self._inside[precision] > max(0, change):
                return  # others still want this precision
            self._strictest = next((p for p in PRECISIONS if self._inside[p]), None)
            if self._strictest == before:
                return
            if self._restore is not None:
                self._restore()
            self._restore = None if self._strictest is None else self._change(self._strictest)
