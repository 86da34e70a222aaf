"""The interface between bpnet and array libraries.

`base` defines what a backend is, `registry` finds and selects one, `transfer` moves arrays
between backends, `precision` controls matrix products, `memory` explains failed allocations.
`compat`, `special` and `typing` complement the array namespace for the numerical core.
"""

from bpnet.backend.base import Backend, BackendInfo, Function
from bpnet.backend.registry import available_backends, get_backend, use_backend

__all__ = [
    "Backend",
    "BackendInfo",
    "Function",
    "available_backends",
    "get_backend",
    "use_backend",
]
