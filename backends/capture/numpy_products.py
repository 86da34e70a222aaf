"""Matrix products of NumPy, small ones on one thread of OpenBLAS.

The threads of OpenBLAS spin until the others have arrived. With two cores of their own they
save 10 % of the time of a network of 2-64-64-2 units. But where other programs compute too, a
thread waits for one that the system has suspended, and training takes 3 to 80 times as long.

Also, the bits of a float32 product depend on the number of threads, so those of a small one are
now the same on machines with any number of cores.

OpenBLAS has one number of threads for the whole process. It is changed for the time of a small
product, some 30 us, in which bpnet runs no other that takes threads: those of several threads
of the program take turns, as they do within OpenBLAS as long as it has more than one thread
itself. Only a product that the program computes without bpnet in that time takes one thread;
and a program that changes the number must do so between products.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Multiplications up to which OpenBLAS takes one thread on its own: for a product with a vector,
# and for one of two matrices.
ALWAYS_ONE_VECTOR = 2304 * 4
ALWAYS_ONE = 2**18
# Multiplications up to which a product is small. Alone on two cores, one thread takes 29 us
# instead of 17 for 2**20 float32, and 65 instead of 37 for 2**21.
SMALL = 2**21

Product = Callable[..., Any]


class Products:
    """Matrix products, one at a time, on one thread of OpenBLAS or on all.

    Parameters
    ----------
    get, put : callable
        Return and change the number of threads of OpenBLAS.
    """

    def __init__(self, get: Callable[[], int], put: Callable[[int], Any]) -> None:
        self._get, self._put = get, put
        self._lock = threading.RLock()  # a signal's handler may predict, too
        self._before = 1
        self._changes = 0  # odd while the number is changed
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_other_threads)

    def small(self, a: Any, b: Any, out: Any = None) -> Any:
        """Multiply on one thread."""
        if self._is_one_anyway():
            return np.matmul(a, b, out)
        with self._lock:
            self._before = before = self._get()
            start = self._changes & ~1  # odd only if a signal has interrupted the lines below
            try:
                self._changes = start + 1
                self._put(1)
                return np.matmul(a, b, out)
            finally:
                self._put(before)
                self._changes = start + 2

    def on_one_thread(self, compute: Callable[[], Any]) -> Any:
        """Return what a function computes, which waits for no other thread of the program.

        As :meth:`small`, which does not call it, as that would take a tenth of its time.
        """
        with self._lock:
            before = self._get()
            self._before, self._changes = before, self._changes | 1
            try:
                self._put(1)
                return compute()
            finally:
                self._put(before)
                self._changes = (self._changes | 1) + 1

    def large(self, a: Any, b: Any, out: Any = None) -> Any:
        """Multiply on all threads."""
        if self._is_one_anyway():
            return np.matmul(a, b, out)
        with self._lock:
            return np.matmul(a, b, out)

    def _is_one_anyway(self) -> bool:
        """Whether the program has chosen one thread; then products need not take turns."""
        changes = self._changes
        return changes % 2 == 0 and self._get() == 1 and self._changes == changes

    def _forget_other_threads(self) -> None:
        """Free the lock in a forked process, where the thread that holds it is not."""
        self._lock = threading.RLock()
        if self._changes % 2:
            self._put(self._before)
            self._changes += 1


def _outer(a: Any, b: Any, out: Any = None) -> Any:
    """Return the product of a column and a row: 256 and 256 numbers in 15 us instead of 66.

    Products start from 0, so that none of their zeros is negative.
    """
    found = np.multiply(a, b, out)
    return np.add(found, 0.0, found)


def product(a: Any, b: Any) -> Product:
    """Return the function ``(a, b, out) -> out`` that multiplies two arrays."""
    if a.ndim != 2 or b.ndim != 2:
        return np.matmul
    (m, k), n = a.shape, b.shape[1]
    if k == 1 and a.dtype == b.dtype and a.dtype.kind == "f":
        return _outer
    if PRODUCTS is None:
        return np.matmul
    least = ALWAYS_ONE_VECTOR if m == 1 or n == 1 else ALWAYS_ONE
    size = m * k * n
    if size <= least:
        return np.matmul
    return PRODUCTS.small if size <= SMALL else PRODUCTS.large


def openblas() -> Products | None:
    """Return the products of NumPy's OpenBLAS; None if another library computes them.

    Also None without threads of its own: each thread of the program has a number of those of
    OpenMP.
    """
    for path in _libraries():
        try:
            library = ctypes.PyDLL(str(path))
        except OSError:
            continue
        for prefix, suffix in itertools.product(("scipy_", ""), ("64_", "")):
            names = (f"{prefix}openblas_{what}{suffix}" for what in _FUNCTIONS)
            kind, get, put = (getattr(library, name, None) for name in names)
            if kind is not None and get is not None and put is not None and kind() == 1:
                return Products(get, put)
    return None


_FUNCTIONS = ("get_parallel", "get_num_threads", "set_num_threads")


def _libraries() -> list[Path]:
    """Return files in which to look: a module of NumPy, and so what it is linked with."""
    if sys.platform != "win32":
        module = getattr(np.linalg, "_umath_linalg", None)
        return [Path(module.__file__)] if module is not None else []
    return sorted(Path(np.__file__).parents[1].glob("numpy.libs/*openblas*.dll"))


PRODUCTS = openblas()
