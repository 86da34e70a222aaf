"""ONNX: the core's operations recorded by ndonnx, for a file that any ONNX runtime computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ndonnx
import numpy as np
import onnx
from ndonnx import extensions
from spox.opset.ai.onnx import v21 as operators

from bpnet.backend.graph import Graph
from bpnet.common.version import __version__


class Recording:
    """The namespace of ndonnx, with a matrix product that is one operator.

    That of ndonnx is a condition on the sizes with the product in a branch, for products over
    no columns, whose result has no known width.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(ndonnx, name)

    @staticmethod
    def matmul(a: Any, b: Any) -> Any:
        """Record a matrix product."""
        return ndonnx.asarray(operators.matmul(a.unwrap_spox(), b.unwrap_spox()))


class OnnxGraph(Graph):
    """A graph whose arrays are ndonnx's, which implement the standard by ONNX operators.

    Files are in the opset that ndonnx writes, 21 (ONNX 1.16, 2024), which ONNX Runtime reads
    from 1.18 on. An older one would need a conversion of what ndonnx writes.
    """

    xp = Recording()

    def __init__(self) -> None:
        self._arguments: dict[str, Any] = {}

    def argument(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        """Return a new input with a first dimension "batch"."""
        kind = ndonnx.utf8 if dtype == "str" else getattr(ndonnx, dtype)
        self._arguments[name] = ndonnx.argument(shape=("batch", *shape), dtype=kind)
        return self._arguments[name]

    def constant(self, host_array: Any) -> Any:
        """Return an array of the same values."""
        return ndonnx.asarray(np.asarray(host_array))

    def looked_up(self, array: Any, table: Mapping[Any, int]) -> Any:
        """Look elements up by ONNX's LabelEncoder."""
        return extensions.static_map(array, dict(table), default=0)

    def encode(self, outputs: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
        """Return the model as bytes."""
        if both := self._arguments.keys() & outputs.keys():
            raise ValueError(
                f"inputs and outputs of an ONNX file must have different names; rename the "
                f"column {min(both)!r}, which is the name of an output"
            )
        model = ndonnx.build(self._arguments, dict(outputs))
        model.producer_name, model.producer_version = "bpnet", __version__
        del model.metadata_props[:]  # what ndonnx needs to call it as a function
        onnx.helper.set_model_props(model, dict(metadata))
        return bytes(model.SerializeToString(deterministic=True))
