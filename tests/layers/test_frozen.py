"""Frozen: parameters that are not trained, and what the layer computes meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import BatchNorm, Dense, Dropout, Frozen
from bpnet.layers import Context

pytestmark = pytest.mark.once_on_jax

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
Y = X[:, 0] * X[:, 1]
SETTINGS = {"epochs": 3, "batch_size": 16}


def network(*body, dtype="float64"):
    return bpnet.Network([*body, Dense(1)], "mean_squared_error", seed=0, dtype=dtype)


OPTIMIZERS = [
    bpnet.SGD(0.1, momentum=0.9), bpnet.Adam(weight_decay=0.1), bpnet.AdamW(clip_norm=0.1),
]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["sgd", "adam", "adamw"])
def test_training_is_that_of_the_last_layer_on_what_the_others_return(optimizer, backend):
    """Bit for bit, for any optimizer; the frozen layers keep every bit."""
    body = Dense(4, "tanh", l2=0.1)
    net = network(Frozen(body)).build(3, backend)
    before = backend.to_numpy(net.parameters[0]["W"]).copy()
    features = network(body).build(3, "numpy")
    features = np.tanh(X @ features.parameters[0]["W"] + features.parameters[0]["b"])
    last = network().build(4, backend)
    last.parameters = net.parameters[1:]
    settings = SETTINGS | {"optimizer": optimizer, "backend": backend}
    assert_allclose(
        net.fit(X, Y, **settings)["loss"], last.fit(features, Y, **settings)["loss"], rtol=1e-12
    )
    assert_array_equal(backend.to_numpy(net.parameters[0]["W"]), before)
    assert net.n_parameters == 4 * 3 + 4 + 5
    assert net.summary().endswith("21 parameters, 16 not trained")


def test_errors_pass_through_it_to_layers_before(backend):
    net = network(Dense(4, "tanh"), Frozen(Dense(4, "tanh")))
    report = bpnet.check_gradients(net, X[:6], Y[:6], backend=backend)
    assert report.passed, str(report)
    assert list(report.n_checked) == [f"layer {n} {name}" for n in (1, 3) for name in "Wb"]
    value, gradients = net.loss_and_gradients(X, Y, backend=backend)
    expected, others = bpnet.Network(
        [Dense(4, "tanh"), Dense(4, "tanh"), Dense(1)], net.loss, seed=0, dtype="float64"
    ).loss_and_gradients(X, Y, backend=backend)
    assert value == expected
    assert gradients[1] == {}  # one dict for each of net.parameters
    assert_array_equal(gradients[0]["W"], others[0]["W"])


def test_it_computes_in_training_what_it_computes_in_prediction(backend, xp):
    context = Context(backend.asarray(1, "int64"), backend.asarray(2, "int64"))
    norm = {"gamma": 2.0, "beta": 1.0, "mean": 0.5, "variance": 4.0}
    p = {name: backend.asarray(np.full(3, value)) for name, value in norm.items()}
    x = backend.asarray(X)
    same, _ = Frozen(Dropout(0.5)).forward(xp, {}, x, context)
    assert_array_equal(backend.to_numpy(same), X)
    a, cache = Frozen(BatchNorm()).forward(xp, p, x, context)
    assert_allclose(backend.to_numpy(a), 1.0 + 2.0 * (X - 0.5) / 2.0, rtol=1e-5, atol=1e-5)
    assert Frozen(BatchNorm()).updated(xp, p, cache) == {}


def test_running_statistics_in_it_are_kept(backend):
    net = network(Dense(4), Frozen(BatchNorm())).build(3, backend)
    net.fit(X, Y, backend=backend, **SETTINGS)
    for name, value in {"gamma": 1.0, "beta": 0.0, "mean": 0.0, "variance": 1.0}.items():
        assert_array_equal(backend.to_numpy(net.parameters[1][name]), value)


def test_it_is_saved_and_resumed_without_optimizer_state(tmp_path):
    path = tmp_path / "run.safetensors"
    body = (Dense(4), Frozen(Dense(4, "tanh")), Frozen(Dropout(bpnet.schedules.Constant(0.2))))
    whole, net = network(*body), network(*body)
    whole.fit(X, Y, epochs=4)
    net.fit(X, Y, epochs=2, callbacks=[bpnet.Checkpoint(path)])
    names = bpnet.serialization.safetensors_file.read(path)[1]
    assert "training.optimizer.m.0.W" in names
    assert "training.optimizer.m.1.W" not in names
    resumed = network(*body)
    resumed.fit(X, Y, epochs=4, resume_from=path)
    assert_array_equal(resumed.predict(X), whole.predict(X))


def test_the_metrics_of_layers_are_those_of_trained_weights():
    history = network(Dense(4), Frozen(Dense(4, "tanh"))).fit(
        X, Y, epochs=1, callbacks=[bpnet.GradientFlow()]
    )
    assert "gradient_norm/2" in history
    assert "gradient_norm/3" not in history
    assert history.facts.activations == ("identity", "identity")
