"""Operations on arrays, and what recording and replaying them need of an array library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from bpnet.backend.typing import Array

# What reads and writes element by element, in every library that is replayed.
ELEMENTWISE = (
    "abs", "add", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "ceil", "cos", "divide", "equal", "exp", "expm1",
    "floor", "floor_divide", "greater", "greater_equal", "less", "less_equal", "log", "log1p",
    "logical_and", "logical_not", "logical_or", "maximum", "minimum", "multiply", "negative",
    "not_equal", "reciprocal", "remainder", "sign", "sin", "sqrt", "square", "subtract", "tanh",
)  # fmt: skip


class Kernel(NamedTuple):
    """The C code of a passage.

    Attributes
    ----------
    inputs : tuple of int
        The values that it reads, in the order of its parameters a0, a1, ...
    numbers : tuple of float
        Values of the parameters c0, c1, ..., which follow.
    in_params, out_params : tuple of str
        Dtypes and names of the parameters a0, ..., c0, ...; and o0, o1, ...
    body : str
        Statements for one element.
    """

    inputs: tuple[int, ...]
    numbers: tuple[float, ...]
    in_params: tuple[str, ...]
    out_params: tuple[str, ...]
    body: str


Call = Callable[[], Any]
Way = Callable[[], Sequence[Call]]
# Gives a call that runs a kernel, from its code, its operands and where its results go.
MakeKernel = Callable[[Kernel, Sequence[Array], Sequence[Array]], Call]


def run_all(calls: Iterable[Call]) -> None:
    """Run one call after the other."""
    for call in calls:
        call()


def both(first: Call, second: Call) -> Call:
    """Give a call that does one after the other."""
    return partial(run_all, (first, second))


def keeping(call: Call, *kept: Any) -> Call:
    """Give a call with what has to live as long: a graph does not keep its memory."""
    return partial(_run, call, kept)


def _run(call: Call, kept: Any) -> None:
    call()


class Shape(NamedTuple):
    """What is known of a value before it is computed."""

    shape: tuple[int, ...]
    dtype: Any
    c_ordered: bool

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for length in self.shape:
            size *= length
        return size


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of this index."""

    index: int


class Operation(NamedTuple):
    """One operation.

    Attributes
    ----------
    name : str
        Its name in the Array API standard; "getitem" and "T" for those without one.
    function : callable
        What gives the result as a new array (or view).
    arguments, options
        Operands (:class:`Ref`) and constants.
    result : int
        Index of the result's value.
    in_place : bool
        Whether the library can write the result into memory that it is given, to the bit.
    is_view : bool
        Whether the result lies in the memory of an operand.
    """

    name: str
    function: Callable[..., Array]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    result: int
    in_place: bool
    is_view: bool

    def is_elementwise(self, library: Library) -> bool:
        """Whether blocks of the result can be written from blocks of the operands."""
        return self.in_place and self.name in library.elementwise

    @property
    def operands(self) -> list[int]:
        """Indices of the values that are read."""
        everything = (*self.arguments, *self.options.values())
        return [a.index for a in everything if isinstance(a, Ref)]


class Library(ABC):
    """What recording and replaying need of an array library.

    Attributes
    ----------
    elementwise : frozenset of str
        Names of operations.
    block : int
        Elements on which elementwise passages run at once.
    copied : int
        Elements up to which an input is copied rather than bound.
    lands : bool
        Whether a new parameter is computed beside the old one and then copied to its place,
        by the elementwise operation "copy".
    """

    elementwise: frozenset[str]
    block: int
    copied: int
    lands = False

    @abstractmethod
    def is_array(self, value: Any) -> bool:
        """Whether a value is an array of the library."""

    @abstractmethod
    def describe(self, array: Array) -> Shape:
        """Give shape, dtype and order."""

    @abstractmethod
    def shares(self, a: Array, b: Array) -> bool:
        """Whether two arrays may share memory."""

    @abstractmethod
    def empty(self, size: int, dtype: Any, like: Array) -> Array:
        """Give a new one-dimensional array."""

    @abstractmethod
    def clear(self, array: Array) -> None:
        """Set an array to zeros."""

    @abstractmethod
    def store(self, out: Array, array: Array) -> None:
        """Copy an array into another."""

    @abstractmethod
    def copy(self, array: Array) -> Array:
        """Give a copy of an array."""

    @abstractmethod
    def repeat(self, array: Array) -> Array:
        """Give an array of the same shape that repeats the first element, in its memory."""

    @abstractmethod
    def bind(self, operation: Operation, arguments: Sequence[Any], out: Array) -> Call | None:
        """Give a call that writes an operation's result into `out`; None if there is none."""

    def condensed(
        self, calls: Sequence[Call], fused: Callable[[MakeKernel], Sequence[Call]]
    ) -> Sequence[Way]:
        """Give ways to do the same in fewer calls, the best first; each makes its calls.

        The calls have run once before. `fused` gives calls that do the same with each
        elementwise passage as one kernel, which it has made by a function of the library's.
        What a way gives is tried out before it is trusted.
        """
        return ()

    def quiet(self) -> AbstractContextManager[Any]:
        """Keep warnings on numbers to itself."""
        return nullcontext()

    def equal(self, a: Array, b: Array) -> bool:
        """Whether two arrays have the same shape, dtype and numbers."""
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        same = a == b  # NaN is looked for where it matters, as each look takes an array
        return bool(same.all()) or bool((same | ((a != a) & (b != b))).all())
