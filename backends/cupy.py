"""CuPy: NVIDIA GPUs (and AMD's, where CuPy was built for ROCm)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import array_api_compat.cupy as xp
import cupy

from bpnet.backend import Backend
from bpnet.errors import NoDeviceError


class CupyBackend(Backend):
    """Arrays are `cupy.ndarray` on one GPU; devices are numbered as CUDA does: "0", "1"."""

    name = "cupy"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Number the GPUs that answer; importing CuPy succeeds without any."""
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise NoDeviceError(f"CuPy is installed, but no GPU answers: {error}") from error
        if count == 0:
            raise NoDeviceError("CuPy is installed, but CUDA lists no GPU")
        return tuple(str(index) for index in range(count))

    @classmethod
    def default_device(cls) -> str:
        """Name the GPU that is current in CuPy."""
        cls.devices()  # without a GPU there is no current one
        return str(cupy.cuda.runtime.getDevice())

    @classmethod
    def canonical_device(cls, device: str) -> str:
        """Read "cuda:1" and "1" as the same GPU."""
        return device.removeprefix("cuda:")

    @classmethod
    def version(cls) -> str:
        """Version of CuPy."""
        return str(cupy.__version__)

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Number the GPU on which the array lives."""
        return str(array.device.id)

    def activate(self) -> AbstractContextManager[Any]:
        """Make this GPU the current one: CuPy allocates and launches on the current GPU."""
        return cupy.cuda.Device(int(self.device))  # type: ignore[no-any-return]

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Copy an array of the host to this GPU."""
        with self.activate():
            return cupy.asarray(host_array, dtype, order="C")

    def to_numpy(self, array: Any) -> Any:
        """Copy the array to the host."""
        with self.activate():
            return cupy.asnumpy(array)

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Record the step in its first run; replay it in place, as a graph of kernels."""
        if not own:
            return super().compile(step)
        from .capture.cupy_ops import CupyLibrary
        from .capture.executor import Replayed

        return Replayed(step, CupyLibrary(), xp)

    def fuse(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Run the rule as one kernel, where it is not recorded with the step around it."""
        bound = functools.partial(rule, self.xp)
        fused = cupy.fuse(kernel_name="bpnet_rule")(bound)  # a partial has no name of its own
        return lambda xp, *arguments: (
            fused(*arguments) if xp is self.xp else rule(xp, *arguments)
        )

    def fits(self, nbytes: int) -> bool:
        """Leave half of the free memory to activations and temporaries."""
        with self.activate():
            free, _ = cupy.cuda.runtime.memGetInfo()
            pooled = cupy.get_default_memory_pool().free_bytes()
        return bool(nbytes <= (free + pooled) // 2)

    def synchronize(self) -> None:
        """Wait for the GPU's current stream."""
        with self.activate():
            cupy.cuda.get_current_stream().synchronize()
