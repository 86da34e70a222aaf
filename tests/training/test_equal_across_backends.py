"""Identical training on every backend for one seed; invariants of the full-batch gradient."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws import gradients
from numpy.testing import assert_allclose, assert_array_equal
from on_host import host

import bpnet
from bpnet.layers import Context
from bpnet.random import generator

# --- the same bits ----------------------------------------------------------------------------


def spiral_network(dtype="float64"):
    layers = [
        bpnet.Dense(12, "tanh"),
        bpnet.Dropout(0.2),
        bpnet.Dense(8, "relu", init="orthogonal", bias_init="normal"),
        bpnet.Dropout(0.1),
        bpnet.Dense(1),
    ]
    return bpnet.Network(layers, "binary_crossentropy", seed=11, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_initial_weights_are_bit_identical(dtype, backend):
    net = spiral_network(dtype).build(2, backend=backend)
    assert net.backend == backend
    expected = spiral_network(dtype).build(2, backend="numpy").parameters
    for layer, reference in zip(host(backend, net.parameters), expected, strict=True):
        assert layer.keys() == reference.keys()
        for name, p in layer.items():
            assert p.dtype == dtype
            assert_array_equal(p, reference[name])


@pytest.mark.parametrize("step", [0, 1, 999])
def test_dropout_masks_are_bit_identical(step, backend):
    def mask(place):
        key, layer = spiral_network().keys[1], bpnet.Dropout(0.2)
        with place.activate():
            ones = place.asarray(np.ones((64, 48)))
            context = Context(key, place.asarray(step, "int64"))
            return place.to_numpy(layer.forward(place.xp, {}, ones, context)[0])

    assert_array_equal(mask(backend), mask(bpnet.get_backend("numpy")))


class Batches(bpnet.Callback):
    """Records the examples of each step, given that only example i changes row i of W."""

    def __init__(self):
        self.seen = []

    def on_train_begin(self, training):
        self.before = self.weights(training)

    def on_batch_end(self, training):
        after = self.weights(training)
        self.seen.append(np.flatnonzero(np.any(after != self.before, axis=1)).tolist())
        self.before = after

    @staticmethod
    def weights(training):
        return np.array(training.backend.to_numpy(training.parameters[0]["W"]))


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_hold_the_same_examples_in_the_same_order(shuffle, backend):
    m, batch_size, epochs = 10, 4, 3
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=4)
    batches = Batches()
    net.fit(
        np.eye(m), np.arange(5.0, 5.0 + m), optimizer=bpnet.SGD(0.1), epochs=epochs,
        batch_size=batch_size, shuffle=shuffle, callbacks=[batches], backend=backend,
    )  # fmt: skip
    orders = [
        generator(4, "shuffle", epoch).permutation(m) if shuffle else np.arange(m)
        for epoch in range(epochs)
    ]
    starts = range(0, m, batch_size)
    expected = [sorted(order[s : s + batch_size].tolist()) for order in orders for s in starts]
    assert batches.seen == expected


# --- the same training ------------------------------------------------------------------------


@functools.cache
def trained(backend):
    X, y = bpnet.datasets.make_spiral(90, seed=0)
    net = spiral_network()
    history = net.fit(
        X, y, optimizer=bpnet.Adam(0.01), epochs=50, batch_size=32, backend=backend,
        validation_data=(X, y),
    )  # fmt: skip
    return host(backend, net.parameters), history, net.predict_proba(X)


def test_after_fifty_epochs_the_weights_agree(backend):
    parameters, history, probabilities = trained(backend)
    expected, expected_history, expected_probabilities = trained(bpnet.get_backend("numpy"))
    for layer, reference in zip(parameters, expected, strict=True):
        for name, p in layer.items():
            scale = np.max(np.abs(reference[name]))
            assert_allclose(p, reference[name], rtol=0.0, atol=1e-9 * scale)
    for name, figures in expected_history.items():
        assert_allclose(history[name], figures, rtol=1e-9)
    assert_allclose(probabilities, expected_probabilities, rtol=1e-8)
    assert history["loss"][-1] < 0.9 * history["loss"][0]


def test_the_seed_decides():
    """Another seed gives different weights, so the agreement above is not trivial."""
    X, y = bpnet.datasets.make_spiral(90, seed=0)
    first, again, other = spiral_network(), spiral_network(), spiral_network()
    other = bpnet.Network(other.layers, other.loss, seed=12, dtype="float64")
    losses = [net.fit(X, y, epochs=1)["loss"] for net in (first, again, other)]
    assert losses[0] == losses[1] != losses[2]


# --- laws -------------------------------------------------------------------------------------

M = 8
FEATURES = arrays(np.float64, (M, 3), elements=st.floats(-2.0, 2.0))
TARGETS = arrays(np.float64, (M, 2), elements=st.floats(-2.0, 2.0))
WEIGHTS = st.none() | arrays(np.float64, M, elements=st.floats(0.125, 4.0))
ORDERS = st.permutations(range(M))


def pick(w, rows):
    return None if w is None else w[rows]


@given(X=FEATURES, Y=TARGETS, w=WEIGHTS, order=ORDERS)
def test_the_order_of_rows_has_no_effect(backend, X, Y, w, order):
    expected = gradients(backend, X, Y, w)
    result = gradients(backend, X[order], Y[order], pick(w, order))
    assert_allclose(result, expected, rtol=1e-12, atol=1e-14)


@given(X=FEATURES, Y=TARGETS, w=WEIGHTS)
def test_a_batch_is_the_mean_of_its_examples(backend, X, Y, w):
    single = [gradients(backend, X[[i]], Y[[i]], pick(w, [i])) for i in range(M)]
    expected = np.average(single, axis=0, weights=w)
    assert_allclose(gradients(backend, X, Y, w), expected, rtol=1e-12, atol=1e-14)


@given(X=FEATURES, Y=TARGETS, w=WEIGHTS, order=ORDERS)
def test_minibatches_sum_to_the_full_gradient(backend, X, Y, w, order):
    total = 0.0
    for rows in (order[:3], order[3:6], order[6:]):
        share = len(rows) / M if w is None else w[rows].sum() / w.sum()
        total = total + share * gradients(backend, X[rows], Y[rows], pick(w, rows))
    assert_allclose(total, gradients(backend, X, Y, w), rtol=1e-12, atol=1e-14)
