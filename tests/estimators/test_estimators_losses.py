"""The losses of regressors beyond scikit-learn's two."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from own_components import LogCosh
from scipy import optimize
from sklearn.base import clone
from sklearn.linear_model import QuantileRegressor

import bpnet
from bpnet import MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.once_on_jax,
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3 + RNG.standard_t(2, 80)
TWO = np.stack([Y, X[:, 0] ** 2], 1)
SMALL = {"hidden_layer_sizes": (5,), "random_state": 0, "batch_size": 20, "max_iter": 5}
LINEAR = {"hidden_layer_sizes": [], "alpha": 0.0, "random_state": 0}
LOSSES = ["absolute_error", "huber", bpnet.losses.Huber(2.0), LogCosh()]
NAMES = {"absolute_error": bpnet.losses.MeanAbsoluteError(), "huber": bpnet.losses.Huber(),
         "quantile": bpnet.losses.Quantile(0.5)}  # fmt: skip


def assert_same(a, b):
    for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert_array_equal(p, q)
    assert a.loss_curve_ == b.loss_curve_


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_for_a_loss(name):
    by_name = MLPRegressor(name, **SMALL).fit(X, TWO)
    assert_same(by_name, MLPRegressor(NAMES[name], **SMALL).fit(X, TWO))
    assert by_name.out_activation_ == "identity"


def test_the_mean_squared_error_is_twice_the_default():
    """With one output; its gradients are halved by the rate."""
    parameters = SMALL | {"solver": "sgd", "momentum": 0.0, "alpha": 0.0}
    half = MLPRegressor(**parameters, learning_rate_init=0.02).fit(X, Y)
    whole = MLPRegressor(
        bpnet.losses.MeanSquaredError(), **parameters, learning_rate_init=0.01
    ).fit(X, Y)
    assert_allclose(whole.coefs_[0], half.coefs_[0], rtol=1e-12)
    assert_allclose(whole.loss_curve_, 2.0 * np.array(half.loss_curve_))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_the_first_step_is_that_of_pytorch(loss):
    torch = pytest.importorskip("torch")
    reference = {
        "absolute_error": torch.nn.L1Loss(),
        "huber": torch.nn.HuberLoss(),
        LOSSES[2]: torch.nn.HuberLoss(delta=2.0),
        LOSSES[3]: lambda z, y: torch.log(torch.cosh(z - y)).mean(),
    }[loss]
    one = SMALL | {"batch_size": 80, "max_iter": 1, "solver": "sgd", "momentum": 0.0}
    start = MLPRegressor("squared_error", **one, learning_rate_init=1e-300).fit(X, TWO)
    model = MLPRegressor(loss, **one, learning_rate_init=0.1, alpha=0.0).fit(X, TWO)
    weights = [torch.tensor(p, requires_grad=True) for p in start.coefs_ + start.intercepts_]
    hidden = torch.relu(torch.tensor(X) @ weights[0] + weights[2])
    value = reference(hidden @ weights[1] + weights[3], torch.tensor(TWO))
    value.backward()
    assert_allclose(model.loss_, float(value.detach()), rtol=1e-12)
    for p, w in zip(model.coefs_ + model.intercepts_, weights, strict=True):
        assert_allclose(p, (w - 0.1 * w.grad).detach().numpy(), rtol=1e-10, atol=1e-14)


def test_the_absolute_error_is_that_of_a_median_regression():
    reference = QuantileRegressor(quantile=0.5, alpha=0.0).fit(X, Y)
    model = MLPRegressor(
        "absolute_error", **LINEAR, max_iter=2000, tol=1e-9, n_iter_no_change=200,
        schedule=bpnet.schedules.Cosine(0.05, 2000),
    ).fit(X, Y)  # fmt: skip
    assert_allclose(model.coefs_[0][:, 0], reference.coef_, atol=0.05)
    least = np.mean(np.abs(reference.predict(X) - Y))
    assert least <= np.mean(np.abs(model.predict(X) - Y)) < 1.001 * least


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_huber_finds_the_minimum(delta):
    def objective(weights):
        r = np.abs(X @ weights[:3] + weights[3] - Y)
        return np.mean(np.where(r <= delta, r * r / 2.0, delta * (r - delta / 2.0)))

    best = optimize.minimize(objective, np.zeros(4), tol=1e-10)
    model = MLPRegressor(bpnet.losses.Huber(delta), solver="lbfgs", tol=1e-9, **LINEAR)
    model.fit(X, Y)
    assert_allclose(model.loss_, best.fun, rtol=1e-7)
    assert_allclose(model.coefs_[0][:, 0], best.x[:3], atol=1e-3)


@pytest.mark.parametrize("loss", ["absolute_error", LOSSES[2]], ids=str)
def test_every_loss_trains_on_every_backend(loss, backend):
    weights = np.linspace(0.5, 2.0, 80)
    reference = MLPRegressor(loss, **SMALL).fit(X, Y, weights)
    model = MLPRegressor(loss, **SMALL).fit(backend.asarray(X, "float64"), Y, weights)
    for p, q in zip(model.coefs_, reference.coefs_, strict=True):
        assert_allclose(backend.to_numpy(p), q, rtol=1e-9, atol=1e-12)


def test_counts_are_predicted_by_the_exponential():
    counts = np.round(np.exp(X[:, 0]))
    model = MLPRegressor(bpnet.losses.Poisson(), **SMALL).fit(X, counts)
    assert model.out_activation_ == "exp"
    assert model.predict(X).min() > 0.0
    half = MLPRegressor("poisson", **SMALL).fit(X, counts)
    assert_allclose(model.predict(X), half.predict(X))  # a constant apart
    for loss in ("poisson", bpnet.losses.Poisson()):
        with pytest.raises(ValueError, match="y must be >= 0 for loss"):
            MLPRegressor(loss, **SMALL).fit(X, Y)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_early_stopping_compares_the_loss(loss):
    model = MLPRegressor(
        loss, **SMALL | {"max_iter": 60, "n_iter_no_change": 3}, early_stopping=True,
        learning_rate_init=0.03,
    ).fit(X, Y)  # fmt: skip
    assert_array_equal(model.validation_scores_, -np.array(model.validation_loss_curve_))
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert 3 < model.n_iter_ < 60


def test_a_quantile_is_above_its_share_of_the_targets():
    model = MLPRegressor(
        bpnet.losses.Quantile(0.9), **LINEAR, max_iter=300, learning_rate_init=0.05, tol=0.0
    ).fit(X, Y)
    assert abs(np.mean(model.predict(X) >= Y) - 0.9) < 0.03
    with pytest.raises(ValueError, match="2 units for each target"):
        MLPRegressor(bpnet.losses.Quantile((0.1, 0.9)), **SMALL).fit(X, Y)


def test_a_loss_is_a_parameter_like_others():
    model = MLPRegressor(LogCosh(), **SMALL).fit(X, Y)
    assert clone(model).loss == LogCosh()
    assert_same(clone(model).fit(X, Y), model)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    model.set_params(loss="huber", warm_start=True).fit(X, Y)
    with pytest.raises(AttributeError, match="frozen"):
        bpnet.losses.Huber(2.0).delta = 1.0


@pytest.mark.parametrize(
    "loss", [bpnet.losses.BinaryCrossentropy(), bpnet.losses.CategoricalCrossentropy()]
)
def test_a_loss_of_classes_is_refused(loss):
    model = MLPRegressor(loss)
    for fit in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"^loss must be one of real.*MLPClassifier"):
            fit(X, Y)
    assert not hasattr(model, "n_features_in_")


def test_a_loss_is_saved_with_its_own_class(tmp_path):
    path = tmp_path / "model.safetensors"
    model = MLPRegressor(LogCosh(), **SMALL).fit(X, Y)
    model.save(path)
    with pytest.raises(bpnet.ModelFileError, match=r"losses\.LogCosh"):
        bpnet.load(path)
    loaded = bpnet.load(path, custom={"LogCosh": LogCosh})
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_same(loaded.partial_fit(X, Y), model.partial_fit(X, Y))
