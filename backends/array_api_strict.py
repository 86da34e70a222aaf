"""array-api-strict: the standard alone, and simulated devices on the CPU; for testing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import array_api_strict as xp
import numpy as np

from bpnet.backend import Backend
from bpnet.backend.float_errors import without_float_errors

_HOST = xp.Device("CPU_DEVICE")


class StrictBackend(Backend):
    """Rejects functions outside of the standard, and arrays on another device."""

    name = "array_api_strict"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the CPU and two simulated devices."""
        return ("cpu", "device1", "device2")

    @classmethod
    def canonical_device(cls, device: str) -> str:
        """Map "CPU_DEVICE" to "cpu"."""
        return "cpu" if device == "CPU_DEVICE" else device

    @classmethod
    def version(cls) -> str:
        """Return the version of array-api-strict."""
        return str(xp.__version__)

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Return the device of an array."""
        return next(name for name in cls.devices() if array.device == _device(name))

    def activate(self) -> AbstractContextManager[Any]:
        """Keep the program's :class:`numpy.errstate` from raising errors."""
        return without_float_errors()

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Copy an array to the device."""
        kind = None if dtype is None else getattr(xp, dtype)
        device = _device(self.device)
        is_numpy = isinstance(host_array, np.ndarray)
        if hasattr(host_array, "__array_namespace__") and not is_numpy:
            moved = host_array.to_device(device)
            return moved if kind is None else xp.astype(moved, kind)
        return xp.asarray(np.asarray(host_array), dtype=kind, device=device, copy=True)

    def to_numpy(self, array: Any) -> Any:
        """Copy the array to the host."""
        return np.asarray(array.to_device(_HOST))


def _device(name: str) -> Any:
    return _HOST if name == "cpu" else xp.Device(name)
