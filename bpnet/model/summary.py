"""The layer table of ``Network.summary``."""

from __future__ import annotations

import math

from bpnet.common.tables import align
from bpnet.layers import Layer
from bpnet.model.model import Model


def summary(network: Model) -> str:
    """Return the table of layers of a network, built or not."""
    rows = [("layer", "output", "parameters")]
    n = network.n_inputs or 0
    for number, layer in enumerate(network.layers):
        n = _width(layer, n)
        rows.append((f"{number + 1}  {layer!r}", f"(m, {n or '?'})", _sizes(network, number)))
    backend = network.backend.spec if network.is_built else "no backend yet"
    count = f"{network.n_parameters:,}" if network.is_built else "unknown number of"
    return "\n".join(
        [
            *align(rows),
            f"loss {network.loss.name}, {network.dtype} on {backend}, {count} parameters",
        ]
    )


def _width(layer: Layer, n_inputs: int) -> int:
    """Return the width of the output; 0 if it depends on a width of the input not known yet."""
    try:
        return layer.n_outputs(n_inputs)
    except ValueError:
        if n_inputs:
            raise
        return 0


def _sizes(network: Model, number: int) -> str:
    if not network.is_built:
        return "not built"
    parameters = network.placement.parameters[number]
    count = sum(math.prod(p.shape) for p in parameters.values())
    shapes = ", ".join(f"{name} {tuple(p.shape)}" for name, p in parameters.items())
    return f"{count:<6,} {shapes}".rstrip()
