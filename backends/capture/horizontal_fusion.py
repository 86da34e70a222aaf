"""Many small arrays that go the same way, joined into one.

An update rule does the same to each parameter, and on a small one a call costs more than what
it computes. So passages of elementwise operations that differ in their arrays alone become
one passage, on arrays that lie behind each other in memory. Each element meets the operations
that it met before.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .ops import Library, Operation, Ref, Shape

# Elements of an array up to which a call costs about as much as what it computes.
SMALL = 2**14

# Each part begins at a multiple of so many elements, of at least 4 bytes: by where a matrix
# begins within 64 bytes, MKL chooses how it multiplies, and so the last bits.
LINE = 16


class Part(NamedTuple):
    """Where a value lies: so many elements into a joined one."""

    joined: int
    start: int


class Joined:
    """Operations in which small passages are joined.

    Parameters
    ----------
    library : Library
        The arrays' library.
    shapes : list of Shape
        Of all values; those of joined ones are appended.
    operations : list of Operation
        All that are needed, without views.
    homes : dict of int to int
        For each array among the outputs, the input whose memory it replaces.
    viewed : iterable of int
        The values that views lie in.

    Attributes
    ----------
    operations : list of Operation
        With a joined passage where the last of its members stood.
    homes : dict of int to int
        As given, and those of joined values.
    of : dict of int to int
        For each value of a member, the joined one that took its place.
    parts : dict of int to Part
        The inputs and earlier results that lie in a joined value.
    """

    def __init__(
        self,
        library: Library,
        shapes: list[Shape],
        operations: list[Operation],
        homes: dict[int, int],
        viewed: Iterable[int],
    ) -> None:
        self.shapes, self.homes = shapes, dict(homes)
        self.of: dict[int, int] = {}
        self.parts: dict[int, Part] = {}
        self._library = library
        self._output_of = {home: output for output, home in homes.items()}
        passages = [list(passage) for _, passage in itertools.groupby(operations, self._kind)]
        self._maker: dict[int, int] = {}
        self._readers: defaultdict[int, set[int]] = defaultdict(set)
        for index in viewed:
            self._readers[index].add(len(passages))  # none of these
        groups: defaultdict[Any, list[int]] = defaultdict(list)
        for number, passage in enumerate(passages):
            for op in passage:
                self._maker[op.result] = number
                for index in op.operands:
                    self._readers[index].add(number)
        for number, passage in enumerate(passages):
            groups[self._pattern(number, passage)].append(number)
        for members in groups.values():
            columns = list(zip(*(self._arrays(passages[m]) for m in members), strict=True))
            if len(members) > 1 and self._are_free(columns):
                joined = self._join(passages[members[0]], columns)
                for member in members:
                    passages[member] = []
                passages[members[-1]] = joined
        self.operations = list(itertools.chain.from_iterable(passages))

    def _kind(self, op: Operation) -> tuple[int, ...] | int:
        """Give the shape that a small elementwise operation runs through, else its result."""
        shape = self.shapes[op.result]
        small = op.is_elementwise(self._library) and 0 < shape.size <= SMALL
        alike = all(self.shapes[i].shape in ((), shape.shape) for i in op.operands)
        return shape.shape if small and alike and shape.shape else op.result

    def _arrays(self, passage: list[Operation]) -> list[int]:
        """Name the arrays of a passage in the order in which it meets them."""
        met = (index for op in passage for index in (*op.operands, op.result))
        return [index for index in dict.fromkeys(met) if self.shapes[index].shape]

    def _pattern(self, number: int, passage: list[Operation]) -> Any:
        """Give what passages that may be joined share; its number if it must stay alone."""
        arrays = self._arrays(passage)
        roles = [self._role(index, number, arrays) for index in arrays]
        if isinstance(self._kind(passage[0]), int) or None in roles:
            return number
        place = {Ref(index): f"array {k}" for k, index in enumerate(arrays)}
        text = [
            (op.name, [place.get(a, a) if isinstance(a, Ref) else a for a in op.arguments],
             op.options, place[Ref(op.result)])
            for op in passage
        ]  # fmt: skip
        return repr((text, roles, [self.shapes[index].dtype for index in arrays]))

    def _role(self, index: int, number: int, arrays: list[int]) -> Any:
        """Say what an array is to a passage; None if it cannot lie in a joined one."""
        if index in self._output_of:
            return "replaced" if self._output_of[index] in arrays else None
        if self._maker.get(index) != number:
            return "earlier" if index in self._maker else None
        if self._readers[index] - {number}:
            return None
        if index not in self.homes:
            return "within"
        home = self.homes[index]
        return ("replaces", arrays.index(home)) if home in arrays else None

    def _are_free(self, columns: Iterable[Sequence[int]]) -> bool:
        """Whether no value would lie in two places."""
        values = [index for column in columns for index in column]
        return len(set(values)) == len(values) and self.of.keys().isdisjoint(values)

    def _join(
        self, passage: list[Operation], columns: list[tuple[int, ...]]
    ) -> list[Operation]:
        """Give the passage of all members, and note where their values lie."""
        new = {column[0]: self._new_value(column) for column in columns}
        made = {op.result for op in passage}
        for column in columns:
            first = column[0]
            if first in self.homes:
                self.homes[new[first]] = new[self.homes[first]]
            elif first not in made:
                starts = itertools.accumulate(map(self._lines, column), initial=0)
                for index, start in zip(column, starts, strict=False):
                    self.parts[index] = Part(new[first], start)

        def renamed(argument: Any) -> Any:
            is_array = isinstance(argument, Ref) and argument.index in new
            return Ref(new[argument.index]) if is_array else argument

        return [
            op._replace(arguments=tuple(map(renamed, op.arguments)), result=new[op.result])
            for op in passage
        ]

    def _new_value(self, column: tuple[int, ...]) -> int:
        size = sum(map(self._lines, column))
        self.shapes.append(Shape((size,), self.shapes[column[0]].dtype, True))
        joined = len(self.shapes) - 1
        self.of.update(dict.fromkeys(column, joined))
        return joined

    def _lines(self, index: int) -> int:
        """Give the size of a value, filled up to whole lines."""
        return -(-self.shapes[index].size // LINE) * LINE
