"""NumPy: the CPU, and the default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from bpnet.backend import Backend, Function

from ._tape import BLOCK, Tape


class NumpyBackend(Backend):
    """Arrays are `numpy.ndarray`; products run on the threads of NumPy's BLAS."""

    name = "numpy"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Name the one device, the CPU."""
        return ("cpu",)

    @classmethod
    def version(cls) -> str:
        """Version of NumPy."""
        return np.__version__

    @classmethod
    def device_of(cls, array: Any) -> str:
        """Name the one device, the CPU."""
        return "cpu"

    def asarray(self, host_array: Any, dtype: str | None = None) -> Any:
        """Give the array in C order; copied only if the dtype or the order asks for it."""
        return np.asarray(host_array, dtype, order="C")

    def to_numpy(self, array: Any) -> Any:
        """Give the array itself."""
        return np.asarray(array)

    def fuse(self, rule: Function) -> Function:
        """Record the rule once, and replay it in place on blocks that fit the cache."""
        tapes: dict[tuple[Any, ...], tuple[Tape, dict[int, Any]] | None] = {}

        def fused(*arguments: Any) -> Any:
            p = arguments[0]
            if p.size <= BLOCK:  # new arrays come from the cache as fast as buffers do
                return rule(*arguments)
            key = (p.dtype, *(np.ndim(a) > 0 for a in arguments))
            if key not in tapes:
                tapes[key] = _record(rule, key[1:], p.dtype)
            recorded = tapes[key]
            if recorded is None:
                return rule(*arguments)
            tape, buffers = recorded
            tape.run(arguments, buffers)
            return [arguments[home] for home in tape.homes]

        return fused  # type: ignore[return-value]


def _record(
    rule: Function, is_array: Sequence[bool], dtype: Any
) -> tuple[Tape, dict[int, Any]] | None:
    """Record a rule; None for one that is more than ufuncs, which then runs as it is."""
    try:
        tape = Tape(rule, is_array)
    except TypeError:
        return None
    return tape, {value: np.empty(BLOCK, dtype) for value in tape.buffers}
