"""NumPy operations for tracing and replaying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np

from .numpy_products import product
from .ops import ELEMENTWISE, ArrayOps, Call, Operation, Shape, both, joined, run_all
from .tracer import COMPARISONS

# Names in the standard that differ from NumPy's.
_RENAMED = {"bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift"}
# Without `pow`: before NumPy 2.3 an array's ``**`` squares and takes roots in its own way.
_UFUNCS = {name: getattr(np, _RENAMED.get(name, name)) for name in ELEMENTWISE}

_COSTLY = {"cos", "exp", "expm1", "log", "log1p", "sin", "sqrt", "tanh"}
_CHEAP = {*ELEMENTWISE, "astype", "clip", "copy", "where"} - _COSTLY

# Columns up to which a matrix is transposed to find the maximum of each row, as NumPy reduces
# row by row. Measured with 256 rows.
NARROW = 64

# Integers with as many bits as a float.
_BITS = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


class NumpyOps(ArrayOps):
    """The interface to NumPy.

    A step of a small network is many short calls. So `out` is passed by position, which saves
    0.2 us over passing it by keyword, and numbers as arrays, which saves 0.3 us.
    """

    elementwise = frozenset({*_UFUNCS, "astype", "clip", "copy", "where"})
    # Smaller blocks mean more calls, larger ones more cache misses. Measured with Adam on 0.4
    # and 4 million float32: flat optimum from 2**14 to 2**16. Two threads with half of the
    # blocks each were no faster, as they wait for each other between calls.
    block_size = 2**15
    copy_limit = 2**14
    # A matrix product's threads leave its operands in the cache of each core, so writing them
    # waits for all cores, least so when copying whole lines. Measured with two threads and 0.7
    # million parameters: SGD's update takes 0.22 ms instead of 0.57 on cores that are far
    # apart, 0.16 instead of 0.14 on close ones.
    double_buffered = True

    def __init__(self) -> None:
        self._numbers: dict[tuple[float, Any], Any] = {}

    def is_array(self, value: Any) -> bool:
        """Whether a value is an array or a NumPy scalar."""
        return isinstance(value, np.ndarray | np.generic)

    def may_share_memory(self, a: Any, b: Any) -> bool:
        """Whether two arrays may share memory."""
        return np.may_share_memory(a, b)

    def empty(self, size: int, dtype: Any, like: Any) -> Any:
        """Return a new one-dimensional array."""
        return np.empty(size, dtype)

    def store(self, out: Any, array: Any) -> None:
        """Copy an array into another."""
        out[...] = array

    def copy(self, array: Any) -> Any:
        """Return a copy of an array."""
        return np.array(array)

    def placeholder(self, array: Any) -> Any:
        """Return an array of the same shape that repeats the first element without copies."""
        return np.broadcast_to(np.array(array[(0,) * array.ndim]), array.shape)

    def few_rows(self, name: str, arguments: tuple[Any, ...], axis: Any) -> tuple[Any, ...]:
        """Take the first of rows that are all the same, as NumPy copies a placeholder whole."""
        if name != "take" or axis not in (0, None) or len(arguments) != 2:
            return arguments
        x, indices = arguments
        return (x[:1], np.zeros_like(indices)) if x.strides[0] == 0 else arguments

    def keeps(self, operation: Operation, shape: Shape) -> bool:
        """Keep what takes longer than reading it from memory, and what is short anyway."""
        return operation.name not in _CHEAP or shape.size <= self.block_size

    def suppress_warnings(self) -> AbstractContextManager[Any]:
        """Suppress warnings about values."""
        return np.errstate(all="ignore")

    def bind(self, operation: Operation, arguments: Sequence[Any], out: Any) -> Call | None:
        """Return a call that writes an operation's result into `out`; None if impossible."""
        name, options = operation.name, operation.options
        if name in ("maximum", "minimum"):  # deprecated: `out` by position
            return partial(_UFUNCS[name], *(self._filled(a, out) for a in arguments), out=out)
        if name in COMPARISONS.values() and out.dtype != bool:
            return None  # buffered, so no faster than a separate cast
        if name in _UFUNCS and not options:
            return partial(_UFUNCS[name], *_arrays(arguments), out)
        if name == "matmul":
            return partial(product(*arguments), *arguments, out)
        if name in _SPECIAL:
            return _SPECIAL[name](*arguments, out=out, **options)
        return None

    def _filled(self, a: Any, out: Any) -> Any:
        """Return a number as a full array, as NumPy is several times slower on numbers."""
        if not isinstance(a, int | float) or out.size > self.block_size:
            return a
        key = (a, out.dtype)
        if key not in self._numbers:
            self._numbers[key] = np.full(self.block_size, a, out.dtype)
        return self._numbers[key][: out.size].reshape(out.shape)


def _arrays(arguments: Sequence[Any]) -> list[Any]:
    """Return the arguments of a ufunc with numbers as arrays of the dtype they would get."""
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


def _concat(*parts: Any, out: Any, axis: int | None) -> Call | None:
    return joined(np.copyto, parts, out, axis)


def _take(x: Any, indices: Any, *, out: Any, axis: int | None = None) -> Call:
    # Mode "raise" is buffered.
    return partial(np.ndarray.take, x, indices, axis, out, "clip")


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
    transposed = np.empty(x.shape[::-1], x.dtype)
    return both(
        partial(np.copyto, transposed, x.T),
        partial(np.maximum.reduce, transposed, 0, None, out.reshape(-1)),
    )


def _where(condition: Any, a: Any, b: Any, *, out: Any) -> Call:
    """Select bits, ``b ^ ((a ^ b) & mask)``, as branches on random conditions take 6 times."""
    bits = _BITS.get(out.dtype)
    values = [np.asarray(x, out.dtype) if type(x) in (int, float) else x for x in (a, b)]
    same = all(x.dtype == out.dtype for x in values) and condition.shape == out.shape
    if bits is None or not same or np.may_share_memory(b, out):
        return both(partial(np.copyto, out, b), partial(np.copyto, out, a, where=condition))
    first, second, selected = (x.view(bits) for x in (*values, out))
    mask, short = np.empty(out.shape, bits), np.empty(out.shape, np.int8)
    return partial(
        run_all,
        (
            partial(np.negative, condition.view(np.int8), short),  # 0 or all ones
            partial(np.copyto, mask, short),
            partial(np.bitwise_xor, first, second, selected),
            partial(np.bitwise_and, selected, mask, selected),
            partial(np.bitwise_xor, selected, second, selected),
        ),
    )


def _clip(x: Any, min: Any = None, max: Any = None, *, out: Any) -> Call | None:
    if min is None or max is None:
        return None
    return both(partial(np.maximum, x, min, out=out), partial(np.minimum, out, max, out=out))


_SPECIAL: dict[str, Callable[..., Call | None]] = {
    "astype": _astype, "clip": _clip, "concat": _concat, "copy": _copy, "max": _max,
    "mean": _mean, "sum": _sum, "take": _take, "where": _where,
}  # fmt: skip
