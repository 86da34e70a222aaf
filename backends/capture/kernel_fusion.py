"""Elementwise passages written in C, for libraries that compile kernels of their users.

A passage that runs as one kernel reads each operand once and writes each result once. Its
expressions are those of the operations, in their order, and sums and products are rounded one
by one, so the bits are the same. Numbers are parameters: networks that differ in nothing else
share a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .ops import Kernel, Operation, Ref, Shape

# C types of those dtypes that a kernel takes.
TYPES = {
    "bool": "bool", "int32": "int", "uint32": "unsigned int", "int64": "long long",
    "float32": "float", "float64": "double",
}  # fmt: skip

# Operations in a kernel at most: its parameters, 32 bytes for an array, have to fit into 4 KB.
LONGEST = 64

# A compiler may make one rounding of a product and a sum (FMA); of these functions it may not.
PREAMBLE = "\n".join(
    f"template <typename T> __device__ T bpnet_{name}(T a, T b) {{ return a {sign} b; }}\n"
    f"template <> __device__ float bpnet_{name}(float a, float b) "
    f"{{ return __f{name}_rn(a, b); }}\n"
    f"template <> __device__ double bpnet_{name}(double a, double b) "
    f"{{ return __d{name}_rn(a, b); }}"
    for name, sign in (("add", "+"), ("sub", "-"), ("mul", "*"))
)

# What gives the dtype of its operands, which are not bool.
_ARITHMETIC = {
    "abs": "abs({0})", "add": "bpnet_add({0}, {1})", "bitwise_and": "{0} & {1}",
    "bitwise_left_shift": "{0} << {1}", "bitwise_or": "{0} | {1}",
    "bitwise_right_shift": "{0} >> {1}", "bitwise_xor": "{0} ^ {1}", "ceil": "ceil({0})",
    "cos": "cos({0})", "divide": "{0} / {1}", "exp": "exp({0})", "expm1": "expm1({0})",
    "floor": "floor({0})", "log": "log({0})", "log1p": "log1p({0})",
    "maximum": "{0} != {0} ? {0} : {1} != {1} ? {1} : {0} > {1} ? {0} : {1}",
    "minimum": "{0} != {0} ? {0} : {1} != {1} ? {1} : {0} < {1} ? {0} : {1}",
    "multiply": "bpnet_mul({0}, {1})", "negative": "-{0}", "reciprocal": "1 / {0}",
    "sign": "{0} != {0} ? {0} : ({0} > 0) - ({0} < 0)", "sin": "sin({0})",
    "sqrt": "sqrt({0})", "square": "bpnet_mul({0}, {0})", "subtract": "bpnet_sub({0}, {1})",
    "tanh": "tanh({0})",
}  # fmt: skip
# What gives a bool, which may be written as a number.
_COMPARISONS = {
    "equal": "{0} == {1}", "greater": "{0} > {1}", "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}", "less_equal": "{0} <= {1}", "not_equal": "{0} != {1}",
}  # fmt: skip
_CLIP = "{0} != {0} ? {0} : {0} < {1} ? {1} : {0} > {2} ? {2} : {0}"


def is_expressible(op: Operation, shapes: Sequence[Shape]) -> bool:
    """Whether a kernel can hold an operation."""
    return _Writer(shapes).expression(op, dict.fromkeys(op.operands, "")) is not None


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
    writer, names, lines = _Writer(shapes), dict[int, str](), list[str]()
    inputs: list[int] = []
    for number, op in enumerate(passage):
        for index in op.operands:
            if index not in names:
                names[index] = f"a{len(inputs)}"
                inputs.append(index)
        kind = TYPES[writer.dtype(op.result)]
        lines.append(f"const {kind} r{number} = {writer.expression(op, names)};")
        names[op.result] = f"r{number}"
    lines += [f"o{number} = {names[index]};" for number, index in enumerate(outputs)]
    arrays = [f"{writer.dtype(index)} {names[index]}" for index in inputs]
    return Kernel(
        tuple(inputs),
        tuple(writer.numbers),
        (*arrays, *writer.number_params),
        tuple(f"{writer.dtype(index)} o{k}" for k, index in enumerate(outputs)),
        "\n".join(lines),
    )


class _Writer:
    """Writes operations, and notes the numbers in them."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = shapes
        self.numbers: list[float] = []
        self.number_params: list[str] = []

    def dtype(self, index: int) -> str:
        """Name the dtype of a value."""
        return str(self.shapes[index].dtype)

    def expression(self, op: Operation, names: dict[int, str]) -> str | None:
        """Write an operation in C; None if it has no expression, or mixes dtypes."""
        result, operands = self.dtype(op.result), [self.dtype(i) for i in op.operands]
        if not {result, *operands} <= TYPES.keys():
            return None
        arguments = [*op.arguments, *(op.options[k] for k in ("min", "max") if k in op.options)]
        kind = result
        if op.name == "astype":
            return f"({TYPES[result]}){names[op.operands[0]]}"
        if op.name == "where":
            if operands[0] != "bool" or not isinstance(op.arguments[0], Ref):
                return None
            template, operands = "{0} ? {1} : {2}", [*operands[1:], result]
        elif op.name in _COMPARISONS:
            template, kind = f"({TYPES[result]})({_COMPARISONS[op.name]})", operands[0]
        elif op.name == "clip":
            template = _CLIP if len(arguments) == 3 else ""
        else:
            template = _ARITHMETIC.get(op.name, "") if result != "bool" else ""
        if not template or set(operands) != {kind}:
            return None
        terms = [
            names[a.index] if isinstance(a, Ref) else self._number(a, kind) for a in arguments
        ]
        return None if None in terms else template.format(*terms)

    def _number(self, number: Any, kind: str) -> str | None:
        """Name a parameter for a number; None where it is no finite number of this kind."""
        numbers = (int, float) if kind.startswith("float") else (int,)
        if type(number) not in numbers or not math.isfinite(number):
            return None
        self.numbers.append(number)
        self.number_params.append(f"{kind} c{len(self.number_params)}")
        return f"c{len(self.number_params) - 1}"
