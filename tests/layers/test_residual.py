"""Residual: layers in a shortcut, with their own masks, schedules, statistics and penalties."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import BatchNorm, Dense, Dropout, Frozen, LayerNorm, Residual, Scale
from bpnet.layers import Context
from bpnet.random import nested_key
from bpnet.schedules import Constant, Cosine

pytestmark = pytest.mark.once_on_jax

N = 4
rng = np.random.default_rng(0)
X = rng.normal(size=(40, N))
Y = X[:, 0] * X[:, 1]
ERROR = rng.normal(size=(40, N))


def drawn(layer):
    return layer.initial_parameters(np.random.default_rng(1), N)


def test_activations_and_gradients_are_those_of_autograd(backend, xp):
    torch = pytest.importorskip("torch")
    layer = Residual([LayerNorm(), Dense(7, "tanh", bias_init="normal"), Residual([Scale(2.0)]),
                      Dense(N)])  # fmt: skip
    host = drawn(layer)
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.tensor(X, requires_grad=True)
        p = {name: torch.tensor(v, requires_grad=True) for name, v in host.items()}
        normal = torch.nn.functional.layer_norm(x, (N,), p["0.gamma"], p["0.beta"])
        h = torch.tanh(normal @ p["1.W"] + p["1.b"])
        h = h + h * p["2.0.s"]
        a = x + h @ p["3.W"] + p["3.b"]
        (a * torch.tensor(ERROR)).sum().backward()
    expected = {"a": a.detach(), "dx": x.grad} | {name: q.grad for name, q in p.items()}
    ours = {name: backend.asarray(v) for name, v in host.items()}
    got, cache = layer.forward(xp, ours, backend.asarray(X), Context())
    error = backend.asarray(ERROR)
    back, gradients = layer.backward(xp, ours, cache, error)
    none, same = layer.backward(xp, ours, cache, error, propagate=False)
    assert none is None
    assert list(gradients) == list(host) == list(layer.parameter_shapes(N))
    for name, value in ({"a": got, "dx": back} | gradients).items():
        assert_allclose(backend.to_numpy(value), expected[name].numpy(), 1e-11, 1e-12)
        if name in same:
            assert_array_equal(backend.to_numpy(same[name]), backend.to_numpy(value))


def network(dtype="float32"):
    block = [
        BatchNorm(), Dense(6, "tanh", l1=0.01, l2=0.01), Dropout(Cosine(0.3, 2)),
        Dropout(0.2), Dense(N),
    ]  # fmt: skip
    return bpnet.Network([Residual(block), Dense(1)], "mean_squared_error", seed=0, dtype=dtype)


def test_the_gradient_check_passes_with_penalties_and_masks(backend):
    net = network("float64")
    report = bpnet.check_gradients(net, X[:6], Y[:6], samples=3, backend=backend)
    assert report.passed, str(report)
    names = ("0.gamma", "0.beta", "1.W", "1.b", "4.W", "4.b")
    assert set(list(report.n_checked)[:6]) == {f"layer 1 {name}" for name in names}


def test_each_dropout_has_masks_of_its_own(backend, xp):
    """Different in each place, block, and step, and the same bits on every backend."""
    ones = np.ones((16, 8))

    def output(key, step, layers, place=backend):
        with place.activate():
            context = Context(place.asarray(key, "int64"), place.asarray(step, "int64"))
            a, _ = Residual(layers).forward(place.xp, {}, place.asarray(ones), context)
            return place.to_numpy(a)

    half, none = Dropout(0.5), Dropout(0.0)
    outputs = [output(k, s, p) for k in (1, 2) for s in (3, 4)
               for p in ([half], [none, half], [none, none, half])]  # fmt: skip
    assert len({a.tobytes() for a in outputs}) == len(outputs) == 12
    reference = bpnet.get_backend("numpy")
    assert_array_equal(outputs[1], output(1, 3, [none, half], reference))


def test_nested_keys_are_distinct_32_bit_numbers():
    keys = [0, 1, 2**31, 2**32 - 1, 12345]
    found = {nested_key(key, k) for key in keys for k in range(100)}
    assert len(found) == 500
    assert all(0 <= key < 2**32 for key in found)
    assert {int(nested_key(np.asarray(key), 1)) for key in keys} < found


def test_penalties_factors_and_schedules_are_those_of_the_layers(backend, xp):
    inner = Dense(N, l1=0.1, l2=0.3, learning_rate_factors={"W": 0.5})
    rate = Constant(0.3)
    layer = Residual([Scale(), inner, Dropout(rate)])
    host = drawn(layer)
    p = {name: backend.asarray(v) for name, v in host.items()}
    W = backend.asarray(host["1.W"])
    assert float(layer.penalty(xp, p)) == float(inner.penalty(xp, {"W": W}))
    (name, got), ((_, expected),) = (
        *layer.penalty_gradients(xp, p).items(),
        (inner.penalty_gradients(xp, {"W": W}).items()),
    )
    assert name == "1.W"
    assert_array_equal(backend.to_numpy(got), backend.to_numpy(expected))
    assert Residual([Scale()]).penalty(xp, {"0.s": W}) is None
    assert layer.factors("1.W") == (0.5, 1.0)
    assert layer.factors("0.s") == (1.0, 1.0)
    assert layer.bias_names == ("0.b", "1.b", "2.b")
    assert layer.schedules() == {"2.rate": rate}
    with pytest.raises(ValueError, match=r"^2.rate must be|^rate must be"):
        layer.check_value("2.rate", 1.5)


class SetsRates(bpnet.Callback):
    def __init__(self, **given):
        self.given = given

    def on_train_begin(self, training):
        training.set_dropout_rate(0.0, **self.given)


@pytest.mark.parametrize("given", [{}, {"layer": 1}])
def test_a_callback_sets_the_rate_of_a_nested_dropout(given):
    block = [Dense(N, "tanh"), Dropout(Constant(0.5))]
    nets = [bpnet.Network([Residual(b), Dense(1)], "huber", seed=0) for b in (block, block[:1])]
    first = nets[0].fit(X, Y, epochs=2, callbacks=[SetsRates(**given)])
    assert first["loss"] == nets[1].fit(X, Y, epochs=2)["loss"]


def test_widths_that_differ_are_refused_before_training():
    net = bpnet.Network([Dense(8), Residual([Dense(5, "relu")]), Dense(1)], "huber", seed=0)
    with pytest.raises(ValueError, match=r"is given 8 and returns 5.*have 8 units, or put a "):
        net.fit(X, Y)
    assert not net.is_built
    assert "(m, ?)" in bpnet.Network([Residual([Dense(4)]), Dense(1)], "huber").summary()


def test_sanity_checks_leave_out_nested_penalties_and_masks():
    checks = bpnet.sanity.sanity_checks(network(), X, Y, epochs=2)
    assert checks[2].passed
    bare = bpnet.sanity._bare(network(), N).layers[0].layers
    assert bare[1] == Dense(6, "tanh")
    assert bare[2] == bare[3] == Dropout(0.0)


def test_it_is_saved_described_and_traced(tmp_path):
    net = network()
    net.fit(X, Y, epochs=1, callbacks=[bpnet.GradientFlow()])
    path = tmp_path / "net.safetensors"
    net.save(path)
    loaded = bpnet.load(path)
    assert loaded.layers == net.layers
    assert_array_equal(loaded.predict(X), net.predict(X))
    assert "0.mean (4,), 0.variance (4,)" in net.summary()
    assert net.summary().endswith("79 parameters, 8 not trained")
    trace = net.trace(X, Y)
    gradients = net.loss_and_gradients(X, Y)[1]
    assert_array_equal(trace["d1.W1"], gradients[0]["1.W"])
    assert not {"0.mean", "0.variance"} & gradients[0].keys()


def test_frozen_layers_stay_as_they_are_in_it(backend):
    block = Residual([Frozen(Dense(N, "tanh")), Dense(N)])
    net = bpnet.Network([block, Dense(1)], "mean_squared_error", seed=0).build(N, backend)
    before = {name: backend.to_numpy(p).copy() for name, p in net.parameters[0].items()}
    net.fit(X, Y, epochs=2, backend=backend)
    for name, p in net.parameters[0].items():
        is_same = np.array_equal(backend.to_numpy(p), before[name])
        assert is_same == name.startswith("0.")
