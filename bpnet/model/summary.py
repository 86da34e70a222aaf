"""The layer table of ``Network.summary``."""

from __future__ import annotations

import math

from bpnet.backend.typing import LayerParameters
from bpnet.common.tables import align, cut
from bpnet.layers import Layer, trained_parameters
from bpnet.model.model import Model

# Characters of a layer and of its parameters, which are many if it contains others.
_WIDEST = 60


def summary(network: Model) -> str:
    """Return the table of layers of a network, built or not."""
    rows = [("layer", "output", "parameters")]
    n, digits = network.n_inputs or 0, len(str(len(network.layers)))
    for number, layer in enumerate(network.layers):
        n = _width(layer, n)
        name = cut(f"{number + 1:<{digits}}  {layer!r}", _WIDEST)
        rows.append((name, f"(m, {n or '?'})", _sizes(network, number)))
    backend = network.backend.spec if network.is_built else "no backend yet"
    return "\n".join(
        [
            *align(rows),
            f"loss {network.loss.name}, {network.dtype} on {backend}, {_total(network)}",
        ]
    )


def _total(network: Model) -> str:
    """Return the number of parameters, and how many of them are not trained."""
    if not network.is_built:
        return "unknown number of parameters"
    trained = trained_parameters(network.layers, network.placement.parameters)
    fixed = network.n_parameters - sum(map(_count, trained))
    return f"{network.n_parameters:,} parameters" + (f", {fixed:,} not trained" * bool(fixed))


def _count(parameters: LayerParameters) -> int:
    return sum(math.prod(p.shape) for p in parameters.values())


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
    shapes = ", ".join(f"{name} {tuple(p.shape)}" for name, p in parameters.items())
    return f"{_count(parameters):<6,} {cut(shapes, _WIDEST)}".rstrip()
