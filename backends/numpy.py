"""NumPy: the CPU, and the default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from bpnet.backend import Backend

from .capture.executor import Replayed
from .capture.numpy_ops import NumpyLibrary


class NumpyBackend(Backend):
    """Arrays are `numpy.ndarray`; products run on the threads of NumPy's BLAS."""

    name = "numpy"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Name the one device, the CPU."""
        return ("cpu",)

    @classmethod
    def version(cls) -> str:
        """Version of NumPy."""
        return np.__version__

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Name the one device, the CPU."""
        return "cpu"

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Give the array in C order; copied only if the dtype or the order asks for it."""
        return np.asarray(host_array, dtype, order="C")

    def to_numpy(self, array: Any) -> Any:
        """Give the array itself."""
        return np.asarray(array)

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Record the step in its first run, and replay it in place in all others."""
        return Replayed(step, NumpyLibrary(), xp) if own else super().compile(step)
