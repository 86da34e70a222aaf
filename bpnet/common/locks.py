"""A lock that copies and forked processes do not share."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Self


class Lock:
    """A reentrant lock, free in every copy, and in a forked process if nobody there holds it.

    The thread that holds it when a process forks is not there in the child to release it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.add(self)

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def free_if_stuck(self) -> None:
        """Begin anew if another thread holds it."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


class FairLock(Lock):
    """A lock that waiting threads get before the one that has released it takes it again.

    Otherwise a thread that holds it nearly all the time can keep others waiting for seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        # Held while waiting for the lock; reentrant, as a signal's handler may wait too.
        self._turnstile = threading.RLock()
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> Self:
        me = threading.get_ident()
        if self._owner == me:
            self._lock.acquire()
        else:
            with self._turnstile:
                self._lock.acquire()
                self._owner = me
        self._depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
        self._lock.release()

    def free_if_stuck(self) -> None:
        """Begin anew if another thread holds it; nobody waits for it any more."""
        before = self._lock
        super().free_if_stuck()
        if self._lock is not before:
            self._owner, self._depth = None, 0
        self._turnstile = threading.RLock()


_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()


def _free_all() -> None:
    for lock in list(_LOCKS):
        lock.free_if_stuck()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)
