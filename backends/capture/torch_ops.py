"""PyTorch operations for tracing and replaying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from .ops import (
    ELEMENTWISE,
    ArrayOps,
    Call,
    Candidate,
    Operation,
    Shape,
    both,
    joined,
    keep_alive,
    run_all,
)

# Names in the standard that differ from torch's.
_RENAMED = {"bitwise_invert": "bitwise_not", "equal": "eq", "not_equal": "ne"}
_ELEMENTWISE = {
    name: getattr(torch, _RENAMED.get(name, name)) for name in (*ELEMENTWISE, "pow")
}
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# Parameters of torch.clamp for a bound that is a number.
_BOUNDS = {"maximum": "min", "minimum": "max"}


class TorchOps(ArrayOps):
    """The interface to PyTorch on one device."""

    elementwise = frozenset({*_ELEMENTWISE, "astype", "clip", "where"})

    def __init__(self, device: str) -> None:
        self._device = device
        # On a CPU torch assigns 2**15 elements to each thread; measured with SGD and Adam on
        # 0.4 million float32. On a GPU blocks do not pay, as calls cost more.
        self.block_size = 2**17 if device == "cpu" else 2**62
        # A CUDA graph has fixed addresses, so on a GPU data that is new in each epoch is
        # copied, but not the whole data set.
        self.copy_limit = 2**14 if device == "cpu" else 2**22

    def is_array(self, value: Any) -> bool:
        """Whether a value is a tensor."""
        return isinstance(value, torch.Tensor)

    def describe(self, array: Any) -> Shape:
        """Return shape, dtype and memory order."""
        return Shape(tuple(array.shape), array.dtype, array.is_contiguous())

    def may_share_memory(self, a: Any, b: Any) -> bool:
        """Whether two tensors lie in overlapping ranges of memory."""
        start_a, stop_a = _range_of(a)
        start_b, stop_b = _range_of(b)
        return start_a < stop_b and start_b < stop_a

    def empty(self, size: int, dtype: Any, like: Any) -> Any:
        """Return a new one-dimensional tensor."""
        return torch.empty(size, dtype=dtype, device=like.device)

    def fill_zeros(self, array: Any) -> None:
        """Set a tensor to zeros."""
        array.zero_()

    def store(self, out: Any, array: Any) -> None:
        """Copy a tensor into another."""
        out.copy_(array)

    def copy(self, array: Any) -> Any:
        """Return a copy of a tensor."""
        return array.clone()

    def placeholder(self, array: Any) -> Any:
        """Return a tensor of the same shape that repeats the first element without copies."""
        return array[(0,) * array.ndim].clone().expand(array.shape)

    def bits(self, array: Any) -> Any:
        """Return a view of a tensor as integers."""
        return array.view(_INTEGERS[array.element_size()])

    def captures(self, calls: Sequence[Call], with_kernels: Any) -> Sequence[Candidate]:
        """Capture the calls as one CUDA graph on a GPU."""
        return [partial(self._graph, calls)] if self._device.startswith("cuda") else ()

    def _graph(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Capture calls on a separate stream.

        `torch.cuda.graph` leaves its stream current after a failure, and has one stream for
        all GPUs.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                graph.capture_begin(capture_error_mode="thread_local")
                try:
                    run_all(calls)
                finally:
                    graph.capture_end()
        return [keep_alive(graph.replay, calls)]

    def bind(self, operation: Operation, arguments: Sequence[Any], out: Any) -> Call | None:
        """Return a call that writes an operation's result into `out`; None if impossible."""
        name, options = operation.name, operation.options
        if name in _ELEMENTWISE and not options:
            return self._elementwise(name, *arguments, out=out)
        if name == "matmul":
            return partial(torch.matmul, *arguments, out=out)
        if name in _SPECIAL:
            return _SPECIAL[name](*arguments, out=out, **options)
        return None

    def _elementwise(self, name: str, *arguments: Any, out: Any) -> Call:
        """Return a call that treats a number on the left as torch's operators do."""
        function = _ELEMENTWISE[name]
        first, *others = arguments
        if name in _BOUNDS and isinstance(others[0], int | float):
            return partial(torch.clamp, first, out=out, **{_BOUNDS[name]: others[0]})
        if isinstance(first, torch.Tensor):
            return partial(function, first, *(_tensor(name, a, first) for a in others), out=out)
        (x,) = others
        if name in ("add", "multiply"):
            return partial(function, x, _tensor(name, first, x), out=out)
        if name == "divide":
            number = _tensor(name, first, x)
            return both(
                partial(torch.reciprocal, x, out=out), partial(torch.mul, out, number, out=out)
            )
        return partial(function, torch.tensor(first, dtype=x.dtype), x, out=out)


# Number types that give the same bits when passed as a tensor of this dtype.
_KEPT: dict[Any, tuple[type, ...]] = {
    torch.float32: (int, float), torch.float64: (int, float),
    torch.int32: (int,), torch.int64: (int,),
}  # fmt: skip


def _tensor(name: str, number: Any, beside: Any) -> Any:
    """Return a number as the tensor that torch would make of it in each call, in 1.5 us.

    Powers depend on the number itself, and GPU kernels take it directly.
    """
    if name == "pow" or not beside.is_cpu or type(number) not in _KEPT.get(beside.dtype, ()):
        return number
    return torch.tensor(number, dtype=beside.dtype)


def _range_of(x: Any) -> tuple[int, int]:
    """Return the addresses where a tensor begins and ends."""
    start = x.data_ptr()
    if not x.numel():
        return start, start
    steps = sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    return start, start + (steps + 1) * x.element_size()


def _astype(x: Any, dtype: Any, *, out: Any) -> Call:
    return partial(out.copy_, x)


def _concat(*parts: Any, out: Any, axis: int | None) -> Call | None:
    return joined(torch.Tensor.copy_, parts, out, axis)


def _take(x: Any, indices: Any, *, out: Any, axis: int = 0) -> Call:
    return partial(torch.index_select, x, axis, indices, out=out)


def _where(condition: Any, a: Any, b: Any, *, out: Any) -> Call:
    return partial(torch.where, condition, a, b, out=out)


def _clip(x: Any, min: Any = None, max: Any = None, *, out: Any) -> Call:
    return partial(torch.clamp, x, min, max, out=out)


def _reduction(function: Any) -> Callable[..., Call]:
    def reduce(x: Any, *, out: Any, axis: int | None = None, keepdims: bool = False) -> Call:
        axes = range(x.ndim) if axis is None else (axis,)
        return partial(function, x, tuple(axes), keepdims, out=out)

    return reduce


_SPECIAL: dict[str, Callable[..., Call | None]] = {
    "astype": _astype, "clip": _clip, "concat": _concat, "take": _take, "where": _where,
    "sum": _reduction(torch.sum), "mean": _reduction(torch.mean),
    "max": _reduction(torch.amax),
}  # fmt: skip
