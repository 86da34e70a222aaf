"""What the estimators say of divergence, tolerances, targets and pickles that are not right."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning

import bpnet
from bpnet import MLPClassifier, MLPRegressor
from bpnet.estimators._lbfgs import Objective

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
SMALL = {"hidden_layer_sizes": (4,), "random_state": 0}
SENTENCE = "^Solver produced non-finite parameter weights.* Training diverged "
ends_early = pytest.mark.filterwarnings("ignore:.*Maximum iterations:UserWarning")


# --- divergence -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "scales", "cause"),
    [
        (
            {"learning_rate_init": 1e5},
            (1.0, 1.0),
            "the learning rate 1e.05 is too high; lower l",
        ),
        ({"optimizer": bpnet.SGD(1e9)}, (1.0, 1.0), "too high; lower the rate of optimizer"),
        (
            {"schedule": bpnet.schedules.Constant(1e9)},
            (1.0, 1.0),
            "too high; lower the rate of schedule",
        ),
        (
            {"learning_rate_init": 0.5},
            (1e6, 1.0),
            r"features up to [\d.e+]+ in magnitude; scale them .* The learning rate was 0.5",
        ),
        (
            {"learning_rate_init": 0.5},
            (1.0, 1e9),
            r"targets up to [\d.e+]+ in magnitude; scale them .* The learning rate was 0.5",
        ),
    ],
)
def test_a_fit_that_diverges_says_why(settings, scales, cause, backend):
    model = MLPRegressor(**SMALL, solver="sgd", max_iter=60, backend=backend, **settings)
    with pytest.raises(ValueError, match=SENTENCE + rf"in epoch \d+\. Likely cause: .*{cause}"):
        model.fit(scales[0] * X, scales[1] * X[:, 0])
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_values_that_were_not_looked_for_are_the_cause(estimator, value, form):
    """scikit-learn's setting assume_finite leaves its checks out."""
    bad = X.copy()
    bad[3, 1] = value
    with (
        sklearn.config_context(assume_finite=True),
        pytest.raises(ValueError, match=SENTENCE + ".*: X or y holds NaN or infinity.*False"),
    ):
        estimator(**SMALL, max_iter=3).fit(form(bad), np.arange(60) % 2)


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_early_stopping_keeps_finite_weights(estimator):
    """NaN weights classify all as 0, which may be a better score than that of the others."""
    settings = {"solver": "sgd", "learning_rate_init": 1e160, "max_iter": 60}
    y = np.zeros(60, int)
    y[:10] = 1
    model = estimator(**SMALL, **settings, early_stopping=True)
    with pytest.warns(
        ConvergenceWarning, match=r"diverged in epoch \d+: .*1e\+160 is too high"
    ):
        model.fit(X, y)
    assert all(np.all(np.isfinite(W)) for W in model.coefs_)
    assert model.n_iter_ < 60
    assert np.isnan(model.validation_scores_[-1])
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_


def test_what_is_restored_is_named():
    class Break(bpnet.Callback):
        def on_epoch_begin(self, training):
            if training.epoch == 3:
                training.set_learning_rate(1e200)

    model = MLPRegressor(**SMALL, early_stopping=True, solver="sgd", callbacks=[Break()])
    with pytest.warns(
        ConvergenceWarning, match=r"in epoch 4: .* the best weights, of epoch [123]"
    ):
        model.fit(X, X[:, 0])
    model.set_params(learning_rate_init=1e200, callbacks=None)
    with pytest.warns(ConvergenceWarning, match="as no epoch had a finite score"):
        model.fit(X, X[:, 0])


@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_goes_on_from_finite_weights(early_stopping):
    model = MLPRegressor(**SMALL, warm_start=True, early_stopping=early_stopping, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, X[:, 0])
        curve, predicted = list(model.loss_curve_), model.predict(X)
        model.set_params(learning_rate_init=1e305)
        if early_stopping:
            model.fit(X, X[:, 0])
        else:
            with pytest.raises(ValueError, match=SENTENCE):
                model.fit(X, X[:, 0])
            assert model.loss_curve_ == curve
            assert_array_equal(model.predict(X), predicted)
        model.set_params(learning_rate_init=1e-3).fit(X, X[:, 0])
    assert np.all(np.isfinite(model.predict(X)))
    assert np.all(np.isfinite(model.loss_curve_[-3:]))


