"""The initialization that depends on the examples: its laws, layer by layer."""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.estimators.tabular.initialization import adapt_to_examples, adapted_to
from bpnet.layers import Context

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(200, 5)) * [1.0, 3.0, 0.1, 5.0, 1.0] + 2.0).astype("float32")


def network(dropout=None, seed=0):
    normal = {"init": "standard_normal", "bias_init": "standard_normal"}
    layers = [
        bpnet.Scale(),
        bpnet.Dense(32, parametrization="ntk", **normal),
        bpnet.ParametricActivation("selu"),
        *([bpnet.Dropout(dropout)] if dropout else []),
        bpnet.Dense(16, "mish", parametrization="ntk", **normal),
        bpnet.Dense(3, parametrization="ntk", **normal),
    ]
    return bpnet.Network(layers, "categorical_crossentropy", seed=seed).build(5, "numpy")


def pre_activations(net):
    """Return the pre-activations of the dense layers, without and with their biases."""
    found, a = [], X
    context = Context()
    for layer, p in zip(net.layers, net.placement.parameters, strict=True):
        before, (a, _) = a, layer.forward(np, p, a, context)
        if isinstance(layer, bpnet.Dense):
            z = layer.forward(np, p | {"b": np.zeros_like(p["b"])}, before, context)[1][1]
            found.append((z, p["b"]))
    return found


@pytest.mark.parametrize("dropout", [None, 0.3, bpnet.schedules.FlatCosine(0.3, 10)])
def test_units_have_unit_standard_deviation_without_dropout(dropout):
    net = network(dropout)
    adapt_to_examples(net, X)
    for z, _ in pre_activations(net):
        assert_allclose(z.std(axis=0), 1.0, rtol=2e-5)


def test_biases_are_minus_convex_combinations_of_pre_activations():
    """So the range of each unit's inputs holds 0."""
    net = network()
    adapt_to_examples(net, X)
    for z, b in pre_activations(net):
        assert (z.min(axis=0) <= -b).all()
        assert (-b <= z.max(axis=0)).all()


def test_the_combinations_are_uniform_on_the_simplex():
    """Shares of a uniform (Dirichlet) distribution: a mean of 1/5, a variance of 2/75."""
    n = 40_000
    z = np.tile(np.arange(2.0)[:, None], (1, n))  # half of the rows are 1
    b = adapted_to(xp, z, np.ones((1, n)), np.random.default_rng(0))["b"] * 0.5
    assert_allclose(-b.mean(), 0.5, atol=0.01)
    # Each corner is 0 or 1, so var = E[sum of squares] / 4 = 5 (2/30) / 4.
    assert_allclose(b.var(), 5.0 * (2.0 / 30.0) / 4.0, rtol=0.03)


def test_constant_inputs_leave_the_weights():
    adapted = adapted_to(xp, np.ones((9, 3)), np.full((2, 3), 2.0), np.random.default_rng(0))
    assert_array_equal(adapted["W"], np.full((2, 3), 2.0))
    assert_allclose(adapted["b"], -1.0)


def test_other_parameters_stay():
    net, drawn = network(), network()
    adapt_to_examples(net, X)
    for number in (0, 2):
        for name, p in net.parameters[number].items():
            assert_array_equal(p, drawn.parameters[number][name])


def test_the_seed_determines_the_weights():
    one, same, other = network(), network(), network(seed=1)
    for net in (one, same, other):
        adapt_to_examples(net, X)
    assert_array_equal(one.parameters[1]["b"], same.parameters[1]["b"])
    assert not np.array_equal(one.parameters[1]["b"], other.parameters[1]["b"])
