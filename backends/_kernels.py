"""Elementwise passages written in C, for libraries that compile kernels of their users.

A passage that runs as one kernel reads each operand once and writes each result once. Its
expressions are those of the operations, in their order; compiled without contraction into
fused multiply-adds, they give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ._library import Operation, Ref, Shape

# C types of those dtypes that a kernel takes.
TYPES = {
    "bool": "bool", "int32": "int", "uint32": "unsigned int", "int64": "long long",
    "float32": "float", "float64": "double",
}  # fmt: skip

# What gives the dtype of its operands, which are not bool.
_ARITHMETIC = {
    "abs": "abs({0})", "add": "{0} + {1}", "bitwise_and": "{0} & {1}",
    "bitwise_left_shift": "{0} << {1}", "bitwise_or": "{0} | {1}",
    "bitwise_right_shift": "{0} >> {1}", "bitwise_xor": "{0} ^ {1}", "ceil": "ceil({0})",
    "cos": "cos({0})", "divide": "{0} / {1}", "exp": "exp({0})", "expm1": "expm1({0})",
    "floor": "floor({0})", "log": "log({0})", "log1p": "log1p({0})",
    "maximum": "{0} != {0} ? {0} : {1} != {1} ? {1} : {0} > {1} ? {0} : {1}",
    "minimum": "{0} != {0} ? {0} : {1} != {1} ? {1} : {0} < {1} ? {0} : {1}",
    "multiply": "{0} * {1}", "negative": "-{0}", "reciprocal": "1 / {0}",
    "sign": "{0} != {0} ? {0} : ({0} > 0) - ({0} < 0)", "sin": "sin({0})",
    "sqrt": "sqrt({0})", "square": "{0} * {0}", "subtract": "{0} - {1}", "tanh": "tanh({0})",
}  # fmt: skip
# What gives a bool, which may be written as a number.
_COMPARISONS = {
    "equal": "{0} == {1}", "greater": "{0} > {1}", "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}", "less_equal": "{0} <= {1}", "not_equal": "{0} != {1}",
}  # fmt: skip
_CLIP = "{0} != {0} ? {0} : {0} < {1} ? {1} : {0} > {2} ? {2} : {0}"


class Kernel(NamedTuple):
    """The C code of a passage.

    Attributes
    ----------
    inputs : tuple of int
        The values that it reads, in the order of its parameters a0, a1, ...
    in_params, out_params : tuple of str
        Dtypes of the parameters a0, a1, ... and o0, o1, ...
    body : str
        Statements for one element.
    """

    inputs: tuple[int, ...]
    in_params: tuple[str, ...]
    out_params: tuple[str, ...]
    body: str


def is_expressible(op: Operation, shapes: Sequence[Shape]) -> bool:
    """Whether a kernel can hold an operation."""
    return _expression(op, shapes, dict.fromkeys(op.operands, "")) is not None


def kernel(
    passage: Sequence[Operation], shapes: Sequence[Shape], outputs: Sequence[int]
) -> Kernel:
    """Write a passage of expressible operations as one kernel.

    Parameters
    ----------
    passage : sequence of Operation
        Elementwise operations that give results of one shape.
    shapes : sequence of Shape
        Of all values.
    outputs : sequence of int
        The results that are needed after the passage.
    """
    names: dict[int, str] = {}
    lines: list[str] = []
    inputs: list[int] = []
    for number, op in enumerate(passage):
        for index in op.operands:
            if index not in names:
                names[index] = f"a{len(inputs)}"
                inputs.append(index)
        kind = TYPES[_name(shapes[op.result])]
        lines.append(f"const {kind} r{number} = {_expression(op, shapes, names)};")
        names[op.result] = f"r{number}"
    lines += [f"o{number} = {names[index]};" for number, index in enumerate(outputs)]
    return Kernel(
        tuple(inputs),
        tuple(_name(shapes[index]) for index in inputs),
        tuple(_name(shapes[index]) for index in outputs),
        "\n".join(lines),
    )


def _name(shape: Shape) -> str:
    return str(shape.dtype)


def _expression(op: Operation, shapes: Sequence[Shape], names: dict[int, str]) -> str | None:
    """Write an operation in C; None if it has no expression, or mixes dtypes."""
    result = _name(shapes[op.result])
    operands = [_name(shapes[index]) for index in op.operands]
    if not {result, *operands} <= TYPES.keys():
        return None
    if op.name == "astype":
        return f"({TYPES[result]}){names[op.operands[0]]}"
    arguments = [*op.arguments, *(op.options.get(key) for key in ("min", "max") if op.options)]
    if op.name == "where":
        if operands[0] != "bool" or not isinstance(op.arguments[0], Ref):
            return None
        template, kind, operands = "{0} ? {1} : {2}", result, [*operands[1:], result]
    elif op.name in _COMPARISONS:
        template, kind = f"({TYPES[result]})({_COMPARISONS[op.name]})", operands[0]
    else:
        template = _CLIP if op.name == "clip" else _ARITHMETIC.get(op.name, "")
        kind = result if result != "bool" else ""
    if not template or set(operands) != {kind}:
        return None
    terms = [names[a.index] if isinstance(a, Ref) else _literal(a, kind) for a in arguments]
    return None if None in terms else template.format(*terms)


def _literal(number: Any, kind: str) -> str | None:
    """Write a number of Python's in C; None where it is no finite number of this kind."""
    numbers = (int, float) if kind.startswith("float") else (int,)
    if type(number) not in numbers or not math.isfinite(number):
        return None
    return f"({TYPES[kind]})({number!r})"