def test_a_partial_fit_that_diverges_changes_nothing():
    model = MLPRegressor(**SMALL, solver="sgd", learning_rate_init=1e-2)
    model.partial_fit(X, X[:, 0])
    before = copy.deepcopy(model)
    model.set_params(learning_rate_init=1e10)
    with pytest.raises(ValueError, match=SENTENCE + "in epoch 1. Likely cause: targets up to"):
        model.partial_fit(X, 1e308 * np.sign(X[:, 0]))
    model.set_params(learning_rate_init=1e-2)
    assert_array_equal(model.predict(X), before.predict(X))
    assert model.loss_curve_ == before.loss_curve_
    assert np.all(np.isfinite(model.partial_fit(X, X[:, 0]).predict(X)))


@pytest.mark.parametrize(
    ("scales", "cause"), [((1e200, 1), "features"), ((1, 1e200), "targets")]
)
def test_lbfgs_names_the_cause(scales, cause):
    model = MLPRegressor(**SMALL, solver="lbfgs", activation="identity")
    with pytest.warns(ConvergenceWarning, match=f"is not finite.* Likely cause: {cause} up to"):
        model.fit(scales[0] * X, scales[1] * X[:, 0])


def test_moments_that_are_not_finite_are_forgotten():
    model = MLPRegressor(**SMALL).partial_fit(X, X[:, 0])
    with pytest.raises(ValueError, match=SENTENCE):
        model.partial_fit(1e10 * X, 1e305 * X[:, 0])
    assert np.all(np.isfinite(model.partial_fit(X, X[:, 0]).predict(X)))


# --- tolerances -------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_tolerance_that_is_coarse_for_the_targets(solver):
    """Of targets in units a thousand times larger, tol is 1e-6 of the former part."""
    settings = SMALL | {"solver": solver, "max_iter": 3000, "learning_rate_init": 0.01}
    y = X @ [1.0, -2.0, 0.5]
    with pytest.warns(ConvergenceWarning, match=r"than tol=0.0001\. .* smaller tol, or scale"):
        coarse = MLPRegressor(**settings).fit(X, 1e-3 * y)
    assert coarse.score(X, 1e-3 * y) < 0.99
    fine = MLPRegressor(**settings).fit(X, y)
    assert fine.score(X, y) > 0.99


@ends_early
def test_other_endings_are_no_coarse_tolerance():
    y = 1e-3 * X[:, 0]
    MLPRegressor(**SMALL, max_iter=400, early_stopping=True).fit(X, y)
    MLPRegressor(**SMALL, max_iter=400).fit(X, np.full(60, 1e-3))
    MLPClassifier(**SMALL, tol=0.3).fit(X, X[:, 0] > 0)
    model = MLPRegressor(**SMALL)
    for _ in range(40):
        model.partial_fit(X, y)


# --- weights of 0 -----------------------------------------------------------------------------


@ends_early
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_rows_of_weight_0_are_not_held_out(estimator, backend):
    w = np.tile([1.0, 0.0, 0.0], 20)
    held_out = []

    class Look(bpnet.Callback):
        def on_train_begin(self, training):
            held_out.append(training.validation.to_host())

    model = estimator(**SMALL, max_iter=3, early_stopping=True, validation_fraction=0.2,
                      callbacks=[Look()])  # fmt: skip
    model.fit(backend.asarray(X, "float32"), (X[:, 0] > 0).astype(int), w)
    assert held_out[0].n_rows == 4
    assert_array_equal(held_out[0].w, np.ones(4, "float32"))
    assert np.all(np.isfinite(model.validation_scores_))


