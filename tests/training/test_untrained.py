"""What is not trained by gradients changes with each step, and goes wherever weights go."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from on_host import host

import bpnet
from bpnet import BatchNorm, Dense, Dropout, Frozen, LayerNorm, ParametricActivation, Residual
from bpnet.errors import ComponentError

pytestmark = [pytest.mark.few_on_jax, pytest.mark.once_on_jax]

rng = np.random.default_rng(0)
X = rng.normal(size=(70, 3))
Y = X[:, 0] * X[:, 1]
BLOCK = [LayerNorm(), Dense(5, "relu"), Dropout(bpnet.schedules.Cosine(0.4, 3)), BatchNorm(0.8),
         Dropout(0.1), Dense(6)]  # fmt: skip


def network(loss="mean_squared_error"):
    layers = [  # the bias of a linear layer would have no gradient but noise
        Dense(6, "tanh"), BatchNorm(), ParametricActivation("tanh"), Residual(BLOCK),
        Frozen(Residual([BatchNorm(), Dense(6, "tanh")])), Dense(1),
    ]  # fmt: skip
    return bpnet.Network(layers, loss, seed=0)


def trained(backend, net=None, **settings):
    net = net or network()
    history = net.fit(X, Y, **({"epochs": 3, "batch_size": 23, "backend": backend} | settings))
    return history["loss"], host(backend, net.parameters)


def assert_same(one, other):
    assert one[0] == other[0]
    for a, b in zip(one[1], other[1], strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert_array_equal(a[name], b[name])


@pytest.mark.parametrize(
    "optimizer", [bpnet.SGD(0.001, momentum=0.9), bpnet.MovingAverage(bpnet.Adam(0.01))]
)
def test_replayed_steps_have_the_bits_of_eager_ones(optimizer, backend):
    """The last batch of an epoch has one row: the statistics pass through its step."""
    if backend.name == "jax":
        pytest.skip("XLA fuses operations, and so rounds differently")
    fast = trained(backend, optimizer=optimizer)
    assert_same(fast, trained(backend, optimizer=optimizer, run_eagerly=True))
    assert np.abs(fast[1][1]["mean"]).max() > 0.01
    assert np.abs(fast[1][3]["3.variance"] - 1.0).max() > 0.01


class Looks(bpnet.Callback):
    def on_batch_end(self, training):
        pass


def test_a_run_of_steps_carries_the_statistics(backend):
    runs, single = trained(backend), trained(backend, callbacks=[Looks()])
    for a, b in zip(runs[1], single[1], strict=True):
        for name in a:
            np.testing.assert_allclose(a[name], b[name], 2e-4, 2e-5, err_msg=name)


def test_a_run_resumed_from_a_file_has_the_same_bits(backend, tmp_path):
    path = tmp_path / "run.safetensors"
    whole = trained(backend, epochs=4)
    trained(backend, epochs=2, callbacks=[bpnet.Checkpoint(path)])
    assert_same(trained(backend, epochs=4, resume_from=path), whole)


def test_copies_and_files_have_them(backend, tmp_path):
    net = network()
    trained(backend, net)
    expected = net.predict(X)
    path = tmp_path / "net.safetensors"
    net.save(path)
    others = [copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.replace(),
              bpnet.load(path, backend=backend)]  # fmt: skip
    for other in others:
        assert_array_equal(other.predict(X, backend=backend), expected)
        assert_same(
            (0, host(other.backend, other.parameters)), (0, host(backend, net.parameters))
        )


class Breaks(bpnet.Callback):
    def on_epoch_end(self, training):
        if training.epoch == 2:
            training.set_learning_rate(1e30)


def test_the_guard_restores_them(backend):
    good = trained(backend, epochs=2)
    with np.errstate(all="ignore"):
        broken = trained(
            backend, epochs=4, callbacks=[Breaks()], on_nonfinite="restore",
            optimizer=bpnet.Adam(),
        )  # fmt: skip
    assert broken[0][:2] == good[0]
    assert_same((0, broken[1]), (0, good[1]))


def test_early_stopping_and_snapshots_have_them():
    snapshots = bpnet.Snapshots()
    net = network()
    net.fit(X, Y, epochs=2, callbacks=[snapshots, bpnet.EarlyStopping("loss", patience=1)])
    assert "variance" in snapshots.taken[0].parameters[1]


def test_the_rate_finder_and_parity_work_with_them(backend):
    assert bpnet.find_learning_rate(network(), X, Y, steps=10, backend=backend).rates
    net = bpnet.Network(network().layers, "huber", 0, "float64")
    report = bpnet.parity(net, X, Y, backend, epochs=1)
    assert report.passed, str(report)


# --- layers of the user's own -----------------------------------------------------------------


class Counts(bpnet.Layer):
    """Counts the rows that it has seen in training."""

    bias_names = ("shift",)

    def __init__(self, returns="right"):
        self.returns = returns

    def initial_parameters(self, rng, n_inputs):
        return {"shift": np.zeros(n_inputs), "seen": np.zeros(1)}

    def is_trained(self, name):
        return name == "shift"

    def factors(self, name):
        return 0.5, 1.0

    def forward(self, xp, parameters, a_previous, context):
        return a_previous + parameters["shift"], a_previous.shape[0]

    def backward(self, xp, parameters, cache, error, propagate=True):
        return error, {"shift": xp.sum(error, axis=0)}

    def updated(self, xp, parameters, cache):
        seen = parameters["seen"] + float(cache)
        match self.returns:
            case "right":
                return {"seen": seen}
            case "name":
                return {"seen": seen, "shift": parameters["shift"]}
            case "shape":
                return {"seen": xp.sum(seen)}
        return None


@pytest.mark.parametrize("wrap", [lambda layer: layer, lambda layer: Residual([layer])])
def test_a_layer_of_ones_own_counts_rows(wrap, backend):
    net = bpnet.Network([wrap(Counts()), Dense(1)], "huber", seed=0)
    net.fit(X, Y, epochs=3, backend=backend)
    seen = [p for name, p in net.parameters[0].items() if name.endswith("seen")]
    assert float(seen[0][0]) == 210.0


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ("name", r"with some of the keys \['seen'\] or {}; got \['seen', 'shift'\]"),
        ("shape", r"seen of shape \(1,\) and dtype .*; got shape \(\)"),
        ("None", r"new values in a dict, .*; got NoneType"),
    ],
)
@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda layer: layer, "layer 1"),
        (lambda layer: Residual([layer]), "layer 1, layer 1 of its Residual"),
    ],
)
def test_what_it_must_not_return_is_named(returns, message, wrap, place):
    net = bpnet.Network([wrap(Counts(returns)), Dense(1)], "huber", seed=0)
    with pytest.raises(
        ComponentError, match=f"^{re.escape(place)}, Counts.*: updated .*{message}"
    ):
        net.fit(X, Y)


def test_factors_and_biases_of_a_layer_of_ones_own_are_used():
    rates = []
    for layer in (Counts(), Residual([Counts()])):
        net = bpnet.Network([layer, Dense(1)], "mean_squared_error", seed=0, dtype="float64")
        net.build(3)
        _, gradients = net.loss_and_gradients(X, Y)
        net.fit(X, Y, epochs=1, batch_size=None, optimizer=bpnet.SGD(0.1))
        (p, g) = (next(iter(v[0].values())) for v in (net.parameters, gradients))
        np.testing.assert_allclose(p, -0.05 * g, rtol=1e-12)
        rates.append(net.spec.layers[0].bias_names)
    assert rates == [("shift",), ("0.shift",)]
