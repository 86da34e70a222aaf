"""array-api-strict: nothing but the standard, and foreign devices on a CPU; for tests."""

from __future__ import annotations

from typing import Any

import array_api_strict as xp
import numpy as np

from bpnet.backend import Backend

_HOST = xp.Device("CPU_DEVICE")


class StrictBackend(Backend):
    """Refuses what is not in the standard, and any array that is on another device."""

    name = "array_api_strict"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Name the CPU and the two devices that only pretend not to be the CPU."""
        return ("cpu", "device1", "device2")

    @classmethod
    def canonical_device(cls, device: str) -> str:
        """Shorten the library's "CPU_DEVICE"."""
        return "cpu" if device == "CPU_DEVICE" else device

    @classmethod
    def version(cls) -> str:
        """Version of array-api-strict."""
        return str(xp.__version__)

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Name the device on which the array lives."""
        return next(name for name in cls.devices() if array.device == _device(name))

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Copy an array to the device."""
        kind = None if dtype is None else getattr(xp, dtype)
        device = _device(self.device)
        if hasattr(host_array, "__array_namespace__") and not isinstance(
            host_array, np.ndarray
        ):
            moved = host_array.to_device(device)
            return moved if kind is None else xp.astype(moved, kind)
        return xp.asarray(np.asarray(host_array), dtype=kind, device=device, copy=True)

    def to_numpy(self, array: Any) -> Any:
        """Copy the array to the host."""
        return np.asarray(array.to_device(_HOST))


def _device(name: str) -> Any:
    return _HOST if name == "cpu" else xp.Device(name)
