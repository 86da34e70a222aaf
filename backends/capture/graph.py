"""A traced function with planned memory, replayed without allocating arrays.

Each result is assigned storage before the first run: the memory of a donated input that is no
longer read, or a buffer that results reuse in turn. A run is then a list of calls with fixed
operands and outputs. Long elementwise groups run block by block to stay in the cache. The
operations and their order are the function's own, so results are bitwise identical.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from bpnet.backend.typing import Array

from .horizontal_fusion import HorizontalFusion, Part
from .kernel_fusion import MAX_OPERATIONS, is_expressible, kernel
from .ops import Call, MakeKernel, Operation, Ref, Shape
from .repeated import without_repeated
from .tracer import Trace, TracingError


class Buffer(NamedTuple):
    """Memory owned by a graph; `number` tells buffers of one size and dtype apart."""

    size: int
    dtype: Any
    number: int


class BoundGraph(NamedTuple):
    """A graph bound to arrays.

    Attributes
    ----------
    calls : list of callable
        The calls of one run.
    with_kernels : callable
        Returns equivalent calls with one kernel per elementwise group.
    outputs : dict of int to array
        The results of a run.
    memory : list of array
        Buffers for intermediate results.
    """

    calls: list[Call]
    with_kernels: Callable[[MakeKernel], Sequence[Call]]
    outputs: dict[int, Array]
    memory: list[Array]


class Memory:
    """A pool of reusable buffers."""

    def __init__(self) -> None:
        self._free: defaultdict[tuple[int, Any], list[Buffer]] = defaultdict(list)
        self._made: Counter[tuple[int, Any]] = Counter()

    def allocate(self, size: int, dtype: Any) -> Buffer:
        """Return a free buffer, or a new one."""
        key = (size, dtype)
        if self._free[key]:
            return self._free[key].pop()
        self._made[key] += 1
        return Buffer(size, dtype, self._made[key])

    def free(self, storage: Any) -> None:
        """Return a buffer to the pool; ignore other storage."""
        if isinstance(storage, Buffer):
            self._free[storage.size, storage.dtype].append(storage)


class Graph:
    """A trace that can be replayed.

    Parameters
    ----------
    trace : Trace
        The operations. Its first values are the inputs.
    n_inputs : int
        Number of inputs.
    outputs : sequence of int
        Values that the function returns.
    donated : dict of int to int
        For some outputs, the input (donor) whose memory they take over.

    Raises
    ------
    TracingError
        If an output is a constant, or lies in an input's memory without being its own donor.
    """

    def __init__(
        self, trace: Trace, n_inputs: int, outputs: Sequence[int], donated: dict[int, int]
    ) -> None:
        self.ops, self.constants = trace.ops, trace.constants
        self.outputs, self.donated = outputs, donated
        once = without_repeated(
            trace.operations, outputs, lambda op: self.ops.keeps(op, trace.shapes[op.result])
        )
        operations = _prune(once, outputs)
        self.shapes = list(trace.shapes)  # values are added below
        if self.ops.double_buffered:
            operations = list(self._double_buffer(operations))
        self.views = [op for op in operations if op.is_view]
        self._roots: dict[int, int] = {}
        self._fused_of: dict[int, int] = {}
        for view in self.views:
            self._roots[view.result] = self._root(view.operands[0])
        for root, output in ((self._root(output), output) for output in outputs):
            is_input = root < n_inputs and output != donated.get(output)
            if is_input or root in self.constants:
                raise TracingError("a result that is not computed")
        computed = [op for op in operations if not op.is_view]
        fused = HorizontalFusion(self.ops, self.shapes, computed, donated, self._roots.values())
        self.operations = fused.operations
        self.donated, self.parts, self._fused_of = fused.donated, fused.parts, fused.of
        self.storage: dict[int, int | Buffer | Part] = dict(fused.parts)
        self._only_read = set(range(n_inputs)).difference(self.donated.values(), self.parts)
        self._lay_out()

    def _root(self, index: int) -> int:
        """Return the value that owns a value's memory, possibly itself."""
        root = self._roots.get(index, index)
        return self._fused_of.get(root, root)

    def _double_buffer(self, operations: list[Operation]) -> Iterator[Operation]:
        """Compute new parameters in a second buffer, then copy them over the old ones.

        A parameter is an input that is also read by operations other than elementwise ones on
        arrays of its shape, such as matrix products.
        """
        parameters = {
            index
            for op in operations
            for index in op.operands
            if not op.is_elementwise(self.ops)
            or self.shapes[op.result].shape != self.shapes[index].shape
        }
        for op in operations:
            shape = self.shapes[op.result]
            is_rule = shape.shape and op.is_elementwise(self.ops)
            if is_rule and self.donated.get(op.result) in parameters:
                self.shapes.append(shape)
                new = Ref(len(self.shapes) - 1)
                yield op._replace(result=new.index)
                yield Operation("copy", self.ops.copy, (new,), {}, op.result, True, False)
            else:
                yield op

    # --- groups -----------------------------------------------------------------------------

    def _groups(self) -> Iterator[tuple[bool, list[Operation]]]:
        """Yield consecutive operations of one kind, and whether they run block by block."""
        for kind, group in itertools.groupby(self.operations, key=self._kind):
            yield isinstance(kind, tuple), list(group)

    def _kind(self, op: Operation) -> tuple[int, ...] | int:
        """Return the shape of a long elementwise operation; of any other, its result."""
        shape = self.shapes[op.result]
        by_blocks = (
            op.is_elementwise(self.ops)
            and shape.size > self.ops.block_size
            and all(self._can_split(index, shape) for index in op.operands)
        )
        return shape.shape if by_blocks else op.result

    def _can_split(self, index: int, shape: Shape) -> bool:
        """Whether an operand is a scalar or can be split into blocks.

        A view can if nothing is written where it lies.
        """
        operand = self.shapes[index]
        is_apart = index not in self._roots or self._root(index) in self._only_read
        same = operand.shape == shape.shape and operand.c_ordered and is_apart
        return same or not operand.shape

    # --- memory -----------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Assign storage to each result."""
        last_use = self._last_use()
        memory, time = Memory(), 0
        for by_blocks, group in self._groups():
            end = time + len(group)
            for op in group:
                shape = self.shapes[op.result]
                reusable = self._same_elements(op)
                dying = {i for i in map(self._root, op.operands) if last_use[i] == time}
                donor = self._free_donor(op, last_use, time, reusable)
                storage = self.storage.get(op.result, donor)
                if storage is None:
                    is_local = by_blocks and last_use[op.result] < end
                    size = self.ops.block_size if is_local else shape.size
                    for index in dying & reusable:
                        if getattr(self.storage.get(index), "size", None) == size:
                            storage = self.storage[index]
                    storage = memory.allocate(size, shape.dtype) if storage is None else storage
                self.storage[op.result] = storage
                for index in dying:
                    if self.storage.get(index) != storage:
                        memory.free(self.storage.get(index))
                time += 1

    def _free_donor(
        self, op: Operation, last_use: dict[int, int], time: int, reusable: set[int]
    ) -> int | None:
        """Return the donor of a result if it is no longer read."""
        donor = self.donated.get(op.result)
        if donor is None or self.shapes[donor] != self.shapes[op.result]:
            return None
        return donor if last_use.get(donor, -1) < time + (donor in reusable) else None

    def _last_use(self) -> dict[int, int]:
        """Map each value to the last operation that reads it or a view of it."""
        last_use: dict[int, int] = {}
        for time, op in enumerate(self.operations):
            for index in op.operands:
                last_use[self._root(index)] = time
        return last_use | {self._root(output): len(self.operations) for output in self.outputs}

    def _same_elements(self, op: Operation) -> set[int]:
        """Return the operands that the result may overwrite element by element."""
        if not op.is_elementwise(self.ops) or op.name == "where":  # "where" writes twice
            return set()
        shape = self.shapes[op.result]
        return {i for i in op.operands if i not in self._roots and self.shapes[i] == shape}

    # --- running ----------------------------------------------------------------------------

    def bind(self, inputs: Sequence[Array]) -> BoundGraph:
        """Bind the graph to inputs.

        Outputs are written to the memory of their donors, or of copies of these.

        Raises
        ------
        TracingError
            If a traced view is a copy for these arrays.
        """
        arrays = {**self.constants, **dict(enumerate(inputs))}
        arrays |= self._fused_arrays(arrays)
        block_buffers: dict[int, Array] = {}  # of values local to one group
        buffers = {
            p: self.ops.empty(p.size, p.dtype, inputs[0])
            for p in dict.fromkeys(self.storage.values())
            if isinstance(p, Buffer)
        }

        @functools.cache
        def shaped(storage: Buffer, shape: tuple[int, ...]) -> Array:
            """Return one array object per storage, as libraries check identity."""
            return buffers[storage].reshape(shape)

        for index, storage in self.storage.items():
            if isinstance(storage, Part):
                continue
            shape = self.shapes[index]
            if not isinstance(storage, Buffer):
                arrays[index] = arrays[storage]
            elif storage.size == shape.size:
                arrays[index] = shaped(storage, shape.shape)
            else:
                block_buffers[index] = buffers[storage]
        for view in self.views:
            arguments, options = _substitute(view, arrays)
            result = arrays[view.result] = view.function(*arguments, **options)
            base = arrays[view.operands[0]]
            if self.shapes[view.result].size and not self.ops.may_share_memory(result, base):
                raise TracingError("a view that is a copy, as its operand is in C order")
        calls: list[Call] = []
        for by_blocks, group in self._groups():
            calls += (
                self._blocks(group, arrays, block_buffers)
                if by_blocks
                else (self._call(op, arrays) for op in group)
            )
        write_backs = [
            functools.partial(self.ops.store, arrays[donor], arrays[output])
            for output, donor in self.donated.items()
            if output in self._roots or self.storage.get(output, donor) != donor
        ]

        def with_kernels(make: MakeKernel) -> list[Call]:
            return [*self._kernel_calls(make, arrays), *write_backs]

        outputs = {i: arrays[self.donated.get(i, i)] for i in self.outputs}
        fused = {part.fused for part in self.parts.values()}
        memory = [*buffers.values(), *(arrays[index] for index in fused)]
        return BoundGraph([*calls, *write_backs], with_kernels, outputs, memory)

    def _kernel_calls(self, make: MakeKernel, arrays: dict[int, Array]) -> Iterator[Call]:
        """Yield one kernel call per elementwise group, and a call per other operation."""
        last_use, end = self._last_use(), 0
        for is_kernel, group in self._kernel_groups():
            end += len(group)
            if not is_kernel:
                yield from [self._call(op, arrays) for op in group]
                continue
            results = [op.result for op in group]
            needed = [i for i in results if last_use[self._root(i)] >= end]
            code = kernel(group, self.shapes, needed)
            yield make(code, [arrays[i] for i in code.inputs], [arrays[i] for i in needed])

    def _kernel_groups(self) -> Iterator[tuple[bool, list[Operation]]]:
        """Yield consecutive operations, and whether they form a kernel."""
        for kind, members in itertools.groupby(self.operations, key=self._kernel_kind):
            group = list(members)
            for start in range(0, len(group), MAX_OPERATIONS):
                yield isinstance(kind, tuple), group[start : start + MAX_OPERATIONS]

    def _kernel_kind(self, op: Operation) -> tuple[int, ...] | int:
        """Return the shape of an operation that a kernel can hold, else its result."""
        shape = self.shapes[op.result]
        fits = (
            op.is_elementwise(self.ops)
            and is_expressible(op, self.shapes)
            and all(self.shapes[i].c_ordered and i not in self._roots for i in op.operands)
        )
        return shape.shape if fits else op.result

    def _fused_arrays(self, inputs: dict[int, Array]) -> dict[int, Array]:
        """Allocate the fused arrays, and copy inputs into their parts."""
        arrays: dict[int, Array] = {}
        for index, (fused, start) in self.parts.items():
            shape = self.shapes[fused]
            if fused not in arrays:
                arrays[fused] = self.ops.empty(shape.size, shape.dtype, inputs[0])
                self.ops.fill_zeros(arrays[fused])  # parts are padded
            part = arrays[fused][start : start + self.shapes[index].size]
            arrays[index] = part.reshape(self.shapes[index].shape)
            if index in inputs:
                self.ops.store(arrays[index], inputs[index])
        return arrays

    def _call(self, op: Operation, arrays: dict[int, Array]) -> Call:
        """Bind an operation to arrays."""
        out, (arguments, options) = arrays[op.result], _substitute(op, arrays)
        if op.in_place:
            call = self.ops.bind(op, arguments, out)
            assert call is not None  # as during tracing
            return call
        return lambda: self.ops.store(out, op.function(*arguments, **options))

    def _blocks(
        self, group: list[Operation], arrays: dict[int, Array], block_buffers: dict[int, Array]
    ) -> Iterator[Call]:
        """Bind a group block by block."""
        size, block_size = self.shapes[group[0].result].size, self.ops.block_size
        used = {op.result for op in group} | {i for op in group for i in op.operands}
        scalars = {i: arrays[i] for i in used if not self.shapes[i].shape}
        flat = {i: arrays[i].reshape(-1) for i in used & arrays.keys() - scalars.keys()}
        for start in range(0, size, block_size):
            stop = min(start + block_size, size)
            cut = {i: array[start:stop] for i, array in flat.items()}
            cut |= {i: block_buffers[i][: stop - start] for i in used & block_buffers.keys()}
            yield from [self._call(op, cut | scalars) for op in group]


def _prune(operations: Iterable[Operation], outputs: Sequence[int]) -> list[Operation]:
    """Drop operations on which no output depends."""
    wanted, needed = set(outputs), []
    for op in reversed(list(operations)):
        if op.result in wanted:
            wanted.update(op.operands)
            needed.append(op)
    return needed[::-1]


def _substitute(op: Operation, arrays: dict[int, Array]) -> tuple[list[Any], dict[str, Any]]:
    """Replace the references among an operation's arguments and options by arrays."""

    def fill(a: Any) -> Any:
        return arrays[a.index] if isinstance(a, Ref) else a

    return [fill(a) for a in op.arguments], {k: fill(a) for k, a in op.options.items()}
