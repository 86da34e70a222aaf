"""The helpers of array_api_compat that the core needs, imported when first used.

array_api_compat imports half of what `import bpnet` may cost beside NumPy.
"""

from __future__ import annotations

from typing import Any

from bpnet.backend.typing import Array, Namespace


def array_namespace(array: Array) -> Namespace:
    """Give the Array API namespace of an array; TypeError if it is none."""
    import array_api_compat

    return array_api_compat.array_namespace(array)


def device(array: Array) -> Any:
    """Give the device of an array, also of one that JAX only traces."""
    import array_api_compat

    return array_api_compat.device(array)


def is_array(value: Any) -> bool:
    """Whether a value is an array of a library that array_api_compat knows."""
    import array_api_compat

    return bool(array_api_compat.is_array_api_obj(value))
