"""Whether the OpenBLAS of NumPy runs the kernels that are fastest on this CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

# OpenBLAS' names of its kernels for AVX2, and NumPy's names of AVX-512 before and since 2.4.
_AVX2 = {"Haswell", "Zen"}
_AVX512 = {"AVX512_SKX", "X86_V4"}


def blas_of_numpy() -> dict[str, Any]:
    """Return what threadpoolctl knows of the library of NumPy's products; {} if nothing."""
    from threadpoolctl import threadpool_info

    of_numpy = (i for i in threadpool_info() if "numpy" in Path(i["filepath"]).parent.name)
    return next((library for library in of_numpy if library["user_api"] == "blas"), {})


def slow_kernels() -> str:
    """Return what to do if products do not use the CPU's AVX-512; "" if they do."""
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    has_more = _AVX512 & {*simd.get("baseline", ()), *simd.get("found", ())}
    if not has_more or blas_of_numpy().get("architecture") not in _AVX2:
        return ""
    return (
        "NumPy's OpenBLAS does not use this CPU's AVX-512: set OPENBLAS_CORETYPE=SkylakeX "
        "before Python starts, and its products may take half of the time"
    )
