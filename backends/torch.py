"""PyTorch: tensors on a CPU, a CUDA GPU or Apple's MPS, without its autograd."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from bpnet.backend import Backend
from bpnet.backend.float_errors import without_float_errors

from ._precision import ProductPrecision
from ._torch_modes import without_modes
from .capture.executor import ReplayedStep
from .capture.torch_ops import TorchOps


class TorchBackend(Backend):
    """Arrays are `torch.Tensor`; devices are torch's own names: "cpu", "cuda:0", "mps"."""

    name = "torch"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the available devices, accelerators first."""
        found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            found.append("mps")
        return (*found, "cpu")

    @classmethod
    def default_device(cls) -> str:
        """Return torch's default device: the CPU, unless the user has set another.

        The CPU, too, if the default is no device for computing ("meta").
        """
        device = cls.canonical_device(str(torch.get_default_device()))
        return "cpu" if device == "meta" else device

    @classmethod
    def canonical_device(cls, device: str) -> str:
        """Map "cuda", "cpu:0" and "mps:0" to the names that :meth:`devices` returns."""
        if device == "cuda":
            return f"cuda:{torch.cuda.current_device() if torch.cuda.is_available() else 0}"
        return device.removesuffix(":0") if device.startswith(("cpu", "mps")) else device

    @classmethod
    def version(cls) -> str:
        """Return the version of PyTorch."""
        return str(torch.__version__)

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Return the device of a tensor; TypeError inside a function that torch transforms.

        bpnet is no part of torch's autograd, so derivatives through it would silently be 0.
        """
        if torch._C._functorch.is_functorch_wrapped_tensor(array):
            raise TypeError(
                "bpnet cannot run inside of torch.func transforms such as grad or vmap; use "
                "Network.loss_and_gradients, or call bpnet outside of them"
            )
        return cls.canonical_device(str(array.device))

    @contextlib.contextmanager
    def activate(self) -> Iterator[None]:
        """Set aside the program's modes and autograd, and set the precision of products."""
        with (
            self._without_modes(),
            torch.no_grad(),
            _PRODUCTS.wanted(),
            without_float_errors(),
        ):
            yield

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Move an array to the device; a CPU tensor may share its memory."""
        kind = None if dtype is None else getattr(torch, dtype)
        if self.device == "mps" and kind is torch.float64:
            raise TypeError("Apple's MPS has no float64; use dtype='float32' or another device")
        if isinstance(host_array, torch.Tensor):
            with self._without_modes():
                tensor = host_array.detach() if host_array.requires_grad else host_array
                return tensor.to(self.device, kind)  # itself if nothing changes
        host = np.asarray(host_array)
        # A tensor is writable, in native byte order, and without negative or odd strides, which
        # a C-ordered array may still have along an axis of length 1: hence `reshape`.
        host = np.require(host, host.dtype.newbyteorder("="), ["C", "A", "W"])
        host = host.reshape(-1).reshape(host.shape)
        with self._without_modes():
            return torch.asarray(host, dtype=kind, device=self.device)

    def begin_transfer(self, host_arrays: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        """Move arrays to a CUDA device from pinned memory, in a stream of their own."""
        if not self.device.startswith("cuda"):
            return super().begin_transfer(host_arrays)
        copies = _copy_stream(self.device)
        with self._without_modes(), torch.cuda.stream(copies):
            pinned = {k: a if a is None else _pinned(a) for k, a in host_arrays.items()}
            moved = {
                k: a if a is None else a.to(self.device, non_blocking=True)
                for k, a in pinned.items()
            }
            arrived = copies.record_event()

        def arrays() -> dict[str, Any]:
            """Let the current stream wait for the copies, and keep their memory for it."""
            now = torch.cuda.current_stream(self.device)
            now.wait_event(arrived)
            for a in moved.values():
                if a is not None:
                    a.record_stream(now)  # else its memory may be used again too early
            pinned.clear()  # torch keeps pinned memory until its copy has ended
            return moved

        return arrays

    def to_numpy(self, array: Any) -> Any:
        """Return a host array, which may share the memory of a CPU tensor.

        NumPy has no bfloat16, which becomes float32, and no bit for a pending negation.
        """
        with self._without_modes():
            tensor = array.to(torch.float32) if array.dtype is torch.bfloat16 else array
            return tensor.numpy(force=True)

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Trace the step on its first run, and replay it in place later."""
        return ReplayedStep(step, TorchOps(self.device), xp) if own else super().compile(step)

    @property
    def on_host(self) -> bool:
        """Whether the device is the CPU."""
        return self.device == "cpu"

    def fits(self, nbytes: int) -> bool:
        """Leave half of a CUDA device's free memory to activations and temporaries."""
        if not self.device.startswith("cuda"):
            return True
        free, _ = torch.cuda.mem_get_info(self.device)
        return bool(nbytes <= free // 2)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Recognize torch's accelerator error, and its CPU allocator's by the message."""
        return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and "allocate memory" in str(error)
        )

    def synchronize(self) -> None:
        """Wait for the accelerator, if any."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        elif self.device == "mps":
            torch.mps.synchronize()

    def _without_modes(self) -> AbstractContextManager[Any]:
        return without_modes(self._device_type)

    @functools.cached_property
    def _device_type(self) -> str:
        return self.device.partition(":")[0]


_LIBRARIES = ("cuda", "mkldnn")
# torch.backends.cuda.matmul.fp32_precision, without its slow attributes
_get_precision = torch._C._get_fp32_precision_getter
_set_precision = torch._C._set_fp32_precision_setter

# Torch's names for the precisions of products, each at least as exact as wanted.
_CUDA = {"highest": "ieee", "high": "tf32", "medium": "tf32"}
_CPU = _CUDA | {"medium": "bf16"}


def _pinned(array: Any) -> Any:
    """Return a copy of a host array in pinned memory."""
    return torch.from_numpy(np.require(array, None, ["C", "W"])).pin_memory()


@functools.cache
def _copy_stream(device: str) -> Any:
    """Return the stream that moves arrays to a device."""
    return torch.cuda.Stream(device)


def _change(precision: str) -> Callable[[], Any]:
    """Set the precision of float32 products on CUDA and the CPU (oneDNN).

    Torch's older interface is used, too, because its functions raise errors where the two
    disagree: a callback, or what torch compiles, may call them.
    """
    before = _precisions()
    wanted = (_CUDA[precision], _CPU[precision])
    if tuple(value.replace("none", "ieee") for value in before) == wanted:
        return lambda: None
    older = _older_precision()
    if older is not None:
        torch.set_float32_matmul_precision(precision)
    else:
        for library, value in zip(_LIBRARIES, wanted, strict=True):
            _set_precision(library, "matmul", value)

    def restore() -> None:
        if older is not None:
            torch.set_float32_matmul_precision(older)
        for library, value in zip(_LIBRARIES, before, strict=True):
            _set_precision(library, "matmul", "none")  # inherits that of torch.backends
            if _get_precision(library, "matmul") != value:
                _set_precision(library, "matmul", value)

    return restore


def _precisions() -> tuple[str, ...]:
    return tuple(_get_precision(library, "matmul") for library in _LIBRARIES)


def _older_precision() -> str | None:
    """Return what torch's older interface says; None if the program mixes both."""
    try:
        return str(torch.get_float32_matmul_precision())
    except RuntimeError:
        return None


_PRODUCTS = ProductPrecision(_change)
