"""Trace a pure function of arrays: run it once and record its operations.

The function is called with a tracing namespace and traced arrays. Each namespace function,
operator and index is computed at once, and recorded. A large array is replaced by a placeholder
that repeats its first element, so tracing takes little memory.

What a trace would miss is rejected: branches on values, arrays that are not arguments, and
functions that do not return an array.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

from bpnet.backend.typing import Array, Namespace

from .ops import ArrayOps, Operation, Ref, Shape

# Elements above which an array is replaced by a placeholder.
LARGE = 2**15


class TracingError(Exception):
    """The function does more than operations on arrays."""


_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "pow", "matmul": "matmul",
    "and_": "bitwise_and", "or_": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift",
}  # fmt: skip
COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
    "eq": "equal", "ne": "not_equal",
}  # fmt: skip
_TRANSPOSE = operator.attrgetter("T")
_UNARY = {"neg": "negative", "abs": "abs", "invert": "bitwise_invert"}


class TracedArray:
    """Stands in for an array while a function is traced."""

    __array_ufunc__ = None  # so that NumPy scalars leave operators to this class
    __hash__ = None  # type: ignore[assignment]
    ndim = property(operator.attrgetter("array.ndim"))
    dtype = property(operator.attrgetter("array.dtype"))
    device = property(operator.attrgetter("array.device"))

    def __init__(self, trace: Trace, index: int, array: Array) -> None:
        self.trace, self.index, self.array = trace, index, array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.array.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def T(self) -> Any:  # noqa: N802
        """The transpose of a matrix."""
        return self.trace.call("T", _TRANSPOSE, (self,), {})

    def __getitem__(self, key: Any) -> Any:
        return self.trace.call("getitem", operator.getitem, (self, key), {})

    def _refuse(self, *_: Any) -> NoReturn:
        raise TracingError("branching on values, or reading them, cannot be traced")

    __bool__ = __int__ = __float__ = __index__ = __complex__ = _refuse
    __iter__ = __len__ = __array__ = __repr__ = __str__ = __format__ = _refuse
    __setitem__ = __contains__ = _refuse


def _add_operators() -> None:
    def binary(name: str, function: Callable[..., Any]) -> tuple[Any, Any]:
        return (
            lambda self, other: self.trace.call(name, function, (self, other), {}),
            lambda self, other: self.trace.call(name, function, (other, self), {}),
        )

    def unary(name: str, function: Callable[..., Any]) -> Any:
        return lambda self: self.trace.call(name, function, (self,), {})

    for short, name in _BINARY.items():
        method = short.strip("_")
        there, reflected = binary(name, getattr(operator, short))
        setattr(TracedArray, f"__{method}__", there)
        setattr(TracedArray, f"__r{method}__", reflected)
    for short, name in COMPARISONS.items():
        setattr(TracedArray, f"__{short}__", binary(name, getattr(operator, short))[0])
    for short, name in _UNARY.items():
        setattr(TracedArray, f"__{short}__", unary(name, getattr(operator, short)))


_add_operators()


class Trace:
    """The recorded operations of a function.

    Parameters
    ----------
    ops : ArrayOps
        The array library.
    xp : namespace
        Its Array API namespace.

    Attributes
    ----------
    shapes : list of Shape
        The shape of each value.
    constants : dict of int to array
        The values that are the same in each run.
    operations : list of Operation
        The operations in execution order.
    """

    def __init__(self, ops: ArrayOps, xp: Namespace) -> None:
        self.ops, self.xp = ops, xp
        self.shapes: list[Shape] = []
        self.constants: dict[int, Array] = {}
        self.operations: list[Operation] = []
        self._comparisons: dict[int, tuple[Operation, tuple[Any, ...]]] = {}

    def add(self, array: Array) -> TracedArray:
        """Return a new traced array for an array, or for its placeholder."""
        shape = self.ops.describe(array)
        return self._new(array if shape.size <= LARGE else self.ops.placeholder(array), shape)

    def _new(self, array: Array, shape: Shape) -> TracedArray:
        self.shapes.append(shape)
        return TracedArray(self, len(self.shapes) - 1, array)

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Any:
        """Compute an operation, and record it."""
        arrays = tuple(map(self._array_of, arguments))
        array_options = {key: self._array_of(value) for key, value in options.items()}
        arrays = self.ops.few_rows(name, arrays, array_options.get("axis"))
        array = function(*arrays, **array_options)
        operands = [v for v in (*arguments, *options.values()) if isinstance(v, TracedArray)]
        if not self.ops.is_array(array):
            if operands:
                raise TracingError(f"{name} returns {type(array).__name__}, not an array")
            return array  # such as the limits of a dtype
        shape = self.ops.describe(array)
        if all(v.index in self.constants for v in operands) or name in _SHAPE_ONLY:
            self.constants[len(self.shapes)] = array
            return self._new(array, shape)
        operation = Operation(
            name,
            function,
            tuple(map(as_ref, arguments)),
            {key: as_ref(value) for key, value in options.items()},
            len(self.shapes),
            False,
            any(self.ops.may_share_memory(array, a) for a in arrays if self.ops.is_array(a)),
        )
        if operation.is_view:
            result = self._new(array, shape._replace(c_ordered=self._is_run(operation, shape)))
        else:
            if not any(isinstance(v, TracedArray) for v in options.values()):
                operation = self._try_in_place(operation, arrays, array)
            result = self.add(array)
            self.shapes[-1] = shape._replace(c_ordered=True)  # replayed into its own memory
        self.operations.append(operation)
        return result

    def _is_run(self, view: Operation, shape: Shape) -> bool:
        """Whether a view is in C order, be it one of what a placeholder stands for."""
        key = view.arguments[-1]
        rows = isinstance(key, slice) and key.step in (None, 1)
        keeps_order = view.name == "reshape" or (view.name == "getitem" and rows)
        return shape.c_ordered or (keeps_order and self.shapes[view.operands[0]].c_ordered)

    def _try_in_place(
        self, op: Operation, arrays: tuple[Any, ...], expected: Array
    ) -> Operation:
        """Return the operation, marked as in-place if the library can write into given memory.

        A cast of a comparison becomes a comparison that writes numbers if the library has it:
        on 2**17 float32, torch takes 9 us for it, and 74 us for the two.
        """
        if op.name in COMPARISONS.values():
            self._comparisons[op.result] = op, arrays
        if op.name == "astype" and op.operands[0] in self._comparisons:
            comparison, compared = self._comparisons[op.operands[0]]
            merged = comparison._replace(result=op.result)
            if self._is_in_place(merged, compared, expected):
                return merged._replace(in_place=True)
        return op._replace(in_place=self._is_in_place(op, arrays, expected))

    def _is_in_place(self, op: Operation, arrays: tuple[Any, ...], expected: Array) -> bool:
        """Whether writing the result into given memory works and gives the expected bits."""
        shape = self.ops.describe(expected)
        out = self.ops.empty(shape.size, shape.dtype, expected).reshape(shape.shape)
        try:
            call = self.ops.bind(op, arrays, out)
            if call is None:
                return False
            call()
        except Exception:
            return False
        return self.ops.equal(out, expected)

    def _array_of(self, value: Any) -> Any:
        if isinstance(value, TracedArray):
            return value.array
        dimensions = getattr(value, "ndim", 0)  # not an integer for some dtypes
        if isinstance(dimensions, int) and dimensions > 0:
            raise TracingError("an array that is not an argument of the function")
        if isinstance(value, list | tuple | dict) and any(
            isinstance(part, TracedArray) for part in value
        ):
            raise TracingError("arrays in a container")
        return value


def as_ref(argument: Any) -> Any:
    """Return the reference to a traced array; any other argument unchanged."""
    return Ref(argument.index) if isinstance(argument, TracedArray) else argument


# Functions that depend on the shape of their operand alone.
_SHAPE_ONLY = ("zeros_like", "ones_like", "empty_like", "full_like")


class TracingNamespace:
    """A namespace that takes traced arrays, and records its calls."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def concat(self, arrays: Any, /, *, axis: int | None = 0) -> Any:
        """Record it with each of the arrays as an argument."""
        return self._joined("concat", arrays, axis)

    def stack(self, arrays: Any, /, *, axis: int = 0) -> Any:
        """Record it with each of the arrays as an argument."""
        return self._joined("stack", arrays, axis)

    def _joined(self, name: str, arrays: Any, axis: int | None) -> Any:
        join = getattr(self._trace.xp, name)

        def joined(*parts: Array, axis: int | None) -> Array:
            return join(parts, axis=axis)

        return self._trace.call(name, joined, tuple(arrays), {"axis": axis})

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._trace.xp, name)
        if not callable(attribute) or isinstance(attribute, type):
            return attribute  # such as a dtype
        trace = self._trace

        def function(*arguments: Any, **options: Any) -> Any:
            return trace.call(name, attribute, arguments, options)

        setattr(self, name, function)
        return function
