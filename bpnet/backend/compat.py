"""Helpers of array_api_compat, imported on first use to keep `import bpnet` fast."""

from __future__ import annotations

from typing import Any

from bpnet.backend.typing import Array, Namespace


def array_namespace(array: Array) -> Namespace:
    """Return the Array API namespace of an array; TypeError if it is not an array."""
    import array_api_compat

    return array_api_compat.array_namespace(array)


def device(array: Array) -> Any:
    """Return the device of an array, including arrays traced by JAX."""
    import array_api_compat

    return array_api_compat.device(array)


def is_array(value: Any) -> bool:
    """Return whether a value is an array of a library known to array_api_compat."""
    import array_api_compat

    return bool(array_api_compat.is_array_api_obj(value))


def widest_float(xp: Namespace, array: Array) -> Any:
    """Return float64, or float32 on Apple's MPS, which has no other."""
    return xp.float32 if "mps" in str(device(array)) else xp.float64
