"""JAX: a training step is one compiled XLA program on a CPU, GPU or TPU."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as xp
import numpy as np
from jax import lax
from jax.sharding import Mesh, SingleDeviceSharding

from bpnet.backend import Backend, Function
from bpnet.backend.float_errors import without_float_errors
from bpnet.backend.precision import wanted_precision
from bpnet.errors import NoDeviceError

from ._numpy_copy import first_and_sum, snapshot

# JAX's names for the precisions of products.
_FORMATS = {"highest": "highest", "high": "tensorfloat32", "medium": "bfloat16"}

# What a program may have set against faults in its own code, and a context without it. bpnet
# broadcasts, promotes and transfers on purpose, and finds NaNs itself.
_CHECKS: dict[str, tuple[Set[Any], Callable[[], AbstractContextManager[Any]]]] = {
    "jax_numpy_rank_promotion": ({"allow"}, lambda: jax.numpy_rank_promotion("allow")),
    "jax_numpy_dtype_promotion": ({"standard"}, lambda: jax.numpy_dtype_promotion("standard")),
    "jax_debug_nans": ({False}, lambda: jax.debug_nans(False)),
    "jax_debug_infs": ({False}, lambda: jax.debug_infs(False)),
} | {
    f"jax_transfer_guard_{way}": (
        {None, "allow", "log", "log_explicit"},
        lambda: jax.transfer_guard("allow"),
    )
    for way in ("host_to_device", "device_to_device", "device_to_host")
}

# The context without a mesh: bpnet computes on one device, whatever `jax.set_mesh` has set.
_NO_MESH = Mesh(np.empty((), dtype=object), ())


class JaxBackend(Backend):
    """Arrays are `jax.Array`; devices are platform and number: "cpu:0", "gpu:0", "tpu:0"."""

    name = "jax"
    xp = xp
    immutable = True

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the devices of all platforms, JAX's default platform first."""
        try:
            found = list(jax.devices())
        except RuntimeError as error:
            raise NoDeviceError(f"JAX is installed, but found no device: {error}") from error
        if found[0].platform != "cpu":
            with contextlib.suppress(RuntimeError):  # the CPU platform may be disabled
                found += jax.devices("cpu")
        return tuple(f"{device.platform}:{device.id}" for device in found)

    @classmethod
    def canonical_device(cls, device: str) -> str:
        """Map "cuda" to JAX's "gpu", and a platform without a number to its first device."""
        device = device.replace("cuda", "gpu")
        return device if ":" in device else f"{device}:0"

    @classmethod
    def version(cls) -> str:
        """Return the version of JAX."""
        return str(jax.__version__)

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Return the device of an array; TypeError if it is spread over several."""
        device, *others = array.devices()
        if others:
            raise TypeError(
                f"it is spread over {1 + len(others)} devices; move it to one, as by "
                f"jax.device_put(array, jax.devices()[0])"
            )
        return f"{device.platform}:{device.id}"

    @contextlib.contextmanager
    def activate(self) -> Iterator[None]:
        """Enable 64-bit types, set the precision of products, and set aside JAX's checks."""
        _check_process()
        with (
            _without_checks(),
            jax.enable_x64(True),
            jax.default_matmul_precision(_FORMATS[wanted_precision()]),
            jax.default_device(self._jax_device),
            without_float_errors(),
        ):
            yield

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Copy an array to the device, unless it is there already."""
        _check_process()
        if isinstance(host_array, jax.Array):
            if self._is_there(host_array, dtype):
                return host_array
            with self.activate():
                return jax.device_put(xp.asarray(host_array, dtype), self._jax_device)
        with _without_checks(), jax.enable_x64(True):
            # a copy, as JAX may alias the memory or read it later
            return jax.device_put(np.array(host_array, dtype), self._jax_device)

    def refresh(self, host_arrays: dict[str, Any]) -> dict[str, Any]:
        """Copy arrays to the device by one compiled program: 30 us instead of 90 each."""
        return self._copy(host_arrays)  # type: ignore[no-any-return]

    def to_numpy(self, array: Any) -> Any:
        """Copy the array to the host; dtypes that NumPy lacks become one that holds them."""
        with _without_checks():
            host = np.array(array)  # np.asarray would be read-only
        if host.dtype.isbuiltin == 1:
            return host
        is_float = xp.issubdtype(host.dtype, xp.floating)  # bfloat16, else int4
        return host.astype(np.float32 if is_float else np.int8)

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Jit the step, and donate the state's buffers."""
        return CompiledStep(functools.partial(step, self.xp))

    def compile_pure(self, function: Function) -> Function:
        """Jit the function."""
        return jax.jit(function)  # type: ignore[no-any-return]

    def snapshot(self, arrays: Sequence[Any], memory: Any | None = None) -> tuple[Any, Any]:
        """Copy in two threads on a CPU; else jit the copy, and donate the memory."""
        if self._is_cpu:
            return snapshot([np.asarray(array) for array in arrays], memory)
        if memory is None:
            memory = xp.empty(sum(array.size for array in arrays), arrays[0].dtype)
            memory = jax.device_put(memory, self._jax_device)
        return _snapshot(list(arrays), memory)  # type: ignore[no-any-return]

    def first_and_sum(self, arrays: Sequence[Any]) -> Any:
        """Sum what is on a CPU as it is; else jit the sum."""
        if self._is_cpu:  # compiling takes longer
            return first_and_sum([np.asarray(array) for array in arrays])
        return self._jitted_sum(list(arrays))

    def padded_rows(self, m: int) -> int:
        """Return the next power of two: compiling takes a hundred times as long as running."""
        return 1 << (m - 1).bit_length()

    def fits(self, nbytes: int) -> bool:
        """Leave half of the free memory to activations and temporaries, if JAX reports it."""
        statistics = self._jax_device.memory_stats()
        if not statistics:
            return True
        return bool(nbytes <= (statistics["bytes_limit"] - statistics["bytes_in_use"]) // 2)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Recognize XLA's error by its message."""
        words = ("RESOURCE_EXHAUSTED", "Out of memory")  # the latter from a queued step
        return isinstance(error, MemoryError) or any(word in str(error) for word in words)

    def synchronize(self) -> None:
        """Wait for the device, which runs its work in order."""
        self.asarray(0.0, "float32").block_until_ready()

    def _is_there(self, array: jax.Array, dtype: str | None) -> bool:
        """Whether an array is committed to the device; an uncommitted one would recompile."""
        return (
            array.committed
            and array.devices() == {self._jax_device}
            and dtype in (None, array.dtype.name)
        )

    @property
    def _is_cpu(self) -> bool:
        """Whether NumPy can read the arrays where they are."""
        return bool(self._jax_device.platform == "cpu")

    @functools.cached_property
    def _copy(self) -> Callable[[Any], Any]:
        place = SingleDeviceSharding(self._jax_device)
        copy = functools.partial(jax.tree.map, xp.copy)
        return jax.jit(copy, out_shardings=place)  # type: ignore[no-any-return]

    @functools.cached_property
    def _jitted_sum(self) -> Callable[[Any], Any]:
        return jax.jit(super().first_and_sum)  # type: ignore[no-any-return]

    @functools.cached_property
    def _jax_device(self) -> Any:
        platform, _, index = self.device.partition(":")
        return next(d for d in jax.devices(platform) if d.id == int(index))


@functools.cache
def _first_process() -> int:
    """Return the process that has first computed, in which JAX has its threads."""
    return os.getpid()


def _check_process() -> None:
    """Refuse to compute in a process forked after JAX was used, where it would hang."""
    if os.getpid() != _first_process():
        raise NoDeviceError(
            "JAX waits for ever in a process that was forked after its parent had used JAX, as "
            "its threads are not there; start processes with "
            "multiprocessing.get_context('spawn'), or use another backend in them"
        )


@functools.partial(jax.jit, donate_argnums=1)
def _snapshot(arrays: list[Any], memory: Any) -> tuple[Any, Any]:
    """Copy arrays one by one: XLA concatenates 30 million floats in 0.11 s instead of 0.015."""
    start = 0
    for array in arrays:
        memory = lax.dynamic_update_slice(memory, xp.ravel(array), (start,))
        start += array.size
    return xp.stack([arrays[0], xp.sum(memory)]), memory


class CompiledStep:
    """A jitted ``step(state, data) -> state``, and runs of several steps in one program.

    Both are compiled when first called. The state's buffers are donated.
    """

    def __init__(self, step: Callable[[Any, Any], Any]) -> None:
        def run(state: Any, data: Any, count: Any) -> Any:
            return lax.fori_loop(0, count, lambda _, state: step(state, data), state)

        self._step = jax.jit(step, donate_argnums=0)
        self._run = jax.jit(run, donate_argnums=0)
        self._are_sorted: bool | None = None  # the names in the state

    def __call__(self, state: Any, data: Any) -> Any:
        """Queue one step."""
        return self._in_order(state, self._step(state, data))

    def wait(self, state: Any) -> None:
        """Wait for the steps that give this state."""
        jax.tree.leaves(state)[-1].block_until_ready()  # all of them, but one is faster

    def run(self, state: Any, data: Any, count: int) -> Any:
        """Queue `count` steps."""
        return self._in_order(state, self._run(state, data, count))

    def _in_order(self, before: Any, after: Any) -> Any:
        """Return the new state, whose parts have their names in the order of before.

        JAX sorts them. Mostly they are sorted, which need be found out only once.
        """
        if self._are_sorted:
            return after
        parts = {key: _named_like(before[key], part) for key, part in after.items()}
        self._are_sorted = all(after[key] is part for key, part in parts.items())
        return parts


def _named_like(before: Any, after: Any) -> Any:
    """Return nested containers with their names in the same order; themselves if they are."""
    if isinstance(before, dict):
        parts = {name: _named_like(before[name], after[name]) for name in before}
        is_same = list(after) == list(parts) and all(after[k] is p for k, p in parts.items())
        return after if is_same else parts
    if isinstance(before, list | tuple):
        listed = [_named_like(b, a) for b, a in zip(before, after, strict=True)]
        is_same = all(a is part for a, part in zip(after, listed, strict=True))
        return after if is_same else type(before)(listed)
    return after


def _without_checks() -> AbstractContextManager[Any]:
    """Return a context without the checks and the mesh of the program; a no-op without any."""
    needed = [
        context
        for name, (harmless, context) in _CHECKS.items()
        if getattr(jax.config, name) not in harmless
    ]
    if not jax.sharding.get_abstract_mesh().empty:
        needed.append(lambda: jax.set_mesh(_NO_MESH))
    return _all_of(needed) if needed else contextlib.nullcontext()


@contextlib.contextmanager
def _all_of(contexts: list[Callable[[], AbstractContextManager[Any]]]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context())
        yield
