"""CuPy's Array API namespace, with functions that neither wait for the GPU nor for a compiler.

`clip` of array_api_compat assigns by masks, which waits for the GPU. And CuPy compiles some
reductions from CUB's headers, for 3.6 to 3.9 s each, although it has compiled kernels for
reductions along rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.cupy as compat
import cupy
import numpy as np


def __getattr__(name: str) -> Any:
    """Return anything else of the standard's namespace."""
    return getattr(compat, name)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """Return `x` bounded by numbers, or by arrays."""
    if isinstance(min, int | float | None) and isinstance(max, int | float | None):
        return cupy.clip(x, min, max)
    return compat.clip(x, min, max)


def sum(x: Any, /, *, axis: Any = None, keepdims: bool = False, **options: Any) -> Any:
    """Return the sum of `x`."""
    if axis == 0 and not keepdims and not options:
        x, axis = in_rows(x)
    return compat.sum(x, axis=axis, keepdims=keepdims, **options)


def in_rows(x: Any) -> tuple[Any, int]:
    """Return a matrix whose columns are to be reduced, and the axis along which to reduce.

    A single column or row has the same memory as one of the transposed shape, along whose rows
    CuPy has compiled kernels.
    """
    is_line = x.ndim == 2 and 1 in x.shape and x.flags.c_contiguous
    return (x.reshape(x.shape[::-1]), 1) if is_line else (x, 0)


def all(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Return whether all elements are true."""
    return _reduced_bytes(cupy.min, compat.all, x, axis, keepdims)


def any(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Return whether any element is true."""
    return _reduced_bytes(cupy.max, compat.any, x, axis, keepdims)


def _reduced_bytes(
    of_bytes: Callable[..., Any],
    otherwise: Callable[..., Any],
    x: Any,
    axis: Any,
    keepdims: Any,
) -> Any:
    """Reduce booleans as the bytes 0 and 1."""
    if x.dtype != bool or x.size == 0:
        return otherwise(x, axis=axis, keepdims=keepdims)
    return of_bytes(x.view(np.uint8), axis=axis, keepdims=keepdims).view(bool)
