"""Generators for each purpose, and masks that are bit-identical on every backend."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import bpnet
from bpnet.layers import Context
from bpnet.random import fresh_seed, generator, mask_key, uniform_bits

PURPOSES = ("weights", "shuffle", "mask", "split", "sample")
KEY = 0xDEADBEEF


def bits(backend, shape=(64, 48), key=KEY, step=1):
    with backend.activate():
        drawn = uniform_bits(backend.xp, shape, key, backend.asarray(step, "int64"))
        drawn = backend.to_numpy(drawn)
    assert drawn.dtype == np.int32
    return drawn.astype(np.int64) + 2**31


def correlation(a, b):
    return abs(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


# --- generators -------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_generator_is_reproducible(purpose):
    first = generator(7, purpose, 2).integers(2**63, size=8)
    assert_array_equal(first, generator(7, purpose, 2).integers(2**63, size=8))


def test_generators_differ_by_seed_purpose_and_counter():
    draws = {
        tuple(generator(seed, purpose, *counters).integers(2**63, size=4))
        for seed in (0, 1)
        for purpose in PURPOSES
        for counters in ((), (0,), (1,), (0, 0))
    }
    assert len(draws) == 2 * len(PURPOSES) * 4


def test_generators_are_not_correlated():
    n = 20_000
    streams = [
        generator(seed, purpose, counter).random(n)
        for seed in (0, 1)
        for purpose in PURPOSES
        for counter in (0, 1)
    ]
    for first, second in itertools.combinations(streams, 2):
        assert correlation(first, second) < 5.0 / np.sqrt(n)


def test_fresh_seeds_differ_and_are_allowed():
    seeds = {fresh_seed() for _ in range(8)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)


# --- bits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [0, 1, KEY, 2**32 - 1])
@pytest.mark.parametrize("step", [0, 1, 2**31, 2**32 - 1])
def test_bits_are_the_same_on_every_backend(key, step, backend):
    drawn = bits(backend, key=key, step=step)
    assert drawn.shape == (64, 48)
    assert_array_equal(drawn, bits(bpnet.get_backend("numpy"), key=key, step=step))


def lowbias32(x):
    """Wellons' hash as published, in unsigned 32-bit arithmetic."""
    for shift, multiplier in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> shift)) * multiplier % 2**32
    return x ^ (x >> 16)


@pytest.mark.parametrize(("key", "step"), [(0, 0), (KEY, 1), (2**32 - 1, 123_456_789)])
def test_bits_are_those_of_the_published_hash(key, step):
    """So a checkpoint continues with the same masks in any version."""
    expected = [
        [
            lowbias32(
                lowbias32(lowbias32(row) ^ lowbias32(step ^ key))
                ^ lowbias32((column + 0x9E3779B9) % 2**32)
            )
            for column in range(4)
        ]
        for row in range(3)
    ]
    assert bits(bpnet.get_backend("numpy"), (3, 4), key, step).tolist() == expected


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_bits_are_of_32_bits(key, step):
    drawn = bits(bpnet.get_backend("numpy"), (9, 5), key, step)
    assert np.all((drawn >= 0) & (drawn < 2**32))


def test_a_smaller_batch_has_the_first_rows_of_a_larger(backend):
    assert_array_equal(bits(backend)[:10, :7], bits(backend, (10, 7)))


@pytest.mark.parametrize(("key", "step"), [(0, 0), (KEY, 1), (KEY, 2), (1, 1000)])
def test_bits_are_uniform(key, step):
    drawn = bits(bpnet.get_backend("numpy"), (400, 250), key, step)
    for shift in (0, 8, 16, 24):  # each of the four bytes
        counts = np.bincount(((drawn >> shift) & 0xFF).ravel(), minlength=256)
        assert 1e-3 < stats.chisquare(counts).pvalue < 1.0 - 1e-3


def test_rows_and_columns_are_uniform():
    drawn = bits(bpnet.get_backend("numpy"), (400, 250)) / 2.0**32
    for axis in (0, 1):
        deviation = np.sqrt(1.0 / 12.0 / drawn.shape[axis])
        assert np.max(np.abs(drawn.mean(axis=axis) - 0.5)) < 5.0 * deviation


def test_masks_of_steps_keys_rows_and_columns_are_not_correlated():
    shape = (200, 150)
    numpy = bpnet.get_backend("numpy")
    first = bits(numpy, shape)
    others = [bits(numpy, shape, step=step) for step in (0, 2, 3, 1001)]
    others += [bits(numpy, shape, key=key) for key in (KEY ^ 1, KEY + 1, 0, mask_key(0, 1))]
    others += [np.roll(first, 1, axis=0), np.roll(first, 1, axis=1)]
    for other in others:
        assert np.mean(first == other) < 1e-4
        assert correlation(first, other) < 5.0 / np.sqrt(first.size)
        assert correlation(first & 1, other & 1) < 5.0 / np.sqrt(first.size)


def test_mask_keys_differ_by_layer_and_seed():
    keys = {mask_key(seed, layer) for seed in range(5) for layer in range(5)}
    assert len(keys) == 25
    assert all(0 <= key < 2**32 for key in keys)


