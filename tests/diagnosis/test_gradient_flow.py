"""GradientFlow: each metric against NumPy and against training itself, on every backend."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import bpnet
from bpnet import losses
from bpnet.activations import ACTIVATIONS
from bpnet.diagnosis.data_profile import baseline_loss, best_loss
from bpnet.diagnosis.gradient_flow import METRICS, flatness
from bpnet.initializers import Constant
from bpnet.training import runner

pytestmark = [pytest.mark.few_on_jax, pytest.mark.once_on_jax]  # it compiles each case

rng = np.random.default_rng(2)
X = rng.normal(size=(60, 3))
Y = rng.normal(size=(60, 2))
LABELS = (X[:, 0] * X[:, 1] > 0.0).astype(int)
W = rng.uniform(0.5, 2.0, 60)


def network(*layers, loss="mean_squared_error", seed=3, dtype="float64"):
    return bpnet.Network(layers, loss, seed=seed, dtype=dtype)


class Keep(bpnet.Callback):
    """The weights before the first step and after each epoch."""

    def __init__(self):
        self.weights = []

    def keep(self, training):
        backend = training.backend
        self.weights.append(
            [np.array(backend.to_numpy(p["W"])) for p in training.parameters if "W" in p]
        )

    on_train_begin = on_epoch_end = keep


# --- the metrics ------------------------------------------------------------------------------


def test_every_layer_with_weights_has_every_metric(backend):
    net = network(bpnet.Dense(4, "relu"), bpnet.Dropout(0.2), bpnet.Dense(2), dtype="float32")
    history = net.fit(X, Y, epochs=3, callbacks=[bpnet.GradientFlow()], backend=backend)
    names = {f"{name}/{k}" for name in METRICS for k in (1, 2)}
    assert set(history) == names | {"loss", "learning_rate", "data_loss"}
    assert all(len(history[name]) == 3 for name in names)
    assert all(isinstance(v, float) and math.isfinite(v) for n in names for v in history[n])
    assert set(history.facts.start) == names | {"data_loss"}


@pytest.mark.parametrize(
    "optimizer",
    [
        bpnet.SGD(0.1, momentum=0.9, nesterov=True),
        bpnet.AdamW(0.01, clip_norm=0.1),
    ],
    ids=["nesterov", "adamw, clipped"],
)
def test_the_update_ratio_is_that_of_the_step_that_follows(optimizer, backend):
    """With all rows as the batch and as the sample, the next step is the next epoch."""
    keep = Keep()
    history = network(bpnet.Dense(5, "tanh", l2=0.1), bpnet.Dense(2)).fit(
        X, Y, sample_weight=W, epochs=4, batch_size=None, optimizer=optimizer, backend=backend,
        callbacks=[bpnet.GradientFlow(every=1), keep],
    )  # fmt: skip
    for k in range(2):
        before = np.array([history.facts.start[f"update_ratio/{k + 1}"]])
        recorded = np.concatenate([before, history[f"update_ratio/{k + 1}"]])
        course = [weights[k] for weights in keep.weights]
        steps = [
            np.linalg.norm(new - old) / np.linalg.norm(old)
            for old, new in itertools.pairwise(course)
        ]
        assert_allclose(recorded[:-1], steps, rtol=1e-10)


def test_the_other_metrics_are_those_of_numpy(backend):
    layers = [bpnet.Dense(6, "tanh", l2=0.1), bpnet.Dropout(0.5), bpnet.Dense(4, "relu"),
              bpnet.Dense(2)]  # fmt: skip
    net = network(*layers)
    flow = bpnet.GradientFlow(rows=1000)
    history = net.fit(X, Y, epochs=2, callbacks=[flow], backend=backend, sample_weight=W)
    net.to("numpy")
    _, gradients = net.loss_and_gradients(X, Y, W)
    a = X
    for k, (p, g) in enumerate(zip(net.parameters, gradients, strict=True), start=1):
        z = a @ p["W"] + p["b"]
        a = (np.tanh(z), np.maximum(z, 0.0), z)[k - 1]
        last = {name: history[f"{name}/{k}"][-1] for name in METRICS}
        norm = np.linalg.norm(g["W"])
        assert_allclose(last["gradient_norm"], norm, rtol=1e-9)
        assert_allclose(last["gradient_rms"], np.sqrt(np.mean(g["W"] ** 2)), rtol=1e-9)
        assert_allclose(last["weight_norm"], np.linalg.norm(p["W"]), rtol=1e-9)
        assert_allclose(last["activation_mean"], a.mean(), rtol=1e-9, atol=1e-12)
        assert_allclose(last["activation_std"], a.std(), rtol=1e-9)
        apart = p["W"] - p["W"].mean(axis=1, keepdims=True)
        assert_allclose(last["spread"], np.linalg.norm(apart) / last["weight_norm"], rtol=1e-9)
        assert last["dead"] == (np.mean(np.all(z <= 0.0, axis=0)) if k == 2 else 0.0)
        flat = np.mean(1.0 - a**2 < 0.05) if k == 1 else 0.0
        assert_allclose(last["saturated"], flat, rtol=1e-9)
    loss = np.average(np.mean((a - Y) ** 2, axis=1), weights=W)  # no penalty, no dropout
    assert_allclose(history["data_loss"][-1], loss, rtol=1e-9)


@pytest.mark.parametrize("activation", ["relu", "gelu", "elu", "softplus"])
def test_dead_units_are_counted(activation):
    net = network(bpnet.Dense(4, activation, init="zeros"), bpnet.Dense(2)).build(3)
    first, last = ({name: p.copy() for name, p in layer.items()} for layer in net.parameters)
    first["b"] = np.array([-20.0, -20.0, -20.0, 20.0])
    net.parameters = [first, last]
    history = net.fit(X, Y, epochs=1, callbacks=[bpnet.GradientFlow()])
    assert history.facts.start["dead/1"] == 0.75
    assert history.facts.start["dead/2"] == history.facts.start["saturated/1"] == 0.0


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softsign", "hard_sigmoid"])
def test_saturated_activations_are_counted(activation):
    bias = Constant(30.0)
    net = network(bpnet.Dense(4, activation, init="zeros", bias_init=bias), bpnet.Dense(2))
    history = net.fit(X, Y, epochs=1, callbacks=[bpnet.GradientFlow()])
    assert history.facts.start["saturated/1"] == 1.0
    assert history.facts.start["dead/1"] == 0.0


def test_every_activation_is_flat_where_it_should_be():
    both = {"sigmoid", "tanh", "softsign", "hard_sigmoid"}
    left = {"relu", "elu", "selu", "gelu", "softplus", "silu", "mish"}
    for name, activation in ACTIVATIONS.items():
        found = flatness(activation)
        assert (found.left, found.right) == (name in both | left, name in both), name
        largest = np.max(np.abs(activation.derivative(np.linspace(-20.0, 20.0, 4001))))
        assert found.steepest == pytest.approx(largest, rel=0.02), name


def test_units_that_are_copies_have_no_spread_and_a_single_unit_has():
    net = network(bpnet.Dense(4, "tanh", init=Constant(0.3)), bpnet.Dense(1))
    start = net.fit(X, Y[:, 0], epochs=1, callbacks=[bpnet.GradientFlow()]).facts.start
    assert start["spread/1"] < 1e-12
    assert start["spread/2"] == 1.0


def test_weights_of_zero_have_metrics_too():
    net = network(bpnet.Dense(3, "relu", init="zeros"), bpnet.Dense(2, init="zeros"))
    start = net.fit(X, Y, epochs=1, callbacks=[bpnet.GradientFlow()]).facts.start
    assert all(math.isfinite(value) for value in start.values())
    assert start["update_ratio/1"] == start["spread/1"] == 0.0


# --- when -------------------------------------------------------------------------------------


class Counting(bpnet.GradientFlow):
    """Record the epochs that are measured."""

    measured: tuple[int, ...] = ()

    def on_epoch_end(self, training):
        super().on_epoch_end(training)
        if self.due(training):
            self.measured = (*self.measured, training.epoch)


def test_it_measures_first_last_and_every_nth_epoch_and_repeats_between():
    flow = Counting(every=4)
    history = network(bpnet.Dense(2)).fit(X, Y, epochs=10, callbacks=[flow])
    assert flow.measured == (1, 4, 8, 10)
    norms = history["weight_norm/1"]
    assert len(norms) == 10
    assert norms[0] == norms[2] != norms[3] == norms[6] != norms[7] != norms[9]


def test_it_measures_the_epoch_in_which_training_is_stopped():
    class Stop(bpnet.Callback):
        def on_epoch_end(self, training):
            if training.epoch == 3:
                training.stop("enough")

    flow = Counting(every=100)
    network(bpnet.Dense(2)).fit(X, Y, epochs=10, callbacks=[Stop(), flow])
    assert flow.measured == (1, 3)


def test_by_default_it_measures_seldom_in_short_epochs_and_always_in_long_ones():
    short, long = Counting(), Counting()
    network(bpnet.Dense(2)).fit(X, Y, epochs=30, callbacks=[short])
    assert len(short.measured) < 4
    many = np.zeros((346 * 32, 3)), np.zeros((346 * 32, 2))
    network(bpnet.Dense(2)).fit(*many, epochs=3, callbacks=[long])
    assert long.measured == (1, 2, 3)


def test_watching_changes_nothing(backend):
    def train(*callbacks):
        net = network(bpnet.Dense(5, "tanh"), bpnet.Dropout(0.3), bpnet.Dense(2))
        net.fit(X, Y, epochs=3, callbacks=callbacks, backend=backend)
        return [backend.to_numpy(p["W"]) for p in net.parameters]

    for plain, watched in zip(train(), train(bpnet.GradientFlow(every=1)), strict=True):
        assert np.array_equal(plain, watched)


# --- the facts --------------------------------------------------------------------------------


def facts_of(features, y, loss="binary_crossentropy", units=1, **fit):
    net = network(bpnet.Dense(4, "tanh"), bpnet.Dense(units), loss=loss)
    return net.fit(features, y, epochs=1, callbacks=[bpnet.GradientFlow()], **fit).facts


def test_useless_features_are_found_and_no_others(backend):
    """On device arrays too."""
    constant = np.full(60, 2.5)
    features = np.column_stack([X, constant, -3.0 * X[:, 1] + 7.0, X[:, 0] * X[:, 2], X[:, 0]])
    found = facts_of(backend.asarray(features), backend.asarray(LABELS), batch_size=None)
    assert found.constant_features == (3,)
    assert set(found.duplicate_features) == {(1, 4), (0, 6)}


def test_a_feature_that_seldom_changes_is_no_constant():
    many = rng.normal(size=(5000, 3))
    many[:, 1] = 0.0
    sampled = facts_of(many, np.zeros(5000)).constant_features
    assert sampled == (1,)
    many[::1000, 1] = 1.0  # in 5 of 5,000 rows
    assert facts_of(many, np.zeros(5000)).constant_features == ()


def test_scales_and_class_shares_are_measured():
    found = facts_of(X * [1.0, 200.0, 1.0], LABELS, sample_weight=1.0 + 3.0 * LABELS)
    assert found.feature_rms_of == 1
    assert found.feature_rms == pytest.approx(200.0 * np.sqrt(np.mean(X[:, 1] ** 2)))
    assert found.feature_range > 100.0
    share = 4.0 * LABELS.sum() / np.sum(1.0 + 3.0 * LABELS)
    assert found.class_shares == pytest.approx((1.0 - share, share))
    assert not found.one_target


def test_codes_of_categories_have_no_scale():
    features = np.column_stack([X, np.arange(len(X)) % 40])
    layers = [
        bpnet.PeriodicEmbedding(columns=3), bpnet.Embedding({3: 40}, 2), bpnet.Dense(1),
    ]  # fmt: skip
    for chosen, scaled in ((layers, X), (layers[2:], features)):
        net = network(*chosen, loss="binary_crossentropy")
        found = net.fit(features, LABELS, epochs=1, callbacks=[bpnet.GradientFlow()]).facts
        expected = np.sqrt(np.mean(scaled**2, axis=0)).max()
        assert found.feature_rms == pytest.approx(expected, rel=1e-5)
    codes = [bpnet.Embedding({0: 40}, 2), bpnet.Dense(1)]
    net = network(*codes, loss="binary_crossentropy")
    found = net.fit(features[:, 3:], LABELS, epochs=1, callbacks=[bpnet.GradientFlow()]).facts
    assert np.isnan(found.feature_rms)
    assert found.feature_range == 1.0
    assert facts_of(X, np.ones(60)).one_target
    three = facts_of(X, np.arange(60) % 3, "categorical_crossentropy", 3)
    assert three.class_shares == pytest.approx((1 / 3, 1 / 3, 1 / 3))


LOSS_CASES = {
    "binary_crossentropy": (W[:, None] - 0.5) / 1.5,
    "categorical_crossentropy": LABELS + (X[:, 2] > 1.0),
    "mean_squared_error": Y,
    "mean_absolute_error": Y,
    "huber": Y,
    "poisson": rng.poisson(3.0, (60, 2)).astype(float),
}


@pytest.mark.parametrize("loss", LOSS_CASES)
def test_baseline_is_the_loss_of_the_best_constant_and_best_that_of_the_truth(loss):
    y, kind = LOSS_CASES[loss], losses.get(loss)
    n = 3 if y.ndim == 1 else y.shape[1]

    def of_logits(z):
        rows = np.broadcast_to(z, (60, n))
        return float(np.average(kind.value(np, y, rows), weights=W))

    least = minimize(of_logits, np.zeros(n), method="Nelder-Mead", tol=1e-9).fun
    tolerance = {"mean_absolute_error": 0.02, "huber": 0.02}.get(loss, 1e-6)
    found = baseline_loss(kind, y, W, n)
    assert least - 1e-9 <= found <= least * (1.0 + tolerance) + 1e-9 or found == pytest.approx(
        least, rel=1e-6
    )
    best = best_loss(kind, y, W, n)
    assert best < found
    if loss in ("categorical_crossentropy", "mean_squared_error", "huber"):
        assert best == pytest.approx(0.0, abs=1e-12)
    each = [
        minimize(lambda z, i=i: float(kind.value(np, y[i : i + 1], z[None, :])[0]),
                 np.zeros(n), method="Nelder-Mead", options={"maxiter": 4000}).fun
        for i in range(5)
    ]  # fmt: skip
    assert best_loss(kind, y[:5], None, n) <= np.mean(each) + 1e-6


@pytest.mark.parametrize(
    ("loss", "n_classes"),
    [(losses.BinaryCrossentropy(0.2), 2), (losses.CategoricalCrossentropy(0.2), 3)],
    ids=repr,
)
def test_baseline_and_best_of_smoothed_targets(loss, n_classes):
    y = LOSS_CASES[loss.name]
    rows = y if y.ndim == 2 else np.eye(3)[y]
    smooth, n = rows * 0.8 + 0.2 / n_classes, rows.shape[1]
    unsmoothed = losses.get(loss.name)
    assert best_loss(loss, y, W, n) == pytest.approx(best_loss(unsmoothed, smooth, W, n))
    found = baseline_loss(loss, y, W, n)
    assert found == pytest.approx(baseline_loss(unsmoothed, smooth, W, n))


def test_it_is_compiled_once_for_a_network(backend, monkeypatch):
    made = []
    original = type(backend).compile_pure

    def counted(self, function):
        if getattr(function, "func", None) is not runner._start:  # once for each optimizer
            made.append(function)
        return original(self, function)

    monkeypatch.setattr(type(backend), "compile_pure", counted)
    X, y = bpnet.datasets.make_spiral(30, seed=0)
    layers = [bpnet.Dense(3, "tanh"), bpnet.Dropout(0.1), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0)

    def fit(optimizer):
        net.fit(X, y, epochs=1, optimizer=optimizer, callbacks=bpnet.GradientFlow(every=1),
                backend=backend)  # fmt: skip
        return len(made)

    first = fit(bpnet.Adam(0.1))
    assert fit(bpnet.Adam(0.2)) == first
    assert fit(bpnet.SGD(0.1)) == first + 1
    assert fit(bpnet.SGD(0.1)) == first + 1
