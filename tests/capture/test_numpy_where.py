"""NumPy's replayed `where`: it selects the bits of either operand, wherever they come from."""

from __future__ import annotations

import numpy as np
import pytest
from bpnet_backends.capture.numpy_ops import _where
from numpy.testing import assert_array_equal

ODD = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-310, 1.5, -2.5]


def bits(array):
    return array.view({4: np.uint32, 8: np.uint64}[array.itemsize])


def operands(dtype, shape=(9, 18)):
    with np.errstate(under="ignore"):
        a = np.resize(np.array(ODD), shape).astype(dtype)
        b = np.resize(np.array(ODD[::-1]), shape).T.copy().reshape(shape).astype(dtype)
    condition = np.random.default_rng(0).random(shape) < 0.5
    return condition, a, b


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_are_those_of_numpy(dtype):
    condition, a, b = operands(dtype)
    out = np.empty_like(a)
    _where(condition, a, b, out=out)()
    assert_array_equal(bits(out), bits(np.where(condition, a, b)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("form", ["number", "zero", "row", "strided"])
def test_operands_of_other_forms(form, dtype):
    condition, a, b = operands("float64")
    a, b = np.nan_to_num(a, posinf=9.0, neginf=-9.0), np.nan_to_num(b, posinf=8, neginf=-8)
    a, b = a.astype(dtype), b.astype(dtype)
    if form == "number":
        a = 3 if dtype == "int64" else 3.5
    elif form == "zero":
        b = np.asarray(2, dtype)
    elif form == "row":
        b = b[:1]
    else:
        condition, a, b = condition[::2, ::3], a[::2, ::3], b[::2, ::3]
    out = np.empty(condition.shape, dtype)
    _where(condition, a, b, out=out)()
    assert_array_equal(out, np.where(condition, a, b))


def test_the_output_may_be_the_second_operand():
    condition, a, b = operands("float32")
    expected = np.where(condition, a, b)
    _where(condition, a, b, out=b)()
    assert_array_equal(bits(b), bits(expected))


def test_a_condition_of_fewer_dimensions():
    _, a, b = operands("float32")
    condition = np.arange(18) % 2 == 0
    out = np.empty_like(a)
    _where(condition, a, b, out=out)()
    assert_array_equal(bits(out), bits(np.where(condition, a, b)))