@ends_early
def test_bagging_with_early_stopping():
    y = (X[:, 0] > 0).astype(int)
    model = MLPClassifier(**SMALL, early_stopping=True, max_iter=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The validation split is not stratified")
        BaggingClassifier(model, n_estimators=10, max_samples=0.2, random_state=0).fit(X, y)


@ends_early
def test_the_loss_is_that_of_the_rows_that_count():
    settings = SMALL | {"solver": "sgd", "learning_rate_init": 1e-9, "alpha": 0.0}
    settings |= {"batch_size": 10, "shuffle": False, "max_iter": 1}
    whole = MLPRegressor(**settings).fit(X, X[:, 0], np.arange(60) >= 50)
    part = MLPRegressor(**settings).fit(X[50:], X[50:, 0])
    assert_allclose(whole.loss_, part.loss_, rtol=1e-6)


def test_class_weights_must_leave_a_weight():
    y = np.zeros(60, int)
    y[30:] = 1
    model = MLPClassifier(**SMALL, class_weight={0: 0.0})
    with pytest.raises(
        ValueError, match=r"^class_weight must leave .* together with sample_weight"
    ):
        model.fit(X, y, np.arange(60) < 30)
    assert not hasattr(model, "coefs_")
    model.partial_fit(X, y, np.arange(60) < 30, classes=[0, 1])  # another batch may have some
    assert np.isfinite(model.loss_)
    assert all(np.all(np.isfinite(W)) for W in model.coefs_)


@ends_early
def test_a_class_of_weight_0_is_not_trained_on():
    y = np.repeat([0, 1, 2], 20)
    settings = SMALL | {"max_iter": 30, "learning_rate_init": 0.1}
    model = MLPClassifier(**settings, class_weight={0: 0}).fit(X, y)
    assert set(model.predict(X)) <= {1, 2}
    model = MLPClassifier(**settings, class_weight={0: 0}, early_stopping=True).fit(X, y)
    assert set(model.predict(X)) <= {1, 2}


# --- targets ----------------------------------------------------------------------------------

LABELS = np.arange(60) % 3
ONE_HOT = np.eye(3, dtype=int)[LABELS]


@ends_early
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, np.ndarray.tolist, np.bool_])
def test_one_hot_targets_are_seen(form):
    model = MLPClassifier(**SMALL, max_iter=1)
    with pytest.warns(
        UserWarning, match=r"one-hot .* y.argmax\(axis=1\), .* y.idxmax\(axis=1\)"
    ):
        model.fit(X, form(ONE_HOT))
    with pytest.warns(UserWarning, match="one-hot"):
        model = MLPClassifier(**SMALL).partial_fit(X, form(ONE_HOT), classes=[0, 1, 2])
    model.partial_fit(X, form(ONE_HOT))


@ends_early
def test_one_hot_targets_of_a_device_are_seen(backend):
    with pytest.warns(UserWarning, match="one-hot"):
        MLPClassifier(**SMALL, max_iter=1).fit(
            backend.asarray(X, "float32"), backend.asarray(ONE_HOT, "int64")
        )


@ends_early
def test_labels_that_are_independent_are_no_one_hot_targets():
    for row in ([1, 1, 0], [0, 0, 0]):
        y = ONE_HOT.copy()
        y[7] = row
        MLPClassifier(**SMALL, max_iter=1).fit(X, y)


@ends_early
@pytest.mark.parametrize("label", [0, 1, "only"])
def test_a_single_class_has_probability_1(label, backend):
    array = backend.asarray(X, "float32")
    with pytest.warns(RuntimeWarning, match="^y has a single class, .*nothing to learn"):
        model = MLPClassifier(**SMALL, max_iter=1).fit(array, np.full(60, label))
    for found, value in (
        (model.predict_proba(array), 1.0),
        (model.predict_log_proba(array), 0.0),
    ):
        assert type(found) is type(array)
        assert_array_equal(backend.to_numpy(found), np.full((60, 1), value, "float32"))
    assert set(model.predict(X)) == {label}


def test_a_part_with_a_single_class_is_no_news():
    model = MLPClassifier(**SMALL).partial_fit(X, np.zeros(60), classes=[0, 1])
    assert model.predict_proba(X).shape == (60, 2)


