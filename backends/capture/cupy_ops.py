"""CuPy operations for tracing and replaying.

Launching a small kernel takes longer than running it. So each elementwise group becomes one
kernel, and launches become a CUDA graph, which is launched as a whole. CuPy refuses to call
cuBLAS during graph capture (its issue 6290): nvmath-python can, and where it is not installed,
matrix products run between graphs.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cupy

from .._cupy_namespace import in_rows
from .kernel_fusion import PREAMBLE
from .ops import (
    ELEMENTWISE,
    ArrayOps,
    Call,
    Candidate,
    Kernel,
    MakeKernel,
    Operation,
    both,
    joined,
    keep_alive,
    run_all,
)

_log = logging.getLogger(__name__)

# Names in the standard that older CuPy versions lack.
_RENAMED = {
    "bitwise_invert": "invert", "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift",
}  # fmt: skip
_UFUNCS = {name: getattr(cupy, _RENAMED.get(name, name)) for name in ELEMENTWISE}


class Product(partial[Any]):
    """A call of CuPy's matrix product."""


class CupyOps(ArrayOps):
    """The interface to CuPy."""

    elementwise = frozenset({*_UFUNCS, "astype", "clip", "where"})
    block_size = 2**62  # blocks do not pay on a GPU
    copy_limit = 2**22  # graphs have fixed addresses: copy each epoch's new data, not data sets

    def is_array(self, value: Any) -> bool:
        """Whether a value is an array on a GPU."""
        return isinstance(value, cupy.ndarray)

    def may_share_memory(self, a: Any, b: Any) -> bool:
        """Whether two arrays may share memory."""
        return bool(cupy.may_share_memory(a, b))

    def empty(self, size: int, dtype: Any, like: Any) -> Any:
        """Return a new one-dimensional array."""
        return cupy.empty(size, dtype)

    def store(self, out: Any, array: Any) -> None:
        """Copy an array into another."""
        cupy.copyto(out, array)

    def copy(self, array: Any) -> Any:
        """Return a copy of an array."""
        return array.copy()

    def placeholder(self, array: Any) -> Any:
        """Return an array of the same shape that repeats the first element without copies."""
        return cupy.broadcast_to(array[(0,) * array.ndim].copy(), array.shape)

    def bind(self, operation: Operation, arguments: Sequence[Any], out: Any) -> Call | None:
        """Return a call that writes an operation's result into `out`; None if impossible."""
        name, options = operation.name, operation.options
        if name in _UFUNCS and not options:
            return partial(_UFUNCS[name], *arguments, out=out)
        if name == "matmul":
            return Product(cupy.matmul, *arguments, out=out)
        if name in _SPECIAL:
            return _SPECIAL[name](*arguments, out=out, **options)
        return None

    def equal(self, a: Any, b: Any) -> bool:
        """Whether two arrays have the same shape, dtype and bits."""
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        kind, differ = f"uint{8 * a.dtype.itemsize}", cupy.zeros(1, bool)
        _differ(kind)(*(x.ravel().view(kind) for x in (a, b)), differ)
        return not differ.item()

    def captures(
        self, calls: Sequence[Call], with_kernels: Callable[[MakeKernel], Sequence[Call]]
    ) -> Sequence[Candidate]:
        """Capture as one graph; as graphs between products; as these without fused kernels."""
        candidates: list[Candidate] = [
            lambda: _graphs(with_kernels(_kernel)),
            lambda: _graphs(calls),
        ]
        if _cublas() is not None:
            candidates.insert(0, lambda: _graphs(self._capturable(with_kernels(_kernel))))
        return candidates

    def _capturable(self, calls: Sequence[Call]) -> list[Call]:
        """Replace CuPy's products by cuBLAS calls, and run these once to load their kernels."""
        capturable: list[Call] = []
        self.cublas = _cublas().shared()  # kept for the next capture
        for call in calls:
            product = None
            if isinstance(call, Product):
                product = self.cublas.product(*call.args, **call.keywords)
            if product is not None:
                product()
            capturable.append(product or call)
        return capturable


