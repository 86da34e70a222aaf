"""Every kernel compiles for a GPU, to the instructions of CuPy's own operations."""

from __future__ import annotations

import itertools
import re

import numpy as np
import nvrtc
import pytest
import stand_in_cupy
from bpnet_backends.capture.kernel_fusion import (
    _ARITHMETIC,
    _COMPARISONS,
    PREAMBLE,
    TYPES,
    is_expressible,
    kernel,
)
from bpnet_backends.capture.ops import ELEMENTWISE, Operation, Ref, Shape
from replaying import RULES

import bpnet
from bpnet import Dense, Dropout

pytest.importorskip("cuda.bindings.nvrtc")
pytestmark = pytest.mark.usefixtures("nothing_compiled")
DTYPES = tuple(TYPES)
UNARY = {
    "abs", "bitwise_invert", "ceil", "cos", "exp", "expm1", "floor", "log", "log1p",
    "logical_not", "negative", "reciprocal", "sign", "sin", "sqrt", "square", "tanh",
}  # fmt: skip
RENAMED = {
    "abs": "absolute", "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift"
}  # fmt: skip
# The NaN is CuPy's constant, or the sum or difference of NaNs, which is that constant.
OTHERWISE = {"maximum", "minimum", "sign"}


def of_operations(name, operations, shapes, outputs):
    code = kernel(operations, shapes, outputs)
    return (
        ", ".join(code.in_params), ", ".join(code.out_params), code.body, name, PREAMBLE
    )  # fmt: skip


def operations():
    """Yield the kernel of each operation that has one, with its name and dtype."""
    for name, dtype in itertools.product((*ELEMENTWISE, "clip", "where"), DTYPES):
        count = 1 if name in UNARY | {"clip"} else 3 if name == "where" else 2
        options = {"min": 1, "max": 3} if name == "clip" else {}
        result = "bool" if name in _COMPARISONS else dtype
        dtypes = ["bool" if name == "where" and k == 0 else dtype for k in range(count)]
        shapes = [Shape((5,), np.dtype(d), True) for d in (*dtypes, result)]
        operands = tuple(map(Ref, range(count)))
        operation = Operation(name, None, operands, options, count, True, False)
        if is_expressible(operation, shapes):
            yield of_operations(f"{name}_{dtype}", [operation], shapes, [count])


def casts():
    for source, target in itertools.product(DTYPES, DTYPES):
        shapes = [Shape((5,), np.dtype(d), True) for d in (source, target)]
        operation = Operation("astype", None, (Ref(0), target), {}, 1, True, False)
        yield of_operations(f"cast_{source}_{target}", [operation], shapes, [1])


def test_each_operation_compiles_for_each_dtype():
    kernels = [*operations(), *casts()]
    assert len(kernels) > 150
    assert nvrtc.compiled(kernels).keys() == {name for *_, name, _ in kernels}


def of_cupy(cupy, name, dtype):
    """Return the kernel of CuPy's operation, with the parameters of ours; None without one."""
    ufunc = getattr(cupy, RENAMED.get(name, name))
    result = "bool" if name in _COMPARISONS else dtype
    for loop in ufunc._ops.ops:
        if {*map(str, loop.in_types)} == {dtype} and str(*loop.out_types) == result:
            body = re.sub(r"\bin(\d)\b", r"a\1", loop.routine)
            body = re.sub(r"\bout0\b", "o0", body)
            body = re.sub(r"\b(in\d|out0)_type\b", TYPES[dtype], body)
            in_params = ", ".join(f"{dtype} a{k}" for k in range(ufunc.nin))
            return in_params, f"{result} o0", body, f"{name}_{dtype}", ufunc._preamble
    return None


def instructions(entry):
    """Return PTX without numbers of labels, and without "rounded to nearest", the default."""
    numbers_and_default = r"(?<=L__BB)\d+|(?<=depot)\d+|\.rn(?=(\.ftz)?\.f)"
    return re.sub(numbers_and_default, "", entry.partition("\n}")[0])


def test_operations_are_computed_by_the_instructions_of_cupy():
    cupy = pytest.importorskip("cupy")
    ours = {name: kernel for kernel in operations() if (name := kernel[3])}
    theirs = {}
    for name in ours:
        operation, _, dtype = name.rpartition("_")
        if operation in _ARITHMETIC | _COMPARISONS and operation not in OTHERWISE:
            theirs[name] = of_cupy(cupy, operation, dtype)
    theirs = {name: kernel for name, kernel in theirs.items() if kernel}
    assert len(theirs) > 90
    found, wanted = nvrtc.compiled(list(ours.values())), nvrtc.compiled(list(theirs.values()))
    different = [n for n in theirs if instructions(found[n]) != instructions(wanted[n])]
    assert not different, found[different[0]] + wanted[different[0]]


# --- whole steps ------------------------------------------------------------------------------


def networks():
    """Yield networks and optimizers that have all activations, losses and rules."""
    rules = itertools.cycle([*RULES.values(), bpnet.SGD(0.1, clip_value=0.5)])
    losses = itertools.cycle(sorted(bpnet.losses.LOSSES))
    dtypes = itertools.cycle(["float32", "float32", "float64"])
    for activation in sorted(bpnet.activations.ACTIVATIONS):
        layers = [Dense(6, activation, l1=1e-3), Dropout(0.25), Dense(5, activation)]
        loss = next(losses)
        layers.append(Dense(3 if loss == "categorical_crossentropy" else 1, l2=1e-3))
        yield bpnet.Network(layers, loss, seed=0, dtype=next(dtypes)), next(rules)


def kernels_of_steps(monkeypatch):
    """Return the kernels of the steps that these networks take; none of them runs."""
    build = stand_in_cupy.compiled
    monkeypatch.setattr(
        stand_in_cupy,
        "compiled",
        lambda code: build(code) if "differ" in code else lambda *arguments: None,
    )
    monkeypatch.setattr(stand_in_cupy.ElementwiseKernel, "made", ())
    X = np.random.default_rng(0).standard_normal((20, 2))
    with stand_in_cupy.installed() as backend:
        for net, rule in networks():
            y = np.arange(20) % (3 if net.layers[-1].units == 3 else 2)
            net.fit(X, y, optimizer=rule, epochs=1, batch_size=8, backend=backend())
    return dict.fromkeys(made.code for made in stand_in_cupy.ElementwiseKernel.made)


def test_the_kernels_of_whole_steps_compile(monkeypatch):
    codes = kernels_of_steps(monkeypatch)
    kernels = [
        (*code[:3], f"k{number}", preamble) for number, (*code, _, preamble) in enumerate(codes)
    ]
    assert len(kernels) > 40
    assert nvrtc.compiled(kernels).keys() == {name for *_, name, _ in kernels}


def test_sums_and_products_are_rounded_one_by_one():
    """No multiplication is contracted with an addition."""
    names, shapes = (
        ("multiply", "add", "subtract"),
        [Shape((5,), np.dtype("float32"), True)] * 5,
    )
    group = [
        Operation(name, None, (Ref(0 if k == 0 else k + 1), Ref(1)), {}, k + 2, True, False)
        for k, name in enumerate(names)
    ]
    (entry,) = nvrtc.compiled([of_operations("k", group, shapes, [4])]).values()
    assert "fma" not in entry
    for instruction in ("mul.rn", "add.rn", "sub.rn"):
        assert instruction in entry
