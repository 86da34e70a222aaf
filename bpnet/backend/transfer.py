"""Moving arrays between backends and the host."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from bpnet.backend.base import Backend
from bpnet.backend.float_errors import without_float_errors
from bpnet.backend.registry import backend_of
from bpnet.backend.typing import Array, Parameters


def to_device(
    array: Array, backend: Backend, rows: slice | None = None, *, copy: bool = False
) -> Array:
    """Move an array of any library, or some of its rows, to a backend."""
    if type(array) is np.ndarray and not copy:  # known without a search
        return backend.asarray(array if rows is None else array[rows])
    owner = backend_of(array=array)
    if rows is not None:
        with device_context(owner):
            array = array[rows, ...]
    if is_sparse(array):
        array = array.toarray()
    elif owner is None:
        array = np.asarray(array)
    elif owner != backend:
        array = owner.to_numpy(array)
    moved = backend.asarray(array)
    if not copy:
        return moved
    with backend.activate():
        return backend.xp.asarray(moved, copy=True)


def rows_to_device(array: Array, backend: Backend, rows: slice, pad: bool) -> Array:
    """Move rows of an array to a backend, with the zeros that it wants after them if `pad`."""
    m = rows.stop - rows.start
    some = None if m == array.shape[0] else rows
    if not pad or (wanted := backend.padded_rows(m)) == m:
        return to_device(array, backend, some)
    part = array if some is None else array[some]
    host = part.toarray() if is_sparse(part) else to_host(part)
    padded = np.zeros((wanted, *host.shape[1:]), host.dtype)
    padded[:m] = host
    return backend.asarray(padded)


def host_scalar(value: float, dtype: str) -> Any:
    """Return a new 0-d NumPy array."""
    return np.array(value, dtype)


def to_host(array: Array) -> Any:
    """Return an array of any library as a NumPy array."""
    owner = backend_of(array=array)
    return np.asarray(array) if owner is None else owner.to_numpy(array)


def to_input_type(
    array: Array, backend: Backend, owner: Backend | None, rows: int | None = None
) -> Array:
    """Return a result as the array type of the input: NumPy if `owner` is None.

    Of a padded result it is the first `rows`, cut off on the host, where nothing is compiled.
    """
    if rows is not None and rows < array.shape[0]:
        host = backend.to_numpy(array)[:rows]
        return host if owner is None else owner.asarray(host)
    return backend.to_numpy(array) if owner is None else to_device(array, owner)


def copy_parameters(parameters: Parameters, backend: Backend) -> Parameters:
    """Copy parameters to a backend, even if they are already there."""
    return [
        {name: to_device(p, backend, copy=True) for name, p in layer.items()}
        for layer in parameters
    ]


def device_context(owner: Backend | None) -> contextlib.AbstractContextManager[Any]:
    """Return a context for the arrays of an owner; None is for host arrays."""
    return without_float_errors() if owner is None else owner.activate()


def is_sparse(X: Any) -> bool:
    """Return whether features are a SciPy sparse matrix."""
    return hasattr(X, "toarray")
