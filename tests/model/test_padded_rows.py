"""Predictions on a backend that pads rows, so as to compile few functions."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from available import available
from numpy.testing import assert_allclose

import bpnet
from bpnet.backend.transfer import rows_to_device
from bpnet.inference import ROWS
from bpnet.model.compiled import FUNCTIONS

SIZES = tuple(range(2, 42))


def network(units=6, loss="categorical_crossentropy", outputs=3):
    layers = [bpnet.Dense(units, "tanh"), bpnet.Dropout(0.3), bpnet.Dense(outputs)]
    return bpnet.Network(layers, loss, seed=0)


def rows(m, n=5):
    return np.random.default_rng(m).normal(size=(m, n)).astype("float32")


@pytest.fixture
def jax_backend():
    if not available("jax:cpu"):
        pytest.skip("JAX is not installed")
    return bpnet.get_backend("jax:cpu")


@pytest.fixture
def compiled(jax_backend, monkeypatch):
    """The shapes for which JAX compiles a function of features."""
    shapes, original = [], type(jax_backend).compile_pure

    def counted(self, function):
        def traced(parameters, X):
            shapes.append(X.shape)
            return function(parameters, X)

        return original(self, traced)

    monkeypatch.setattr(type(jax_backend), "compile_pure", counted)
    FUNCTIONS.clear()
    yield shapes
    FUNCTIONS.clear()


@pytest.mark.parametrize("kind", ["host", "device"])
@pytest.mark.parametrize("method", ["predict_proba", "predict", "forward"])
def test_jax_compiles_once_per_power_of_two(jax_backend, compiled, method, kind):
    net = network(units=9).build(5, jax_backend)
    reference = network(units=9).build(5, "numpy")
    for m in SIZES:
        X = rows(m)
        given = X if kind == "host" else jax_backend.asarray(X)
        result = getattr(net, method)(given)
        assert isinstance(result, np.ndarray if kind == "host" else type(given))
        expected = getattr(reference, method)(X)
        assert_allclose(np.asarray(result), expected, rtol=2e-5, atol=2e-6, strict=True)
    assert compiled == [(m, 5) for m in (2, 4, 8, 16, 32, 64)]


def test_arrays_on_jax_are_checked_without_compiling(jax_backend, caplog):
    jax = pytest.importorskip("jax")
    net = network().build(5, jax_backend)
    net.predict(jax_backend.asarray(rows(2)))
    arrays = [jax_backend.asarray(rows(m)) for m in (33, 41, 57)]
    with jax.log_compiles(), caplog.at_level(logging.WARNING, "jax"):
        for X in arrays:
            net.predict(X)
    compiled = [line for line in caplog.messages if line.startswith("Finished XLA compilation")]
    assert len(compiled) == 1


def test_blocks_of_many_rows_are_as_before(jax_backend, compiled):
    net = network(units=10).build(5, jax_backend)
    X = rows(2 * ROWS + 5)
    result = net.predict_proba(X)
    assert compiled == [(ROWS, 5), (8, 5)]
    expected = network(units=10).build(5, "numpy").predict_proba(X)
    assert_allclose(result, expected, rtol=2e-5, atol=2e-6, strict=True)
    on_device = jax_backend.asarray(X)
    assert_allclose(np.asarray(net.predict_proba(on_device)), expected, rtol=2e-5, atol=2e-6)
    assert compiled == [(ROWS, 5), (8, 5), (5, 5)]  # arrays of a device stay there


def test_rows_on_which_a_users_layer_may_depend_are_not_padded(jax_backend):
    class Centered(bpnet.Layer):
        def forward(self, xp, parameters, a_previous, context):
            return a_previous - xp.mean(a_previous, axis=0), None

        def backward(self, xp, parameters, cache, error, propagate=True):
            return error - xp.mean(error, axis=0), {}

    layers = [Centered(), bpnet.Dense(2)]
    net, reference = (
        bpnet.Network(layers, "mse", seed=0).build(5, backend)
        for backend in (jax_backend, "numpy")
    )
    assert_allclose(net.predict(rows(5)), reference.predict(rows(5)), rtol=1e-5, atol=1e-6)


def test_other_backends_do_not_pad(backend):
    if backend.name != "jax":
        assert [backend.padded_rows(m) for m in (1, 3, 5000)] == [1, 3, 5000]
    else:
        assert [backend.padded_rows(m) for m in (1, 2, 3, 5, 4096)] == [1, 2, 4, 8, 4096]


def test_padding_copies_its_rows_only(jax_backend):
    X = rows(40)
    padded = rows_to_device(X, jax_backend, slice(32, 40), pad=True)
    assert_allclose(np.asarray(padded), X[32:])
    padded = np.asarray(rows_to_device(X, jax_backend, slice(35, 40), pad=True))
    assert_allclose(padded[:5], X[35:])
    assert padded.shape == (8, 5)
    assert not padded[5:].any()


def test_sparse_rows_are_padded(jax_backend):
    sparse = pytest.importorskip("scipy.sparse")
    X = sparse.csr_array(rows(11))
    padded = np.asarray(rows_to_device(X, jax_backend, slice(0, 11), pad=True))
    assert_allclose(padded[:11], rows(11))
    assert padded.shape == (16, 5)
