"""Numerical equality of bpnet's estimators with scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import (
    make_classification,
    make_multilabel_classification,
    make_regression,
)

import bpnet

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Got `batch_size`:UserWarning",
)

M = 110


def scaled(y):
    return (y - y.mean(axis=0)) / y.std(axis=0)


def binary():
    return make_classification(M, 6, flip_y=0.2, random_state=0)


def three_classes():
    X, y = make_classification(M, 6, n_informative=4, n_classes=3, random_state=1)
    return X, np.array(["cat", "dog", "eel"])[y]


def several_labels():
    return make_multilabel_classification(M, 6, n_classes=4, random_state=2)


def one_number():
    X, y = make_regression(M, 6, noise=5.0, random_state=3)
    return X, scaled(y)


def two_numbers():
    X, y = make_regression(M, 6, n_targets=2, noise=5.0, random_state=4)
    return X, scaled(y)


def counts():
    X, y = make_regression(M, 6, random_state=5)
    return X, np.random.default_rng(5).poisson(np.exp(scaled(y)))


TASKS = {
    "binary": ("MLPClassifier", binary, {}),
    "three classes": ("MLPClassifier", three_classes, {}),
    "several labels": ("MLPClassifier", several_labels, {}),
    "one number": ("MLPRegressor", one_number, {}),
    "two numbers": ("MLPRegressor", two_numbers, {}),
    "counts": ("MLPRegressor", counts, {"loss": "poisson"}),
}
# Batches of 40, 40 and 30: the last one is smaller.
SHARED = {"hidden_layer_sizes": (9, 5), "random_state": 7, "batch_size": 40, "max_iter": 12}


@pytest.fixture(autouse=True)
def flags_of_numbers_beside_the_arrays():
    """OpenBLAS may raise them in float32 products; a real NaN fails the comparison."""
    with np.errstate(invalid="ignore"):
        yield


def pair(task, dtype="float64", weights=False, partial=0, **parameters):
    """Fit scikit-learn's estimator and bpnet's to the same examples."""
    kind, load, own = TASKS[task]
    X, y = load()
    X = X.astype(dtype)
    w = np.random.default_rng(0).uniform(0.1, 3.0, M) if weights else None
    fitted = []
    for module in (sklearn.neural_network, bpnet):
        estimator = getattr(module, kind)(**(SHARED | own | parameters))
        if partial:
            classes = {"classes": np.unique(y)} if kind == "MLPClassifier" else {}
            estimator.partial_fit(X, y, w, **classes)
        else:
            estimator.fit(X, y, w)
        fitted.append(estimator)
    return (*fitted, X)


RECORD = (
    "loss_", "best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_",
    "n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "classes_",
    "n_features_in_",
)  # fmt: skip


def assert_equal(theirs, ours, X, tolerance):
    """Compare weights, the record and the predictions."""
    for name in ("coefs_", "intercepts_"):
        expected, result = getattr(theirs, name), getattr(ours, name)
        assert len(result) == len(expected)
        for p, q in zip(result, expected, strict=True):
            assert p.dtype == X.dtype
            assert_allclose(p, q, rtol=tolerance, atol=tolerance)
    for name in RECORD:
        assert hasattr(ours, name) == hasattr(theirs, name), name
        expected, result = getattr(theirs, name, None), getattr(ours, name, None)
        if expected is None or isinstance(expected, str | int):
            assert result == expected, name
        elif np.asarray(expected).dtype.kind == "f":
            assert_allclose(result, expected, rtol=tolerance, atol=tolerance, err_msg=name)
        else:
            assert_array_equal(result, expected, err_msg=name)
    if hasattr(theirs, "predict_proba"):
        for method in ("predict_proba", "predict_log_proba"):
            expected, result = getattr(theirs, method)(X), getattr(ours, method)(X)
            assert result.dtype == X.dtype  # scikit-learn's L-BFGS makes it float64
            assert_allclose(result, expected, rtol=100 * tolerance, atol=tolerance)
        assert_array_equal(ours.predict(X), theirs.predict(X))
        assert ours.predict(X).dtype == theirs.predict(X).dtype
    else:
        assert_allclose(
            ours.predict(X), theirs.predict(X), rtol=100 * tolerance, atol=tolerance
        )


SOLVERS = {
    "adam": {},
    "lbfgs": {"solver": "lbfgs"},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "plain sgd": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.05},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.01},
    "full momentum": {"solver": "sgd", "momentum": 1.0, "learning_rate_init": 0.001},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
}


@pytest.mark.parametrize("weights", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", TASKS)
def test_every_solver_takes_the_same_steps(task, solver, weights):
    assert_equal(*pair(task, weights=weights, **SOLVERS[solver]), tolerance=1e-7)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_float32_stays_float32_and_agrees_to_its_rounding(task, solver):
    assert_equal(*pair(task, "float32", max_iter=4, **SOLVERS[solver]), tolerance=2e-4)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden_layer_sizes", [7, (6, 5, 4), ()], ids=str)
def test_activations_and_sizes_start_and_train_alike(activation, hidden_layer_sizes):
    parameters = {"activation": activation, "hidden_layer_sizes": hidden_layer_sizes}
    assert_equal(*pair("three classes", **parameters), tolerance=1e-9)


@pytest.mark.parametrize(
    "parameters",
    [
        {"shuffle": False},
        {"batch_size": "auto"},
        {"batch_size": 1000},
        {"batch_size": 1, "max_iter": 2},
        {"alpha": 0.0},
        {"alpha": 3.0},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"beta_1": 0.0, "beta_2": 0.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("task", ["binary", "two numbers"])
def test_other_parameters_mean_the_same(task, parameters):
    assert_equal(*pair(task, weights=True, **parameters), tolerance=1e-7)


@pytest.mark.parametrize(
    "parameters",
    [
        {"tol": 1e-2, "n_iter_no_change": 3},
        {"tol": 0.5, "n_iter_no_change": 1},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 2,
         "learning_rate_init": 0.1},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("task", ["three classes", "one number"])
def test_training_stops_after_the_same_epoch(task, parameters):
    theirs, ours, X = pair(task, max_iter=400, **parameters)
    assert 1 < theirs.n_iter_ < 400
    assert_equal(theirs, ours, X, tolerance=1e-6)


@pytest.mark.parametrize("weights", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("task", ["binary", "several labels", "one number", "two numbers"])
def test_early_stopping_holds_out_and_restores_the_same(task, weights):
    parameters = {"early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": 4}
    theirs, ours, X = pair(
        task, weights=weights, max_iter=60, learning_rate_init=0.02, **parameters
    )
    assert_equal(theirs, ours, X, tolerance=1e-7)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("task", ["three classes", "counts"])
def test_the_first_partial_fit_is_the_same(task, solver):
    assert_equal(*pair(task, partial=1, **SOLVERS[solver]), tolerance=1e-9)


def test_features_far_from_0_give_the_same_curve():
    """scikit-learn's loss clips probabilities, which matters for large logits."""
    X, y = binary()
    theirs, ours = (
        module.MLPClassifier(**SHARED).fit(1e3 * X, y)
        for module in (sklearn.neural_network, bpnet)
    )
    assert theirs.loss_curve_[0] > 5.0
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_what_is_said_is_the_same(capsys, solver):
    if solver == "lbfgs":
        bpnet.MLPRegressor(solver=solver, verbose=True, max_iter=3).fit(*one_number())
        said = capsys.readouterr().out.splitlines()
        assert [line.partition(",")[0] for line in said] == [
            f"Iteration {i}" for i in (1, 2, 3)
        ]
        return
    said = []
    for module in (sklearn.neural_network, bpnet):
        parameters = {"learning_rate": "adaptive", "early_stopping": True, "tol": 0.3}
        module.MLPRegressor(
            **(SHARED | parameters), solver=solver, verbose=True, n_iter_no_change=2
        ).fit(*one_number())
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "Validation score" in said[0]
