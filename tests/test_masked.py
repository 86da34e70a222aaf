"""Missing targets: `Masked` against NumPy loops, and everything that sees such targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from own_components import LogCosh
from sklearn import metrics as sk

import bpnet
from bpnet import losses
from bpnet.losses import Masked, Quantile

pytestmark = [pytest.mark.few_on_jax, pytest.mark.once_on_jax]

M, N = 24, 3
NAN = math.nan
rng = np.random.default_rng(0)
X = rng.normal(size=(M, 4))
REAL = X @ rng.normal(size=(4, N)) + 0.3 * rng.normal(size=(M, N))
GAPS = rng.random((M, N)) < 0.35
GAPS[5] = True  # a row without targets
Z = rng.normal(size=(M, N))
TARGETS = {
    "real": REAL,
    "probabilities": (REAL > 0.0).astype(float),
    "counts": np.floor(np.abs(REAL)),
}
NAMES = [
    "mean_squared_error", "mean_absolute_error", "huber", "quantile", "poisson",
    "binary_crossentropy",
]  # fmt: skip
WEIGHTS = (2.0, 0.0, 0.5)


def targets_of(loss):
    return np.where(GAPS, NAN, TARGETS[losses.get(loss).targets])


def by_hand(xp, loss, y, z, weights):
    """The loss and its error, target by target."""
    values, errors = np.zeros(len(y)), np.zeros(y.shape)
    for i in range(len(y)):
        there = [k for k in range(y.shape[1]) if not np.isnan(y[i, k])]
        total = sum(weights[k] for k in there)
        for k in there:
            one = y[i : i + 1, k : k + 1], z[i : i + 1, k : k + 1]
            share = weights[k] / total if total else 0.0
            values[i] += share * loss.value(xp, *one)[0]
            errors[i, k] = share * loss.error(xp, *one)[0, 0]
    return values, errors


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_error_are_those_of_the_targets_that_are_there(name, weights, backend, xp):
    y, loss = targets_of(name), Masked(name, weights)
    expected = by_hand(np, losses.get(name), y, Z, weights or (1.0,) * N)
    y, z = backend.asarray(y), backend.asarray(Z)
    found = loss.value(xp, y, z), loss.error(xp, y, z)
    for result, both, reference in zip(
        found, loss.value_and_error(xp, y, z), expected, strict=True
    ):
        assert_allclose(backend.to_numpy(result), reference, rtol=1e-12, atol=1e-15)
        assert_array_equal(backend.to_numpy(both), backend.to_numpy(result))


def test_an_output_without_target_may_be_infinite(backend, xp):
    y, z = np.array([[NAN, 1.0], [2.0, NAN]]), np.array([[np.inf, 2.0], [2.0, -np.inf]])
    loss = Masked("mse")
    y, z = backend.asarray(y), backend.asarray(z)
    assert_array_equal(backend.to_numpy(loss.value(xp, y, z)), [1.0, 0.0])
    assert_array_equal(backend.to_numpy(loss.error(xp, y, z)), [[0.0, 2.0], [0.0, 0.0]])


def network(loss, units=N, dtype="float64"):
    layers = [bpnet.Dense(5, "tanh", l2=0.01), bpnet.Dense(units)]
    return bpnet.Network(layers, loss, seed=0, dtype=dtype)


def weights_of(net, backend):
    return [backend.to_numpy(p) for layer in net.parameters for p in layer.values()]


@pytest.mark.parametrize("name", NAMES)
def test_without_gaps_it_is_the_loss_itself(name, backend):
    y = TARGETS[losses.get(name).targets]
    settings = {"epochs": 3, "batch_size": 10, "backend": backend}
    plain, masked = network(name), network(Masked(name))
    history = plain.fit(X, y, **settings)
    assert_allclose(masked.fit(X, y, **settings)["loss"], history["loss"], rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_and_predictions(name, backend):
    y = targets_of(name)
    net = network(Masked(name, (1.0, 3.0, 0.5)))
    assert bpnet.check_gradients(net, X, y, backend=backend).passed
    history = net.fit(X, y, epochs=3, batch_size=7, backend=backend, validation_data=(X, y))
    assert np.all(np.isfinite([*history["loss"], *history["val_loss"]]))
    assert net.predict(X).shape == (M, N)
    assert net.is_classifier == (name == "binary_crossentropy")


@pytest.mark.parametrize("sample_weight", [None, np.linspace(0.0, 2.0, M)])
def test_a_row_without_targets_might_as_well_be_absent(sample_weight, backend):
    y = targets_of("mse")
    there = ~np.isnan(y).all(axis=1)
    assert 0 < np.sum(~there) < M
    settings = {"epochs": 4, "batch_size": None, "shuffle": False, "backend": backend}
    net, shorter = network(Masked("mse")), network(Masked("mse"))
    w = None if sample_weight is None else sample_weight[there]
    history = net.fit(X, y, sample_weight=sample_weight, **settings)
    expected = shorter.fit(X[there], y[there], sample_weight=w, **settings)
    assert_allclose(history["loss"], expected["loss"], rtol=1e-12)
    for p, q in zip(weights_of(net, backend), weights_of(shorter, backend), strict=True):
        assert_allclose(p, q, rtol=1e-9, atol=1e-12)
    loss = net.evaluate(X, y, sample_weight, backend=backend)["loss"]
    assert_allclose(net.evaluate(X[there], y[there], w, backend=backend)["loss"], loss)


# --- metrics ----------------------------------------------------------------------------------


def per_column(function, y, predicted, w):
    """The mean over the outputs of a scikit-learn metric of the targets that are there."""
    results = []
    for k in range(y.shape[1]):
        rows = ~np.isnan(y[:, k])
        results.append(function(y[rows, k], predicted[rows, k], sample_weight=w[rows]))
    return np.mean(results)


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_of_numbers_skip_missing_targets(weighted, backend):
    y, w = targets_of("mse"), rng.random(M) if weighted else np.ones(M)
    net = network(Masked("mse")).build(4)
    names = ["mse", "rmse", "mae", "r2"]
    found = net.evaluate(X, y, w if weighted else None, metrics=names, backend=backend)
    functions = [
        sk.mean_squared_error, sk.root_mean_squared_error, sk.mean_absolute_error, sk.r2_score,
    ]  # fmt: skip
    for name, function in zip(names, functions, strict=True):
        assert_allclose(found[name], per_column(function, y, net.predict(X), w), rtol=1e-9)


def test_metrics_of_labels_skip_missing_targets(backend):
    y, w = targets_of("binary_crossentropy"), rng.random(M)
    net = network(Masked("bce")).build(4)
    names = ["accuracy", "f1", "balanced_accuracy", "roc_auc", "log_loss"]
    found = net.evaluate(X, y, w, metrics=names, backend=backend)
    p = net.predict_proba(X)
    functions = [sk.accuracy_score, sk.f1_score, sk.balanced_accuracy_score]
    for name, function in zip(names, functions, strict=False):
        assert_allclose(found[name], per_column(function, y, p > 0.5, w), rtol=1e-9)
    for name, function in [("roc_auc", sk.roc_auc_score), ("log_loss", sk.log_loss)]:
        assert_allclose(found[name], per_column(function, y, p, w), rtol=1e-9)


def test_an_output_without_targets_is_left_out(backend):
    y = targets_of("mse")
    y[:, 1] = NAN
    net, loss = network(Masked("mse")).build(4), Masked("mse")
    found = net.evaluate(X, y, metrics=["mae", "r2"], backend=backend)
    others = [0, 2]
    rows = ~np.isnan(y[:, others]).all(axis=1)
    predicted, w = net.predict(X)[rows][:, others], np.ones(rows.sum())
    for name, function in [("mae", sk.mean_absolute_error), ("r2", sk.r2_score)]:
        expected = per_column(function, y[rows][:, others], predicted, w)
        assert_allclose(found[name], expected, rtol=1e-9)
    assert loss.unmasked == losses.get("mse")


class Largest(bpnet.metrics.WholeMetric):
    direction = "min"

    def value(self, xp, loss, y, z, w):
        r = xp.where(w > 0.0, xp.abs(loss.link(xp, z)[:, 0] - y[:, 0]), xp.zeros_like(w))
        return float(xp.max(r))


class Signed(bpnet.metrics.MeanMetric):
    direction = "min"

    def values(self, xp, loss, y, z):
        return xp.mean(z - y, axis=1)


def test_metrics_of_the_users_own_and_early_stopping():
    y = targets_of("mse")
    net = network(Masked("mse"))
    history = net.fit(
        X, y, epochs=5, validation_data=(X, y), metrics=[Largest(), Signed(), "mae"],
        callbacks=[bpnet.EarlyStopping("val_Largest", 3)],
    )  # fmt: skip
    found = net.evaluate(X, y, metrics=[Largest(), Signed()])
    r = net.predict(X) - y
    assert_allclose(found["Largest"], np.mean(np.nanmax(np.abs(r), axis=0)), rtol=1e-9)
    assert_allclose(found["Signed"], np.mean(np.nanmean(r, axis=0)), rtol=1e-9)
    assert found["Largest"] == pytest.approx(min(history["val_Largest"]), rel=1e-9)


# --- who else sees the targets ----------------------------------------------------------------


def test_data_frames_loaders_files_and_diagnosis(tmp_path):
    pd = pytest.importorskip("pandas")
    y = targets_of("mse").astype(np.float32)
    frame = pd.DataFrame(y, columns=["a", "b", "c"]).astype(object).where(~np.isnan(y), None)
    frame = frame.astype("Float32")
    net = network(Masked("mse", WEIGHTS))
    path = tmp_path / "run.safetensors"
    watch = [bpnet.GradientFlow(every=1), bpnet.Checkpoint(path)]
    history = net.fit(X, y, epochs=2, callbacks=watch)
    from_frame = network(Masked("mse", WEIGHTS)).fit(X, frame, epochs=2)
    assert from_frame["loss"] == history["loss"]
    facts = history.facts
    assert np.all(np.isfinite([facts.baseline_loss, facts.best_loss, facts.target_rms]))
    assert 0.0 == facts.best_loss < facts.baseline_loss
    assert bpnet.diagnose(history).findings is not None
    assert bpnet.load(path).loss == Masked("mse", WEIGHTS)
    again = network(Masked("mse", WEIGHTS)).fit(
        X, y, epochs=4, resume_from=path, callbacks=watch
    )
    assert again["loss"][:2] == history["loss"]

    class Batches(bpnet.Loader):
        def batches(self, epoch):
            for k in range(self.n_batches):
                rows = slice(8 * k, 8 * k + 8)
                yield X[rows], y[rows]

    loaded = network(Masked("mse")).fit(Batches(M, 4, 8), epochs=2)
    assert np.all(np.isfinite(loaded["loss"]))


class Coupled(LogCosh):
    """A user's loss that may be masked."""

    elementwise = True


