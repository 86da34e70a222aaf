"""Weights go to Keras and back as lists of arrays, in the same order and orientation."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet

# Keras's own, with a newer NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def keras():
    """Keras on PyTorch, which is quicker to start than JAX."""
    pytest.importorskip("torch")
    before = os.environ.setdefault("KERAS_BACKEND", "torch")
    found = pytest.importorskip("keras")
    yield found
    if before == "torch":
        os.environ.pop("KERAS_BACKEND", None)


def pair(keras):
    """Return the same architecture here and in Keras, weights for both, and examples."""
    rng = np.random.default_rng(0)
    net = bpnet.Network(
        [bpnet.Dense(7), bpnet.BatchNorm(), bpnet.Dense(5, "tanh"), bpnet.LayerNorm(),
         bpnet.Dense(3)],
        "categorical_crossentropy", seed=0,
    ).build(4)  # fmt: skip
    model = keras.Sequential(
        [
            keras.layers.Input((4,)), keras.layers.Dense(7),
            keras.layers.BatchNormalization(epsilon=net.layers[1].epsilon),
            keras.layers.Dense(5, "tanh"),
            keras.layers.LayerNormalization(epsilon=net.layers[3].epsilon),
            keras.layers.Dense(3, "softmax"),
        ]
    )  # fmt: skip
    drawn = [rng.uniform(0.5, 1.5, w.shape).astype(w.dtype) for w in net.get_weights()]
    return net, model, drawn, rng.normal(size=(20, 4)).astype("float32")


def test_weights_go_to_keras(keras):
    net, model, drawn, X = pair(keras)
    net.set_weights(drawn)
    model.set_weights(net.get_weights())
    assert_allclose(net.predict_proba(X), model.predict(X, verbose=0), rtol=1e-4, atol=1e-6)


def test_weights_come_from_keras(keras):
    net, model, drawn, X = pair(keras)
    model.set_weights(drawn)
    net.set_weights(model.get_weights())
    for ours, theirs in zip(net.get_weights(), model.get_weights(), strict=True):
        assert_array_equal(ours, theirs)
    assert_allclose(net.predict_proba(X), model.predict(X, verbose=0), rtol=1e-4, atol=1e-6)