# --- class weights ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ([1, 2], r"a dict \{class: weight\}, 'balanced' or None; got \[1, 2\]"),
        ([{0: 1}], "A list of dicts is for multilabel targets"),
        ({"0": 1, "1": 2, "2": 3}, "classes of y as keys, 0, 1, 2; got '0', '1', '2'"),
        ({0: 1, 5: 2}, "classes of y as keys, 0, 1, 2; got 5"),
        ({0: None}, "class_weight must be a number, got None"),
        ({0: -1.0}, "class_weight must be a finite number >= 0, got -1"),
        ({0: np.nan}, "class_weight must be a finite number >= 0, got nan"),
    ],
)
def test_class_weights_of_another_form_are_refused(class_weight, message):
    with pytest.raises(
        (TypeError, ValueError), match=f"^class_weight must .*{message}|^{message}"
    ):
        MLPClassifier(**SMALL, class_weight=class_weight).fit(X, LABELS)


@pytest.mark.parametrize("class_weight", [{0: 1, 1: 2}, [{0: 1}] * 2, [1.0, 2.0, 3.0]])
def test_class_weights_of_labels_are_a_list_of_dicts(class_weight):
    y = (X > 0).astype(int)
    with pytest.raises(
        ValueError, match=r"^class_weight must be a list with a dict .* of 3 labels"
    ):
        MLPClassifier(**SMALL, class_weight=class_weight).fit(X, y)


def test_a_part_may_lack_a_class_that_has_a_weight():
    model = MLPClassifier(**SMALL, class_weight={2: 3.0})
    other = MLPClassifier(**SMALL)
    for rows in (LABELS == 0, LABELS == 1):
        model.partial_fit(X[rows], LABELS[rows], classes=[0, 1, 2])
        other.partial_fit(X[rows], LABELS[rows], classes=[0, 1, 2])
    assert_array_equal(model.predict_proba(X), other.predict_proba(X))


# --- the rest ---------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.01, 0.999])
def test_a_share_that_leaves_a_side_empty_is_named(share):
    model = MLPRegressor(**SMALL, early_stopping=True, validation_fraction=share)
    with pytest.raises(ValueError, match=f"validation_fraction={share:g} of 60 examples is "):
        model.fit(X, X[:, 0])


@ends_early
def test_a_pickle_names_its_version():
    model = MLPRegressor(**SMALL, max_iter=1).fit(X, X[:, 0])
    for same in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_array_equal(same.predict(X), model.predict(X))
        assert not hasattr(same, "_bpnet_version")
    state = model.__getstate__() | {"_bpnet_version": "0.0.1"}
    match = rf"by bpnet 0\.0\.1, .* {bpnet.__version__},.*Network.s"
    with pytest.warns(UserWarning, match=match) as seen:
        MLPRegressor().__setstate__(state)
    assert seen[0].filename == __file__
    del state["_bpnet_version"]  # a subclass may have its own __getstate__
    MLPRegressor().__setstate__(state)


def test_a_second_fit_within_a_fit_is_refused_whatever_its_data():
    """Else the outer one would end in an estimator of two architectures."""

    class Again(bpnet.Callback):
        def on_epoch_end(self, training):
            with pytest.raises(RuntimeError, match=r"^fit is not possible while fit trains"):
                model.fit(X[:, :2], np.array(list("abc"))[np.arange(60) % 3])

    model = MLPClassifier((5,), max_iter=2, random_state=0, callbacks=[Again()])
    with pytest.warns(ConvergenceWarning):
        model.fit(X, X[:, 0] > 0)
    assert model.predict(X).shape == (60,)


def test_a_loss_that_has_converged_is_no_reason_for_a_warning():
    U = np.random.default_rng(1).uniform(size=(300, 3))
    settings = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 0.0, "random_state": 0}
    model = MLPRegressor(**settings).fit(U, U @ [0.5, 0.3, 0.2])
    assert model.loss_ < model.tol
    assert model.score(U, U @ [0.5, 0.3, 0.2]) > 0.999


def test_ctrl_c_in_lbfgs_keeps_the_weights_of_that_moment(monkeypatch):
    """Not the random ones with which it began."""
    evaluate, calls = Objective.__call__, []

    def interrupted(self, vector):
        calls.append(vector.copy())
        if len(calls) == 8:
            raise KeyboardInterrupt
        return evaluate(self, vector)

    monkeypatch.setattr(Objective, "__call__", interrupted)
    model = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, X[:, 0])
    assert_array_equal(model.coefs_[0].ravel(), calls[-2][: model.coefs_[0].size])
    assert np.all(np.isfinite(model.predict(X)))
