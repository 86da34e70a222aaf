"""Products of float32 in full precision, whatever the program has chosen for its own.

Libraries keep the choice for the whole process. So the first that needs full precision sets
it and the last one restores it, also where several threads compute at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any


class FullPrecision:
    """A context that may be entered again, and from several threads.

    Parameters
    ----------
    set_full : callable
        Sets full precision, and gives a function that restores what was set before; None if
        there is nothing to restore.
    """

    def __init__(self, set_full: Callable[[], Callable[[], Any] | None]) -> None:
        self._set_full = set_full
        self._restore: Callable[[], Any] | None = None
        self._inside = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._restore = self._set_full()
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._restore is not None:
                self._restore()
                self._restore = None
