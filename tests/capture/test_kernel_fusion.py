"""Kernel fusion: the C code of elementwise groups, compared with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import stand_in_cupy
from bpnet_backends.capture.kernel_fusion import (
    _ARITHMETIC,
    _COMPARISONS,
    PREAMBLE,
    is_expressible,
    kernel,
)
from bpnet_backends.capture.ops import Operation, Ref, Shape
from numpy.testing import assert_allclose, assert_array_equal

needs_compiler = pytest.mark.skipif(
    stand_in_cupy.COMPILER is None, reason="no C++ compiler (g++) for kernels"
)

FLOATS = np.array([-np.inf, -2.5, -1.0, -0.0, 0.0, 0.3, 1.0, 2.5, 1e30, np.inf, np.nan])
WHOLE = np.array([-(2**40), -7, -1, 0, 1, 2, 5, 2**33])
# Functions that differ in rounding between the C++ library and NumPy.
ROUNDED = {"cos", "exp", "expm1", "log", "log1p", "sin", "tanh"}
RENAMED = {"bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift"}


def operation(name, arrays, *more, **options):
    """Return an operation on values 0, 1, ..."""
    refs = tuple(a if np.isscalar(a) else Ref(k) for k, a in enumerate(arrays))
    return Operation(name, None, (*refs, *more), options, len(arrays), True, False)


def shapes_of(*arrays):
    return [Shape(np.shape(a), getattr(a, "dtype", None), True) for a in arrays]


def run(group, arrays, dtypes):
    """Compile and run a group whose results, all needed, have these dtypes."""
    n, shape = len(arrays), arrays[0].shape
    shapes = shapes_of(*arrays) + [Shape(shape, np.dtype(d), True) for d in dtypes]
    code = kernel(group, shapes, range(n, n + len(dtypes)))
    outputs = [np.empty(shape, d) for d in dtypes]
    compiled = stand_in_cupy.ElementwiseKernel(
        ", ".join(code.in_params), ", ".join(code.out_params), code.body, "k", PREAMBLE
    )
    compiled(*(arrays[i] for i in code.inputs), *code.numbers, *outputs)
    return outputs


def pairs(values):
    return [a.copy() for a in np.meshgrid(values, values)]


def check(names, arrays, dtype):
    """Run all operations in one kernel, as compiling is slow."""
    group, expected = [], []
    for name in names:
        function = getattr(np, RENAMED.get(name, name))
        op = operation(name, arrays[: function.nin])
        group.append(op._replace(result=len(arrays) + len(group)))
        with np.errstate(all="ignore"):
            expected.append(function(*arrays[: function.nin]))
    got = run(group, arrays, [e.dtype for e in expected])
    for name, result, wanted in zip(names, got, expected, strict=True):
        tolerance = 4 * np.finfo(dtype).eps if name in ROUNDED else 0.0
        assert_allclose(result, wanted, rtol=tolerance, err_msg=name)


BITS = {name for name in _ARITHMETIC if name.startswith("bitwise")}
INTEGER = (
    "abs", "add", "bitwise_and", "bitwise_or", "bitwise_xor", "equal", "greater", "less",
    "maximum", "minimum", "multiply", "negative", "not_equal", "sign", "square", "subtract",
)  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats(dtype):
    arrays = [a.astype(dtype) for a in pairs(FLOATS)]
    check(sorted((_ARITHMETIC.keys() - BITS) | _COMPARISONS.keys()), arrays, dtype)


@needs_compiler
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint32"])
def test_integers(dtype):
    names = [n for n in INTEGER if dtype != "uint32" or n not in ("abs", "sign")]
    check(names, [(a % 2**15).astype(dtype) for a in pairs(WHOLE)], "float64")


@needs_compiler
def test_shifts():
    arrays = [WHOLE, np.arange(WHOLE.size) % 5]
    check(["bitwise_left_shift", "bitwise_right_shift"], arrays, "float64")


@needs_compiler
@pytest.mark.parametrize("source", ["bool", "int64", "float32", "float64"])
def test_astype(source):
    x, targets = np.array([0, 1, 1, 0, 3]).astype(source), ["int64", "float32", "float64"]
    group = [
        operation("astype", [x], np.dtype(target))._replace(result=1 + number)
        for number, target in enumerate(targets)
    ]
    for got, target in zip(run(group, [x], targets), targets, strict=True):
        assert_array_equal(got, x.astype(target), strict=True)


@needs_compiler
def test_clip_and_where():
    x, condition = FLOATS.astype("float32"), FLOATS > 0.3
    clip = operation("clip", [x], min=-1.0, max=0.1)
    assert_array_equal(run([clip], [x], ["float32"])[0], np.clip(x, -1.0, np.float32(0.1)))
    where = operation("where", [condition, x], 0.1)
    expected = np.where(condition, x, np.float32(0.1))
    assert_array_equal(run([where], [condition, x], ["float32"])[0], expected)


@needs_compiler
def test_a_group_rounds_after_each_operation():
    """A fused multiply-add would not."""
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal((3, 1000), dtype=np.float32)
    group = [
        Operation("multiply", None, (Ref(0), Ref(1)), {}, 3, True, False),
        Operation("add", None, (Ref(3), Ref(2)), {}, 4, True, False),
    ]
    product, total = run(group, [a, b, c], ["float32", "float32"])
    assert_array_equal(product, a * b)
    assert_array_equal(total, a * b + c)


X, K, B = (np.ones(3, d) for d in ("float32", "int64", "bool"))


@pytest.mark.parametrize(
    ("op", "arrays", "result"),
    [
        (operation("add", [X, K]), [X, K], "float64"),
        (operation("divide", [K, K]), [K, K], "float64"),
        (operation("add", [X, np.inf]), [X], "float32"),
        (operation("multiply", [X, True]), [X], "float32"),
        (operation("add", [B, B]), [B, B], "bool"),
        (operation("where", [B, K], 0.5), [B, K], "float64"),
        (operation("where", [K, X, X]), [K, X, X], "float32"),
        (operation("clip", [X], max=1.0), [X], "float32"),
        (operation("remainder", [X, X]), [X, X], "float32"),
        (operation("exp", [X.astype("float16")]), [X.astype("float16")], "float16"),
    ],
    ids=lambda value: value.name if isinstance(value, Operation) else "",
)
def test_what_a_kernel_cannot_hold(op, arrays, result):
    op = op._replace(result=len(arrays))
    assert not is_expressible(op, [*shapes_of(*arrays), Shape((3,), np.dtype(result), True)])
