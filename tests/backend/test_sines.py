"""Sines and cosines of float32 on every backend; JAX's are bpnet's own on a CPU."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

ANGLES = (0.0, -0.0, 0.5, 0.7853982, -1.5707964, 3.1415927, 1e3, -98765.4, 1e6, 3e8)


@pytest.mark.parametrize("function", ["sin", "cos"])
def test_sines_and_cosines_of_float32_are_accurate(function, backend, xp):
    spread = np.random.default_rng(0).normal(scale=20.0, size=10_000)
    x = np.concatenate([ANGLES, spread]).astype("float32")
    found = backend.to_numpy(getattr(xp, function)(backend.asarray(x)))
    assert found.dtype == np.float32
    assert_allclose(found, getattr(np, function)(x.astype("float64")), atol=1.2e-7, rtol=0)


@pytest.mark.parametrize("function", ["sin", "cos"])
def test_sines_and_cosines_are_bounded_or_nan(function, backend, xp):
    x = np.asarray([1e12, -3e38, np.inf, -np.inf, np.nan], "float32")
    with np.errstate(invalid="ignore"):
        found = backend.to_numpy(getattr(xp, function)(backend.asarray(x)))
    assert np.all(np.abs(found[:2]) <= 1.0 + 1e-6)
    assert np.isnan(found[2:]).all()
