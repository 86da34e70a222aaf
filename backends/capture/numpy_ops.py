"""NumPy, as recording and replaying see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np

from .ops import ELEMENTWISE, Call, Library, Operation, Shape, both
from .tracer import COMPARISONS

# The standard's names that NumPy's ufuncs do not have.
_RENAMED = {"bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift"}
# Without `pow`: before NumPy 2.3 an array's ``**`` squares and takes roots in its own way.
_UFUNCS = {name: getattr(np, _RENAMED.get(name, name)) for name in ELEMENTWISE}

# Columns up to which a matrix is turned to find the largest of each row, as NumPy goes row by
# row. Measured with 256 rows.
NARROW = 64


class NumpyLibrary(Library):
    """What recording and replaying need of NumPy.

    A step of a small network is many short calls. So `out` is given by its place, which takes
    0.2 us less than by its name, and numbers as arrays, 0.3 us less.
    """

    elementwise = frozenset({*_UFUNCS, "astype", "clip", "copy", "where"})
    # Fewer mean more calls, more a cooler cache. Measured with Adam on 0.4 and 4 million
    # float32, where the optimum is flat from 2**14 to 2**16. Two threads, each with half of
    # the blocks, were no faster: they wait for each other between the calls.
    block = 2**15
    copied = 2**14
    # What threads of a matrix product have read lies in the cache of each core, and waits for
    # all of them when it is written; least so when whole lines are copied. How long depends on
    # where the cores lie, and so on the hour on a virtual machine. Measured with two threads
    # and 0.7 million parameters: SGD's update takes 0.22 ms instead of 0.57 where they lie far
    # apart, and 0.16 instead of 0.14 where they do not.
    lands = True

    def __init__(self) -> None:
        self._numbers: dict[tuple[float, Any], Any] = {}

    def is_array(self, value: Any) -> bool:
        """Whether a value is an array, or one of NumPy's numbers."""
        return isinstance(value, np.ndarray | np.generic)

    def describe(self, array: Any) -> Shape:
        """Give shape, dtype and order."""
        return Shape(array.shape, array.dtype, array.flags.c_contiguous)

    def shares(self, a: Any, b: Any) -> bool:
        """Whether two arrays may share memory."""
        return np.may_share_memory(a, b)

    def empty(self, size: int, dtype: Any, like: Any) -> Any:
        """Give a new one-dimensional array."""
        return np.empty(size, dtype)

    def clear(self, array: Any) -> None:
        """Set an array to zeros."""
        array.fill(0)

    def store(self, out: Any, array: Any) -> None:
        """Copy an array into another."""
        out[...] = array

    def copy(self, array: Any) -> Any:
        """Give a copy of an array."""
        return np.array(array)

    def repeat(self, array: Any) -> Any:
        """Give an array of the same shape that repeats the first element, in its memory."""
        return np.broadcast_to(np.array(array[(0,) * array.ndim]), array.shape)

    def quiet(self) -> AbstractContextManager[Any]:
        """Keep warnings on numbers to itself."""
        return np.errstate(all="ignore")

    def bind(self, operation: Operation, arguments: Sequence[Any], out: Any) -> Call | None:
        """Give a call that writes an operation's result into `out`; None if there is none."""
        name, options = operation.name, operation.options
        if name in ("maximum", "minimum"):  # NumPy warns of an `out` by its place
            return partial(_UFUNCS[name], *(self._long(a, out) for a in arguments), out=out)
        if name in COMPARISONS.values() and out.dtype != bool:
            return None  # it goes through a buffer: no faster than a cast of its own
        if name in _UFUNCS and not options:
            return partial(_UFUNCS[name], *_arrays(arguments), out)
        if name == "matmul":
            return partial(np.matmul, *arguments, out)
        if name in _SPECIAL:
            return _SPECIAL[name](*arguments, out=out, **options)
        return None

    def _long(self, a: Any, out: Any) -> Any:
        """Write a number out, as NumPy compares with a number several times slower."""
        if not isinstance(a, int | float) or out.size > self.block:
            return a
        key = (a, out.dtype)
        if key not in self._numbers:
            self._numbers[key] = np.full(self.block, a, out.dtype)
        return self._numbers[key][: out.size].reshape(out.shape)


def _arrays(arguments: Sequence[Any]) -> list[Any]:
    """Give numbers as arrays of the dtype that a ufunc takes them for, beside these arrays."""
    dtypes = {a.dtype for a in arguments if type(a) not in (int, float)}
    dtype = dtypes.pop()

    def array(a: Any) -> Any:
        kinds = {int: "iuf", float: "f"}.get(type(a), "")
        return np.asarray(a, dtype) if not dtypes and dtype.kind in kinds else a

    return [array(a) for a in arguments]


def _astype(x: Any, dtype: Any, *, out: Any) -> Call:
    return partial(np.copyto, out, x, "unsafe")


def _copy(x: Any, *, out: Any) -> Call:
    return partial(np.copyto, out, x)


def _take(x: Any, indices: Any, *, out: Any, axis: int | None = None) -> Call:
    return partial(x.take, indices, axis, out, "clip")  # "raise" goes through a buffer


def _sum(x: Any, *, out: Any, axis: int | None = None, keepdims: bool = False) -> Call:
    return partial(np.add.reduce, x, axis, None, out, keepdims)


def _mean(x: Any, *, out: Any, axis: int | None = None, keepdims: bool = False) -> Call:
    count = x.size if axis is None else x.shape[axis]
    return both(
        partial(np.add.reduce, x, axis, None, out, keepdims),
        partial(np.divide, out, count, out),
    )


def _max(x: Any, *, out: Any, axis: int | None = None, keepdims: bool = False) -> Call:
    if axis != 1 or x.ndim != 2 or x.shape[1] > NARROW:
        return partial(np.maximum.reduce, x, axis, None, out, keepdims)
    turned = np.empty(x.shape[::-1], x.dtype)
    return both(
        partial(np.copyto, turned, x.T),
        partial(np.maximum.reduce, turned, 0, None, out.reshape(-1)),
    )


def _where(condition: Any, a: Any, b: Any, *, out: Any) -> Call:
    return both(partial(np.copyto, out, b), partial(np.copyto, out, a, where=condition))


def _clip(x: Any, min: Any = None, max: Any = None, *, out: Any) -> Call | None:
    if min is None or max is None:
        return None
    return both(partial(np.maximum, x, min, out=out), partial(np.minimum, out, max, out=out))


_SPECIAL: dict[str, Callable[..., Call | None]] = {
    "astype": _astype, "clip": _clip, "copy": _copy, "max": _max, "mean": _mean, "sum": _sum,
    "take": _take, "where": _where,
}  # fmt: skip
