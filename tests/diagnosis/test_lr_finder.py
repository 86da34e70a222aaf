"""The learning-rate range test: what it measures, when it stops, what it suggests."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet


def linear(m=64, seed=0):
    """A least-squares problem, on which gradient descent diverges above 2 / curvature."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, 3)) * [1.0, 2.0, 0.5]
    y = X @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=m)
    X1 = np.column_stack([X, np.ones(m)])
    curvature = np.linalg.eigvalsh(2.0 * X1.T @ X1 / m).max()
    return X, y, 2.0 / curvature


def regressor(dtype="float64"):
    return bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0, dtype=dtype)


@pytest.mark.parametrize("seed", range(5))
def test_it_ends_beyond_the_edge_of_stability_and_suggests_a_rate_below(seed):
    X, y, edge = linear(seed=seed)
    test = bpnet.find_learning_rate(
        regressor(), X, y, optimizer=bpnet.SGD(), batch_size=64, steps=200
    )
    assert test.diverged
    assert edge < test.rates[-1] < 10.0
    assert edge / 100.0 < test.suggestion < edge
    net = regressor()
    history = net.fit(X, y, optimizer=bpnet.SGD(test.suggestion), epochs=100)
    assert history["loss"][-1] < 0.05 < test.losses[0]


@pytest.mark.parametrize("optimizer", [bpnet.Adam(), bpnet.RMSprop(), bpnet.SGD(momentum=0.9)])
def test_the_suggestion_trains_a_network_well(optimizer):
    X, y = bpnet.datasets.make_moons(300, seed=1)
    layers = [bpnet.Dense(16, "tanh"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0)
    test = bpnet.find_learning_rate(net, X, y, optimizer=optimizer)
    net.fit(X, y, optimizer=optimizer.replace(learning_rate=test.suggestion), epochs=30)
    assert net.evaluate(X, y)["accuracy"] > 0.9


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [bpnet.datasets.make_moons, bpnet.datasets.make_spiral])
def test_a_chance_dip_of_the_first_batches_suggests_nothing(make, seed):
    X, y = make(400, seed=seed)
    layers = [bpnet.Dense(32, "tanh"), bpnet.Dense(32, "relu"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=seed)
    assert 1e-3 < bpnet.find_learning_rate(net, X, y).suggestion < 0.1


def test_the_suggestion_is_halfway_down():
    from bpnet.diagnosis.lr_finder import _halfway

    rates = [float(k) for k in range(20)]
    smoothed = [1.0, 0.2, *[1.0] * 8, 0.8, 0.6, 0.4, 0.2, 0.0, 0.1, 0.7, 2.0, 3.0, 4.0]
    assert _halfway(rates, [1.0] * 20, smoothed) == 12.0
    assert _halfway(rates, [1.0] * 20, [1.0] * 20) == 0.0


def test_rates_grow_by_one_factor_and_losses_are_those_of_the_batches():
    X, y, _ = linear()
    net = regressor()
    test = bpnet.find_learning_rate(
        net, X, y, optimizer=bpnet.SGD(), low=1e-6, high=1e-4, steps=11, batch_size=100
    )
    assert_allclose(test.rates, np.geomspace(1e-6, 1e-4, 11))
    assert not test.diverged
    reference = regressor().build(3)
    losses = []
    for rate in test.rates:  # with all examples in a batch, steps are epochs
        losses.append(reference.evaluate(X, y)["loss"])
        reference.fit(X, y, optimizer=bpnet.SGD(rate), epochs=1, batch_size=None)
    assert_allclose(test.losses, losses, rtol=1e-9)
    mean, smoothed = 0.0, []
    for step, loss in enumerate(losses, start=1):
        mean = 0.9 * mean + 0.1 * loss
        smoothed.append(mean / (1.0 - 0.9**step))
    assert_allclose(test.smoothed, smoothed, rtol=1e-9)


def test_every_backend_measures_the_same(backend):
    X, y = bpnet.datasets.make_moons(50)
    layers = [bpnet.Dense(4, "tanh"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0, dtype="float64")
    options = {"steps": 20, "batch_size": 16, "high": 0.1}
    here = bpnet.find_learning_rate(net, X, y, **options)
    there = bpnet.find_learning_rate(net, X, y, backend=backend, **options)
    assert_allclose(there.losses, here.losses, rtol=1e-9)
    assert there.suggestion == here.suggestion


def test_the_network_is_left_as_it_was(backend):
    X, y = bpnet.datasets.make_moons(50)
    net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
    bpnet.find_learning_rate(net, X, y, steps=10)
    assert not net.is_built
    net.build(2, backend)
    before = [np.array(backend.to_numpy(p)) for p in net.parameters[0].values()]
    bpnet.find_learning_rate(net, X, y, steps=10, backend="numpy")
    bpnet.find_learning_rate(net, X, y, steps=10)
    assert net.backend == backend
    for old, p in zip(before, net.parameters[0].values(), strict=True):
        assert_array_equal(backend.to_numpy(p), old)


def test_it_prints_its_result():
    X, y, _ = linear()
    test = bpnet.find_learning_rate(regressor(), X, y, optimizer=bpnet.SGD(), high=100.0)
    assert f"{test.suggestion:.2g} suggested" in str(test)
    assert "where the loss diverged" in str(test)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"low": 1.0, "high": 0.1}, ValueError, "high must be .* > 1"),
        ({"optimizer": bpnet.SGD(), "low": 1e200, "high": 1e300}, ValueError, "smaller low"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    X, y, _ = linear()
    with pytest.raises(error, match=message):
        bpnet.find_learning_rate(regressor(), X, y, **options)


def test_a_loss_below_0_is_no_divergence():
    """Four times a minimum below 0 is lower still; the test would end at once."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 2))
    y = rng.poisson(np.exp(3.0 + 0.3 * features[:, 0]))
    net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "poisson", seed=0)
    test = bpnet.find_learning_rate(net, features, y)
    assert min(test.losses) < 0.0
    assert len(test.losses) > 30
    assert 1e-5 < test.suggestion < 10.0


def test_numpy_s_error_state_is_restored(backend):
    """Also if the trial ends early, by a loss that rises."""
    net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "mean_squared_error", seed=0)
    X = np.random.default_rng(0).normal(size=(40, 2))
    for state in ({}, {"all": "raise"}, {"over": "ignore"}):
        with np.errstate(**state):
            before = np.geterr()
            found = bpnet.find_learning_rate(net, X, X[:, 0], high=1e6, backend=backend)
            assert found.diverged
            assert np.geterr() == before


# --- loaders and streams ----------------------------------------------------------------------


class Halves(bpnet.Loader):
    """The examples in batches of 100, with weights."""

    def __init__(self, X, y):
        super().__init__(len(X), X.shape[1], 100, total_weight=float(len(X)))
        self.X, self.y = X, y

    def batches(self, epoch):
        for start in range(0, self.n_rows, 100):
            rows = slice(start, start + 100)
            yield self.X[rows], self.y[rows], np.ones(len(self.X[rows]))


@pytest.mark.parametrize("kind", ["loader", "batches", "stream"])
def test_a_loader_or_a_stream_is_tested_on_its_first_examples(kind):
    X, y = bpnet.datasets.make_moons(400, seed=0)
    source = {
        "loader": lambda: Halves(X, y),
        "batches": lambda: [(X[:200], y[:200]), (X[200:], y[200:])],
        "stream": lambda: bpnet.streams.Arrays(X, y),
    }[kind]()
    net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    found = bpnet.find_learning_rate(net, source, steps=20, batch_size=10)
    if kind == "stream":
        order = bpnet.streams.row_order(source.sizes, seed=0, epoch=0)[:200]
        X, y = X[order], y[order]
    assert found == bpnet.find_learning_rate(net, X[:200], y[:200], steps=20, batch_size=10)
    assert not [t for t in threading.enumerate() if t.name.startswith("bpnet-stream")]


def test_a_loader_determines_its_targets():
    X, y = bpnet.datasets.make_moons(400, seed=0)
    net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
    with pytest.raises(ValueError, match="y must be left at None if X is a loader"):
        bpnet.find_learning_rate(net, Halves(X, y), y)
