"""Predictions of a few rows that are recorded, and replayed in memory kept for them.

For a single row, NumPy spends most of its time on finding out what to do: what the functions of
the standard's namespace look up and allocate in each call is done once here. A recording owns
the memory of its intermediate results, so it is used by one call at a time; calls in other
threads take others. Results are copied out of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from bpnet.backend.typing import Array, Namespace, Parameters

from .executor import tree_map
from .graph import Graph
from .ops import ArrayOps, Call, run_all
from .tracer import Trace, TracingError, TracingNamespace

# Rows up to which a function is replayed, and elements of all its intermediate results. With
# 20-64-3 units it then takes 0.6 of the time for one row, and 0.7 for 64.
MAX_ROWS = 64
MAX_SIZE = 2**15
# Recording takes as long as 100 predictions, so what is seen now and then is not recorded: each
# eighth call that finds no free recording makes one, up to some for each kind of X.
CALLS_BEFORE = 8
MAX_RECORDINGS = 4
MAX_KINDS = 64


class ReplayedFunction:
    """A pure function ``function(xp, parameters, X) -> array`` that is recorded and replayed.

    What cannot be recorded runs as written.

    Parameters
    ----------
    function : callable
        A function of the parameters of all layers and of rows.
    ops : ArrayOps
        The array library.
    xp : namespace
        Its Array API namespace.
    """

    def __init__(self, function: Callable[..., Array], ops: ArrayOps, xp: Namespace) -> None:
        self.function, self.ops, self.xp = function, ops, xp
        # By shape and dtype of X.
        self._free: dict[Any, list[Recording]] = {}
        self._calls: dict[Any, int] = {}

    def __call__(self, parameters: Parameters, X: Array) -> Array:
        """Run the function."""
        free = self._free.get((X.shape, X.dtype))
        if not free:
            self._consider(parameters, X)
        elif (result := self._replayed(free, parameters, X)) is not None:
            return result
        return self.function(self.xp, parameters, X)

    def _replayed(
        self, free: list[Recording], parameters: Parameters, X: Array
    ) -> Array | None:
        """Replay a recording, if there is one for these arrays that nobody else is using."""
        try:
            recording = free.pop()
        except IndexError:
            return None
        try:
            return recording.run(parameters, X)
        finally:
            free.append(recording)

    def _consider(self, parameters: Parameters, X: Array) -> None:
        """Record the function if calls like this are frequent."""
        if X.shape[0] > MAX_ROWS:
            return
        kind = X.shape, X.dtype
        if kind not in self._calls and len(self._calls) >= MAX_KINDS:
            self._calls.clear()
            self._free.clear()
        # Threads that count at once only miss a call.
        self._calls[kind] = calls = self._calls.get(kind, 0) + 1
        if calls % CALLS_BEFORE or calls > CALLS_BEFORE * MAX_RECORDINGS:
            return
        try:
            recording = Recording(self, parameters, X)
        except Exception:  # an error of the function itself recurs when it runs as written
            return
        self._free.setdefault(kind, []).append(recording)


class _Place(NamedTuple):
    """Where an input stands among the arguments of the calls.

    Attributes
    ----------
    number : int
        The number of the input: X is 0, the parameters follow.
    arguments : list
        The arguments of a call.
    position : int
        Its position among them.
    """

    number: int
    arguments: list[Any]
    position: int


class Recording:
    """The operations of a function, bound to memory of its own.

    Its inputs are put in place in each run, and removed at the end, so that it neither keeps
    parameters alive nor misses that others have taken their place. X is copied instead if
    operations work on views of it, such as some of its columns.
    """

    def __init__(self, function: ReplayedFunction, parameters: Parameters, X: Array) -> None:
        self.ops = ops = function.ops
        self.paths = [(k, name) for k, layer in enumerate(parameters) for name in layer]
        trace = Trace(ops, function.xp)
        rows, layers = trace.add(X), tree_map(trace.add, parameters)
        self.shapes = list(trace.shapes)
        with ops.suppress_warnings():
            result = function.function(TracingNamespace(trace), layers, rows)
        if sum(shape.size for shape in trace.shapes[len(self.shapes) :]) > MAX_SIZE:
            raise TracingError("too much memory for what it saves")
        self._bind(Graph(trace, len(self.shapes), [result.index], {}), X)
        self.known = [weakref.ref(parameters[k][name]) for k, name in self.paths]

    def _bind(self, graph: Graph, like: Array) -> None:
        """Bind the operations to stand-ins for the inputs, and note where these are used."""
        memory = [self.ops.empty(shape.size, shape.dtype, like) for shape in self.shapes]
        stand_ins = [a.reshape(s.shape) for a, s in zip(memory, self.shapes, strict=True)]
        bound = graph.bind(stand_ins)
        (self.result,) = bound.outputs.values()
        self.rows = stand_ins[0] if any(0 in view.operands for view in graph.views) else None
        first = 0 if self.rows is None else 1
        numbers = {id(a): number for number, a in enumerate(stand_ins) if number >= first}
        self.calls = [_opened(c, numbers) for call in bound.calls for c in _single(call)]
        self.places = [
            _Place(numbers[id(argument)], arguments, position)
            for _, arguments in self.calls
            for position, argument in enumerate(arguments)
            if id(argument) in numbers
        ]
        self._clear()
        replaced = (*stand_ins[first:], *memory[first:])  # a view holds memory
        held = [weakref.ref(array) for array in replaced]
        del bound, stand_ins, memory, replaced
        if any(array() is not None for array in held):
            raise TracingError("an input is used otherwise than as an argument")

    def run(self, parameters: Parameters, X: Array) -> Array | None:
        """Return a new array; None if the inputs are not like those recorded."""
        inputs = [X]
        for number, (k, name) in enumerate(self.paths):
            array = parameters[k][name]
            if self.known[number]() is not array and not self._is_like(number, array):
                return None
            inputs.append(array)
        if X.flags.c_contiguous != self.shapes[0].c_ordered:
            return None
        try:
            if self.rows is not None:
                self.ops.store(self.rows, X)
            for number, arguments, position in self.places:
                arguments[position] = inputs[number]
            for function, arguments in self.calls:
                function(*arguments)
            return self.ops.copy(self.result)
        finally:
            self._clear()

    def _is_like(self, number: int, array: Array) -> bool:
        """Whether a parameter is like the one recorded; if so, this is known of it later."""
        if self.ops.describe(array) != self.shapes[1 + number]:
            return False
        self.known[number] = weakref.ref(array)
        return True

    def _clear(self) -> None:
        for _, arguments, position in self.places:
            arguments[position] = None


def _single(call: Call) -> Iterator[Call]:
    """Yield the calls of which a call consists."""
    if isinstance(call, partial) and call.func is run_all:
        for part in call.args[0]:
            yield from _single(part)
    else:
        yield call


def _opened(call: Call, inputs: dict[int, int]) -> tuple[Callable[..., Any], list[Any]]:
    """Return function and arguments of a call with an input; another call unchanged."""
    if isinstance(call, partial) and any(id(argument) in inputs for argument in call.args):
        function = partial(call.func, **call.keywords) if call.keywords else call.func
        return function, list(call.args)
    return call, []
