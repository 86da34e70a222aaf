"""PyTorch: tensors on a CPU, a CUDA GPU or Apple's MPS, without its autograd."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from bpnet.backend import Backend

from ._precision import ProductPrecision
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
        """Return torch's default device: the CPU, unless the user has set another."""
        return cls.canonical_device(str(torch.get_default_device()))

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
        """Return the device of a tensor."""
        return cls.canonical_device(str(array.device))

    @contextlib.contextmanager
    def activate(self) -> Iterator[None]:
        """Disable autograd, and set the wanted precision of float32 products."""
        with torch.no_grad(), _PRODUCTS.wanted():
            yield

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Move an array to the device; a CPU tensor may share its memory."""
        kind = None if dtype is None else getattr(torch, dtype)
        if self.device == "mps" and kind is torch.float64:
            raise TypeError("Apple's MPS has no float64; use dtype='float32' or another device")
        if isinstance(host_array, torch.Tensor):
            tensor = host_array.detach() if host_array.requires_grad else host_array
            return tensor.to(self.device, kind)  # itself if nothing changes
        host = np.asarray(host_array)
        # A tensor is writable, in native byte order, and without negative or odd strides, which
        # a C-ordered array may still have along an axis of length 1: hence `reshape`.
        host = np.require(host, host.dtype.newbyteorder("="), ["C", "A", "W"])
        host = host.reshape(-1).reshape(host.shape)
        return torch.asarray(host, dtype=kind, device=self.device)

    def to_numpy(self, array: Any) -> Any:
        """Return a host array; that of a CPU tensor shares its memory."""
        return array.detach().cpu().numpy()

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Trace the step on its first run, and replay it in place later."""
        return ReplayedStep(step, TorchOps(self.device), xp) if own else super().compile(step)

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


# Torch's names for the precisions of products, each at least as exact as wanted.
_CUDA = {"highest": "ieee", "high": "tf32", "medium": "tf32"}
_CPU = _CUDA | {"medium": "bf16"}


def _change(precision: str) -> Callable[[], Any]:
    """Set the precision of float32 products on CUDA and the CPU (oneDNN)."""
    cuda, cpu = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    changed = [
        (product, product.fp32_precision, formats[precision])
        for product, formats in ((cuda, _CUDA), (cpu, _CPU))
        if product.fp32_precision.replace("none", "ieee") != formats[precision]
    ]
    for product, _, wanted in changed:
        product.fp32_precision = wanted

    def restore() -> None:
        for product, before, _ in changed:
            product.fp32_precision = before

    return restore


_PRODUCTS = ProductPrecision(_change)
