"""CuPy: NVIDIA GPUs (and AMD's, where CuPy was built for ROCm)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import cupy
import numpy as np
from cupy._core import _routines_linalg as linalg

from bpnet.backend import Backend
from bpnet.backend.float_errors import without_float_errors
from bpnet.errors import NoDeviceError

from . import _cupy_namespace as xp
from ._precision import ProductPrecision


class CupyBackend(Backend):
    """Arrays are `cupy.ndarray`; devices are CUDA's GPU numbers: "0", "1"."""

    name = "cupy"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the numbers of the available GPUs."""
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise NoDeviceError(f"CuPy is installed, but found no GPU: {error}") from error
        if count == 0:
            raise NoDeviceError("CuPy is installed, but CUDA lists no GPU")
        return tuple(str(index) for index in range(count))

    @classmethod
    def default_device(cls) -> str:
        """Return CuPy's current GPU."""
        cls.devices()  # raises without a GPU
        return str(cupy.cuda.runtime.getDevice())

    @classmethod
    def canonical_device(cls, device: str) -> str:
        """Map "cuda:1" to "1"."""
        return device.removeprefix("cuda:")

    @classmethod
    def version(cls) -> str:
        """Return the version of CuPy."""
        return str(cupy.__version__)

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Return the GPU of an array."""
        return str(array.device.id)

    @contextlib.contextmanager
    def activate(self) -> Iterator[None]:
        """Make this GPU current, as CuPy uses the current one, and set products' precision."""
        with self._current(), _PRODUCTS.wanted(), without_float_errors():
            yield

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Copy an array to this GPU."""
        with self._current():
            return cupy.asarray(host_array, dtype, order="C")

    def begin_transfer(self, host_arrays: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        """Move arrays from pinned memory, in a stream of their own."""
        with self._current():
            copies = _copy_stream(self.device)
            # Allocated in the stream that uses them, which then also frees them in order.
            pinned = {k: a if a is None else _pinned(a) for k, a in host_arrays.items()}
            moved: dict[str, Any] = {
                k: a if a is None else cupy.empty(a.shape, a.dtype) for k, a in pinned.items()
            }
            # Their memory may still be read by what was queued before.
            copies.wait_event(cupy.cuda.get_current_stream().record())
            for k, a in pinned.items():
                if a is not None:
                    moved[k].set(a, stream=copies)
            arrived = copies.record()

        def arrays() -> dict[str, Any]:
            """Let the current stream wait for the copies."""
            with self._current():
                cupy.cuda.get_current_stream().wait_event(arrived)
                arrived.synchronize()  # before the pinned memory is given back
            pinned.clear()
            return moved

        return arrays

    def to_numpy(self, array: Any) -> Any:
        """Copy the array to the host."""
        with self._current():
            return cupy.asnumpy(array)

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Trace the step on its first run, and replay it in place as a CUDA graph.

        The very first run on a machine compiles some 80 kernels, whatever the depth of the
        network, in 0.2 to 0.3 s each; CuPy keeps them on disk.
        """
        if not own:
            return super().compile(step)
        from .capture.cupy_ops import CupyOps
        from .capture.executor import ReplayedStep

        return ReplayedStep(step, CupyOps(), xp)

    def fuse(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Fuse the rule into one kernel, unless it is traced as part of a step."""
        bound = functools.partial(rule, self.xp)
        fused = cupy.fuse(kernel_name="bpnet_rule")(bound)  # a partial has no name
        return lambda xp, *arguments: (
            fused(*arguments) if xp is self.xp else rule(xp, *arguments)
        )

    def fits(self, nbytes: int) -> bool:
        """Leave half of the free memory to activations and temporaries."""
        with self._current():
            free, _ = cupy.cuda.runtime.memGetInfo()
            pooled = cupy.get_default_memory_pool().free_bytes()
        return bool(nbytes <= (free + pooled) // 2)

    def synchronize(self) -> None:
        """Wait for the GPU's current stream."""
        with self._current():
            cupy.cuda.get_current_stream().synchronize()

    def device_group(self, rank: int, size: int, share: Callable[[Any], Any]) -> Any:
        """Return the GPUs of all processes, connected by NCCL."""
        from ._nccl import NcclGroup

        with self._current():
            return NcclGroup(rank, size, share)

    def _current(self) -> AbstractContextManager[Any]:
        return cupy.cuda.Device(int(self.device))  # type: ignore[no-any-return]


@functools.cache
def _copy_stream(device: str) -> Any:
    """Return the stream of a GPU, which is current, that moves arrays to it."""
    return cupy.cuda.Stream(non_blocking=True)


def _pinned(array: Any) -> Any:
    """Return a copy of a host array in pinned memory."""
    memory = cupy.cuda.alloc_pinned_memory(array.nbytes)
    copy = np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)
    copy[...] = array
    return copy


def _change(precision: str) -> Callable[[], Any]:
    """Set CuPy's precision of float32 products, which is one for the whole process.

    CuPy has no bfloat16 products of float32 arrays: "medium" is TensorFloat-32, too.
    """
    before = linalg.get_compute_type(np.float32)
    is_fast = precision != "highest" and int(cupy.cuda.Device().compute_capability) >= 80
    wanted = linalg.COMPUTE_TYPE_TF32 if is_fast else linalg.COMPUTE_TYPE_FP32
    linalg.set_compute_type(np.float32, wanted)
    return functools.partial(linalg.set_compute_type, np.float32, before)


_PRODUCTS = ProductPrecision(_change)
