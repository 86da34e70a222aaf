"""Steps that are traced on their first run and replayed on later ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bpnet.backend.typing import Array, Namespace

from .graph import BoundGraph, Graph
from .ops import ArrayOps, Call, Candidate, Ref, run_all
from .tracer import Trace, TracingError, TracingNamespace, as_ref
from .verify import run_first

# How often a capture is tried for a graph that is bound again to other arrays.
MAX_CAPTURES = 2
# How many traces, one for each combination of shapes, a step keeps.
MAX_TRACES = 16

_MISSING = object()


class ReplayedStep:
    """A step ``step(xp, state, data) -> state`` that is traced once and replayed.

    The arrays of the state are overwritten, and so is what a run returns by the next one: copy
    what is needed longer. A step that cannot be traced runs as written.

    Parameters
    ----------
    step : callable
        A pure function of containers of arrays. The state is a dict; the new state has the
        same structure.
    ops : ArrayOps
        The array library.
    xp : namespace
        Its Array API namespace.
    """

    def __init__(self, step: Callable[..., Any], ops: ArrayOps, xp: Namespace) -> None:
        self.step, self.ops, self.xp = step, ops, xp
        self._executables: dict[Any, Executable | None] = {}
        self._last: Executable | None = None

    def __call__(self, state: dict[str, Any], data: Any) -> dict[str, Any]:
        """Run the step."""
        if self._last is not None and self._last.load(state, data):
            return self._last.replay()
        key = tuple(self._key(leaf) for leaf in tree_leaves((state, data)))
        if key not in self._executables:
            if len(self._executables) >= MAX_TRACES:
                del self._executables[next(iter(self._executables))]
            self._executables[key] = self._trace(state, data)
        executable = self._executables[key]
        if executable is None or not executable.load(state, data):
            return self.step(self.xp, state, data)  # type: ignore[no-any-return]
        self._last = executable
        return executable.replay()

    def release(self) -> None:
        """Free all arrays held between runs."""
        self._last = None
        for executable in self._executables.values():
            if executable is not None:
                executable.release()

    def _key(self, leaf: Any) -> Any:
        return self.ops.describe(leaf) if self.ops.is_array(leaf) else leaf

    def _trace(self, state: dict[str, Any], data: Any) -> Executable | None:
        """Trace the step; return None if it does more than operations on arrays."""
        trace = Trace(self.ops, self.xp)

        def traced(leaf: Any) -> Any:
            return trace.add(leaf) if self.ops.is_array(leaf) else leaf

        try:
            inputs = tree_map(traced, (state, data))
            with self.ops.suppress_warnings():
                result = self.step(TracingNamespace(trace), *inputs)
            return Executable(trace, *tree_map(as_ref, (*inputs, result)))
        except Exception:  # errors of the step itself recur when it runs as written
            return None


class Executable:
    """A graph and the arrays on which it runs.

    Parameters
    ----------
    trace : Trace
        The operations of the step.
    state, data, result
        Its inputs and the new state, with a :class:`Ref` for each array.
    """

    def __init__(
        self, trace: Trace, state: dict[str, Any], data: Any, result: dict[str, Any]
    ) -> None:
        self.ops, self.shapes = trace.ops, trace.shapes
        self.state = {key: _flat(tree) for key, tree in state.items()}
        self.data, self.result = _flat(data), result
        before, after = list(tree_leaves(state)), list(tree_leaves(result))
        if tree_map(lambda _: None, state) != tree_map(lambda _: None, result):
            raise TracingError("the new state differs in structure from the old one")
        if len({new.index for new in after}) < len(after):
            raise TracingError("two arrays of the new state are the same array")
        donated = {new.index: old.index for old, new in zip(before, after, strict=True)}
        if any(self.shapes[new][:2] != self.shapes[old][:2] for new, old in donated.items()):
            raise TracingError("the new state differs in shapes or dtypes from the old one")
        scalars = [
            ref
            for ref in state.values()
            if isinstance(ref, Ref) and not self.shapes[ref.index].shape
        ]
        arrays = {old.index for old in before if self.shapes[old.index].shape}
        if len(arrays) + len(scalars) < len(before):
            raise TracingError("a 0-d array within a container of the state")
        inputs = [leaf.index for leaf in tree_leaves((state, data)) if isinstance(leaf, Ref)]
        self.donated = donated
        self.graph = Graph(trace, len(inputs), [new.index for new in after], donated)
        small = {i for i in inputs if self.shapes[i].size <= self.ops.copy_limit}
        self.owned = small - arrays
        self.is_bindable = True
        self.release()

    def release(self) -> None:
        """Drop all arrays."""
        self.arrays: dict[int, Array] = {}
        self.incoming: dict[int, Array] = {}
        self.disjoint: dict[int, Array] = {}
        self.last_state: dict[str, Any] = {}
        self.last_data: Any = _MISSING
        self.calls: Sequence[Call] = []
        self.bound: BoundGraph | None = None
        self.candidates: Sequence[Candidate] = ()
        self.n_captures = 0
        self.fixed_outputs: dict[str, Any] = {}

    def load(self, state: dict[str, Any], data: Any) -> bool:
        """Load the inputs of the next run; return False if the graph does not fit them."""
        fits = self.is_bindable and state.keys() == self.state.keys()
        if not fits or not self._load_all(state, data):
            self.last_state, self.last_data, self.incoming = {}, _MISSING, {}
            return False
        if self.incoming:
            self._copy_incoming()
        return len(self.calls) > 0 or self._bind()

    def _load_all(self, state: dict[str, Any], data: Any) -> bool:
        for key, value in state.items():
            if value is not self.last_state.get(key, _MISSING):
                if not self._load_tree(self.state[key], value):
                    return False
                self.last_state[key] = value
        if data is not self.last_data:
            if not self._load_tree(self.data, data):
                return False
            self.last_data = data
        return True

    def _load_tree(self, known: Any, tree: Any) -> bool:
        """Copy 0-d arrays and small arrays of the data; bind to all others."""
        if isinstance(known, Ref):
            return self._load_leaf(known, tree)
        leaves = list(tree_leaves(tree))
        return len(known) == len(leaves) and all(map(self._load_leaf, known, leaves))

    def _load_leaf(self, ref: Any, leaf: Any) -> bool:
        is_array = self.ops.is_array(leaf)
        if not isinstance(ref, Ref):
            return not is_array and bool(leaf == ref)
        if not is_array:
            return False
        array = self.arrays.get(ref.index)
        if leaf is array:
            return True
        if leaf is self.disjoint.get(ref.index):
            self.incoming[ref.index] = leaf
            return True
        shape = self.shapes[ref.index]
        if self.ops.describe(leaf) != shape:
            return False
        if ref.index in self.graph.parts:
            self.incoming[ref.index] = leaf
            return True
        if ref.index in self.owned and array is not None:
            self.ops.store(array, leaf)
            return True
        if ref.index in self.owned:
            leaf = self.ops.copy(leaf).reshape(shape.shape)
        self.arrays[ref.index] = leaf
        self.calls = []
        return True

    def _copy_incoming(self) -> None:
        """Copy incoming parameters into the fused arrays; bind again if they may overlap."""
        incoming, self.incoming = self.incoming, {}
        if self.calls and self._are_disjoint(incoming):
            for index, leaf in incoming.items():
                self.ops.store(self.arrays[index], leaf)
        else:
            self.arrays |= incoming
            self.calls = []

    def _are_disjoint(self, incoming: dict[int, Array]) -> bool:
        """Whether no array may share memory with the fused ones; checked once for each."""
        new = [leaf for i, leaf in incoming.items() if leaf is not self.disjoint.get(i)]
        parts = [self.arrays[i] for i in self.graph.parts if i in self.arrays]
        if any(self.ops.may_share_memory(leaf, part) for leaf in new for part in parts):
            return False
        self.disjoint |= incoming
        return True

    def _bind(self) -> bool:
        """Bind the graph to the inputs; return False if it would overwrite one of them."""
        inputs = [self.arrays[index] for index in range(len(self.arrays))]
        if len(set(map(id, inputs))) < len(inputs) or self._overwrites_another(inputs):
            return False
        try:
            self.bound = bound = self.graph.bind(inputs)
        except TracingError:
            self.is_bindable = False
            return False
        self.disjoint = {}  # was relative to the previous fused arrays
        self.calls, self.n_captures = bound.calls, self.n_captures + 1
        if self.n_captures <= MAX_CAPTURES:
            self.candidates = self.ops.captures(bound.calls, bound.with_kernels)
        for new, old in self.donated.items():
            self.arrays[old] = bound.outputs[new]
        self.fixed_outputs = {
            key: tree_map(lambda ref: bound.outputs[ref.index], tree)
            for key, tree in self.result.items()
        }
        return True

    def _overwrites_another(self, inputs: Sequence[Array]) -> bool:
        """Whether a state array that is updated in place overlaps another input."""
        written = set(self.donated.values()) - self.graph.parts.keys() - self.owned
        return any(
            self.ops.may_share_memory(inputs[old], array)
            for old in written
            for index, array in enumerate(inputs)
            if index != old
        )

    def replay(self) -> dict[str, Any]:
        """Run the graph on the loaded inputs."""
        assert self.bound is not None
        if self.candidates:
            donors = [self.arrays[old] for old in self.donated.values()]
            self.calls = run_first(self.ops, self.candidates, donors, self.bound)
            self.candidates = ()
        else:
            run_all(self.calls)
        self.last_state = dict(self.fixed_outputs)  # if passed back, these need not be loaded
        return dict(self.fixed_outputs)


def tree_leaves(tree: Any) -> Iterator[Any]:
    """Yield the leaves of nested containers, those of dicts in the order of their keys."""
    if isinstance(tree, dict):
        for key in sorted(tree):
            yield from tree_leaves(tree[key])
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from tree_leaves(part)
    else:
        yield tree


def _flat(tree: Any) -> Any:
    """Return a reference unchanged, and containers as a list of leaves."""
    return tree if isinstance(tree, Ref) else list(tree_leaves(tree))


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to each leaf of nested containers."""
    if isinstance(tree, dict):
        return {key: tree_map(function, part) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(tree_map(function, part) for part in tree)
    return function(tree)
