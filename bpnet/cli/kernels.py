"""Whether the OpenBLAS of NumPy runs the kernels that are fastest on this CPU."""

from __future__ import annotations

import numpy as np

# OpenBLAS' names of its kernels for AVX2, and NumPy's names of AVX-512 before and since 2.4.
_AVX2 = {"Haswell", "Zen"}
_AVX512 = {"AVX512_SKX", "X86_V4"}


def slow_kernels() -> str:
    """Return what to do if products do not use the CPU's AVX-512; "" if they do."""
    from threadpoolctl import threadpool_info

    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    chosen = {
        library.get("architecture")
        for library in threadpool_info()
        if library["internal_api"] == "openblas" and "numpy" in library["filepath"]
    }
    if not (_AVX512 & {*simd.get("baseline", ()), *simd.get("found", ())} and _AVX2 & chosen):
        return ""
    return (
        "NumPy's OpenBLAS does not use this CPU's AVX-512: set OPENBLAS_CORETYPE=SkylakeX "
        "before Python starts, and its products may take half of the time"
    )
