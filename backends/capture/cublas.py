"""cuBLAS matrix products through nvmath-python, which a CUDA graph can capture.

CuPy's own products cannot be captured (its issue 6290). cuBLAS is called as CuPy calls it, so
results are the same. Optional: the extra `graphs`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import cupy
import numpy as np
from nvmath import CudaDataType
from nvmath.bindings import cublas

from bpnet.backend.precision import wanted_precision

N, T = int(cublas.Operation.N), int(cublas.Operation.T)


class Cublas:
    """A cuBLAS handle on the current GPU, and its workspace; see :func:`shared`.

    The workspace has the size that NVIDIA recommends: 32 MiB on Hopper and later, else 4 MiB.
    It is allocated here because cuBLAS must not allocate during graph capture.
    """

    def __init__(self) -> None:
        device = cupy.cuda.Device()
        capability, algorithms = int(device.compute_capability), cublas.GemmAlgo
        self.has_tf32 = capability >= 80
        self.algorithm = int(
            algorithms.DEFAULT_TENSOR_OP if self.has_tf32 else algorithms.DEFAULT
        )
        self.workspace = cupy.empty((32 if capability >= 90 else 4) * 2**20, np.uint8)
        self.handle = cublas.create()
        weakref.finalize(self, _destroy, device, self.handle)

    def product(self, a: Any, b: Any, out: Any) -> Callable[[], None] | None:
        """Return a call that computes out = a b; None where CuPy would not use cuBLAS.

        Parameters
        ----------
        a, b, out : cupy.ndarray
            Matrices of float32 or of float64; `out` in C order, `a` and `b` in C or Fortran
            order.
        """
        if out.ndim != 2:
            return None
        (m, n), k = out.shape, a.shape[1]
        formats = {
            "float32": (CudaDataType.CUDA_R_32F, self._float32_products()),
            "float64": (CudaDataType.CUDA_R_64F, cublas.ComputeType.COMPUTE_64F),
        }
        ordered = all(x.flags.c_contiguous or x.flags.f_contiguous for x in (a, b))
        same = a.dtype == b.dtype == out.dtype and out.dtype.name in formats
        if not (ordered and same and out.flags.c_contiguous) or (m == 1 and n == 1):
            return None
        kind, compute = map(int, formats[out.dtype.name])
        # cuBLAS uses Fortran order, in which the memory of out holds out^T = b^T a^T.
        op_b, ld_b = (T, k) if b.flags.f_contiguous else (N, n)
        op_a, ld_a = (N, k) if a.flags.c_contiguous else (T, m)
        one, zero = np.ones(1, out.dtype), np.zeros(1, out.dtype)

        def multiply() -> None:
            cublas.set_stream(self.handle, cupy.cuda.get_current_stream().ptr)
            cublas.set_workspace(self.handle, self.workspace.data.ptr, self.workspace.nbytes)
            cublas.gemm_ex(
                self.handle, op_b, op_a, n, m, k, one.ctypes.data, b.data.ptr, kind, ld_b,
                a.data.ptr, kind, ld_a, zero.ctypes.data, out.data.ptr, kind, n,
                compute, self.algorithm,
            )  # fmt: skip

        return multiply

    def _float32_products(self) -> Any:
        """Return the wanted precision, as the backend sets it for CuPy's own products."""
        is_fast = wanted_precision() != "highest" and self.has_tf32
        kinds = cublas.ComputeType
        return kinds.COMPUTE_32F_FAST_TF32 if is_fast else kinds.COMPUTE_32F


def _destroy(device: Any, handle: int) -> None:
    with device:
        cublas.destroy(handle)


_SHARED: weakref.WeakValueDictionary[Hashable, Cublas] = weakref.WeakValueDictionary()


def shared() -> Cublas:
    """Return the handle of the current GPU and stream, which lives as long as its products.

    Products on one stream run one after the other, so they can share a workspace; those on
    two streams cannot. A handle itself must not be used by two threads at once: it is used
    during capture only, by one thread at a time.
    """
    stream = cupy.cuda.get_current_stream()
    each_thread = stream == cupy.cuda.Stream.ptds  # one object, but a stream for each thread
    key = (cupy.cuda.Device().id, stream.ptr, each_thread and threading.get_ident())
    found = _SHARED.get(key)
    if found is None:
        found = _SHARED[key] = Cublas()
    return found
