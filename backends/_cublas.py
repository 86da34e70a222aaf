"""Matrix products by cuBLAS through nvmath-python, which a CUDA graph can capture.

CuPy's own products cannot be: its issue 6290. Optional: the extra `graphs`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np
from nvmath.bindings import cublas

# Bytes that cuBLAS works in: what NVIDIA recommends for Hopper. Given by us, for what cuBLAS
# allocates itself must not happen while a graph is captured.
WORKSPACE = 32 * 2**20


class Cublas:
    """A handle of cuBLAS with its workspace, which live as long as the products it makes.

    Products of float32 are not rounded to TF32.
    """

    def __init__(self) -> None:
        self.handle = cublas.create()
        self.workspace = cupy.empty(WORKSPACE, np.uint8)
        weakref.finalize(self, cublas.destroy, self.handle)

    def product(self, a: Any, b: Any, out: Any) -> Callable[[], None]:
        """Give a call that computes out = a b.

        Parameters
        ----------
        a, b, out : cupy.ndarray
            Matrices of float32 or of float64, `out` in C order, `a` and `b` in C or Fortran
            order.

        Raises
        ------
        ValueError
            If they are not.
        """
        (m, n), k = out.shape, a.shape[1]
        gemm = {"float32": cublas.sgemm, "float64": cublas.dgemm}.get(out.dtype.name)
        if gemm is None or not out.flags.c_contiguous or not a.dtype == b.dtype == out.dtype:
            raise ValueError("cuBLAS gets matrices of one dtype, the result in C order")
        # cuBLAS counts in Fortran order, in which the memory of out holds out^T = b^T a^T.
        (op_b, ld_b), (op_a, ld_a) = _layout(b), _layout(a)
        one, zero = np.ones(1, out.dtype), np.zeros(1, out.dtype)

        def multiply() -> None:
            cublas.set_stream(self.handle, cupy.cuda.get_current_stream().ptr)
            cublas.set_workspace(self.handle, self.workspace.data.ptr, WORKSPACE)
            gemm(
                self.handle, op_b, op_a, n, m, k, one.ctypes.data, b.data.ptr, ld_b,
                a.data.ptr, ld_a, zero.ctypes.data, out.data.ptr, n,
            )  # fmt: skip

        return multiply


def _layout(x: Any) -> tuple[int, int]:
    """Say whether cuBLAS must transpose what it reads as x^T, and how long its columns are."""
    if x.flags.c_contiguous:
        return int(cublas.Operation.N), x.shape[1]
    if x.flags.f_contiguous:
        return int(cublas.Operation.T), x.shape[0]
    raise ValueError("cuBLAS gets matrices in C or Fortran order")