@functools.cache
def _cublas() -> Any:
    """Return the module that calls cuBLAS; None without nvmath-python."""
    try:
        from . import cublas
    except ImportError as error:
        _log.debug("matrix products cannot be captured: %r", error)
        return None
    return cublas


@functools.cache
def _differ(kind: str) -> Any:
    """Return a kernel that tells whether arrays differ; CuPy compiles `all` for 4 seconds."""
    return cupy.ElementwiseKernel(
        f"{kind} a, {kind} b",
        "raw bool differ",
        "if (a != b) differ[0] = true;",
        "bpnet_differ",
    )


def _kernel(kernel: Kernel, inputs: Sequence[Any], outputs: Sequence[Any]) -> Call:
    compiled = _compiled(kernel.in_params, kernel.out_params, kernel.body)
    return partial(compiled, *inputs, *kernel.numbers, *outputs)


@functools.cache
def _compiled(in_params: tuple[str, ...], out_params: tuple[str, ...], body: str) -> Any:
    return cupy.ElementwiseKernel(
        ", ".join(in_params), ", ".join(out_params), body, "bpnet_fused", preamble=PREAMBLE
    )


def _graphs(calls: Sequence[Call]) -> list[Call]:
    """Capture the calls between CuPy's products as graphs."""
    captured: list[Call] = []
    for are_products, group in itertools.groupby(calls, lambda c: isinstance(c, Product)):
        between = list(group)
        captured += between if are_products else [_graph(between)]
    return captured


def _graph(calls: Sequence[Call]) -> Call:
    """Capture calls as a graph, which keeps the memory pool they allocate from."""
    current = cupy.cuda.get_current_stream()
    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        try:
            run_all(calls)
        finally:
            graph = stream.end_capture()
    return keep_alive(partial(_launch, graph, current), pool, calls)


def _launch(graph: Any, stream: Any) -> None:
    """Launch a graph on the stream whose products share its workspace; others wait for it."""
    current = cupy.cuda.get_current_stream()
    if current == stream:
        graph.launch(stream)
        return
    stream.wait_event(current.record())
    graph.launch(stream)
    current.wait_event(stream.record())


def _astype(x: Any, dtype: Any, *, out: Any) -> Call:
    return partial(cupy.copyto, out, x, casting="unsafe")


def _where(condition: Any, a: Any, b: Any, *, out: Any) -> Call:
    return both(partial(cupy.copyto, out, b), partial(cupy.copyto, out, a, where=condition))


def _clip(x: Any, min: Any = None, max: Any = None, *, out: Any) -> Call:
    return partial(cupy.clip, x, min, max, out=out)


def _concat(*parts: Any, out: Any, axis: int | None) -> Call | None:
    return joined(cupy.copyto, parts, out, axis)


def _take(x: Any, indices: Any, *, out: Any, axis: int | None = None) -> Call:
    return partial(cupy.take, x, indices, axis=axis, out=out)


def _sum(x: Any, *, out: Any, axis: int | None = None, keepdims: bool = False) -> Call:
    if axis == 0 and not keepdims:
        x, axis = in_rows(x)
    return partial(cupy.sum, x, axis=axis, out=out, keepdims=keepdims)


def _reduction(function: Any) -> Callable[..., Call]:
    def reduce(x: Any, *, out: Any, axis: int | None = None, keepdims: bool = False) -> Call:
        return partial(function, x, axis=axis, out=out, keepdims=keepdims)

    return reduce


_SPECIAL: dict[str, Callable[..., Call | None]] = {
    "astype": _astype, "clip": _clip, "concat": _concat, "take": _take, "where": _where,
    "sum": _sum, "mean": _reduction(cupy.mean), "max": _reduction(cupy.max),
}  # fmt: skip
