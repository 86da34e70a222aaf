"""Array operations, and the interface to an array library that traces and replays them."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from bpnet.backend.typing import Array

# Operations that are elementwise in every library that is replayed.
ELEMENTWISE = (
    "abs", "add", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "ceil", "cos", "divide", "equal", "exp", "expm1",
    "floor", "floor_divide", "greater", "greater_equal", "less", "less_equal", "log", "log1p",
    "logical_and", "logical_not", "logical_or", "maximum", "minimum", "multiply", "negative",
    "not_equal", "reciprocal", "remainder", "sign", "sin", "sqrt", "square", "subtract", "tanh",
)  # fmt: skip


class Kernel(NamedTuple):
    """The C code of a fusion group.

    Attributes
    ----------
    inputs : tuple of int
        The values that it reads, as its parameters a0, a1, ...
    numbers : tuple of float
        The values of the parameters c0, c1, ..., which follow.
    in_params, out_params : tuple of str
        Dtypes and names of the parameters a0, ..., c0, ...; and o0, o1, ...
    body : str
        The statements for one element.
    """

    inputs: tuple[int, ...]
    numbers: tuple[float, ...]
    in_params: tuple[str, ...]
    out_params: tuple[str, ...]
    body: str


Call = Callable[[], Any]
Candidate = Callable[[], Sequence[Call]]
# Returns a call that runs a kernel, given its code, its operands and its outputs.
MakeKernel = Callable[[Kernel, Sequence[Array], Sequence[Array]], Call]


def run_all(calls: Iterable[Call]) -> None:
    """Run calls in order."""
    for call in calls:
        call()


def both(first: Call, second: Call) -> Call:
    """Return a call that runs two calls in order."""
    return partial(run_all, (first, second))


def joined(
    store: Callable[[Array, Array], Any], parts: Sequence[Array], out: Array, axis: int | None
) -> Call | None:
    """Return a call that stores arrays one after another along an axis of `out`."""
    if axis is None:
        return None
    stops = list(itertools.accumulate(part.shape[axis] for part in parts))
    before = (slice(None),) * (axis % out.ndim)
    places = [
        out[(*before, slice(stop - part.shape[axis], stop))]
        for part, stop in zip(parts, stops, strict=True)
    ]
    return partial(run_all, [partial(store, *pair) for pair in zip(places, parts, strict=True)])


def keep_alive(call: Call, *kept: Any) -> Call:
    """Return a call that holds references: a CUDA graph does not keep its memory alive."""
    return partial(_run, call, kept)


def _run(call: Call, kept: Any) -> None:
    call()


class Shape(NamedTuple):
    """Shape, dtype and memory order of a value."""

    shape: tuple[int, ...]
    dtype: Any
    c_ordered: bool

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to the value of this index."""

    index: int


class Operation(NamedTuple):
    """One operation.

    Attributes
    ----------
    name : str
        Its name in the Array API standard; "getitem" and "T" for those without one.
    function : callable
        Returns the result as a new array (or view).
    arguments, options
        Operands (:class:`Ref`) and constants.
    result : int
        Index of the result.
    in_place : bool
        Whether the library can write the result, with the same bits, into given memory.
    is_view : bool
        Whether the result shares the memory of an operand.
    """

    name: str
    function: Callable[..., Array]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    result: int
    in_place: bool
    is_view: bool

    def is_elementwise(self, ops: ArrayOps) -> bool:
        """Whether blocks of the result can be computed from blocks of the operands."""
        return self.in_place and self.name in ops.elementwise

    @property
    def operands(self) -> list[int]:
        """Indices of the values that the operation reads."""
        everything = (*self.arguments, *self.options.values())
        return [a.index for a in everything if isinstance(a, Ref)]


class ArrayOps(ABC):
    """The interface to an array library for tracing and replaying.

    Attributes
    ----------
    elementwise : frozenset of str
        Names of the elementwise operations.
    block_size : int
        Elements that an elementwise group processes at once.
    copy_limit : int
        Elements up to which an input is copied rather than bound.
    double_buffered : bool, default False
        Whether a new parameter is computed in a second buffer and then copied over the old
        one, by the elementwise operation "copy".
    """

    elementwise: frozenset[str]
    block_size: int
    copy_limit: int
    double_buffered = False

    @abstractmethod
    def is_array(self, value: Any) -> bool:
        """Whether a value is an array of the library."""

    def describe(self, array: Array) -> Shape:
        """Return shape, dtype and memory order."""
        return Shape(array.shape, array.dtype, array.flags.c_contiguous)

    @abstractmethod
    def may_share_memory(self, a: Array, b: Array) -> bool:
        """Whether two arrays may share memory."""

    @abstractmethod
    def empty(self, size: int, dtype: Any, like: Array) -> Array:
        """Return a new one-dimensional array."""

    def fill_zeros(self, array: Array) -> None:
        """Set an array to zeros."""
        array.fill(0)

    @abstractmethod
    def store(self, out: Array, array: Array) -> None:
        """Copy an array into another."""

    @abstractmethod
    def copy(self, array: Array) -> Array:
        """Return a copy of an array."""

    @abstractmethod
    def placeholder(self, array: Array) -> Array:
        """Return an array of the same shape that repeats the first element without copies."""

    def few_rows(self, name: str, arguments: tuple[Any, ...], axis: Any) -> tuple[Any, ...]:
        """Return arguments with the same result that take less memory, as placeholders may."""
        return arguments

    @abstractmethod
    def bind(self, operation: Operation, arguments: Sequence[Any], out: Array) -> Call | None:
        """Return a call that writes an operation's result into `out`; None if impossible."""

    def captures(
        self, calls: Sequence[Call], with_kernels: Callable[[MakeKernel], Sequence[Call]]
    ) -> Sequence[Candidate]:
        """Return functions that capture the calls as fewer calls, the best first.

        The calls have run once before. `with_kernels` returns equivalent calls with one kernel
        per elementwise group, built by the function it is given. Each capture is verified
        before it is used.
        """
        return ()

    def keeps(self, operation: Operation, shape: Shape) -> bool:
        """Whether a result that is needed again is kept, rather than computed again."""
        return False

    def suppress_warnings(self) -> AbstractContextManager[Any]:
        """Suppress warnings about values."""
        return nullcontext()

    def bits(self, array: Array) -> Array:
        """Return a view of an array as integers."""
        return array.view(f"u{array.dtype.itemsize}")

    def equal(self, a: Array, b: Array) -> bool:
        """Whether two arrays have the same shape, dtype and bits; any NaN equals any other."""
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        same = self.bits(a) == self.bits(b)  # NaN is checked only if needed, as it allocates
        return bool(same.all()) or bool((same | ((a != a) & (b != b))).all())
