"""Predictions of a few rows: replayed with the bits of the function itself, in own memory."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from bpnet_backends.capture import replayed_function
from bpnet_backends.capture.numpy_rows import NumpyRowOps
from bpnet_backends.capture.replayed_function import (
    CALLS_BEFORE,
    MAX_KINDS,
    MAX_RECORDINGS,
    MAX_ROWS,
    ReplayedFunction,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import bpnet
from bpnet import inference

BACKEND = bpnet.get_backend("numpy")
FUNCTIONS = (inference.logits, inference.probabilities, inference.predictions)
LOSSES = {
    "binary_crossentropy": 1, "categorical_crossentropy": 3, "poisson": 2, "huber": 1
}  # fmt: skip


def network(loss="categorical_crossentropy", activation="relu", dtype="float32", units=7):
    layers = [bpnet.Dense(units, activation), bpnet.Dropout(0.2), bpnet.Dense(LOSSES[loss])]
    return bpnet.Network(layers, loss, seed=0, dtype=dtype).build(4, "numpy")


def rows(m, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=(m, 4)).astype(dtype)


def as_written(net, X, function=inference.probabilities):
    return function(BACKEND.xp, net.spec, net.placement.parameters, X)


class Counted:
    """Probabilities that count how often they run as written."""

    def __init__(self, net):
        self.spec, self.calls = net.spec, 0

    def __call__(self, xp, parameters, X):
        self.calls += xp is BACKEND.xp
        return inference.probabilities(xp, self.spec, parameters, X)


def replayed(net):
    counted = Counted(net)
    return counted, ReplayedFunction(counted, NumpyRowOps(), BACKEND.xp)


def called(net, X, times=CALLS_BEFORE + 1):
    """Return a function that has been called, and the count of its runs as written."""
    counted, function = replayed(net)
    for _ in range(times):
        function(net.placement.parameters, X)
    return counted, function


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_any_function_has_the_same_bits(loss, dtype, function):
    net = network(loss, "gelu", dtype)
    compiled = net.compiled_inference(BACKEND, function)
    for m in (1, 2, 5):
        for seed in range(CALLS_BEFORE + 3):
            X = rows(m, dtype, seed)
            expected = as_written(net, X, function)
            result = compiled(net.placement.parameters, X)
            assert result.dtype == expected.dtype
            assert_array_equal(result, expected, strict=True)
        assert compiled._free[X.shape, X.dtype]


@pytest.mark.parametrize("activation", sorted(bpnet.activations.ACTIVATIONS))
def test_any_activation_has_the_same_bits(activation):
    net = network(activation=activation, units=67)
    _, function = called(net, rows(1))
    for seed in range(20):
        X = rows(1, seed=seed) * np.float32(10.0**seed / 1e6)
        assert_array_equal(function(net.placement.parameters, X), as_written(net, X))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=20, max_size=80), st.integers(1, 40))
def test_any_order_of_row_counts_has_the_same_bits(counts, units):
    net = network(units=units)
    _, function = replayed(net)
    for seed, m in enumerate(counts):
        X = rows(m, seed=seed)
        assert_array_equal(function(net.placement.parameters, X), as_written(net, X))


def test_what_is_frequent_no_longer_runs_as_written():
    net = network()
    counted, function = called(net, rows(1), 50)
    assert counted.calls == CALLS_BEFORE
    function(net.placement.parameters, rows(2))
    assert counted.calls == CALLS_BEFORE + 1


def test_a_network_replays_its_predictions(monkeypatch):
    runs = []
    original = replayed_function.Recording.run
    monkeypatch.setattr(
        replayed_function.Recording,
        "run",
        lambda self, parameters, X: runs.append(X.shape) or original(self, parameters, X),
    )
    net = network("poisson", units=11)
    for _ in range(CALLS_BEFORE + 5):
        net.predict(rows(1, "float64"))
    assert runs == [(1, 4)] * 5


def test_results_are_never_overwritten():
    net = network()
    _, function = called(net, rows(1))
    results = [function(net.placement.parameters, rows(1, seed=seed)) for seed in range(9)]
    for seed, result in enumerate(results):
        assert_array_equal(result, as_written(net, rows(1, seed=seed)))
        assert result.flags.writeable
        assert result.base is None
        result[:] = 7.0
    assert_array_equal(function(net.placement.parameters, rows(1)), as_written(net, rows(1)))


def test_new_parameters_are_seen_and_old_ones_released():
    net = network()
    counted, function = called(net, rows(1))
    before = counted.calls
    old = weakref.ref(net.placement.parameters[0]["W"])
    net.parameters = [{name: 2.0 * p for name, p in layer.items()} for layer in net.parameters]
    gc.collect()
    assert old() is None
    for change in (lambda: None, lambda: net.parameters[0]["W"].fill(0.25)):
        change()
        expected = as_written(net, rows(1))
        assert_array_equal(function(net.placement.parameters, rows(1)), expected)
    assert counted.calls == before


def test_neither_rows_nor_parameters_are_kept_alive():
    net, X = network(), rows(1)
    _, function = called(net, X)
    kept = [weakref.ref(X), *(weakref.ref(p) for p in net.parameters[0].values())]
    del net, X
    gc.collect()
    assert [array() for array in kept] == [None] * 3
    assert function._free


def test_arrays_of_another_kind_run_as_written():
    net = network()
    counted, function = called(net, rows(1))
    parameters = [dict(layer) for layer in net.placement.parameters]
    wide = [{n: p.astype("float64") for n, p in layer.items()} for layer in parameters]
    strided = np.asfortranarray(rows(2))[:1]
    cases = ((wide, rows(1)), (parameters, rows(1, "float64")), (parameters, strided))
    for arguments in cases:
        before = counted.calls
        expected = inference.probabilities(BACKEND.xp, net.spec, *arguments)
        assert_array_equal(function(*arguments), expected, strict=True)
        assert counted.calls == before + 1


def test_networks_of_two_dtypes_share_a_function():
    nets = [network(dtype=dtype) for dtype in ("float32", "float64")]
    function = ReplayedFunction(Counted(nets[0]), NumpyRowOps(), BACKEND.xp)
    for _ in range(CALLS_BEFORE + 3):
        for net in nets:
            result = function(net.placement.parameters, rows(1, net.dtype))
            assert_array_equal(result, as_written(net, rows(1, net.dtype)), strict=True)
    assert len(function._free) == 2
    assert function.function.calls == 2 * CALLS_BEFORE


def test_errors_of_the_function_are_its_own():
    net = network()
    _, function = called(net, rows(1))
    with pytest.raises(KeyError, match="b"):
        function([{"W": net.parameters[0]["W"]}, {}, net.parameters[1]], rows(1))
    for _ in range(3 * CALLS_BEFORE):
        with pytest.raises(ValueError, match=r"shape|dimension"):
            function(net.placement.parameters, np.ones((1, 5), "float32"))


def test_what_cannot_be_recorded_runs_as_written():
    calls = []

    def branching(xp, parameters, X):
        calls.append(xp)
        return X if bool(xp.all(X > 0.0)) else -X

    function = ReplayedFunction(branching, NumpyRowOps(), BACKEND.xp)
    for _ in range(100):
        assert_array_equal(function([], -np.ones((1, 2))), np.ones((1, 2)))
    assert calls.count(BACKEND.xp) == 100
    assert len(calls) == 100 + MAX_RECORDINGS


@pytest.mark.parametrize(
    ("use", "is_recorded"),
    [
        (lambda xp, X, p: X[:, 0], False),  # a result in memory of the caller's
        (lambda xp, X, p: X, False),
        (lambda xp, X, p: X * p.T, False),  # a view of a parameter, which no copy may replace
        (lambda xp, X, p: xp.sum(X.T, axis=1), True),
        (lambda xp, X, p: xp.concat([X, p, X[:, 1:2]], axis=1), True),
        (lambda xp, X, p: xp.stack([X, X]), False),
        (lambda xp, X, p: xp.take(p, xp.astype(X[0, :1], xp.int64), axis=0), True),
    ],
)
def test_views_of_rows_are_replayed_and_those_of_parameters_are_not(use, is_recorded):
    function = ReplayedFunction(
        lambda xp, parameters, X: use(xp, X, parameters[0]["p"]), NumpyRowOps(), BACKEND.xp
    )
    for seed in range(CALLS_BEFORE + 4):
        X, p = rows(1, seed=seed), rows(1, seed=seed + 50)[:, :1]
        X[0, 0] = 0.0
        kept = X.copy()
        result = function([{"p": p}], X)
        assert_array_equal(result, use(BACKEND.xp, X, p))
        assert_array_equal(X, kept)
    assert bool(function._free) == is_recorded


def test_a_network_with_embeddings_is_replayed():
    layers = [
        bpnet.PeriodicEmbedding(3, 3, columns=(0, 2)),
        bpnet.Embedding({1: 4}, 2),
        bpnet.Scale(0.5),
        bpnet.Dense(3, "tanh", parametrization="ntk"),
        bpnet.ParametricActivation("selu"),
        bpnet.Dense(3),
    ]
    net = bpnet.Network(layers, "categorical_crossentropy", seed=0).build(4, "numpy")
    for m in (1, 2, 9):
        counted, function = replayed(net)
        for seed in range(CALLS_BEFORE + 6):
            X = rows(m, seed=seed)
            X[:, 1] = np.round(np.abs(X[:, 1]))
            result = function(net.placement.parameters, X)
            assert_array_equal(result, as_written(net, X))
        assert counted.calls == CALLS_BEFORE
        function(net.placement.parameters, rows(m))
        assert counted.calls == CALLS_BEFORE


def test_memory_is_bounded():
    net = network()
    _, function = replayed(net)
    for _ in range(CALLS_BEFORE):
        function(net.placement.parameters, rows(MAX_ROWS + 1))
    assert not function._free
    for m in range(1, MAX_ROWS + 1):
        for _ in range(CALLS_BEFORE):
            function(net.placement.parameters, rows(m))
    assert 0 < len(function._free) <= MAX_KINDS
    wide = network(units=replayed_function.MAX_SIZE)
    _, function = called(wide, rows(1))
    assert not function._free


def test_threads_that_predict_at_once_share_no_memory():
    net = network(units=50)
    expected = {seed: as_written(net, rows(1 + seed % 3, seed=seed)) for seed in range(9)}
    counted, function = replayed(net)
    barrier, wrong = threading.Barrier(6), []

    def predict(number):
        barrier.wait()
        for k in range(300):
            seed = (number + k) % 9
            result = function(net.placement.parameters, rows(1 + seed % 3, seed=seed))
            if not np.array_equal(result, expected[seed]):
                wrong.append((number, seed))

    threads = [threading.Thread(target=predict, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert counted.calls < 6 * 300
    for recordings in function._free.values():
        assert 1 <= len(recordings) <= MAX_RECORDINGS
        buffers = [recording.result for recording in recordings]
        assert not any(
            np.shares_memory(a, b) for k, a in enumerate(buffers) for b in buffers[:k]
        )


def test_a_recording_in_use_is_not_given_to_another_call():
    """A call within a call, as from a signal handler, takes another recording."""
    net = network()
    inner = []

    class Reentrant(NumpyRowOps):
        def copy(self, array):
            if not inner:
                inner.append(None)
                inner.append(function(net.placement.parameters, rows(1, seed=5)))
            return super().copy(array)

    counted = Counted(net)
    function = ReplayedFunction(counted, Reentrant(), BACKEND.xp)
    for _ in range(CALLS_BEFORE + 1):
        outer = function(net.placement.parameters, rows(1))
    assert_array_equal(outer, as_written(net, rows(1)))
    assert_array_equal(inner[1], as_written(net, rows(1, seed=5)))


def test_parts_of_a_users_own_are_not_replayed():
    class Swish(bpnet.activations.Activation):
        calls = 0

        def f(self, xp, z):
            type(self).calls += 1
            return z / (1.0 + xp.exp(-z))

        def df(self, xp, z, a):
            return xp.ones_like(z)

    layers = [bpnet.Dense(3, Swish()), bpnet.Dense(2)]
    net = bpnet.Network(layers, "categorical_crossentropy", seed=0).build(4, "numpy")
    for _ in range(3 * CALLS_BEFORE):
        net.predict(rows(1))
    assert Swish.calls == 3 * CALLS_BEFORE
