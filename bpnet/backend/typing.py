"""Type aliases of the numerical core."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

# NumPy, CuPy, PyTorch and JAX have no common static array type.
Array: TypeAlias = Any
Namespace: TypeAlias = Any

LayerParameters: TypeAlias = dict[str, Array]
Parameters: TypeAlias = list[LayerParameters]

DTypeName: TypeAlias = Literal["float32", "float64"]
