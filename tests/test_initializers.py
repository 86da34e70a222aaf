"""Initial weights: distribution, seed and invalid arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import bpnet
from bpnet import initializers
from bpnet.activations import ACTIVATIONS
from bpnet.initializers import INITIALIZERS, Constant, Normal

N_IN, N_OUT = 300, 200

# The variances of the papers, for weights (n_in, n_out).
VARIANCE = {
    "normal": 0.05**2,
    "standard_normal": 1.0,
    "glorot_uniform": 2.0 / (N_IN + N_OUT),
    "glorot_normal": 2.0 / (N_IN + N_OUT),
    "xavier_uniform": 2.0 / (N_IN + N_OUT),
    "xavier_normal": 2.0 / (N_IN + N_OUT),
    "he_uniform": 2.0 / N_IN,
    "he_normal": 2.0 / N_IN,
    "lecun_uniform": 1.0 / N_IN,
    "lecun_normal": 1.0 / N_IN,
    "orthogonal": 1.0 / N_IN,
}

DEFAULTS = {
    "he_normal": ("relu", "leaky_relu", "elu", "gelu", "softplus", "silu", "mish"),
    "lecun_normal": ("selu",),
    "glorot_uniform": ("identity", "sigmoid", "tanh", "softsign", "hard_sigmoid"),
}


def drawn(name, seed=0, shape=(N_IN, N_OUT)):
    return initializers.get(name)(np.random.default_rng(seed), *shape)


def test_every_initializer_is_tested():
    assert {*VARIANCE, "zeros"} == set(INITIALIZERS)


@pytest.mark.parametrize("name", VARIANCE)
def test_mean_and_variance(name):
    W = drawn(name)
    assert W.shape == (N_IN, N_OUT)
    assert W.dtype == np.float64
    deviation = math.sqrt(VARIANCE[name])
    assert abs(np.mean(W)) < 4.0 * deviation / math.sqrt(W.size)
    assert_allclose(np.std(W), deviation, rtol=0.01)


@pytest.mark.parametrize("name", [name for name in VARIANCE if name != "orthogonal"])
def test_distribution(name):
    deviation = math.sqrt(VARIANCE[name])
    limit = math.sqrt(3.0) * deviation
    uniform = name.endswith("uniform")
    expected = stats.uniform(-limit, 2.0 * limit) if uniform else stats.norm(0.0, deviation)
    assert stats.kstest(drawn(name).ravel(), expected.cdf).pvalue > 0.01
    if uniform:
        assert 0.999 * limit < np.max(np.abs(drawn(name))) <= limit


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (1, 3)])
def test_orthogonal_has_orthonormal_rows_or_columns(shape):
    W = drawn("orthogonal", shape=shape)
    assert W.shape == shape
    product = W.T @ W if shape[0] >= shape[1] else W @ W.T
    assert_allclose(product, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_is_drawn_uniformly():
    """Without the signs of R the trace of Q would be biased."""
    rng = np.random.default_rng(0)
    draws = np.array([initializers.orthogonal(rng, 3, 3) for _ in range(1000)])
    traces = np.trace(draws, axis1=1, axis2=2)  # mean 0, variance 1 for the uniform measure
    assert abs(np.mean(traces)) < 4.0 / math.sqrt(len(traces))
    assert_allclose(np.var(traces), 1.0, rtol=0.15)


def test_constants_and_zeros():
    assert_array_equal(drawn("zeros", shape=(2, 3)), np.zeros((2, 3)))
    assert_array_equal(drawn(Constant(-0.5), shape=(2, 3)), np.full((2, 3), -0.5))
    assert_allclose(np.std(drawn(Normal(2.0))), 2.0, rtol=0.01)


@pytest.mark.parametrize("name", VARIANCE)
def test_the_seed_alone_decides(name):
    assert_array_equal(drawn(name, seed=3), drawn(name, seed=3))
    assert np.mean(drawn(name, seed=3) == drawn(name, seed=4)) < 0.01


# --- in a network -----------------------------------------------------------------------------


def built(seed=0, dtype="float64", **dense):
    layers = [bpnet.Dense(5, "tanh", **dense), bpnet.Dense(5, "tanh", **dense), bpnet.Dense(5)]
    return bpnet.Network(layers, "mean_squared_error", seed=seed, dtype=dtype).build(5)


def test_a_networks_seed_decides_over_its_weights():
    first, again, other = built(seed=1), built(seed=1), built(seed=2)
    for layer, same, different in zip(
        first.parameters, again.parameters, other.parameters, strict=True
    ):
        assert_array_equal(layer["W"], same["W"])
        assert not np.any(layer["W"] == different["W"])


def test_layers_of_one_shape_start_differently():
    first, second, third = (layer["W"] for layer in built().parameters)
    assert not np.any(first == second)
    assert not np.any(second == third)


def test_float32_starts_at_the_rounded_weights_of_float64():
    for single, double in zip(
        built(dtype="float32").parameters, built().parameters, strict=True
    ):
        assert single["W"].dtype == np.float32
        assert_array_equal(single["W"], double["W"].astype(np.float32))


def test_a_longer_network_starts_like_a_shorter_one():
    layers = [bpnet.Dense(5, "tanh"), bpnet.Dense(5)]
    shorter = bpnet.Network(layers, "mean_squared_error", seed=0, dtype="float64").build(5)
    assert_array_equal(shorter.parameters[0]["W"], built().parameters[0]["W"])


@pytest.mark.parametrize(
    ("name", "activation"),
    [(name, activation) for name, group in DEFAULTS.items() for activation in group],
)
def test_the_default_follows_the_activation(name, activation):
    assert bpnet.Dense(3, activation).init is INITIALIZERS[name]


def test_every_activation_has_a_default():
    assert {name for group in DEFAULTS.values() for name in group} == set(ACTIVATIONS)


def test_biases_start_at_zero_or_as_asked():
    assert_array_equal(built().parameters[0]["b"], np.zeros(5))
    assert_array_equal(built(bias_init=Constant(0.1)).parameters[0]["b"], np.full(5, 0.1))
    assert np.all(built(bias_init="normal").parameters[0]["b"] != 0.0)


def test_a_function_of_the_users_is_an_initializer():
    net = built(init=lambda rng, n_in, n_out: np.arange(25.0).reshape(n_in, n_out))
    assert_array_equal(net.parameters[0]["W"], np.arange(25.0).reshape(5, 5))
