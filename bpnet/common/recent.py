"""A bounded cache, which several threads may use."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from bpnet.common.locks import Lock

T = TypeVar("T")


class Recent(Generic[T]):
    """What was made for the keys used last; the least recently used are dropped.

    Parameters
    ----------
    limit : int
        How many are kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._known: dict[Hashable, T] = {}
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what a key has, made if there is nothing."""
        known = self._pop(key)
        found = make() if known is None else known
        self._put(key, found)
        return found

    def all(self) -> list[T]:
        """Return all that is kept, the most recently used last."""
        with self._lock:
            return list(self._known.values())

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._known.clear()

    def _pop(self, key: Hashable) -> T | None:
        with self._lock:
            return self._known.pop(key, None)

    def _put(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._known[key] = value
            while len(self._known) > self.limit:
                del self._known[next(iter(self._known))]
