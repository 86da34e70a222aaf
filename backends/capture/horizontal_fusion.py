"""Horizontal fusion: run the same elementwise operations on many small arrays at once.

An update rule treats each parameter alike, and on a small one a call costs more than what it
computes. So elementwise groups that differ only in their arrays become one group, on arrays
that lie one after the other in memory. Each element goes through the same operations as before.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .ops import ArrayOps, Operation, Ref, Shape

# Elements up to which the overhead of a call is about what its computation costs.
SMALL = 2**14

# Each part starts at a multiple of this many elements (of at least 4 bytes): the last bits of
# MKL's matrix products depend on where a matrix starts within 64 bytes.
ALIGNMENT = 16


class Part(NamedTuple):
    """Location of a value: the fused value, and the offset in elements."""

    fused: int
    start: int


class HorizontalFusion:
    """Operations whose small elementwise groups are fused across arrays.

    Parameters
    ----------
    ops : ArrayOps
        The array library.
    shapes : list of Shape
        The shapes of all values; those of fused values are appended.
    operations : list of Operation
        The needed operations, without views.
    donated : dict of int to int
        The donor of each output array.
    viewed : iterable of int
        The values that own the memory of views.

    Attributes
    ----------
    operations : list of Operation
        The operations, with each fused group in place of its last member.
    donated : dict of int to int
        The donors, including those of fused values.
    of : dict of int to int
        For each value of a member, the fused value that replaces it.
    parts : dict of int to Part
        The inputs and earlier results that lie in a fused value.
    """

    def __init__(
        self,
        ops: ArrayOps,
        shapes: list[Shape],
        operations: list[Operation],
        donated: dict[int, int],
        viewed: Iterable[int],
    ) -> None:
        self.shapes, self.donated = shapes, dict(donated)
        self.of: dict[int, int] = {}
        self.parts: dict[int, Part] = {}
        self._ops = ops
        self._output_of = {donor: output for output, donor in donated.items()}
        groups = [list(group) for _, group in itertools.groupby(operations, self._kind)]
        self._producer: dict[int, int] = {}
        self._readers: defaultdict[int, set[int]] = defaultdict(set)
        for index in viewed:
            self._readers[index].add(len(groups))  # a reader outside of all groups
        by_pattern: defaultdict[Any, list[int]] = defaultdict(list)
        for number, group in enumerate(groups):
            for op in group:
                self._producer[op.result] = number
                for index in op.operands:
                    self._readers[index].add(number)
        for number, group in enumerate(groups):
            by_pattern[self._pattern(number, group)].append(number)
        for members in by_pattern.values():
            columns = list(zip(*(self._arrays(groups[m]) for m in members), strict=True))
            if len(members) > 1 and self._are_free(columns):
                fused = self._fuse(groups[members[0]], columns)
                for member in members:
                    groups[member] = []
                groups[members[-1]] = fused
        self.operations = list(itertools.chain.from_iterable(groups))

    def _kind(self, op: Operation) -> tuple[int, ...] | int:
        """Return the shape of a small elementwise operation; of any other, its result."""
        shape = self.shapes[op.result]
        small = op.is_elementwise(self._ops) and 0 < shape.size <= SMALL
        alike = all(self.shapes[i].shape in ((), shape.shape) for i in op.operands)
        return shape.shape if small and alike and shape.shape else op.result

    def _arrays(self, group: list[Operation]) -> list[int]:
        """Return the arrays of a group in order of first use."""
        used = (index for op in group for index in (*op.operands, op.result))
        return [index for index in dict.fromkeys(used) if self.shapes[index].shape]

    def _pattern(self, number: int, group: list[Operation]) -> Any:
        """Return a key shared by groups that may be fused; `number` if this one may not."""
        arrays = self._arrays(group)
        roles = [self._role(index, number, arrays) for index in arrays]
        if isinstance(self._kind(group[0]), int) or None in roles:
            return number
        names = {Ref(index): f"array {k}" for k, index in enumerate(arrays)}
        text = [
            (op.name, [names.get(a, a) if isinstance(a, Ref) else a for a in op.arguments],
             op.options, names[Ref(op.result)])
            for op in group
        ]  # fmt: skip
        return repr((text, roles, [self.shapes[index].dtype for index in arrays]))

    def _role(self, index: int, number: int, arrays: list[int]) -> Any:
        """Return the role of an array in a group; None if it cannot be part of a fused one."""
        if index in self._output_of:
            return "donor" if self._output_of[index] in arrays else None
        if self._producer.get(index) != number:
            return "earlier" if index in self._producer else None
        if self._readers[index] - {number}:
            return None
        if index not in self.donated:
            return "local"
        donor = self.donated[index]
        return ("donated", arrays.index(donor)) if donor in arrays else None

    def _are_free(self, columns: Iterable[Sequence[int]]) -> bool:
        """Whether each value would lie in at most one fused array."""
        values = [index for column in columns for index in column]
        return len(set(values)) == len(values) and self.of.keys().isdisjoint(values)

    def _fuse(self, group: list[Operation], columns: list[tuple[int, ...]]) -> list[Operation]:
        """Return the fused group of all members, and record where their values lie."""
        new = {column[0]: self._new_value(column) for column in columns}
        made = {op.result for op in group}
        for column in columns:
            first = column[0]
            if first in self.donated:
                self.donated[new[first]] = new[self.donated[first]]
            elif first not in made:
                starts = itertools.accumulate(map(self._padded_size, column), initial=0)
                for index, start in zip(column, starts, strict=False):
                    self.parts[index] = Part(new[first], start)

        def renamed(argument: Any) -> Any:
            is_array = isinstance(argument, Ref) and argument.index in new
            return Ref(new[argument.index]) if is_array else argument

        return [
            op._replace(arguments=tuple(map(renamed, op.arguments)), result=new[op.result])
            for op in group
        ]

    def _new_value(self, column: tuple[int, ...]) -> int:
        size = sum(map(self._padded_size, column))
        self.shapes.append(Shape((size,), self.shapes[column[0]].dtype, True))
        fused = len(self.shapes) - 1
        self.of.update(dict.fromkeys(column, fused))
        return fused

    def _padded_size(self, index: int) -> int:
        """Return the size of a value, rounded up to a multiple of `ALIGNMENT`."""
        return -(-self.shapes[index].size // ALIGNMENT) * ALIGNMENT
