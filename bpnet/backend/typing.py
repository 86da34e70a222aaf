"""Names for the types that run through the numerical core."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

# The standard has no common array type that NumPy, CuPy, torch and JAX satisfy statically.
Array: TypeAlias = Any
Namespace: TypeAlias = Any

LayerParameters: TypeAlias = dict[str, Array]
Parameters: TypeAlias = list[LayerParameters]

DTypeName: TypeAlias = Literal["float32", "float64"]
