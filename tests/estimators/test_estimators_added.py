"""Features of bpnet's estimators beyond scikit-learn's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification, make_multilabel_classification
from sklearn.utils.class_weight import compute_sample_weight

import bpnet
from bpnet import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X_IRIS, Y_IRIS = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (8,), "random_state": 0, "batch_size": 32}


def assert_same_weights(a, b):
    for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert_array_equal(p, q)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("rates", [(0.0, 0.5), (0.5, 0.0)])
def test_dropout_may_change_between_warm_starts(rates, early_stopping):
    model = MLPClassifier(
        **SMALL, dropout=rates[0], early_stopping=early_stopping, warm_start=True, max_iter=3
    ).fit(X_IRIS, Y_IRIS)
    step = model._optimizer.step
    model.set_params(dropout=rates[1]).fit(X_IRIS, Y_IRIS)
    assert model._optimizer.step == 2 * step
    assert len(model.loss_curve_) == 6


# --- ten epochs and ten more are twenty -------------------------------------------------------

CONTINUED = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "adaptive": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "learning_rate_init": 0.1,
        "n_iter_no_change": 2,
        "tol": 0.05,
    },
    "dropout": {"dropout": 0.3},
    "full batches": {"batch_size": 150},
    "schedule": {"schedule": bpnet.schedules.Cosine(0.01, epochs=20)},
    "optimizer": {"optimizer": bpnet.RMSprop(bpnet.schedules.Step(0.01, every=7))},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.03},
}


@pytest.mark.parametrize("name", CONTINUED)
def test_a_warm_start_goes_on_exactly(name):
    parameters = SMALL | {"n_iter_no_change": 1000} | CONTINUED[name]
    twenty = MLPClassifier(**parameters, max_iter=20).fit(X_IRIS, Y_IRIS)
    ten = MLPClassifier(**parameters, max_iter=10, warm_start=True).fit(X_IRIS, Y_IRIS)
    ten = pickle.loads(pickle.dumps(ten)).fit(X_IRIS, Y_IRIS)
    assert_same_weights(ten, twenty)
    assert ten.loss_curve_ == twenty.loss_curve_
    assert ten.validation_scores_ == twenty.validation_scores_
    assert (ten.t_, ten.n_iter_) == (twenty.t_, 10)


@pytest.mark.parametrize("name", [name for name in CONTINUED if name != "early stopping"])
def test_partial_fits_are_epochs(name):
    parameters = SMALL | {"n_iter_no_change": 1000} | CONTINUED[name]
    five = MLPRegressor(**parameters, max_iter=5).fit(X_IRIS, Y_IRIS)
    ones = MLPRegressor(**parameters)
    for _ in range(5):
        ones.partial_fit(X_IRIS, Y_IRIS)
    assert_same_weights(ones, five)
    assert ones.loss_curve_ == five.loss_curve_


class Fails(bpnet.Callback):
    """An error at the end of an epoch, or of a later one."""

    def on_epoch_end(self, training):
        if training.epoch == min(2, training.epochs):
            raise RuntimeError("stop here")


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", CONTINUED)
def test_an_error_leaves_what_is_continued_as_it_was(name, method):
    parameters = SMALL | {"n_iter_no_change": 1000, "max_iter": 3} | CONTINUED[name]
    parameters["early_stopping"] = name == "early stopping" and method == "fit"
    model, twin = (MLPClassifier(**parameters, warm_start=True) for _ in range(2))
    model.fit(X_IRIS, Y_IRIS).set_params(callbacks=[Fails()])
    twin.fit(X_IRIS, Y_IRIS)
    with pytest.raises(RuntimeError, match="stop here"):
        getattr(model, method)(X_IRIS, Y_IRIS)
    assert_same_weights(model, twin)
    for estimator in (model.set_params(callbacks=None), twin):
        getattr(estimator, method)(X_IRIS, Y_IRIS)
    assert_same_weights(model, twin)
    assert model.loss_curve_ == twin.loss_curve_


def test_a_continued_training_goes_on_on_every_backend(backend):
    X = backend.asarray(X_IRIS, "float64")
    parameters = SMALL | {"dropout": 0.2, "batch_size": 75}
    four = MLPClassifier(**parameters, max_iter=4).fit(X_IRIS, Y_IRIS)
    two = MLPClassifier(**parameters, max_iter=2, warm_start=True).fit(X, Y_IRIS)
    two = pickle.loads(pickle.dumps(two)).fit(X, Y_IRIS)
    for p, q in zip(two.coefs_, four.coefs_, strict=True):
        assert_allclose(backend.to_numpy(p), q, rtol=1e-9, atol=1e-12)


def test_early_stopping_goes_on_from_weights_that_were_changed():
    model = MLPClassifier(**SMALL, max_iter=3, early_stopping=True, warm_start=True)
    model.fit(X_IRIS, Y_IRIS)
    model.coefs_ = [np.zeros_like(W) for W in model.coefs_]
    model.set_params(max_iter=1, learning_rate_init=1e-12).fit(X_IRIS, Y_IRIS)
    last = model._last
    assert max(np.abs(layer["W"]).max() for layer in last) < 1e-9


def test_a_new_learning_rate_holds_and_keeps_the_moments():
    model = MLPClassifier(**SMALL).partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
    before, step = copy.deepcopy(model.coefs_), model._optimizer.step
    model.set_params(learning_rate_init=1e-12).partial_fit(X_IRIS, Y_IRIS)
    assert model._optimizer.step == 2 * step
    for p, q in zip(model.coefs_, before, strict=True):
        assert_allclose(p, q, atol=1e-9)


@pytest.mark.parametrize("change", [{"solver": "adam"}, {"early_stopping": True}], ids=str)
def test_a_warm_start_may_change_its_ways(change):
    solver = "lbfgs" if "solver" in change else "adam"
    model = MLPClassifier(**SMALL, warm_start=True, max_iter=30, solver=solver)
    score = model.fit(X_IRIS, Y_IRIS).score(X_IRIS, Y_IRIS)
    model.set_params(**change, max_iter=2, learning_rate_init=1e-9).fit(X_IRIS, Y_IRIS)
    assert len(model.loss_curve_) == 2
    assert model.score(X_IRIS, Y_IRIS) == score


def test_weights_of_another_structure_are_not_continued():
    model = MLPClassifier(**SMALL, warm_start=True, max_iter=1).fit(X_IRIS, Y_IRIS)
    message = r"now need \[\(4, 5\), \(5, 3\)\]; refit with warm_start=False"
    with pytest.raises(ValueError, match=message):
        model.set_params(hidden_layer_sizes=(5,)).fit(X_IRIS, Y_IRIS)


# --- early stopping ---------------------------------------------------------------------------


def test_the_validation_split_is_stratified_for_several_classes():
    y = np.repeat(["a", "b", "c"], (120, 20, 10))
    seen = []

    class Look(bpnet.Callback):
        def on_train_begin(self, training):
            seen.append(np.bincount(training.validation.y).tolist())

    MLPClassifier(
        **SMALL, early_stopping=True, max_iter=1, validation_fraction=0.2, callbacks=Look()
    ).fit(X_IRIS, y)
    assert seen == [[24, 4, 2]]


def test_classes_too_small_to_stratify_are_a_warning():
    y = Y_IRIS.copy()
    y[0] = 3
    model = MLPClassifier(**SMALL, early_stopping=True, max_iter=1)
    with pytest.warns(UserWarning, match="split is not stratified: The least populated class"):
        model.fit(X_IRIS, y)
    assert model.n_iter_ == 1


class Watch(bpnet.Callback):
    """Keeps the weights of each epoch, and interrupts training like Ctrl-C."""

    def __init__(self, interrupt_after=None):
        self.interrupt_after = interrupt_after
        self.weights = []

    def on_epoch_end(self, training):
        self.weights.append(np.array(training.network.parameters[0]["W"]))
        if training.epoch == self.interrupt_after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("interrupt_after", [None, 9])
def test_the_best_weights_are_restored_however_training_ends(interrupt_after):
    X, y = make_classification(200, 10, flip_y=0.4, random_state=0)
    watch = Watch(interrupt_after)
    model = MLPClassifier(
        **SMALL, early_stopping=True, learning_rate_init=0.1, max_iter=12, callbacks=[watch]
    )
    if interrupt_after:
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model.fit(X, y)
    else:
        model.fit(X, y)
    best = int(np.argmax(model.validation_scores_))
    assert best < len(watch.weights) - 1, "the best epoch must not be the last"
    assert_array_equal(model.coefs_[0], watch.weights[best])
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == model.n_iter_


def test_the_validation_loss_is_that_of_the_held_out_examples():
    model = MLPRegressor(**SMALL, early_stopping=True, max_iter=1, alpha=0.0)
    held_out = []

    class Look(bpnet.Callback):
        def on_epoch_end(self, training):
            held_out.append(training.validation)

    model.set_params(callbacks=Look()).fit(X_IRIS, Y_IRIS, np.linspace(0.5, 2.0, 150))
    X, y, w = held_out[0][:3]
    error = np.average((model.predict(X) - y[:, 0]) ** 2, weights=w) / 2
    assert_allclose(model.validation_loss_curve_, [error], rtol=1e-12)
    model.set_params(early_stopping=False).fit(X_IRIS, Y_IRIS)
    assert model.validation_loss_curve_ is None


# --- layers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(bpnet.activations.ACTIVATIONS))
def test_every_activation_trains_a_network(name):
    model = MLPClassifier(**SMALL | {"activation": name, "max_iter": 60, "tol": 0.0,
                                     "learning_rate_init": 0.02})  # fmt: skip
    assert model.fit(X_IRIS, Y_IRIS).score(X_IRIS, Y_IRIS) > 0.9
    assert model._network.layers[0].activation.name == name


def test_each_layer_may_have_its_own():
    model = MLPClassifier(
        (6, 5), ["tanh", bpnet.activations.LeakyReLU(0.2)], dropout=(0.0, 0.5), max_iter=1
    ).fit(X_IRIS, Y_IRIS)
    assert [repr(layer) for layer in model._network.layers] == [
        "Dense(6, 'tanh')", "Dense(5, 'leaky_relu')", "Dropout(0.5)", "Dense(3, 'identity')",
    ]  # fmt: skip
    assert model._network.layers[1].activation.negative_slope == 0.2


def test_one_activation_is_one_for_each():
    one = MLPClassifier(**SMALL | {"hidden_layer_sizes": (6, 5)}, activation="logistic")
    two = clone(one).set_params(activation=["logistic", "sigmoid"])
    assert_same_weights(*(m.set_params(max_iter=2).fit(X_IRIS, Y_IRIS) for m in (one, two)))


def test_dropout_acts_in_training_only():
    plain = MLPClassifier(**SMALL, max_iter=3).fit(X_IRIS, Y_IRIS)
    model = MLPClassifier(**SMALL, max_iter=3, dropout=0.5).fit(X_IRIS, Y_IRIS)
    assert model.loss_curve_ != plain.loss_curve_
    assert_array_equal(model.predict_proba(X_IRIS), model.predict_proba(X_IRIS))


def test_init_draws_the_weights():
    def ones(rng, n_in, n_out):
        return np.ones((n_in, n_out))

    model = MLPRegressor(**SMALL, init=ones, learning_rate_init=1e-12, max_iter=1)
    model.fit(X_IRIS, Y_IRIS)
    assert_allclose(model.coefs_[0], np.ones((4, 8)), atol=1e-9)
    assert_allclose(model.intercepts_[0], np.zeros(8), atol=1e-9)
    named = [
        MLPRegressor(**SMALL | {"random_state": seed}, init="orthogonal", max_iter=1)
        .fit(X_IRIS, Y_IRIS)
        .coefs_[0]
        for seed in (0, 0, 1)
    ]
    assert_array_equal(named[0], named[1])
    assert not np.allclose(named[0], named[2])


# --- weights and optimisers -------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", [{0: 3.0, 2: 0.5}, "balanced"], ids=str)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weights_are_weights_of_the_examples(class_weight, solver):
    X, y = X_IRIS[20:], Y_IRIS[20:]
    own = np.linspace(0.5, 1.5, len(y))
    parameters = SMALL | {"solver": solver, "max_iter": 5}
    by_class = MLPClassifier(**parameters, class_weight=class_weight).fit(X, y, own)
    by_example = MLPClassifier(**parameters).fit(
        X, y, own * compute_sample_weight(class_weight, y)
    )
    assert_same_weights(by_class, by_example)


def test_class_weights_of_several_labels():
    X, y = make_multilabel_classification(60, 5, n_classes=2, random_state=0)
    weights = [{0: 1.0, 1: 4.0}, {0: 1.0, 1: 0.5}]
    by_class = MLPClassifier(**SMALL, class_weight=weights, max_iter=3).fit(X, y)
    by_example = MLPClassifier(**SMALL, max_iter=3).fit(X, y, compute_sample_weight(weights, y))
    assert_same_weights(by_class, by_example)


def test_balanced_class_weights_need_all_examples():
    model = MLPClassifier(**SMALL, class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight='balanced' needs all examples at once"):
        model.partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])


def test_a_batch_of_weights_0_moves_nothing():
    w = np.zeros(150)
    w[-1] = 1.0
    model = MLPClassifier(**SMALL | {"batch_size": 30}, shuffle=False, max_iter=2)
    model.fit(X_IRIS, Y_IRIS, w)
    assert np.all(np.isfinite(model.loss_curve_))
    assert model.loss_curve_[1] < model.loss_curve_[0]


def test_clip_norm_bounds_a_step():
    parameters = SMALL | {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1.0}
    model = MLPRegressor(**parameters | {"batch_size": 150}, clip_norm=1e-3, max_iter=1)
    start = MLPRegressor(**parameters | {"learning_rate_init": 1e-300}, max_iter=1)
    moved = [
        p - q
        for p, q in zip(
            model.fit(X_IRIS, 1e3 * Y_IRIS).coefs_ + model.intercepts_,
            start.fit(X_IRIS, Y_IRIS).coefs_ + start.intercepts_,
            strict=True,
        )
    ]
    assert_allclose(np.sqrt(sum(np.sum(d * d) for d in moved)), 1e-3, rtol=1e-6)


@pytest.mark.parametrize("optimizer", [bpnet.AdamW(0.01), bpnet.Adagrad(0.1)])
def test_an_optimizer_replaces_the_solver(optimizer):
    model = MLPClassifier(**SMALL, optimizer=optimizer, max_iter=40)
    assert clone(model).fit(X_IRIS, Y_IRIS).score(X_IRIS, Y_IRIS) > 0.9


def test_a_schedule_replaces_the_learning_rate():
    rates = []

    class Look(bpnet.Callback):
        def on_epoch_end(self, training):
            rates.append(training.logs["learning_rate"])

    schedule = bpnet.schedules.Step(0.1, every=2, factor=0.5)
    model = MLPClassifier(**SMALL, schedule=schedule, callbacks=[Look()], max_iter=4)
    model.fit(X_IRIS, Y_IRIS)
    assert rates == [0.1, 0.1, 0.05, 0.05]


@pytest.mark.parametrize(
    ("name", "settings", "y"),
    [
        ("MLPClassifier", {}, Y_IRIS), ("MLPClassifier", {}, Y_IRIS > 0),
        ("MLPRegressor", {}, Y_IRIS), ("MLPRegressor", {"loss": "poisson"}, Y_IRIS),
    ],
)  # fmt: skip
def test_files_are_refused_before_anything_is_fitted(name, settings, y, tmp_path):
    path = tmp_path / "net.safetensors"
    kept = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0} | settings
    model = getattr(bpnet, name)(callbacks=[bpnet.Checkpoint(path)], **kept)
    message = "^files cannot represent scikit-learn's losses.*save the estimator"
    classes = {"classes": np.unique(y)} if name == "MLPClassifier" else {}
    for fit, given in ((model.fit, {}), (model.partial_fit, classes)):
        with pytest.raises(TypeError, match=message):
            fit(X_IRIS, y, **given)
        assert not hasattr(model, "coefs_")

    class Saves(bpnet.Callback):
        def on_train_begin(self, training):
            training.network.save(path)

    with pytest.raises(TypeError, match=message):
        model.set_params(callbacks=[Saves()]).fit(X_IRIS, y)
    assert not path.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": bpnet.Adam(bpnet.schedules.Cosine(0.01, 5))},
        {"optimizer": bpnet.SGD(0.1, weight_decay=bpnet.schedules.Constant(0.1))},
        {"schedule": bpnet.schedules.ReduceOnPlateau(0.1, patience=0)},
    ],
    ids=repr,
)
def test_a_clone_has_an_equal_optimizer_and_fits_alike(settings):
    model = bpnet.MLPClassifier((3,), max_iter=3, random_state=0, **settings)
    twin = clone(model)
    for name, value in settings.items():
        assert twin.get_params()[name] == value
    model.fit(X_IRIS, Y_IRIS)
    again = clone(pickle.loads(pickle.dumps(model)))
    for other in (twin, again):
        other.fit(X_IRIS, Y_IRIS)
        assert_array_equal(other.coefs_[0], model.coefs_[0])


def test_callbacks_may_stop_training_and_no_warning_follows(recwarn):
    class StopAfterTwo(bpnet.Callback):
        def on_epoch_end(self, training):
            if training.epoch == 2:
                training.stop("two epochs will do")

    model = MLPClassifier(**SMALL, callbacks=StopAfterTwo()).fit(X_IRIS, Y_IRIS)
    assert model.n_iter_ == 2
    assert not recwarn.list


def test_log_probabilities_stay_finite():
    model = MLPClassifier(**SMALL, max_iter=5).fit(X_IRIS, Y_IRIS)
    far = 1e5 * X_IRIS
    assert model.predict_proba(far).min() == 0.0
    assert np.all(np.isfinite(model.predict_log_proba(far)))
    assert_allclose(
        model.predict_log_proba(X_IRIS), np.log(model.predict_proba(X_IRIS)), rtol=1e-12
    )


# --- what does not go together ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "lbfgs", "dropout": 0.1}, "dropout needs solver 'sgd' or 'adam'"),
        ({"solver": "lbfgs", "callbacks": [Watch()]}, "callbacks needs solver"),
        ({"solver": "lbfgs", "dropout": [0.1]}, "dropout needs solver"),
        ({"solver": "lbfgs", "optimizer": bpnet.Adam()}, "optimizer needs solver"),
        ({"solver": "lbfgs", "progress": True}, "progress needs solver"),
        (
            {"optimizer": bpnet.Adam(), "clip_norm": 1.0},
            "clip_norm belongs to the solver, which optimizer replaces; pass it to",
        ),
    ],
    ids=lambda value: " and ".join(value) if isinstance(value, dict) else None,
)
def test_bad_parameters_are_refused(parameters, message):
    model = MLPRegressor(**SMALL | parameters)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X_IRIS, Y_IRIS)
    assert not hasattr(model, "coefs_")


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="y must be >= 0 for loss 'poisson', got -1"):
        MLPRegressor("poisson", **SMALL).fit(X_IRIS, Y_IRIS - 1)


@pytest.mark.parametrize(
    ("rows", "message"), [(1, "the resulting train set"), (10, "too small")]
)
def test_too_few_rows_to_hold_some_out_are_refused(rows, message):
    model = bpnet.MLPRegressor(early_stopping=True)
    with pytest.raises(ValueError, match=message):
        model.fit(np.ones((rows, 2)), np.arange(float(rows)))
