"""A recorded function with its memory laid out, to be replayed without a new array.

Each result has its place before the first run: the memory of the state that it replaces, if
that is no longer read, or a buffer that results share one after the other. So a run is a
list of calls whose operands and results stand fast. Long elementwise passages go block by
block, so that what they pass on stays in the cache. Operations and order are the function's
own, and so are the bits.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from bpnet.backend.typing import Array

from .horizontal_fusion import Joined, Part
from .kernel_fusion import LONGEST, is_expressible, kernel
from .ops import Call, Library, MakeKernel, Operation, Ref, Shape
from .tracer import Recording, UnrecordableError


class Buffer(NamedTuple):
    """Memory that a program owns: its number among those of a size and dtype."""

    size: int
    dtype: Any
    number: int


class Bound(NamedTuple):
    """A program on its arrays.

    Attributes
    ----------
    calls : list of callable
        A run.
    fused : callable
        Gives calls that do the same, with a kernel for each elementwise passage.
    outputs : dict of int to array
        What a run gives.
    memory : list of array
        What it works in.
    """

    calls: list[Call]
    fused: Callable[[MakeKernel], Sequence[Call]]
    outputs: dict[int, Array]
    memory: list[Array]


class Memory:
    """Buffers that are given out and taken back."""

    def __init__(self) -> None:
        self._free: defaultdict[tuple[int, Any], list[Buffer]] = defaultdict(list)
        self._made: Counter[tuple[int, Any]] = Counter()

    def take(self, size: int, dtype: Any) -> Buffer:
        """Give a free buffer, or a new one."""
        key = (size, dtype)
        if self._free[key]:
            return self._free[key].pop()
        self._made[key] += 1
        return Buffer(size, dtype, self._made[key])

    def give_back(self, place: Any) -> None:
        """Take a buffer back; what is no buffer is none of ours."""
        if isinstance(place, Buffer):
            self._free[place.size, place.dtype].append(place)


class Program:
    """A recording that can be replayed.

    Parameters
    ----------
    recording : Recording
        What the function does. Its first values are the inputs.
    n_inputs : int
        Number of inputs.
    outputs : sequence of int
        Values that the function gives.
    homes : dict of int to int
        For some outputs, the input whose memory they replace.

    Raises
    ------
    UnrecordableError
        If an output is a constant, or lies in the memory of an input without being this input
        at its home.
    """

    def __init__(
        self, recording: Recording, n_inputs: int, outputs: Sequence[int], homes: dict[int, int]
    ) -> None:
        self.library, self.constants = recording.library, recording.constants
        self.outputs = outputs
        operations = _needed(recording.operations, outputs)
        self.shapes = list(recording.shapes)  # values are added below
        if self.library.lands:
            operations = list(self._landing(operations, homes))
        self.views = [op for op in operations if op.is_view]
        self._roots: dict[int, int] = {}
        self._joined_of: dict[int, int] = {}
        for view in self.views:
            self._roots[view.result] = self._root(view.operands[0])
        for root, output in ((self._root(output), output) for output in outputs):
            given = root < n_inputs and output != homes.get(output)
            if given or root in self.constants:
                raise UnrecordableError("a result that is not computed")
        computed = [op for op in operations if not op.is_view]
        joined = Joined(self.library, self.shapes, computed, homes, self._roots.values())
        self.operations = joined.operations
        self.homes, self.parts, self._joined_of = joined.homes, joined.parts, joined.of
        self.place: dict[int, int | Buffer | Part] = dict(joined.parts)
        self._lay_out()

    def _root(self, index: int) -> int:
        """Give the value in whose memory a value lies; it may be itself."""
        root = self._roots.get(index, index)
        return self._joined_of.get(root, root)

    def _landing(
        self, operations: list[Operation], homes: dict[int, int]
    ) -> Iterator[Operation]:
        """Let a new parameter be computed beside the old one, and copied to its place.

        A parameter is an input that matrix products and the like read, too, not only
        elementwise rules on arrays of its shape.
        """
        parameters = {
            index
            for op in operations
            for index in op.operands
            if not op.is_elementwise(self.library)
            or self.shapes[op.result].shape != self.shapes[index].shape
        }
        for op in operations:
            shape = self.shapes[op.result]
            is_rule = shape.shape and op.is_elementwise(self.library)
            if is_rule and homes.get(op.result) in parameters:
                self.shapes.append(shape)
                beside = Ref(len(self.shapes) - 1)
                yield op._replace(result=beside.index)
                yield Operation(
                    "copy",
                    self.library.copy,
                    (beside,),
                    {},
                    op.result,
                    in_place=True,
                    is_view=False,
                )
            else:
                yield op

    # --- passages ---------------------------------------------------------------------------

    def _passages(self) -> Iterator[tuple[bool, list[Operation]]]:
        """Cut the operations into those of one kind, and say whether they go by blocks."""
        for kind, passage in itertools.groupby(self.operations, key=self._kind):
            yield isinstance(kind, tuple), list(passage)

    def _kind(self, op: Operation) -> tuple[int, ...] | int:
        """Give the shape that a long elementwise operation runs through, else its result."""
        shape = self.shapes[op.result]
        by_blocks = (
            op.is_elementwise(self.library)
            and shape.size > self.library.block
            and all(self._is_cut(index, shape) for index in op.operands)
        )
        return shape.shape if by_blocks else op.result

    def _is_cut(self, index: int, shape: Shape) -> bool:
        """Whether an operand is a number, or can be cut into blocks."""
        operand = self.shapes[index]
        same = operand.shape == shape.shape and operand.c_ordered and index not in self._roots
        return same or not operand.shape

    # --- memory -----------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Give each result its place."""
        last_use = self._last_use()
        memory, time = Memory(), 0
        for by_blocks, passage in self._passages():
            end = time + len(passage)
            for op in passage:
                shape = self.shapes[op.result]
                fits = self._same_elements(op)
                dying = {i for i in map(self._root, op.operands) if last_use[i] == time}
                place = self.place.get(op.result, self._free_home(op, last_use, time, fits))
                if place is None:
                    within = by_blocks and last_use[op.result] < end
                    size = self.library.block if within else shape.size
                    for index in dying & fits:
                        if getattr(self.place.get(index), "size", None) == size:
                            place = self.place[index]
                    place = memory.take(size, shape.dtype) if place is None else place
                self.place[op.result] = place
                for index in dying:
                    if self.place.get(index) != place:
                        memory.give_back(self.place.get(index))
                time += 1

    def _free_home(
        self, op: Operation, last_use: dict[int, int], time: int, fits: set[int]
    ) -> int | None:
        """Give the memory that a result replaces, if nothing reads it any more."""
        home = self.homes.get(op.result)
        if home is None or self.shapes[home] != self.shapes[op.result]:
            return None
        return home if last_use.get(home, -1) < time + (home in fits) else None

    def _last_use(self) -> dict[int, int]:
        """Say for each value at which operation it, or a view of it, is read last."""
        last_use: dict[int, int] = {}
        for time, op in enumerate(self.operations):
            for index in op.operands:
                last_use[self._root(index)] = time
        return last_use | {self._root(output): len(self.operations) for output in self.outputs}

    def _same_elements(self, op: Operation) -> set[int]:
        """Name the operands that are read element by element, as the result is written."""
        if not op.is_elementwise(self.library) or op.name == "where":  # written in two steps
            return set()
        shape = self.shapes[op.result]
        return {i for i in op.operands if i not in self._roots and self.shapes[i] == shape}

    # --- running ----------------------------------------------------------------------------

    def bind(self, inputs: Sequence[Array]) -> Bound:
        """Give the calls of a run on these inputs, and the outputs that it writes.

        Outputs stand in the memory of the inputs that they replace, or in that of copies.

        Raises
        ------
        UnrecordableError
            If what was a view when it was recorded is none of these arrays.
        """
        arrays = {**self.constants, **dict(enumerate(inputs))}
        arrays |= self._joined_arrays(arrays)
        pieces: dict[int, Array] = {}  # of what is only needed block by block
        buffers = {
            p: self.library.empty(p.size, p.dtype, inputs[0])
            for p in dict.fromkeys(self.place.values())
            if isinstance(p, Buffer)
        }

        @functools.cache
        def shaped(place: Buffer, shape: tuple[int, ...]) -> Array:
            """Give the same array for the same place, as libraries look for that."""
            return buffers[place].reshape(shape)

        for index, place in self.place.items():
            if isinstance(place, Part):
                continue
            shape = self.shapes[index]
            if not isinstance(place, Buffer):
                arrays[index] = arrays[place]
            elif place.size == shape.size:
                arrays[index] = shaped(place, shape.shape)
            else:
                pieces[index] = buffers[place]
        for view in self.views:
            arguments, options = _filled(view, arrays)
            result = arrays[view.result] = view.function(*arguments, **options)
            base = arrays[view.operands[0]]
            if self.shapes[view.result].size and not self.library.shares(result, base):
                raise UnrecordableError("a view that is a copy, as its operand lies in C order")
        calls: list[Call] = []
        for by_blocks, passage in self._passages():
            calls += (
                self._blocks(passage, arrays, pieces)
                if by_blocks
                else (self._call(op, arrays) for op in passage)
            )
        going_home = [
            _storing(self.library, arrays[home], arrays[output])
            for output, home in self.homes.items()
            if output in self._roots or self.place.get(output, home) != home
        ]

        def fused(make: MakeKernel) -> list[Call]:
            return [*self._fused(make, arrays), *going_home]

        outputs = {i: arrays[self.homes.get(i, i)] for i in self.outputs}
        joined = {part.joined for part in self.parts.values()}
        memory = [*buffers.values(), *(arrays[index] for index in joined)]
        return Bound([*calls, *going_home], fused, outputs, memory)

    def _fused(self, make: MakeKernel, arrays: dict[int, Array]) -> Iterator[Call]:
        """Bind each elementwise passage as one kernel, and all else as it is."""
        last_use, end = self._last_use(), 0
        for is_kernel, passage in self._kernel_passages():
            end += len(passage)
            if not is_kernel:
                yield from [self._call(op, arrays) for op in passage]
                continue
            results = [op.result for op in passage]
            needed = [i for i in results if last_use[self._root(i)] >= end]
            code = kernel(passage, self.shapes, needed)
            yield make(code, [arrays[i] for i in code.inputs], [arrays[i] for i in needed])

    def _kernel_passages(self) -> Iterator[tuple[bool, list[Operation]]]:
        """Cut the operations into kernels and others, and say which they are."""
        for kind, group in itertools.groupby(self.operations, key=self._kernel_kind):
            passage = list(group)
            for start in range(0, len(passage), LONGEST):
                yield isinstance(kind, tuple), passage[start : start + LONGEST]

    def _kernel_kind(self, op: Operation) -> tuple[int, ...] | int:
        """Give the shape that an operation of a kernel runs through, else its result."""
        shape = self.shapes[op.result]
        fits = (
            op.is_elementwise(self.library)
            and is_expressible(op, self.shapes)
            and all(self.shapes[i].c_ordered and i not in self._roots for i in op.operands)
        )
        return shape.shape if fits else op.result

    def _joined_arrays(self, inputs: dict[int, Array]) -> dict[int, Array]:
        """Make the joined values, and their parts; inputs are copied into them."""
        arrays: dict[int, Array] = {}
        for index, (joined, start) in self.parts.items():
            shape = self.shapes[joined]
            if joined not in arrays:
                arrays[joined] = self.library.empty(shape.size, shape.dtype, inputs[0])
                self.library.clear(arrays[joined])  # there is room between the parts
            part = arrays[joined][start : start + self.shapes[index].size]
            arrays[index] = part.reshape(self.shapes[index].shape)
            if index in inputs:
                self.library.store(arrays[index], inputs[index])
        return arrays

    def _call(self, op: Operation, arrays: dict[int, Array]) -> Call:
        """Bind an operation to its arrays."""
        out, (arguments, options) = arrays[op.result], _filled(op, arrays)
        if op.in_place:
            call = self.library.bind(op, arguments, out)
            assert call is not None  # as it was when it was recorded
            return call
        store, function = self.library.store, op.function
        return lambda: store(out, function(*arguments, **options))

    def _blocks(
        self, passage: list[Operation], arrays: dict[int, Array], pieces: dict[int, Array]
    ) -> Iterator[Call]:
        """Bind a passage to one block after the other."""
        size, block = self.shapes[passage[0].result].size, self.library.block
        used = {op.result for op in passage} | {i for op in passage for i in op.operands}
        numbers = {i: arrays[i] for i in used if not self.shapes[i].shape}
        flat = {i: arrays[i].reshape(-1) for i in used & arrays.keys() - numbers.keys()}
        for start in range(0, size, block):
            stop = min(start + block, size)
            cut = {i: array[start:stop] for i, array in flat.items()}
            cut |= {i: pieces[i][: stop - start] for i in used & pieces.keys()}
            yield from [self._call(op, cut | numbers) for op in passage]


def _needed(operations: Iterable[Operation], outputs: Sequence[int]) -> list[Operation]:
    """Leave out what no output depends on."""
    wanted, needed = set(outputs), []
    for op in reversed(list(operations)):
        if op.result in wanted:
            wanted.update(op.operands)
            needed.append(op)
    return needed[::-1]


def _filled(op: Operation, arrays: dict[int, Array]) -> tuple[list[Any], dict[str, Any]]:
    """Put arrays in the places of an operation's operands."""

    def fill(a: Any) -> Any:
        return arrays[a.index] if isinstance(a, Ref) else a

    return [fill(a) for a in op.arguments], {k: fill(a) for k, a in op.options.items()}


def _storing(library: Library, out: Array, array: Array) -> Call:
    return lambda: library.store(out, array)
