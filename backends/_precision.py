"""Products of float32 as precise as bpnet wants them, whatever the program has chosen.

Libraries keep the choice for the whole process. So the first that computes sets it and the
last one restores it, also where several threads compute at once; where these want different
things, the most exact of them holds.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bpnet.backend.precision import PRECISIONS, wanted_precision


class ProductPrecision:
    """Contexts that may be entered again, and from several threads.

    Parameters
    ----------
    change : callable
        Sets one of `PRECISIONS`, and gives a function that restores what was set before.
    """

    def __init__(self, change: Callable[[str], Callable[[], Any]]) -> None:
        self._change = change
        self._restore: Callable[[], Any] | None = None
        self._inside: Counter[str] = Counter()
        self._strictest: str | None = None
        self._lock = threading.Lock()

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Compute with the precision of this thread's block, or with one that is more exact."""
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
                return  # others want the same
            self._strictest = next((p for p in PRECISIONS if self._inside[p]), None)
            if self._strictest == before:
                return
            if self._restore is not None:
                self._restore()
            self._restore = None if self._strictest is None else self._change(self._strictest)
