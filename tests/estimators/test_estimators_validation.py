"""`validation_data` of fit: the same examples held out, but chosen by the caller."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, r2_score

import bpnet
from bpnet import MLPClassifier, MLPRegressor
from bpnet.estimators._split import train_and_validation

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.once_on_jax,
]

X, CODES = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (6,), "random_state": 0, "batch_size": 20, "max_iter": 6}
WEIGHTS = np.linspace(0.5, 2.0, 150)
HELD = np.arange(0, 150, 5)
TRAIN = np.setdiff1d(np.arange(150), HELD)

TASKS = {
    "multiclass": (MLPClassifier, CODES),
    "words": (MLPClassifier, np.array(["a", "b", "c"])[CODES]),
    "binary": (MLPClassifier, CODES > 0),
    "multilabel": (MLPClassifier, np.stack([CODES > 0, CODES == 1], 1).astype(int)),
    "one output": (MLPRegressor, CODES * 1.0),
    "two outputs": (MLPRegressor, np.stack([CODES, X[:, 0]], 1)),
}


def fit(kind, y, *, held=HELD, weights=None, **parameters):
    some = () if weights is None else (weights[held],)
    return kind(**SMALL | parameters).fit(
        X[TRAIN], y[TRAIN], validation_data=(X[held], y[held], *some)
    )


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("task", TASKS)
def test_they_are_held_out_like_a_fraction(task, weights):
    """Without shuffling, the split is the last use of the random numbers."""
    kind, y = TASKS[task]
    parameters = SMALL | {
        "early_stopping": True, "shuffle": False, "max_iter": 30, "n_iter_no_change": 2,
        "learning_rate_init": 0.03,
    }  # fmt: skip
    split = kind(**parameters).fit(X, y, weights)
    random_state = np.random.RandomState()
    random_state.set_state(split._split_state)
    is_multilabel = task in ("multilabel", "one output", "two outputs")
    strata = None if is_multilabel else np.unique(y, return_inverse=True)[1]
    train, held = train_and_validation(150, weights, 0.1, strata, random_state)
    ws = (None, ()) if weights is None else (weights[train], (weights[held],))
    given = kind(**parameters).fit(
        X[train], y[train], ws[0], validation_data=(X[held], y[held], *ws[1])
    )
    for p, q in zip(given.coefs_, split.coefs_, strict=True):
        assert_array_equal(p, q)
    assert given.validation_scores_ == split.validation_scores_
    assert given.validation_loss_curve_ == split.validation_loss_curve_
    assert given.best_validation_score_ == split.best_validation_score_
    assert given.n_iter_ == split.n_iter_


@pytest.mark.parametrize("task", TASKS)
def test_without_early_stopping_they_are_scored_and_change_nothing(task):
    kind, y = TASKS[task]
    alone = kind(**SMALL).fit(X[TRAIN], y[TRAIN])
    model = fit(kind, y)
    for p, q in zip(model.coefs_, alone.coefs_, strict=True):
        assert_array_equal(p, q)
    assert model.loss_curve_ == alone.loss_curve_
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == 6
    assert model.best_validation_score_ is None
    assert alone.validation_scores_ is None
    score = accuracy_score if kind is MLPClassifier else r2_score
    assert_allclose(model.validation_scores_[-1], score(y[HELD], model.predict(X[HELD])))
    weighted = fit(kind, y, weights=WEIGHTS)
    assert_allclose(
        weighted.validation_scores_[-1],
        score(y[HELD], weighted.predict(X[HELD]), sample_weight=WEIGHTS[HELD]),
    )


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_bad_score_does_not_stop():
    """Predictions of the held-out examples overflow, but training goes on."""
    model = MLPRegressor(**SMALL, activation="identity")
    model.fit(X, CODES, validation_data=(X * 1e300, CODES))
    assert model.n_iter_ == 6
    assert np.isnan(model.validation_scores_).all()


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_warm_start_goes_on_exactly(early_stopping):
    parameters = {"early_stopping": early_stopping, "n_iter_no_change": 1000}
    twenty = fit(MLPClassifier, CODES, **parameters, max_iter=20)
    ten = MLPClassifier(**SMALL | parameters | {"max_iter": 10}, warm_start=True)
    for _ in range(2):
        ten.fit(X[TRAIN], CODES[TRAIN], validation_data=(X[HELD], CODES[HELD]))
        ten = pickle.loads(pickle.dumps(ten))
    assert ten.validation_scores_ == twenty.validation_scores_
    for p, q in zip(ten.coefs_, twenty.coefs_, strict=True):
        assert_array_equal(p, q)


def test_epochs_without_are_nan():
    model = MLPClassifier(**SMALL | {"max_iter": 2}, warm_start=True).fit(X, CODES)
    assert model.validation_scores_ is None
    model.fit(X, CODES, validation_data=(X, CODES)).fit(X, CODES)
    assert_array_equal(np.isnan(model.validation_scores_), [1, 1, 0, 0, 1, 1])
    assert_array_equal(np.isnan(model.validation_loss_curve_), [1, 1, 0, 0, 1, 1])


def test_they_are_scored_on_every_backend(backend):
    reference = fit(MLPClassifier, CODES)
    model = MLPClassifier(**SMALL).fit(
        backend.asarray(X[TRAIN], "float64"), CODES[TRAIN],
        validation_data=(backend.asarray(X[HELD], "float64"), backend.asarray(CODES[HELD])),
    )  # fmt: skip
    assert_allclose(model.validation_loss_curve_, reference.validation_loss_curve_, rtol=1e-9)
    host = MLPClassifier(**SMALL, early_stopping=True).fit(
        backend.asarray(X[TRAIN], "float64"), CODES[TRAIN],
        validation_data=(X[HELD], CODES[HELD], np.ones(30)),
    )  # fmt: skip
    assert_allclose(host.validation_loss_curve_, reference.validation_loss_curve_, rtol=1e-9)


def test_they_may_be_sparse_or_a_frame():
    reference = fit(MLPRegressor, CODES)
    model = MLPRegressor(**SMALL).fit(
        X[TRAIN], CODES[TRAIN], validation_data=(sparse.csr_array(X[HELD]), CODES[HELD])
    )
    assert_allclose(model.validation_scores_, reference.validation_scores_)
    pandas = pytest.importorskip("pandas")
    frame, y = pandas.DataFrame(X, columns=list("abcd")), pandas.Series(CODES)
    model = MLPRegressor(**SMALL).fit(
        frame.iloc[TRAIN], y.iloc[TRAIN], validation_data=(frame.iloc[HELD], y.iloc[HELD])
    )
    assert model.validation_scores_ == reference.validation_scores_
    with pytest.raises(ValueError, match=r"validation_data: .*The feature names should match"):
        model.fit(frame, y, validation_data=(frame.rename(columns={"a": "e"}), y))


@pytest.mark.parametrize(
    ("task", "change", "message"),
    {
        "a new class": ("multiclass", lambda X, y: (X, y + 1), r"validation_data: y must hold "
                        r"classes of the y of training, \[0, 1, 2\], got also \[3\]"),
        "a new word": ("words", lambda X, y: (X, np.where(y == "a", "z", y)), r"\['z'\]"),
        "numbers for words": ("words", lambda X, y: (X, CODES[: len(X)]), "got also"),
        "columns": ("multiclass", lambda X, y: (X, TASKS["multilabel"][1][: len(X)]),
                    "must have the form of that of training, 1-D, got shape"),
        "one column": ("multilabel", lambda X, y: (X, y[:, 0]), "2 columns, got shape"),
        "no indicators": ("multilabel", lambda X, y: (X, y + 1.5), "validation_data: .*label"),
        "outputs": ("two outputs", lambda X, y: (X, y[:, 0]), "as many outputs .* 2, got 1"),
        "features": ("one output", lambda X, y: (X[:, :2], y), "X has 2 features"),
        "rows": ("one output", lambda X, y: (X[:5], y), "inconsistent numbers"),
        "weights": ("one output", lambda X, y: (X, y, -y - 1), "validation_data: .*weight"),
        "no tuple": ("one output", lambda X, y: (X,), r"must be a tuple \(X, y\) or"),
        "NaN": ("one output", lambda X, y: (X * np.nan, y), "validation_data: .*NaN"),
    }.values(),
)  # fmt: skip
def test_others_are_refused(task, change, message):
    kind, y = TASKS[task]
    model = fit(kind, y)
    before = copy.deepcopy(vars(model))
    for estimator in (model, kind(**SMALL)):
        with pytest.raises((ValueError, TypeError), match=message):
            estimator.fit(X, y, validation_data=change(X[::4], y[::4]))
    assert vars(model).keys() == before.keys()
    assert_array_equal(model.coefs_[0], before["coefs_"][0])


def test_lbfgs_has_no_epochs():
    with pytest.raises(ValueError, match="validation_data needs solver 'sgd' or 'adam'"):
        MLPClassifier(solver="lbfgs").fit(X, CODES, validation_data=(X, CODES))


def test_a_new_class_is_refused_in_a_warm_start():
    model = fit(MLPClassifier, CODES, warm_start=True)
    with pytest.raises(ValueError, match=r"got also \[3\]"):
        model.fit(X, CODES, validation_data=(X, CODES + 1))


def test_the_history_has_the_metrics_of_each_epoch():
    model = fit(MLPClassifier, CODES)
    history = model.history_
    assert isinstance(history, bpnet.History)
    assert list(history) == ["loss", "learning_rate", "val_loss", "val_accuracy"]
    assert history["loss"] == model.loss_curve_
    assert history["val_loss"] == model.validation_loss_curve_
    assert history["val_accuracy"] == model.validation_scores_
    assert dict(pickle.loads(pickle.dumps(model)).history_) == dict(history)
    model.fit(X, CODES)
    assert list(model.history_) == ["loss", "learning_rate"]
    model.set_params(solver="lbfgs", batch_size="auto").fit(X, CODES)
    assert not hasattr(model, "history_")


def test_a_schedule_may_follow_them():
    schedule = bpnet.schedules.ReduceOnPlateau(0.1, "val_loss", patience=0, min_delta=0.9)
    model = fit(MLPClassifier, CODES, schedule=schedule)
    assert model.history_["learning_rate"][-1] < 0.1
