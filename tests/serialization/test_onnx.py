"""ONNX files of networks: ONNX Runtime computes what the network predicts."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.activations import ACTIVATIONS, LeakyReLU
from bpnet.backend.graph import new_graph

pytest.importorskip("ndonnx")
onnxruntime = pytest.importorskip("onnxruntime")

Dense = bpnet.Dense
LAYERS = {
    "BatchNorm": [Dense(4), bpnet.BatchNorm()],
    "Dropout": [Dense(4, "tanh"), bpnet.Dropout(0.5)],
    "Embedding": [bpnet.Embedding({1: 4, 3: 5}, 3)],
    "Frozen": [bpnet.Frozen(Dense(4, "tanh"))],
    "LayerNorm": [Dense(4), bpnet.LayerNorm()],
    "ParametricActivation": [Dense(4), bpnet.ParametricActivation("selu")],
    "PeriodicEmbedding": [bpnet.PeriodicEmbedding(3, 4, sigma=1.0)],
    "PeriodicEmbedding of some": [bpnet.PeriodicEmbedding(3, 4, columns=(1, 4))],
    "Residual": [Dense(4), bpnet.Residual([Dense(6, "relu"), bpnet.LayerNorm(), Dense(4)])],
    "Scale": [bpnet.Scale()],
    "ntk": [Dense(4, "relu", parametrization="ntk"), Dense(4, parametrization="ntk")],
}
LOSSES = {
    "mse": (Dense(1), Dense(2)),
    "poisson": (Dense(1), Dense(2)),
    "bce": (Dense(1), Dense(3)),
    "cce": (Dense(2), Dense(4)),
}


def inputs(m=9, seed=0):
    """Return (m, 5), of which columns 1 and 3 hold codes and what is none."""
    rng = np.random.default_rng(seed)
    X = rng.normal(0.0, 4.0, (m, 5))
    X[:, 1], X[:, 3] = rng.integers(-1, 5, m), rng.integers(0, 11, m) / 2.0
    return X


def built(layers, loss="mse", dtype="float32"):
    """Return a network whose parameters all differ from their initial values."""
    net = bpnet.Network(layers, loss, seed=0, dtype=dtype).build(5)
    rng = np.random.default_rng(1)
    net.set_weights([abs(w + rng.normal(0.0, 0.3, w.shape)) for w in net.get_weights()])
    return net


def computed(net, path, X):
    """Write the network to a file; return what ONNX Runtime computes, by name."""
    net.to_onnx(path)
    session = onnxruntime.InferenceSession(os.fspath(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X.astype(net.dtype)}), strict=True))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation(name, path):
    net, X = built([Dense(6, name), Dense(3)]), inputs()
    assert_allclose(computed(net, path, X)["prediction"], net.predict(X), 1e-5, 1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer(name, path):
    net, X = built([*LAYERS[name], Dense(3)]), inputs()
    assert_allclose(computed(net, path, X)["prediction"], net.predict(X), 1e-5, 1e-5)


def test_every_layer_is_tested():
    tested = {type(layer).__name__ for layers in LAYERS.values() for layer in layers}
    public = {
        name for name in bpnet.__all__
        if isinstance(kind := getattr(bpnet, name), type) and issubclass(kind, bpnet.Layer)
    }  # fmt: skip
    assert tested == public - {"Layer"}


@pytest.mark.parametrize(("loss", "last"), [(k, d) for k, of in LOSSES.items() for d in of])
def test_each_link_and_form_of_output(loss, last, path):
    net, X = built([Dense(4, LeakyReLU(0.2)), last], loss), inputs()
    found = computed(net, path, X)
    if loss in ("bce", "cce"):
        assert list(found) == ["label", "probabilities"]
        assert_allclose(found["probabilities"], net.predict_proba(X), 1e-5, 1e-6)
        assert_array_equal(found["label"], net.predict(X), strict=True)
    else:
        assert_allclose(found["prediction"], net.predict(X), 1e-5, 1e-5, strict=True)


@pytest.mark.parametrize("m", [0, 1, 5000])
def test_any_number_of_rows(m, path):
    net = built([bpnet.Embedding({1: 4}, 2), Dense(4, "tanh"), Dense(2)], "cce")
    found, p = computed(net, path, inputs(m)), net.predict_proba(inputs(max(m, 1)))
    assert_allclose(found["probabilities"], p[:m], 1e-5, 1e-6, strict=True)


def test_a_network_of_float64(path):
    net, X = built([Dense(6, "gelu"), Dense(3)], "cce", "float64"), inputs()
    found = computed(net, path, X)["probabilities"]
    assert_allclose(found, net.predict_proba(X), 1e-12, strict=True)


@pytest.mark.parametrize("where", ["numpy", "torch", "jax", "array_api_strict"])
def test_weights_of_any_backend(where, path):
    if not bpnet.available_backends()[where].available:
        pytest.skip(f"{where} is not available")
    net, X = built([Dense(4, "tanh"), Dense(2)]), inputs()
    expected = net.predict(X)
    assert_allclose(computed(net.to(where), path, X)["prediction"], expected, 1e-5, 1e-5)


def test_names_shapes_and_metadata(path):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(inputs(), columns=list("abcde"))
    net = bpnet.Network([Dense(3)], "cce", seed=0)
    net.fit(X, [0, 1, 2] * 3, epochs=1)
    net.to_onnx(path)
    session = onnxruntime.InferenceSession(os.fspath(path))
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape) == ("X", "tensor(float)", ["batch", 5])
    meta = session.get_modelmeta()
    assert meta.producer_name == "bpnet"
    found = meta.custom_metadata_map
    assert found["bpnet"] == bpnet.__version__
    assert found["kind"] == "Network"
    assert json.loads(found["feature_names"]) == list("abcde")


def test_equal_networks_have_equal_files(path):
    contents = []
    for _ in range(2):
        built([Dense(4, "tanh"), Dense(2)]).to_onnx(path)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


class Squared(bpnet.Layer):
    """A layer of the user's own, by standard functions."""

    def forward(self, xp, parameters, a_previous, context):
        return a_previous * xp.abs(a_previous), None

    def backward(self, xp, parameters, cache, error, propagate=True):
        raise NotImplementedError


class Counting(Squared):
    """One that needs to know the number of rows."""

    def forward(self, xp, parameters, a_previous, context):
        return a_previous / float(a_previous.shape[0]), None


def test_a_layer_of_the_users_own(path):
    net, X = built([Squared(), Dense(3)]), inputs()
    assert_allclose(computed(net, path, X)["prediction"], net.predict(X), 1e-5, 1e-5)


def test_what_cannot_be_recorded_is_refused(path):
    path.write_text("before")
    with pytest.raises(bpnet.ComponentError, match=r"Counting\(\) cannot be written"):
        built([Counting(), Dense(3)]).to_onnx(path)
    with pytest.raises(ValueError, match="has no parameters yet"):
        bpnet.Network([Dense(1)], "mse", seed=0).to_onnx(path)
    assert path.read_text() == "before"


def test_a_missing_library_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ndonnx", None)
    monkeypatch.delitem(sys.modules, "bpnet_backends.onnx", raising=False)
    with pytest.raises(ImportError, match=r'pip install "bpnet-array-api\[onnx\]"'):
        built([Dense(1)]).to_onnx(path)
    with pytest.raises(ImportError, match="does not know 'tflite' files"):
        new_graph("tflite")
    assert not path.exists()
