"""Calls of a user's code that must not modify the arrays it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bpnet.backend.typing import Array
from bpnet.errors import ComponentError


def call(where: str, function: Callable[..., Any], *arrays: Array) -> Any:
    """Return ``function(*arrays)``, and raise ComponentError if that modifies an array.

    NumPy itself refuses to write to the read-only views that are given instead; PyTorch counts
    changes; JAX's arrays cannot change. If the function returns an array that it was given,
    alone or as the first of a tuple, the array itself is returned.
    """
    given = [_read_only(array) for array in arrays]
    before = [_version(array) for array in arrays]
    try:
        result = function(*given)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise _modified(where) from error
    if [_version(array) for array in arrays] != before:
        raise _modified(where)
    itself = {id(view): array for view, array in zip(given, arrays, strict=True)}
    if isinstance(result, tuple) and result:
        return (itself.get(id(result[0]), result[0]), *result[1:])
    return itself.get(id(result), result)


def copied(array: Array) -> Array:
    """Return a copy of targets or weights where nothing else protects them, on PyTorch.

    They may share the memory of what the user has passed.
    """
    return array.clone() if hasattr(array, "clone") else array


def _read_only(array: Array) -> Array:
    if not hasattr(array, "setflags"):
        return array
    view = array[...]
    view.setflags(write=False)
    return view


def _version(array: Array) -> Any:
    try:
        return getattr(array, "_version", None)
    except RuntimeError:  # torch's inference tensors do not count
        return None


def _modified(where: str) -> ComponentError:
    return ComponentError(
        f"{where} must not modify an array that it is given, which is read-only; it does. "
        f"Write a = a * 2 instead of a *= 2"
    )
