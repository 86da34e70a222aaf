"""Matrix products of NumPy, small ones on one thread of OpenBLAS.

The threads of OpenBLAS spin until the others have arrived. With two cores of their own they
save 10 % of the time of a network of 2-64-64-2 units. But where other programs compute too, a
thread waits for one that the system has suspended, and training takes 3 to 80 times as long.

Also, the bits of a float32 product depend on the number of threads, so those of a small one are
now the same on machines with any number of cores.

OpenBLAS has one number of threads for the whole process. It is changed for the time of a small
product, some 30 us: a large one that another thread of the program starts in that time takes
one thread too, and a program that changes the number itself does so between products.
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


class OneThread:
    """Matrix products while OpenBLAS has one thread.

    Parameters
    ----------
    get, put : callable
        Return and change the number of threads.
    """

    def __init__(self, get: Callable[[], int], put: Callable[[int], Any]) -> None:
        self._get, self._put = get, put
        self._lock = threading.Lock()
        self._inside: set[int] = set()  # threads of Python, as an interrupt may lose a count
        self._before = 1
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_other_threads)

    def matmul(self, a: Any, b: Any, out: Any = None) -> Any:
        """Multiply; the last thread to leave restores the number that the first one found."""
        me = threading.get_ident()
        try:
            with self._lock:
                if not self._inside:
                    self._before = self._get()
                    self._put(1)
                self._inside.add(me)
            return np.matmul(a, b, out)
        finally:
            with self._lock:
                self._inside.discard(me)
                if (
                    not self._inside and self._get() == 1
                ):  # otherwise the program has changed it
                    self._put(self._before)

    def _forget_other_threads(self) -> None:
        self._lock = threading.Lock()
        if self._inside:
            self._inside.clear()
            self._put(self._before)


def product(a: Any, b: Any) -> Product:
    """Return the function ``(a, b, out) -> out`` that multiplies two arrays."""
    if ONE_THREAD is None or a.ndim != 2 or b.ndim != 2:
        return np.matmul
    (m, k), n = a.shape, b.shape[1]
    least = ALWAYS_ONE_VECTOR if m == 1 or n == 1 else ALWAYS_ONE
    return ONE_THREAD.matmul if least < m * k * n <= SMALL else np.matmul


def openblas() -> OneThread | None:
    """Return the means to multiply on one thread; None if NumPy's BLAS does not need it.

    That is another library, or an OpenBLAS without threads or with those of OpenMP, whose
    number belongs to each thread of the program.
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
                return OneThread(get, put)
    return None


_FUNCTIONS = ("get_parallel", "get_num_threads", "set_num_threads")


def _libraries() -> list[Path]:
    """Return files in which to look: a module of NumPy, and so what it is linked with."""
    if sys.platform != "win32":
        module = getattr(np.linalg, "_umath_linalg", None)
        return [Path(module.__file__)] if module is not None else []
    return sorted(Path(np.__file__).parents[1].glob("numpy.libs/*openblas*.dll"))


ONE_THREAD = openblas()
