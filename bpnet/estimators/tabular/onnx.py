"""What a tabular estimator predicts from columns, as a graph for an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bpnet import inference
from bpnet.backend.graph import Graph
from bpnet.backend.typing import Array
from bpnet.estimators.tabular.member import Member
from bpnet.estimators.tabular.schema import Schema
from bpnet.serialization.onnx_file import logits_of

# The type of an input of categories whose levels are of these types.
_TYPES = {
    frozenset({str}): "str", frozenset({bool}): "bool", frozenset({int}): "int64",
    frozenset({float}): "float64", frozenset({int, float}): "float64", frozenset(): "str",
}  # fmt: skip


def outputs_of(graph: Graph, schema: Schema, members: Sequence[Member]) -> Array:
    """Record the mean of what the members predict: probabilities, or targets (m, n_outputs).

    Raises
    ------
    TypeError
        If the levels of a column have no type in ONNX.
    """
    xp = graph.xp
    numbers, categories = _arguments(graph, schema, members)
    found = [_outputs_of(graph, member, numbers, categories) for member in members]
    return found[0] if len(found) == 1 else xp.mean(xp.stack(found), axis=0)


def _outputs_of(
    graph: Graph, member: Member, numbers: Sequence[Array], categories: Sequence[Array]
) -> Array:
    """Record what one member predicts."""
    xp, network = graph.xp, member.network
    encoders = member.preprocessing.encoders
    codes = [
        graph.looked_up(column, {level: code for code, level in enumerate(encoder.levels, 1)})
        for encoder, column in zip(encoders, categories, strict=True)
    ]
    if numbers:
        table = xp.stack(list(numbers), axis=1)
    else:  # no columns, but rows
        table = xp.astype(codes[0][:, None][:, :0], xp.float64)
    X = member.preprocessing.inputs(xp, table, codes, network.dtype)
    z = logits_of(graph, network, network.placement.parameters, X)
    if member.scale is not None:
        return member.scale.predictions(xp, z)
    return inference.probabilities_of(xp, network.loss, z)


def _arguments(
    graph: Graph, schema: Schema, members: Sequence[Member]
) -> tuple[list[Array], list[Array]]:
    """Return the inputs of numbers and those of categories."""
    names = schema.names or [f"x{number}" for number in range(schema.n_columns)]
    of_members = ([e.levels for e in member.preprocessing.encoders] for member in members)
    levels = zip(*of_members, strict=True)
    numbers, categories = [], []
    for name, is_category in zip(names, schema.categorical, strict=True):
        if is_category:
            kind = _type_of(name, [level for of_one in next(levels) for level in of_one])
            categories.append(graph.argument(name, (), kind))
        else:
            numbers.append(graph.argument(name, (), "float64"))
    return numbers, categories


def _type_of(name: str, levels: Sequence[Any]) -> str:
    """Return the type of an input of categories."""
    kinds = frozenset(map(type, levels))
    if kinds not in _TYPES:
        raise TypeError(
            f"an ONNX file holds categories that are text, numbers or bools, of one type in a "
            f"column; column {name!r} has {', '.join(sorted(k.__name__ for k in kinds))}. "
            f"Fit to X[{name!r}].astype(str)"
        )
    return _TYPES[kinds]
