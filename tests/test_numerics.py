"""Numerical limits: huge logits, denormals, kinks, weights of 0; float32 in ulps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws import gradients, law_network
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.activations import ACTIVATIONS
from bpnet.losses import LOSSES, mean_loss, output_error

pytestmark = pytest.mark.once_on_jax  # it compiles each case

M = 6
EPS32 = float(np.finfo(np.float32).eps)
FEATURES = arrays(np.float64, (M, 3), elements=st.floats(-2.0, 2.0))
TARGETS = arrays(np.float64, (M, 2), elements=st.floats(-2.0, 2.0))
WEIGHTS = arrays(np.float64, M, elements=st.floats(0.125, 4.0))


# --- weights of examples ----------------------------------------------------------------------


@given(X=FEATURES, Y=TARGETS, w=WEIGHTS, factor=st.floats(1e-3, 1e3))
def test_the_scale_of_the_weights_has_no_effect(backend, X, Y, w, factor):
    expected = gradients(backend, X, Y, w)
    assert_allclose(gradients(backend, X, Y, factor * w), expected, rtol=1e-12, atol=1e-14)


@given(X=FEATURES, Y=TARGETS, w=WEIGHTS, rows=st.sets(st.integers(0, M - 1), max_size=M - 1))
def test_rows_of_weight_0_have_no_effect(backend, X, Y, w, rows):
    w, rows = w.copy(), sorted(rows)
    w[rows] = 0.0
    left = w > 0.0
    expected = gradients(backend, X[left], Y[left], w[left])
    wild = Y.copy()
    wild[rows] = 1e300
    assert_allclose(gradients(backend, X, wild, w), expected, rtol=1e-12, atol=1e-14)
    measured = law_network().evaluate(X, wild, w, backend=backend)
    assert measured["loss"] == pytest.approx(expected[0], rel=1e-12, abs=1e-14)


def test_a_row_of_weight_0_may_have_an_infinite_loss(backend):
    X, Y = np.ones((2, 1)), np.array([1.0, 1e200])  # whose square overflows
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0, dtype="float64")
    w = np.array([1.0, 0.0])
    with np.errstate(over="ignore"):
        loss, layers = net.loss_and_gradients(X, Y, w, backend=backend)
        measured = net.evaluate(X, Y, w, backend=backend)
    expected, alone = net.loss_and_gradients(X[:1], Y[:1], backend=backend)
    assert loss == measured["loss"] == expected
    assert_array_equal(layers[0]["W"], alone[0]["W"])


# --- huge logits ------------------------------------------------------------------------------

LARGEST = {"float32": 3e38, "float64": 1.7e308}


def huge(dtype):
    """Return logits up to the largest float, of all signs and sizes."""
    some = [0.0, 1.0, 1e3, 1e19, 1e30, LARGEST[dtype]]
    return st.sampled_from([*some, *(-z for z in some)])


def targets_of(loss, draw, outputs):
    if loss.targets == "labels":
        return draw(arrays(np.int64, M, elements=st.integers(0, outputs - 1)))
    elements = {
        "probabilities": st.floats(0.0, 1.0, width=32),
        "counts": st.integers(0, 1000).map(float),
        "real": st.floats(-1e3, 1e3, width=32),
    }[loss.targets]
    return draw(arrays(np.float64, (M, outputs), elements=elements))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(LOSSES))
@given(data=st.data())
def test_no_loss_of_huge_logits_is_nan(backend, name, dtype, data):
    loss, xp = LOSSES[name], backend.xp
    z = data.draw(arrays(np.float64, (M, 3), elements=huge(dtype))).astype(dtype)
    y = targets_of(loss, data.draw, 3)
    y = backend.asarray(y) if y.ndim == 1 else backend.asarray(y, dtype)
    z = backend.asarray(z)
    with backend.activate(), np.errstate(over="ignore"):
        values, errors = loss.value_and_error(xp, y, z)
        results = [
            values, errors, loss.value(xp, y, z), loss.error(xp, y, z), loss.link(xp, z),
            mean_loss(xp, values, None), output_error(xp, errors, None),
        ]  # fmt: skip
    for result in map(backend.to_numpy, results):
        assert not np.any(np.isnan(result))
    if name in ("binary_crossentropy", "categorical_crossentropy"):
        assert np.all(np.isfinite(backend.to_numpy(errors)))
        assert np.all(backend.to_numpy(values) >= 0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_huge_gap_costs_what_it_is(xp, backend, dtype):
    """The loss is the gap of two logits if that is finite, else the largest float."""
    loss, big = LOSSES["categorical_crossentropy"], LARGEST[dtype]
    z = backend.asarray(np.array([[0.0, big], [1000.0, 0.0], [-big, big]]), dtype)
    with np.errstate(over="ignore"):
        values = backend.to_numpy(loss.value(xp, backend.asarray(np.array([0, 1, 0])), z))
    expected = np.array([big, 1000.0, np.finfo(dtype).max], dtype)
    assert_allclose(values, expected, rtol=1e-6)


def test_the_tangent_of_poisson_is_as_before(xp, backend):
    z = np.linspace(-5.0, 30.0, 8)
    y = np.arange(8.0)
    values = LOSSES["poisson"].value(
        xp, backend.asarray(y[:, None]), backend.asarray(z[:, None])
    )
    assert_allclose(backend.to_numpy(values), np.exp(z) - y * z, rtol=1e-14)


# --- denormals --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_denormals_are_kept_or_flushed_to_0(xp, backend, name, dtype):
    """XLA flushes them; no other result is allowed."""
    tiny, activation = float(np.finfo(dtype).tiny), ACTIVATIONS[name]
    z = backend.asarray(tiny * np.array([-0.5, -(2.0**-20), 0.0, 2.0**-20, 0.5]), dtype)
    a = activation.f(xp, z)
    slope = backend.to_numpy(activation.df(xp, z, a))
    zero = backend.asarray(np.zeros(5), dtype)
    at_0 = backend.to_numpy(activation.f(xp, zero))
    assert_allclose(backend.to_numpy(a), at_0, rtol=1e-6, atol=2.0 * tiny)
    assert np.all(np.isfinite(slope))


# --- kinks ------------------------------------------------------------------------------------


@given(row=st.integers(0, M - 1))
def test_relu_has_slope_0_at_its_kink(backend, row):
    """A unit with z = 0 exactly has no activation and no gradient, on any backend."""
    layers = [bpnet.Dense(1, "relu"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "mean_squared_error", seed=0, dtype="float64").build(1, backend)
    net.parameters = [
        {"W": np.ones((1, 1)), "b": np.zeros(1)},
        {"W": np.ones((1, 1)), "b": np.zeros(1)},
    ]
    X, Y = np.zeros((M, 1)), np.ones(M)
    X[row] = 2.0  # the one example beyond the kink
    _, (hidden, _) = net.loss_and_gradients(X, Y)
    assert hidden["W"].item() == pytest.approx(2.0 * 2.0 * (2.0 - 1.0) / M)
    assert hidden["b"].item() == pytest.approx(2.0 * (2.0 - 1.0) / M)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_both_zeros_are_the_kink(xp, backend, zero):
    relu, z = ACTIVATIONS["relu"], backend.asarray(np.full(3, zero))
    a = relu.f(xp, z)
    assert_array_equal(backend.to_numpy(a), 0.0)
    assert_array_equal(backend.to_numpy(relu.df(xp, z, a)), 0.0)


# --- float32 in ulps --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_in_float32_are_those_of_float64(xp, backend, name):
    """In ulps of the larger of the value and 1: near their zeros some f cancel.

    The slope of silu multiplies a rounding by z, up to 20.
    """
    activation = ACTIVATIONS[name]
    z = np.linspace(-20.0, 20.0, 2001).astype(np.float32)
    narrow, wide = backend.asarray(z), backend.asarray(z.astype(np.float64))
    for function in (activation.f, lambda xp, z: activation.df(xp, z, activation.f(xp, z))):
        result = backend.to_numpy(function(xp, narrow))
        expected = backend.to_numpy(function(xp, wide))
        assert result.dtype == np.float32
        ulps = np.abs(result - expected) / (EPS32 * np.maximum(1.0, np.abs(expected)))
        assert np.max(ulps) <= (20.0 if name == "silu" else 8.0)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_gradients_in_float32_are_those_of_float64(backend, loss):
    """In ulps of the largest entry: sums of 40 products, three layers deep."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((40, 3)).astype(np.float32)
    Y = {
        "labels": rng.integers(0, 2, 40),
        "probabilities": rng.integers(0, 2, (40, 2)),
        "counts": rng.poisson(2.0, (40, 2)),
        "real": rng.standard_normal((40, 2)).astype(np.float32),
    }[LOSSES[loss].targets]
    narrow, wide = (
        bpnet.Network(
            [bpnet.Dense(16, "tanh"), bpnet.Dense(16, "sigmoid"), bpnet.Dense(2)],
            loss, seed=0, dtype=dtype,
        ).build(3, backend)
        for dtype in ("float32", "float64")
    )  # fmt: skip
    wide.parameters = narrow.parameters
    got, gradients = narrow.loss_and_gradients(X, Y)
    expected, references = wide.loss_and_gradients(X, Y)
    assert abs(got - expected) <= 8.0 * EPS32 * abs(expected)
    for layer, reference in zip(gradients, references, strict=True):
        for name, g in layer.items():
            scale = EPS32 * np.max(np.abs(reference[name]))
            assert np.max(np.abs(g - reference[name])) <= 32.0 * scale
