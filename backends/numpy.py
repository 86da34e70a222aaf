"""NumPy: the CPU, and the default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from bpnet.backend import Backend, Function

from ._tape import Tape

# Elements of a parameter. The new arrays of fewer are still in the cache; those of more may
# come from the operating system each time, at many times the cost.
WORTH_A_TAPE = 2**14


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
        tapes: dict[tuple[Any, ...], Tape | None] = {}

        def fused(*arguments: Any) -> Any:
            p = arguments[0]
            if p.size < WORTH_A_TAPE or not p.flags.c_contiguous:  # as the slots are then too
                return rule(*arguments)
            is_array = [np.ndim(a) > 0 for a in arguments]
            key = (p.dtype, *is_array)
            if key not in tapes:
                tapes[key] = _record(rule, is_array, p.dtype)
            tape = tapes[key]
            return rule(*arguments) if tape is None else tape.run(arguments)

        return fused  # type: ignore[return-value]


def _record(rule: Function, is_array: Sequence[bool], dtype: Any) -> Tape | None:
    """Record a rule; None for one that is more than ufuncs, or whose errors are to show."""
    try:
        return Tape(rule, is_array, dtype)
    except Exception:
        return None