# --- dropout ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_its_share(rate, backend, xp):
    ones = xp.ones((200, 150), dtype=xp.float32, device=backend.asarray(0.0).device)
    a, _ = bpnet.Dropout(rate).forward(xp, {}, ones, Context(KEY, backend.asarray(1, "int64")))
    assert a.dtype == xp.float32
    a = backend.to_numpy(a)
    deviation = np.sqrt(rate * (1.0 - rate) / a.size)
    assert abs(np.mean(a == 0.0) - rate) < 4.0 * deviation
    assert_allclose(a[a != 0.0], 1.0 / (1.0 - rate), rtol=1e-6)
    assert abs(np.mean(a, dtype=float) - 1.0) < 4.0 * deviation / (1.0 - rate)


@pytest.mark.parametrize(("rate", "step"), [(0.0, 1), (0.5, None)])
def test_dropout_of_rate_zero_or_in_inference_passes_through(rate, step, backend, xp):
    layer = bpnet.Dropout(rate)
    x = backend.asarray(np.linspace(-1.0, 1.0, 12).reshape(3, 4))
    context = Context(KEY, None if step is None else backend.asarray(step, "int64"))
    a, cache = layer.forward(xp, {}, x, context)
    error, gradients = layer.backward(xp, {}, cache, x)
    assert_array_equal(backend.to_numpy(a), backend.to_numpy(x))
    assert_array_equal(backend.to_numpy(error), backend.to_numpy(x))
    assert gradients == {}


def test_dropout_sends_errors_back_through_the_same_mask(backend, xp):
    layer = bpnet.Dropout(0.4)
    x = backend.asarray(np.random.default_rng(0).normal(size=(30, 20)))
    a, cache = layer.forward(xp, {}, x, Context(KEY, backend.asarray(5, "int64")))
    error, gradients = layer.backward(xp, {}, cache, x)
    assert_array_equal(backend.to_numpy(error), backend.to_numpy(a))
    assert 0.2 < np.mean(backend.to_numpy(a) == 0.0) < 0.6
    assert gradients == {}


def test_dropout_draws_a_new_mask_in_each_step_and_layer(backend, xp):
    x = backend.asarray(np.ones((30, 20)))
    contexts = [
        Context(key, backend.asarray(step, "int64"))
        for key, step in [(KEY, 0), (KEY, 1), (KEY + 1, 0)]
    ]
    masks = [
        backend.to_numpy(bpnet.Dropout(0.5).forward(xp, {}, x, context)[0])
        for context in contexts
    ]
    for first, second in itertools.combinations(masks, 2):
        assert 0.4 < np.mean(first == second) < 0.6


def test_dropout_drops_exactly_the_bits_below_its_rate(backend, xp):
    drawn = bits(backend, (4, 5))
    limit = np.sort(drawn.ravel())[8]
    ones, step = backend.asarray(np.ones((4, 5))), backend.asarray(1, "int64")
    a, _ = bpnet.Dropout(float(limit) / 2**32).forward(xp, {}, ones, Context(KEY, step))
    assert_array_equal(backend.to_numpy(a) > 0.0, drawn >= limit)


def test_dropout_acts_in_training_with_a_mask_for_each_step(backend):
    layers = [bpnet.Dropout(0.5), bpnet.Dense(1)]
    net = bpnet.Network(layers, "mean_squared_error", seed=0, dtype="float64").build(3)
    W, b = net.parameters[0]["W"].copy(), net.parameters[0]["b"].copy()
    X, y = np.random.default_rng(0).normal(size=(6, 3)), np.linspace(-1.0, 1.0, 6)[:, None]
    net.fit(X, y, epochs=2, batch_size=None, optimizer=bpnet.SGD(0.1), backend=backend)
    for step in (0, 1):
        kept = bits(backend, (6, 3), net.keys[0], step) >= 2**31
        a = X * kept * 2.0
        delta = 2.0 / 6.0 * (a @ W + b - y)
        W, b = W - 0.1 * a.T @ delta, b - 0.1 * delta.sum(axis=0)
    assert_allclose(backend.to_numpy(net.parameters[0]["W"]), W, rtol=1e-12)
    assert_allclose(backend.to_numpy(net.parameters[0]["b"]), b, rtol=1e-12)


def test_dropout_is_inactive_in_prediction_and_evaluation():
    X, y = bpnet.datasets.make_xor(20)
    net = bpnet.Network(
        [bpnet.Dense(8, "tanh"), bpnet.Dropout(0.9), bpnet.Dense(1)],
        loss="binary_crossentropy", seed=0,
    ).build(2)  # fmt: skip
    without = bpnet.Network(
        [bpnet.Dense(8, "tanh"), bpnet.Dense(1)], loss="binary_crossentropy", seed=0
    ).build(2)
    without.parameters = net.parameters
    assert_array_equal(net.forward(X), without.forward(X))
    assert net.evaluate(X, y) == without.evaluate(X, y)
    assert net.loss_and_gradients(X, y)[0] == without.loss_and_gradients(X, y)[0]


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_dropout_refuses_other_rates(rate):
    with pytest.raises(ValueError, match=r"rate must be a finite number >= 0 and < 1, got"):
        bpnet.Dropout(rate)


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_rate_that_rounds_to_one_drops_nearly_all(scheduled, backend, xp):
    rate = 1.0 - 2.0**-40
    layer = bpnet.Dropout(bpnet.schedules.Constant(rate) if scheduled else rate)
    values = {"rate": backend.asarray(rate, "float64")} if scheduled else {}
    ones, step = backend.asarray(np.ones((40, 50))), backend.asarray(1, "int64")
    a, _ = layer.forward(xp, {}, ones, Context(KEY, step, values=values))
    assert not backend.to_numpy(a).any()
