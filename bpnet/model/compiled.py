"""Compiled functions, shared by all models of equal description.

The keys hold everything that a compiled function depends on besides its arguments: backend,
description, matrix precision. Equal descriptions have equal keys, whatever their weights, seeds
and learning rates.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Any

# Kept in memory; the least recently used are dropped.
LIMIT = 64

Compiled = Callable[..., Any]


class CompiledFunctions:
    """A bounded cache of compiled functions."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._functions: dict[Hashable, Compiled] = {}
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):  # another thread may hold the lock when forking
            os.register_at_fork(after_in_child=self._new_lock)

    def _new_lock(self) -> None:
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Compiled]) -> Compiled:
        """Return the function of a key, made if there is none."""
        function = self._pop(key) or make()
        self._put(key, function)
        return function

    def borrow(self, key: Hashable, make: Callable[[], Compiled]) -> Compiled:
        """Return a function that nobody else uses until :meth:`give_back`.

        That is needed only if it keeps memory between calls, and so has a `release` method.
        """
        function = self._pop(key) or make()
        if not hasattr(function, "release"):
            self._put(key, function)
        return function

    def give_back(self, key: Hashable, function: Compiled) -> None:
        """Free the memory of a borrowed function, and offer it to others."""
        if release := getattr(function, "release", None):
            release()
            self._put(key, function)

    def all(self) -> list[Compiled]:
        """Return the functions that are not borrowed, the most recently used last."""
        with self._lock:
            return list(self._functions.values())

    def clear(self) -> None:
        """Drop all functions that are not borrowed."""
        with self._lock:
            self._functions.clear()

    def _pop(self, key: Hashable) -> Compiled | None:
        with self._lock:
            return self._functions.pop(key, None)

    def _put(self, key: Hashable, function: Compiled) -> None:
        with self._lock:
            self._functions[key] = function
            while len(self._functions) > self.limit:
                del self._functions[next(iter(self._functions))]


FUNCTIONS = CompiledFunctions()
