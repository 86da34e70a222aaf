"""NumPy: the CPU, and the default."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from bpnet.backend import Backend, Function

# Elements of one block of an update rule: its temporaries (10 in Adam) stay in a core's cache.
BLOCK = 16_384


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
        """Run the rule block by block, so that large arrays pass through memory once."""

        def blocked(p: Any, g: Any, *rest: Any) -> Any:
            if p.size <= BLOCK:
                return rule(p, g, *rest)
            slots = [a for a in rest if np.ndim(a)]
            scalars = [a for a in rest if not np.ndim(a)]
            flat = [np.reshape(a, -1) for a in (p, *slots)]  # views: the state is C-ordered
            flat_g = np.reshape(g, -1)
            for start in range(0, p.size, BLOCK):
                block = slice(start, start + BLOCK)
                p_block, *slot_blocks = (a[block] for a in flat)
                results = rule(p_block, flat_g[block], *slot_blocks, *scalars)
                for a, result in zip(flat, results, strict=True):
                    a[block] = result
            return (p, *slots)

        return blocked  # type: ignore[return-value]
