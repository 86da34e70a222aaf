"""NumPy on the CPU, the default backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.float_errors import without_float_errors

from . import _numpy_namespace as xp
from ._numpy_copy import first_and_sum, snapshot
from .capture import numpy_products
from .capture.executor import ReplayedStep
from .capture.numpy_ops import NumpyOps
from .capture.numpy_rows import NumpyRowOps
from .capture.replayed_function import ReplayedFunction

# One for all predictions, as it keeps arrays of frequent numbers.
_ROW_OPS = NumpyRowOps()


class NumpyBackend(Backend):
    """Arrays are `numpy.ndarray`; large products use the threads of NumPy's BLAS."""

    name = "numpy"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the only device."""
        return ("cpu",)

    @classmethod
    def version(cls) -> str:
        """Return the version of NumPy."""
        return np.__version__

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Return "cpu"."""
        return "cpu"

    def activate(self) -> AbstractContextManager[Any]:
        """Keep the program's :class:`numpy.errstate` from raising errors."""
        return without_float_errors()

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Return the array in C order; copy it only if the dtype or the order requires it."""
        return np.asarray(host_array, dtype, order="C")

    def to_numpy(self, array: Any) -> Any:
        """Return the array itself."""
        return np.asarray(array)

    def snapshot(self, arrays: Sequence[Any], memory: Any | None = None) -> tuple[Any, Any]:
        """Copy into the same memory, and large arrays in two threads."""
        return snapshot(arrays, memory)

    def first_and_sum(self, arrays: Sequence[Any]) -> Any:
        """Sum squares, which BLAS does."""
        return first_and_sum(arrays)

    def compile_inference(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Record the function for numbers of rows that are frequent, and replay it."""
        return ReplayedFunction(function, _ROW_OPS, xp)

    def on_one_thread(self, compute: Callable[[], Any]) -> Any:
        """Take one thread of OpenBLAS, if that is NumPy's BLAS."""
        products = numpy_products.PRODUCTS
        return compute() if products is None else products.on_one_thread(compute)

    @property
    def on_host(self) -> bool:
        """Return True."""
        return True

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Trace the step on its first run, and replay it in place later."""
        return ReplayedStep(step, NumpyOps(), xp) if own else super().compile(step)
