"""NumPy operations for functions of a few rows, whose time is that of calling NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .numpy_ops import NumpyOps
from .ops import ELEMENTWISE, Call, Operation


class NumpyRowOps(NumpyOps):
    """The interface to NumPy, with calls that are cheap for a single row."""

    def bind(self, operation: Operation, arguments: Sequence[Any], out: Any) -> Call | None:
        """Return a call that writes an operation's result into `out`; None if impossible."""
        if operation.name == "argmax":
            return _argmax(*arguments, out=out, **operation.options)
        if out.ndim == 2 and out.shape[0] == 1:
            if operation.name in ELEMENTWISE:
                return super().bind(operation, [_flat(a, out.size) for a in arguments], out[0])
            if operation.name == "max":
                return _max(*arguments, out=out, **operation.options)
        return super().bind(operation, arguments, out)


def _flat(a: Any, size: int) -> Any:
    """Return an operand of one row as a vector, or as a 0-d array if it is one number.

    An operation takes 0.4 us if nothing is broadcast but 0-d arrays, and otherwise 1.0.
    """
    if not isinstance(a, np.ndarray) or a.shape == (size,):
        return a
    return a.reshape(()) if a.size == 1 else a.reshape(-1)


def _argmax(x: Any, *, out: Any, axis: int | None = None, keepdims: bool = False) -> Call:
    return partial(x.argmax, axis, out, keepdims=keepdims)  # np.argmax takes 2 us more


def _max(x: Any, *, out: Any, axis: int | None = None, keepdims: bool = False) -> Call:
    return partial(np.maximum.reduce, x, axis, None, out, keepdims)
