"""A pure function of arrays, recorded as a list of operations while it runs once.

The function is called with a namespace and with values in place of arrays. Whatever it does
with them, by a function of the namespace, an operator or an index, is done with the arrays
at once, and noted. A large array is stood in for by one that repeats its first element, so a
recording takes little memory.

What the notes could miss is refused: a decision on numbers, an array from elsewhere, a
function that gives no array.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NoReturn

from bpnet.backend.typing import Array, Namespace

from .ops import Library, Operation, Ref, Shape

# Elements from which on an array is stood in for.
LARGE = 2**15


class UnrecordableError(Exception):
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
_UNARY = {"neg": "negative", "abs": "abs", "invert": "bitwise_invert"}


class Value:
    """Stands for an array while a function is recorded."""

    __array_ufunc__ = None  # so that NumPy's numbers leave operators to this class
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, recording: Recording, index: int, array: Array) -> None:
        self.recording, self.index, self.array = recording, index, array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return Shape(self.shape, None, True).size

    @property
    def dtype(self) -> Any:
        """Dtype of the array."""
        return self.array.dtype

    @property
    def device(self) -> Any:
        """Device of the array."""
        return self.array.device

    @property
    def T(self) -> Any:  # noqa: N802
        """The transpose of a matrix."""
        return self.recording.call("T", operator.attrgetter("T"), (self,), {})

    def __getitem__(self, key: Any) -> Any:
        return self.recording.call("getitem", operator.getitem, (self, key), {})

    def _refuse(self, *_: Any) -> NoReturn:
        raise UnrecordableError("a decision on numbers, or a look at them, cannot be recorded")

    __bool__ = __int__ = __float__ = __index__ = __complex__ = _refuse
    __iter__ = __len__ = __array__ = __repr__ = __str__ = __format__ = _refuse
    __setitem__ = __contains__ = _refuse


def _add_operators() -> None:
    def binary(name: str, function: Callable[..., Any]) -> tuple[Any, Any]:
        return (
            lambda self, other: self.recording.call(name, function, (self, other), {}),
            lambda self, other: self.recording.call(name, function, (other, self), {}),
        )

    def unary(name: str, function: Callable[..., Any]) -> Any:
        return lambda self: self.recording.call(name, function, (self,), {})

    for short, name in _BINARY.items():
        method = short.strip("_")
        there, reflected = binary(name, getattr(operator, short))
        setattr(Value, f"__{method}__", there)
        setattr(Value, f"__r{method}__", reflected)
    for short, name in COMPARISONS.items():
        setattr(Value, f"__{short}__", binary(name, getattr(operator, short))[0])
    for short, name in _UNARY.items():
        setattr(Value, f"__{short}__", unary(name, getattr(operator, short)))


_add_operators()


class Recording:
    """Notes on what a function does with values.

    Parameters
    ----------
    library : Library
        Knows the arrays.
    xp : namespace
        Computes them.

    Attributes
    ----------
    shapes : list of Shape
        Of each value.
    constants : dict of int to array
        The values that are the same in each run.
    operations : list of Operation
        In the order of the function.
    """

    def __init__(self, library: Library, xp: Namespace) -> None:
        self.library, self.xp = library, xp
        self.shapes: list[Shape] = []
        self.constants: dict[int, Array] = {}
        self.operations: list[Operation] = []
        self._comparisons: dict[int, tuple[Operation, tuple[Any, ...]]] = {}

    def value(self, array: Array) -> Value:
        """Give a new value for an array, or for one that stands in for it."""
        shape = self.library.describe(array)
        return self._value(array if shape.size <= LARGE else self.library.repeat(array), shape)

    def _value(self, array: Array, shape: Shape) -> Value:
        self.shapes.append(shape)
        return Value(self, len(self.shapes) - 1, array)

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Any:
        """Do an operation, and note it."""
        arrays = tuple(map(self._array_of, arguments))
        array_options = {key: self._array_of(value) for key, value in options.items()}
        array = function(*arrays, **array_options)
        given = [v for v in (*arguments, *options.values()) if isinstance(v, Value)]
        if not self.library.is_array(array):
            if given:
                raise UnrecordableError(f"{name} gives {type(array).__name__}, no array")
            return array  # a dtype's limits, say
        shape = self.library.describe(array)
        if all(v.index in self.constants for v in given) or name in _OF_SHAPES:
            self.constants[len(self.shapes)] = array
            return self._value(array, shape)
        operation = Operation(
            name,
            function,
            tuple(map(_ref, arguments)),
            {key: _ref(value) for key, value in options.items()},
            len(self.shapes),
            False,
            any(self.library.shares(array, a) for a in arrays if self.library.is_array(a)),
        )
        if operation.is_view:
            result = self._value(array, shape)
        else:
            if not any(isinstance(v, Value) for v in options.values()):
                operation = self._as_written(operation, arrays, array)
            result = self.value(array)
            self.shapes[-1] = shape._replace(c_ordered=True)  # in memory of its own
        self.operations.append(operation)
        return result

    def _as_written(
        self, operation: Operation, arrays: tuple[Any, ...], expected: Array
    ) -> Operation:
        """Say whether the result can be written into given memory.

        A comparison's cast becomes a comparison that writes numbers, where the library has it:
        on 2**17 float32, torch takes 9 us for it, and 74 us for the two.
        """
        if operation.name in COMPARISONS.values():
            self._comparisons[operation.result] = operation, arrays
        if operation.name == "astype" and operation.operands[0] in self._comparisons:
            comparison, compared = self._comparisons[operation.operands[0]]
            at_once = comparison._replace(result=operation.result)
            if self._is_in_place(at_once, compared, expected):
                return at_once._replace(in_place=True)
        return operation._replace(in_place=self._is_in_place(operation, arrays, expected))

    def _is_in_place(
        self, operation: Operation, arrays: tuple[Any, ...], expected: Array
    ) -> bool:
        """Try to write the result into given memory."""
        shape = self.library.describe(expected)
        out = self.library.empty(shape.size, shape.dtype, expected).reshape(shape.shape)
        try:
            call = self.library.bind(operation, arrays, out)
            if call is None:
                return False
            call()
        except Exception:
            return False
        return self.library.equal(out, expected)

    def _array_of(self, value: Any) -> Any:
        if isinstance(value, Value):
            return value.array
        dimensions = getattr(value, "ndim", 0)  # a dtype's is none
        if isinstance(dimensions, int) and dimensions > 0:
            raise UnrecordableError("an array that the function was not given")
        if isinstance(value, list | tuple | dict) and any(
            isinstance(part, Value) for part in value
        ):
            raise UnrecordableError("arrays in a container")
        return value


def _ref(argument: Any) -> Any:
    return Ref(argument.index) if isinstance(argument, Value) else argument


# What depends on the shape of its operand alone.
_OF_SHAPES = ("zeros_like", "ones_like", "empty_like", "full_like")


class RecordingNamespace:
    """A namespace that takes values, and notes what is done with them."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._recording.xp, name)
        if not callable(attribute) or isinstance(attribute, type):
            return attribute  # a dtype, say
        recording = self._recording

        def function(*arguments: Any, **options: Any) -> Any:
            return recording.call(name, attribute, arguments, options)

        setattr(self, name, function)
        return function
