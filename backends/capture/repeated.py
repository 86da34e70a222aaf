"""Results that a trace computes more than once, such as e^z for f(z) and again for f'(z).

An operation on the same operands has the same bits each time, so the equations may repeat what
they need, and a replay computes it once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import Any

from .ops import Operation, Ref


def without_repeated(
    operations: Iterable[Operation],
    outputs: Collection[int],
    is_worth_keeping: Callable[[Operation], bool],
) -> Iterator[Operation]:
    """Yield the operations, with later ones reading the first of equal results.

    Parameters
    ----------
    operations : iterable of Operation
        In execution order. They are pure.
    outputs : collection of int
        Values that the function returns, each of which stays a value of its own.
    is_worth_keeping : callable
        Whether the result of an operation is read again, rather than computed again, which
        takes less time for cheap operations on large arrays.
    """
    first: dict[Hashable, int] = {}  # the first result of each kind
    same: dict[int, int] = {}  # results of which an equal one came first, computed or not
    kept: dict[int, int] = {}  # those that are read from it
    for op in operations:
        key = _key(op, same)
        equal = op.result if key is None else first.setdefault(key, op.result)
        op = _renamed(op, kept)
        if equal != op.result:
            same[op.result] = equal
            if (op.is_view or is_worth_keeping(op)) and op.result not in outputs:
                kept[op.result] = kept.get(equal, equal)
                continue
        yield op


def _renamed(op: Operation, names: dict[int, int]) -> Operation:
    """Return the operation with other operands."""
    if not names.keys() & set(op.operands):
        return op

    def renamed(a: Any) -> Any:
        return Ref(names.get(a.index, a.index)) if isinstance(a, Ref) else a

    options = {key: renamed(value) for key, value in op.options.items()}
    return op._replace(arguments=tuple(map(renamed, op.arguments)), options=options)


def _key(op: Operation, same: dict[int, int]) -> Hashable | None:
    """Return what decides an operation's result; None if that is not known."""
    parts = [op.name, op.function, len(op.arguments), *op.arguments]
    for name in sorted(op.options):
        parts += [name, op.options[name]]
    return _hashable(tuple(parts), same)


def _hashable(a: Any, same: dict[int, int]) -> Hashable | None:
    """Return a key of a value, different for 1, 1.0 and True, and for 0.0 and -0.0."""
    if isinstance(a, Ref):
        return Ref, same.get(a.index, a.index)
    if isinstance(a, slice):
        a = (slice, a.start, a.stop, a.step)
    if isinstance(a, tuple):
        parts = tuple(_hashable(part, same) for part in a)
        return None if None in parts else parts
    try:
        hash(a)
    except TypeError:
        return None
    return type(a), repr(a), a
