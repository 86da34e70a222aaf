"""How bpnet meets an array library: what a backend is, and how one is found and used.

`base` is the protocol, `registry` finds and chooses backends, `transfer` moves arrays between
them, `precision` and `memory` say what products and allocations may do. `compat`, `special`
and `typing` are what the numerical core needs beside a namespace.
"""

from bpnet.backend.base import Backend, BackendInfo, Function
from bpnet.backend.precision import matmul_precision
from bpnet.backend.registry import available_backends, get_backend, use_backend

__all__ = [
    "Backend",
    "BackendInfo",
    "Function",
    "available_backends",
    "get_backend",
    "matmul_precision",
    "use_backend",
]
