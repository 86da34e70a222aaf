"""ONNX files: what a model predicts, as a graph that other programs compute.

There is no second forward pass: the layers' own runs on a :class:`bpnet.backend.graph.Graph`,
whose arrays record the operations.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from bpnet import inference
from bpnet.backend.graph import Graph, new_graph
from bpnet.backend.transfer import to_host
from bpnet.backend.typing import Array, Parameters
from bpnet.backprop import ModelSpec
from bpnet.common.component import is_own, nested
from bpnet.common.version import __version__
from bpnet.errors import ComponentError
from bpnet.model.model import Model
from bpnet.serialization import safetensors_file


def onnx_graph() -> Graph:
    """Return an empty graph; ImportError if a library that writes ONNX files is missing."""
    return new_graph("onnx")


def outputs_of(graph: Graph, model: Model) -> dict[str, Array]:
    """Record what a network predicts from a new input "X"."""
    parameters = model.placement.parameters
    assert model.n_inputs is not None
    X = graph.argument("X", (model.n_inputs,), model.dtype)
    z = logits_of(graph, model, parameters, X)
    predicted = inference.predictions_of(graph.xp, model.loss, z)
    if not model.is_classifier:
        return {"prediction": predicted}
    p = inference.probabilities_of(graph.xp, model.loss, z)
    return {"label": predicted, "probabilities": p}


def logits_of(graph: Graph, model: Model, parameters: Parameters, X: Array) -> Array:
    """Record the forward pass of a model with these parameters of all layers.

    Raises
    ------
    ComponentError
        If a layer or the loss of the user's own needs what ONNX, or a graph, does not have.
    """
    constants = [
        {name: graph.constant(to_host(p)) for name, p in layer.items()} for layer in parameters
    ]
    # Without the checks of what components return, as these arrays have no number of rows.
    spec = ModelSpec(model.layers, model.loss)
    try:
        return inference.logits(graph.xp, spec, constants, X)
    except Exception as error:
        foreign = [part for part in model.layers if not all(map(is_own, nested(part)))]
        if not foreign:
            raise
        raise ComponentError(
            f"{foreign[0]!r} cannot be written to an ONNX file, where the number of rows is "
            f"unknown (shape[0] is None) and the functions are those of the array API "
            f"standard: {error}"
        ) from error


def write(
    path: str | os.PathLike[str],
    graph: Graph,
    outputs: Mapping[str, Array],
    described: Mapping[str, Any],
) -> None:
    """Write the outputs of a graph and a description, JSON-serializable, atomically."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in described.items()
        if value is not None
    }
    content = graph.encode(outputs, {"bpnet": __version__} | texts)
    safetensors_file.write(path, (content,))
