"""JAX: a training step becomes one compiled XLA program on a CPU, GPU or TPU."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as xp
import numpy as np

from bpnet.backend import Backend, Function
from bpnet.backend.precision import wanted_precision
from bpnet.errors import NoDeviceError

# What JAX calls the precisions of products.
_FORMATS = {"highest": "highest", "high": "tensorfloat32", "medium": "bfloat16"}


class JaxBackend(Backend):
    """Arrays are `jax.Array`; devices are platform and number: "cpu:0", "gpu:0", "tpu:0"."""

    name = "jax"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Name the devices of all platforms that JAX finds, its default platform first."""
        try:
            found = list(jax.devices())
        except RuntimeError as error:
            raise NoDeviceError(f"JAX is installed, but no device answers: {error}") from error
        if found[0].platform != "cpu":
            with contextlib.suppress(RuntimeError):  # the CPU platform can be switched off
                found += jax.devices("cpu")
        return tuple(f"{device.platform}:{device.id}" for device in found)

    @classmethod
    def canonical_device(cls, device: str) -> str:
        """Read "cuda" as JAX's "gpu", and a platform without a number as its first device."""
        device = device.replace("cuda", "gpu")
        return device if ":" in device else f"{device}:0"

    @classmethod
    def version(cls) -> str:
        """Version of JAX."""
        return str(jax.__version__)

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Name the device on which the array lives."""
        (device,) = array.devices()
        return f"{device.platform}:{device.id}"

    @contextlib.contextmanager
    def activate(self) -> Iterator[None]:
        """Allow 64-bit types; products of float32 are as exact as they are wanted."""
        with (
            jax.enable_x64(True),
            jax.default_matmul_precision(_FORMATS[wanted_precision()]),
            jax.default_device(self._jax_device),
        ):
            yield

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Copy an array to the device, unless it is there."""
        if isinstance(host_array, jax.Array):
            if self._is_there(host_array, dtype):
                return host_array
            with self.activate():
                return jax.device_put(xp.asarray(host_array, dtype), self._jax_device)
        with jax.enable_x64(True):  # a copy, as JAX may take over the memory, or read it later
            return jax.device_put(np.array(host_array, dtype), self._jax_device)

    def to_numpy(self, array: Any) -> Any:
        """Copy the array to the host."""
        return np.array(array)  # as np.asarray gives one that cannot be written to

    def compile(self, step: Callable[..., Any], own: bool = True) -> Callable[..., Any]:
        """Jit the step; the state it consumes gives its memory to the next one."""
        step = functools.partial(step, self.xp)
        return jax.jit(step, donate_argnums=0)  # type: ignore[no-any-return]

    def compile_pure(self, function: Function) -> Function:
        """Jit the function."""
        return jax.jit(function)  # type: ignore[no-any-return]

    def fits(self, nbytes: int) -> bool:
        """Leave half of the free memory to activations and temporaries, where JAX knows it."""
        statistics = self._jax_device.memory_stats()
        if not statistics:
            return True
        return bool(nbytes <= (statistics["bytes_limit"] - statistics["bytes_in_use"]) // 2)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Know XLA's error by its words."""
        words = (
            "RESOURCE_EXHAUSTED",
            "Out of memory",
        )  # the first, or in a queued step the last
        return isinstance(error, MemoryError) or any(word in str(error) for word in words)

    def synchronize(self) -> None:
        """Wait until the device has finished; JAX runs the work of one device in order."""
        self.asarray(0.0, "float32").block_until_ready()

    def _is_there(self, array: jax.Array, dtype: str | None) -> bool:
        """Whether an array is bound to the device; one that is not is compiled for anew."""
        return (
            array.committed
            and array.devices() == {self._jax_device}
            and dtype in (None, array.dtype.name)
        )

    @functools.cached_property
    def _jax_device(self) -> Any:
        platform, _, index = self.device.partition(":")
        return next(d for d in jax.devices(platform) if d.id == int(index))