def test_a_users_own_loss_may_be_masked(backend):
    y = targets_of("mse")
    net = network(Masked(Coupled()))
    assert bpnet.check_gradients(net, X, y, backend=backend).passed
    net.fit(X, y, epochs=2, backend=backend)


# --- errors -----------------------------------------------------------------------------------


def test_missing_targets_need_the_wrapper():
    y = targets_of("mse")
    wanted = r"^y must be finite in float64, got .*NaN.*; if targets are missing, wrap the loss"
    with pytest.raises(ValueError, match=wanted):
        network("mse").fit(X, y)
    with pytest.raises(ValueError, match=r"missing"):
        network("cce").fit(X, np.where(GAPS[:, 0], NAN, 1.0))
    y[0, 0] = np.inf
    with pytest.raises(ValueError, match=r"^y must be finite in float64, got 1 NaN or inf"):
        network(Masked("mse")).fit(X, y)
    with pytest.raises(ValueError, match=r"^y must have a target that is not missing \(NaN\)"):
        network(Masked("mse")).fit(X, np.full((M, N), NAN))
    with pytest.raises(ValueError, match=r"^y must be from 0 to 1 for loss 'masked_bin"):
        network(Masked("bce")).fit(X, targets_of("mse"))


@pytest.mark.parametrize(
    "wrong",
    [
        "categorical_crossentropy", Quantile((0.1, 0.9)), Masked("mse"), LogCosh(),
        losses.BinaryCrossentropy(positive_weight=(1.0, 2.0)),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_mean_over_outputs_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^loss must be the mean over outputs .*; got"):
        Masked(wrong)


@pytest.mark.parametrize(
    ("loss", "units"),
    [
        (Masked("mse", (1.0, 2.0)), 3),
        (losses.BinaryCrossentropy(positive_weight=(1.0, 2.0)), 1),
        (losses.CategoricalCrossentropy(class_weights=(1.0, 2.0)), 3),
    ],
    ids=repr,
)
def test_a_weight_for_each_output(loss, units):
    with pytest.raises(ValueError, match=rf"weights? must have {units} value\(s\), .*; got 2"):
        network(loss, units)


# --- quantiles --------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.3, (0.1, 0.5, 0.9)])
def test_the_minimum_is_the_quantile(q, backend):
    """Of a constant, fitted to the targets of two outputs."""
    y, count = rng.normal(size=(201, 2)), np.size(q)
    net = bpnet.Network([bpnet.Dense(2 * count, init="zeros")], Quantile(q), seed=0)
    X = np.zeros((201, 1))
    net.fit(
        X, y, optimizer=bpnet.SGD(bpnet.schedules.Cosine(2.0, 300)), epochs=300,
        batch_size=None, backend=backend,
    )  # fmt: skip
    expected = np.quantile(y, q, axis=0).T.ravel()  # the first target first
    assert_allclose(net.predict(X)[0], expected, atol=0.02)
    facts = bpnet.check_gradients(net.replace(seed=1), X[:9] + 1.0, y[:9])
    assert facts.passed


def test_quantiles_of_a_target_need_a_unit_each():
    with pytest.raises(ValueError, match=r"^the last Dense must have 2 units for each .*got 3"):
        network(Quantile((0.1, 0.9)), 3)
    net = network(Quantile((0.1, 0.9)), 4)
    with pytest.raises(ValueError, match=r"^y must have 2 column\(s\), one for each 2 units"):
        net.fit(X, REAL)
    with pytest.raises(ValueError, match=r"^metrics must be None or \[\] for the loss Quant"):
        net.fit(X, REAL[:, :2], metrics=["mae"])
    history = net.fit(X, REAL[:, :2], epochs=2, callbacks=[bpnet.GradientFlow(every=1)])
    assert 0.0 == history.facts.best_loss < history.facts.baseline_loss
    assert net.evaluate(X, REAL[:, :2]).keys() == {"loss"}
