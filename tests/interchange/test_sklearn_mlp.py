"""Multi-layer perceptrons of scikit-learn: equal networks predict the same."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

import bpnet
from bpnet.interchange import from_sklearn, to_sklearn

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

Dense = bpnet.Dense
X = np.random.default_rng(0).normal(size=(60, 4))
CLASSES = {
    "binary": X[:, 0] > 0.0,
    "text": np.where(X[:, 0] > 0.0, "no", "yes"),
    "three": np.digitize(X[:, 0], [-0.5, 0.5]),
    "labels": X[:, :3] > 0.0,
}
NUMBERS = {"one": abs(X[:, 0]), "two": abs(X[:, :2])}
KINDS = [(MLPClassifier, MLPRegressor), (bpnet.MLPClassifier, bpnet.MLPRegressor)]
IDS = ["sklearn", "bpnet"]
FEW = {"max_iter": 3, "random_state": 0}


@pytest.mark.parametrize("kinds", KINDS, ids=IDS)
@pytest.mark.parametrize("y", CLASSES)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_from_a_classifier(kinds, y, activation):
    mlp = kinds[0]((5, 3), activation, **FEW).fit(X, CLASSES[y])
    net = from_sklearn(mlp)
    assert net.dtype == "float64"
    assert_allclose(net.predict_proba(X), mlp.predict_proba(X), 1e-12, 1e-12)
    labels = net.predict(X)
    assert_array_equal(labels if y == "labels" else mlp.classes_[labels], mlp.predict(X))


@pytest.mark.parametrize("kinds", KINDS, ids=IDS)
@pytest.mark.parametrize("y", NUMBERS)
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_from_a_regressor(kinds, y, loss, dtype):
    mlp = kinds[1](loss, (), **FEW).fit(X.astype(dtype), NUMBERS[y])
    net = from_sklearn(mlp)
    assert net.dtype == dtype
    expected = mlp.predict(X.astype(dtype))
    assert_allclose(net.predict(X.astype(dtype)), expected, 1e-5, 1e-6)


def test_from_an_estimator_with_more_than_scikit_learn_has():
    pinball = bpnet.losses.Quantile((0.1, 0.9))
    mlp = bpnet.MLPRegressor("huber", (5, 4), ["gelu", "selu"], dropout=0.5, **FEW)
    net = from_sklearn(mlp.fit(X, X[:, 0]))
    assert [type(layer).__name__ for layer in net.layers] == [
        "Dense", "Dropout", "Dense", "Dropout", "Dense",
    ]  # fmt: skip
    assert net.loss == bpnet.losses.Huber()
    assert_allclose(net.predict(X), mlp.predict(X), 1e-12, 1e-12)
    assert pinball.identity_link


NETWORKS = {
    "binary": ("bce", 1), "labels": ("bce", 3), "two classes": ("cce", 2), "four": ("cce", 4),
    "mse": ("mse", 1), "two outputs": ("huber", 2), "poisson": ("poisson", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "hidden", [[], [Dense(5, "tanh"), bpnet.Dropout(0.5), Dense(3, "tanh")]]
)
def test_to_scikit_learn(name, dtype, hidden):
    loss, units = NETWORKS[name]
    net = bpnet.Network([*hidden, Dense(units)], loss, seed=0, dtype=dtype).build(4)
    mlp = to_sklearn(net)
    given = X.astype(dtype)
    assert {a.dtype.name for a in (*mlp.coefs_, *mlp.intercepts_)} == {dtype}
    assert_array_equal(mlp.predict(given).shape, net.predict(given).shape)
    assert_allclose(mlp.predict(given), net.predict(given), 1e-5, 1e-6)
    if net.is_classifier:
        assert isinstance(mlp, MLPClassifier)
        assert_allclose(mlp.predict_proba(given), net.predict_proba(given), 1e-5, 1e-6)
        assert np.unique(mlp.predict(given)).size > 1
    mlp.partial_fit(given, net.predict(given))  # can continue


def test_there_and_back():
    net = bpnet.Network([Dense(5, "relu"), Dense(3)], "cce", seed=0).build(4)
    again = from_sklearn(to_sklearn(net))
    for ours, theirs in zip(net.get_weights(), again.get_weights(), strict=True):
        assert_array_equal(ours, theirs, strict=True)


def test_names_of_features_are_kept():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    net = bpnet.Network([Dense(2)], "mse", seed=0)
    net.fit(frame, X[:, :2], epochs=1)
    mlp = to_sklearn(net)
    assert mlp.feature_names_in_.tolist() == list("abcd")
    assert_allclose(mlp.predict(frame), net.predict(frame), 1e-5, 1e-6)


@pytest.mark.parametrize(
    ("layers", "loss", "message"),
    [
        ([Dense(3, "gelu")], "mse", r"identity, sigmoid, tanh, relu .*got layer 1, .*'gelu'"),
        ([Dense(3, "relu"), Dense(3, "tanh")], "mse", r"same activation .*layer 2, .* 'relu'"),
        (
            [Dense(3), bpnet.BatchNorm()],
            "mse",
            r"Dense layers and no others; got layer 2, Batch",
        ),
        ([Dense(3, parametrization="ntk")], "mse", r"'standard'; got layer 1, .*'ntk'"),
    ],
)
def test_what_scikit_learn_does_not_have_is_refused(layers, loss, message):
    with pytest.raises(ValueError, match=message):
        to_sklearn(bpnet.Network([*layers, Dense(1)], loss, seed=0).build(4))


class Odd(bpnet.losses.Loss):
    name = "odd"

    def link(self, xp, z):
        return z * z

    def value(self, xp, y, z):
        raise NotImplementedError

    def error(self, xp, y, z):
        raise NotImplementedError


def test_a_loss_that_scikit_learn_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"no loss with the link function of Odd\(\)"):
        to_sklearn(bpnet.Network([Dense(1)], Odd(), seed=0).build(4))


def test_other_objects_are_refused():
    with pytest.raises(NotFittedError):
        from_sklearn(MLPRegressor())
    table = bpnet.TabularRegressor("td-s", n_epochs=1).fit(X, X[:, 0])
    for wrong in (None, MLPRegressor, LinearRegression().fit(X, X[:, 0]), table):
        with pytest.raises(TypeError, match=r"^mlp must be an MLPClassifier or MLPRegressor"):
            from_sklearn(wrong)
