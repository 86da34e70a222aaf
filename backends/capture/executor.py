"""Steps that are recorded in their first run and replayed in all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bpnet.backend.typing import Array, Namespace

from .graph import Bound, Program
from .ops import Call, Library, Ref, Way, run_all
from .tracer import (
    Recording,
    RecordingNamespace,
    UnrecordableError,
    Value,
)
from .verify import run_first

# How often a program that is bound anew, as its arrays are others, is made one of fewer calls.
TRIES = 2

# What no step gives.
NOTHING = object()


class Replayed:
    """A step ``step(xp, state, data) -> state`` of one array library.

    The arrays of the state are overwritten; the numbers at its top, arrays of no dimension,
    are given anew by each run. What cannot be recorded runs as it is written.

    Parameters
    ----------
    step : callable
        A pure function of containers of arrays. The state is a dict, and the new one has its
        structure.
    library : Library
        The arrays' library.
    xp : namespace
        The arrays' namespace.
    """

    def __init__(self, step: Callable[..., Any], library: Library, xp: Namespace) -> None:
        self.step, self.library, self.xp = step, library, xp
        self._runs: dict[Any, Run | None] = {}
        self._last: Run | None = None

    def __call__(self, state: dict[str, Any], data: Any) -> dict[str, Any]:
        """Run the step."""
        if self._last is not None and self._last.takes(state, data):
            return self._last.replay()
        key = tuple(self._key(leaf) for leaf in leaves((state, data)))
        if key not in self._runs:
            self._runs[key] = self._record(state, data)
        run = self._runs[key]
        if run is None or not run.takes(state, data):
            return self.step(self.xp, state, data)  # type: ignore[no-any-return]
        self._last = run
        return run.replay()

    def release(self) -> None:
        """Give back the memory of intermediate results."""
        self._last = None
        for run in self._runs.values():
            if run is not None:
                run.release()

    def _key(self, leaf: Any) -> Any:
        return self.library.describe(leaf) if self.library.is_array(leaf) else leaf

    def _record(self, state: dict[str, Any], data: Any) -> Run | None:
        """Note what the step does; None if it is more than operations on arrays."""
        recording = Recording(self.library, self.xp)

        def value(leaf: Any) -> Any:
            return recording.value(leaf) if self.library.is_array(leaf) else leaf

        try:
            inputs = mapped(value, (state, data))
            with self.library.quiet():
                result = self.step(RecordingNamespace(recording), *inputs)
            return Run(recording, *mapped(_ref, (*inputs, result)))
        except Exception:  # the step's own errors show when it runs as it is written
            return None


class Run:
    """A program with the arrays on which it runs.

    Parameters
    ----------
    recording : Recording
        What the step does.
    state, data, result
        Its inputs and the new state, with a :class:`Ref` for each array.
    """

    def __init__(
        self, recording: Recording, state: dict[str, Any], data: Any, result: dict[str, Any]
    ) -> None:
        self.library, self.shapes = recording.library, recording.shapes
        self.state = {key: _listed(tree) for key, tree in state.items()}
        self.data, self.result = _listed(data), result
        before, after = list(leaves(state)), list(leaves(result))
        if mapped(_nothing, state) != mapped(_nothing, result):
            raise UnrecordableError("the new state has not the structure of the old one")
        if len({new.index for new in after}) < len(after):
            raise UnrecordableError("two arrays of the new state are one")
        homes = {new.index: old.index for old, new in zip(before, after, strict=True)}
        if any(self.shapes[new][:2] != self.shapes[old][:2] for new, old in homes.items()):
            raise UnrecordableError("the new state has other shapes or dtypes")
        self.numbers = [
            key
            for key, ref in state.items()
            if isinstance(ref, Ref) and not self.shapes[ref.index].shape
        ]
        arrays = {old.index for old in before if self.shapes[old.index].shape}
        if len(arrays) + len(self.numbers) < len(before):
            raise UnrecordableError("a number within a container of the state")
        inputs = [leaf.index for leaf in leaves((state, data)) if isinstance(leaf, Ref)]
        self.homes = homes
        self.program = Program(recording, len(inputs), [new.index for new in after], homes)
        small = {i for i in inputs if self.shapes[i].size <= self.library.copied}
        self.owned = small - arrays
        self.is_bindable = True
        self.release()

    def release(self) -> None:
        """Forget all arrays."""
        self.arrays: dict[int, Array] = {}
        self.arriving: dict[int, Array] = {}
        self.elsewhere: dict[int, Array] = {}
        self.given: dict[str, Any] = {}
        self.given_data: Any = NOTHING
        self.calls: Sequence[Call] = []
        self.bound: Bound | None = None
        self.ways: Sequence[Way] = ()
        self.tries = 0
        self.fixed: dict[str, Any] = {}

    def takes(self, state: dict[str, Any], data: Any) -> bool:
        """Take the inputs of the next run; False if the program is not for such."""
        fits = self.is_bindable and state.keys() == self.state.keys()
        if not fits or not self._take_all(state, data):
            self.given, self.given_data, self.arriving = {}, NOTHING, {}
            return False
        if self.arriving:
            self._settle()
        return len(self.calls) > 0 or self._bind()

    def _take_all(self, state: dict[str, Any], data: Any) -> bool:
        for key, value in state.items():
            if value is not self.given.get(key, NOTHING):
                if not self._take(self.state[key], value):
                    return False
                self.given[key] = value
        if data is not self.given_data:
            if not self._take(self.data, data):
                return False
            self.given_data = data
        return True

    def _take(self, known: Any, tree: Any) -> bool:
        """Copy numbers and small arrays of the data; take over all others, or note them."""
        if isinstance(known, Ref):
            return self._take_leaf(known, tree)
        given = list(leaves(tree))
        return len(known) == len(given) and all(map(self._take_leaf, known, given))

    def _take_leaf(self, ref: Any, leaf: Any) -> bool:
        is_array = self.library.is_array(leaf)
        if not isinstance(ref, Ref):
            return not is_array and bool(leaf == ref)
        if not is_array:
            return False
        array = self.arrays.get(ref.index)
        if leaf is array:
            return True
        if leaf is self.elsewhere.get(ref.index):
            self.arriving[ref.index] = leaf
            return True
        shape = self.shapes[ref.index]
        if self.library.describe(leaf) != shape:
            return False
        if ref.index in self.program.parts:
            self.arriving[ref.index] = leaf
            return True
        if ref.index in self.owned and array is not None:
            self.library.store(array, leaf)
            return True
        if ref.index in self.owned:
            leaf = self.library.copy(leaf).reshape(shape.shape)
        self.arrays[ref.index] = leaf
        self.calls = []
        return True

    def _settle(self) -> None:
        """Copy joined parameters to their places, if those that come do not lie there.

        They come from elsewhere where batches of two sizes take turns.
        """
        arriving, self.arriving = self.arriving, {}
        if self.calls and self._lie_elsewhere(arriving):
            for index, leaf in arriving.items():
                self.library.store(self.arrays[index], leaf)
        else:
            self.arrays |= arriving
            self.calls = []

    def _lie_elsewhere(self, arriving: dict[int, Array]) -> bool:
        """Whether no array shares memory with the joined ones; looked at once for each."""
        new = [leaf for i, leaf in arriving.items() if leaf is not self.elsewhere.get(i)]
        places = [self.arrays[i] for i in self.program.parts if i in self.arrays]
        if any(self.library.shares(leaf, place) for leaf in new for place in places):
            return False
        self.elsewhere |= arriving
        return True

    def _bind(self) -> bool:
        """Bind the program to the inputs; False if it would overwrite one array twice."""
        inputs = [self.arrays[index] for index in range(len(self.arrays))]
        if len(set(map(id, inputs))) < len(inputs):
            return False
        try:
            self.bound = bound = self.program.bind(inputs)
        except UnrecordableError:
            self.is_bindable = False
            return False
        self.elsewhere = {}  # as seen from the places before
        self.calls, self.tries = bound.calls, self.tries + 1
        if self.tries <= TRIES:
            self.ways = self.library.condensed(bound.calls, bound.fused)
        for new, old in self.homes.items():
            self.arrays[old] = bound.outputs[new]
        self.fixed = {
            key: mapped(lambda ref: bound.outputs[ref.index], tree)
            for key, tree in self.result.items()
            if key not in self.numbers
        }
        return True

    def replay(self) -> dict[str, Any]:
        """Run the program on the inputs it has taken."""
        assert self.bound is not None  # as it has taken inputs
        if self.ways:
            replaced = [self.arrays[old] for old in self.homes.values()]
            self.calls = run_first(self.library, self.ways, replaced, self.bound)
            self.ways = ()
        else:
            run_all(self.calls)
        new = dict(self.fixed)
        for key in self.numbers:
            new[key] = self.library.copy(self.bound.outputs[self.result[key].index])
        self.given = dict(new)  # the same numbers stand where the next run reads them
        return new


def leaves(tree: Any) -> Iterator[Any]:
    """Give what containers hold, in the order of their places and keys."""
    if isinstance(tree, dict):
        for key in sorted(tree):
            yield from leaves(tree[key])
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from leaves(part)
    else:
        yield tree


def _listed(tree: Any) -> Any:
    """Give a reference as it is, and of containers what they hold."""
    return tree if isinstance(tree, Ref) else list(leaves(tree))


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Give containers of the same structure that hold a function of what these hold."""
    if isinstance(tree, dict):
        return {key: mapped(function, part) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(mapped(function, part) for part in tree)
    return function(tree)


def _nothing(leaf: Any) -> None:
    return None


def _ref(leaf: Any) -> Any:
    return Ref(leaf.index) if isinstance(leaf, Value) else leaf
