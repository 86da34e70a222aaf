"""Kernel fusion: write elementwise groups in C, for libraries that compile custom kernels.

A kernel reads each operand once and writes each result once. Its expressions are those of
CuPy's operations, in order, and sums and products are rounded one by one, so results are
bitwise identical. Numbers are parameters, so networks that differ only in them share a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .ops import Kernel, Operation, Ref, Shape

# C types of the dtypes that a kernel supports.
TYPES = {
    "bool": "bool", "int32": "int", "uint32": "unsigned int", "int64": "long long",
    "float32": "float", "float64": "double",
}  # fmt: skip

# Most operations in a kernel: its parameters, 32 bytes for an array, have to fit into 4 KiB.
MAX_OPERATIONS = 64


def _function(name: str, of_any: str, of_float: str, of_double: str) -> str:
    """Return a function of two numbers in C, which treats floats and doubles in their ways."""
    kinds = (("typename T", "T", of_any), ("", "float", of_float), ("", "double", of_double))
    return "\n".join(
        f"template <{given}> __device__ {kind} bpnet_{name}({kind} a, {kind} b) "
        f"{{ return {value}; }}"
        for given, kind, value in kinds
    )


# The first three keep the compiler from contracting a product and a sum (FMA). The others take
# a NaN from either operand; the sum of both is the NaN that a GPU computes.
PREAMBLE = "\n".join(
    [
        *(
            _function(name, f"a {sign} b", f"__f{name}_rn(a, b)", f"__d{name}_rn(a, b)")
            for name, sign in (("add", "+"), ("sub", "-"), ("mul", "*"))
        ),
        *(
            _function(
                name,
                f"a {sign} b ? a : b",
                f"a != a || b != b ? a + b : f{name}f(a, b)",
                f"a != a || b != b ? a + b : f{name}(a, b)",
            )
            for name, sign in (("max", ">"), ("min", "<"))
        ),
    ]
)

# Operations whose result has the dtype of its operands, which are not bool.
_ARITHMETIC = {
    "abs": "abs({0})", "add": "bpnet_add({0}, {1})", "bitwise_and": "{0} & {1}",
    "bitwise_left_shift": "{0} << {1}", "bitwise_or": "{0} | {1}",
    "bitwise_right_shift": "{0} >> {1}", "bitwise_xor": "{0} ^ {1}", "ceil": "ceil({0})",
    "cos": "cos({0})", "divide": "{0} / {1}", "exp": "exp({0})", "expm1": "expm1({0})",
    "floor": "floor({0})", "log": "log({0})", "log1p": "log1p({0})",
    "maximum": "bpnet_max({0}, {1})", "minimum": "bpnet_min({0}, {1})",
    "multiply": "bpnet_mul({0}, {1})", "negative": "-{0}", "reciprocal": "1 / {0}",
    "sign": "{0} != {0} ? {0} - {0} : ({0} > 0) - ({0} < 0)", "sin": "sin({0})",
    "sqrt": "sqrt({0})", "square": "bpnet_mul({0}, {0})", "subtract": "bpnet_sub({0}, {1})",
    "tanh": "tanh({0})",
}  # fmt: skip
# Those that C has for numbers with a fraction only.
_OF_FRACTIONS = {
    "ceil", "cos", "divide", "exp", "expm1", "floor", "log", "log1p", "reciprocal", "sin",
    "sqrt", "tanh",
}  # fmt: skip
# Operations whose result is bool, or cast to a number.
_COMPARISONS = {
    "equal": "{0} == {1}", "greater": "{0} > {1}", "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}", "less_equal": "{0} <= {1}", "not_equal": "{0} != {1}",
}  # fmt: skip
_CLIP = "{0} != {0} ? {0} : {0} < {1} ? {1} : {0} > {2} ? {2} : {0}"


def is_expressible(op: Operation, shapes: Sequence[Shape]) -> bool:
    """Whether an operation can be part of a kernel."""
    return _Writer(shapes).expression(op, dict.fromkeys(op.operands, "")) is not None


def kernel(
    group: Sequence[Operation], shapes: Sequence[Shape], outputs: Sequence[int]
) -> Kernel:
    """Return one kernel for a group of expressible operations.

    Parameters
    ----------
    group : sequence of Operation
        Elementwise operations whose results have one shape.
    shapes : sequence of Shape
        The shapes of all values.
    outputs : sequence of int
        The results that are needed after the group.
    """
    writer, names, lines = _Writer(shapes), dict[int, str](), list[str]()
    inputs: list[int] = []
    for number, op in enumerate(group):
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


def _has(name: str, kind: str) -> bool:
    """Whether C has an operation for a dtype."""
    if name in _OF_FRACTIONS:
        return kind.startswith("float")
    if name.startswith("bitwise"):
        return "int" in kind
    return kind != "bool" and (name, kind) != ("abs", "uint32")


class _Writer:
    """Writes operations in C, and collects their numbers."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = shapes
        self.numbers: list[float] = []
        self.number_params: list[str] = []

    def dtype(self, index: int) -> str:
        """Return the name of a value's dtype."""
        return str(self.shapes[index].dtype)

    def expression(self, op: Operation, names: dict[int, str]) -> str | None:
        """Return an operation in C; None if it has no expression or mixes dtypes."""
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
            template = _ARITHMETIC.get(op.name, "") if _has(op.name, result) else ""
        if not template or set(operands) != {kind}:
            return None
        terms = [
            names[a.index] if isinstance(a, Ref) else self._number(a, kind) for a in arguments
        ]
        return None if None in terms else template.format(*terms)

    def _number(self, number: Any, kind: str) -> str | None:
        """Return a new parameter for a number; None unless it is finite and of this kind."""
        numbers = (int, float) if kind.startswith("float") else (int,)
        if type(number) not in numbers or not math.isfinite(number):
            return None
        self.numbers.append(number)
        self.number_params.append(f"{kind} c{len(self.number_params)}")
        return f"c{len(self.number_params) - 1}"
