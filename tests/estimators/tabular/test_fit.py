"""Fitting tables: labels, targets, validation, ensembles, time, pickles, backends."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
import re
import sys
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import bpnet
from bpnet import TabularClassifier, TabularRegressor
from bpnet.estimators.tabular.member import affordable

pytestmark = pytest.mark.once_on_jax

SMALL = {"n_epochs": 3, "hidden_layer_sizes": (8, 8), "random_state": 0, "backend": "numpy"}
PRESETS = ("td", "td-s", "plain")


@functools.cache
def table(rows=200):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.integers(18, 80, rows), "size": rng.lognormal(size=rows)})
    X["member"] = rng.random(rows) < 0.5
    X["color"] = pd.Categorical(rng.choice(["red", "green", "blue"], rows))
    X["city"] = rng.choice([f"city {k:02}" for k in range(12)], rows)
    X["rooms"] = pd.array(rng.integers(1, 6, rows), "Int64")
    X.loc[::7, "size"] = np.nan
    X.loc[::9, "color"] = None
    X.loc[::11, "rooms"] = pd.NA
    return X


@functools.cache
def score():
    X = table()
    return (X["age"] / 20.0 + 2.0 * (X["color"] == "red") + X["member"]).to_numpy(float)


def labels():
    return np.where(score() > np.median(score()), "buys", "waits")


def classifier(**changes):
    return TabularClassifier(**SMALL | changes)


def regressor(**changes):
    return TabularRegressor(**SMALL | changes)


@functools.cache
def fitted(preset="td", **changes):
    return classifier(preset=preset, **changes).fit(table(), labels())


# --- presets ------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_learn_classes(preset):
    clf = TabularClassifier(preset, n_epochs=60, hidden_layer_sizes=(32,), random_state=0)
    clf.set_params(**({"learning_rate": 0.02} if preset == "plain" else {}))
    assert clf.fit(table(), labels()).score(table(), labels()) > 0.9


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_learn_numbers(preset):
    reg = TabularRegressor(preset, n_epochs=60, hidden_layer_sizes=(32,), random_state=0)
    reg.set_params(**({"learning_rate": 0.02} if preset == "plain" else {}))
    y = 1e6 * score()
    assert reg.fit(table(), y).score(table(), y) > 0.8


def test_the_layers_of_td():
    net = classifier(preset="td").fit(table(), labels()).network_
    kinds = [type(layer).__name__ for layer in net.layers]
    hidden = ["Dense", "ParametricActivation", "Dropout"]
    assert kinds == ["PeriodicEmbedding", "Embedding", "Scale", *hidden, *hidden, "Dense"]
    assert net.layers[0].columns == 3
    # 3 numbers, 2 indicators of gaps, 1 bool, 3 colors; 12 cities and what is none
    assert net.layers[1].sizes == ((9, 13),)
    assert net.layers[2].factors("s") == (6.0, 6.0)
    assert net.layers[3].factors("b") == (0.1, 0.0)
    assert net.layers[4].factors("alpha") == (0.1, 0.1)
    assert net.loss.label_smoothing == 0.1


def test_the_layers_of_td_s_and_plain():
    for preset, expected in (("td-s", ["Scale", *["Dense"] * 3]), ("plain", ["Dense"] * 3)):
        net = classifier(preset=preset).fit(table(), labels()).network_
        assert [type(layer).__name__ for layer in net.layers] == expected
        assert net.n_inputs == 3 + 2 + 1 + 3 + 12


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"num_embedding": "none"}, {"PeriodicEmbedding": 0}),
        ({"max_one_hot_size": 20}, {"Embedding": 0}),
        ({"dropout": 0.0}, {"Dropout": 0}),
        ({"scale_layer": False}, {"Scale": 0}),
        ({"parametric_activation": False}, {"ParametricActivation": 0}),
        ({"hidden_layer_sizes": ()}, {"Dense": 1, "Dropout": 0}),
        ({"preset": "plain", "dropout": 0.5}, {"Dropout": 2}),
    ],
)
def test_parts_of_a_preset_can_be_changed(change, kinds):
    net = classifier(**change).fit(table(), labels()).network_
    found = [type(layer).__name__ for layer in net.layers]
    assert {kind: found.count(kind) for kind in kinds} == kinds


# --- tables -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_a_frame_of_polars_gives_the_same_model():
    columns = {n: [None if pd.isna(v) else v for v in c.tolist()] for n, c in table().items()}
    X = pl.DataFrame(columns)
    clf = classifier().fit(X, pl.Series(labels()))
    assert_array_equal(clf.predict_proba(X), fitted().predict_proba(table()))
    assert_array_equal(clf.predict_proba(table()), fitted().predict_proba(table()))


def test_an_array_of_objects_gives_the_same_model():
    X = table().astype(object).to_numpy()
    p = classifier().fit(X, labels()).predict_proba(X)
    assert_array_equal(p, fitted().predict_proba(table()))


def test_a_list_of_rows_gives_the_same_model():
    """NumPy would make text of the numbers in it."""
    rows = table().astype(object).to_numpy().tolist()
    p = classifier().fit(rows, labels()).predict_proba(rows)
    assert_array_equal(p, fitted().predict_proba(table()))


@pytest.mark.parametrize("library", ["torch", "jax.numpy"])
def test_arrays_in_bfloat16_which_numpy_lacks(library):
    xp = pytest.importorskip(library)
    X = np.random.default_rng(0).integers(-9, 9, size=(40, 3)).astype("float32")
    y, w = X[:, 0] + X[:, 1], 1.0 + X[:, 2] % 2.0
    half = [xp.asarray(a, dtype=xp.bfloat16) for a in (X, y, w)]  # exact
    options = {"preset": "plain", "n_epochs": 2, "random_state": 0, "backend": "numpy"}
    expected = TabularRegressor(**options).fit(X, y, w)
    model = TabularRegressor(**options).fit(*half)
    assert_array_equal(model.predict(X), expected.predict(X))


def test_the_order_of_columns_and_more_columns_do_not_matter():
    moved = table().assign(more="text")[["city", "more", "rooms", *table().columns[:4]]]
    assert_array_equal(fitted().predict_proba(moved), fitted().predict_proba(table()))


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="missing: 'color'"):
        fitted().predict(table().drop(columns="color"))


def test_gaps_and_categories_that_fit_has_not_seen_are_taken():
    X = table().head(3).astype(object)
    X.loc[0] = [np.nan, None, None, "violet", "nowhere", pd.NA]
    assert np.isfinite(fitted().predict_proba(X)).all()


def test_attributes_of_columns():
    assert fitted().n_features_in_ == 6
    assert fitted().feature_names_in_.tolist() == list(table().columns)


@pytest.mark.parametrize("chosen", [["age"], [0]])
def test_numbers_can_be_categories(chosen):
    X = table()[["age", "size"]]
    clf = classifier(categorical_features=chosen).fit(X, labels())
    assert clf.network_.layers[0].columns == 1
    assert clf.predict(X.astype(float)).shape == (200,)


# --- labels and targets -------------------------------------------------------------------


@pytest.mark.parametrize(
    "kinds",
    [[0, 1], [-3, 7], [1.0, 2.0], [True, False], ["a", "b"], ["a", "b", "c"], [0, 5, 6, 9]],
)
def test_labels_of_any_kind(kinds):
    y = np.array(kinds)[np.arange(200) % len(kinds)]
    clf = classifier().fit(table(), y)
    assert clf.classes_.tolist() == sorted(kinds)
    predicted = clf.predict(table())
    assert predicted.dtype == y.dtype
    assert set(predicted.tolist()) <= set(kinds)
    p = clf.predict_proba(table())
    assert p.shape == (200, len(kinds))
    assert_allclose(p.sum(axis=1), 1.0, rtol=1e-5)
    assert_allclose(np.exp(clf.predict_log_proba(table())), p, rtol=1e-5)


def test_labels_may_be_a_column_of_a_frame():
    y = pd.Series(pd.Categorical(labels()), index=np.arange(200) + 7)
    assert_array_equal(classifier().fit(table(), y).predict(table()), fitted().predict(table()))


def test_a_single_class_is_predicted_with_probability_1():
    with pytest.warns(RuntimeWarning, match="y has a single class, 'a'"):
        clf = classifier().fit(table(), ["a"] * 200)
    assert clf.predict(table()).tolist() == ["a"] * 200
    assert clf.predict_proba(table()).tolist() == [[1.0]] * 200


@pytest.mark.parametrize("y", [np.eye(2)[np.arange(200) % 2], np.arange(400).reshape(200, 2)])
def test_several_labels_are_refused(y):
    with pytest.raises(ValueError, match="y must have one class label for each example"):
        classifier().fit(table(), y)


def test_several_numbers_are_predicted():
    y = np.stack([score(), -100.0 * score()], axis=1)
    reg = regressor(n_epochs=60).fit(table(), y)
    assert reg.predict(table()).shape == (200, 2)
    assert reg.n_outputs_ == 2
    assert reg.score(table(), y) > 0.5


@pytest.mark.parametrize("weights", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("unit", [2.0**10, 2.0**1020, 2.0**-1000])
def test_the_unit_of_a_target_does_not_matter(unit, weights):
    w = score() if weights else None
    one = regressor().fit(table(), score(), w).predict(table())
    other = regressor().fit(table(), unit * score(), w).predict(table())
    assert_allclose(other / unit, one, rtol=1e-6)


def test_predictions_stay_within_the_range_of_the_targets():
    far = table().assign(age=10_000)
    for clip, inside in ((None, True), (False, False)):
        reg = regressor(clip_output=clip, n_epochs=30).fit(table(), score())
        limits = score().min(), score().max()
        assert (reg.predict(far).max() <= limits[1]) is np.True_ or not inside
        scale = reg._members[0].scale
        assert bool(np.isfinite(scale.high).all()) is inside


def test_a_constant_target_is_predicted():
    reg = regressor().fit(table(), np.full(200, 3.0))
    assert_array_equal(reg.predict(table()), np.full(200, 3.0))


# --- validation ---------------------------------------------------------------------------


def test_the_last_of_the_best_epochs_is_kept():
    clf = classifier(n_epochs=30).fit(table(), labels())
    values = clf.history_["val_accuracy"]
    last = max(k for k, value in enumerate(values, 1) if value == max(values))
    assert clf.best_epoch_ == last
    assert clf.metrics_["val_accuracy"] == max(values)


def test_another_metric_can_choose_the_epoch():
    clf = classifier(metric="log_loss", n_epochs=30).fit(table(), labels())
    values = clf.history_["val_log_loss"]
    assert clf.best_epoch_ == 30 - int(np.argmin(values[::-1]))
    reg = regressor(metric="mae").fit(table(), score())
    assert "val_mae" in reg.metrics_


def test_the_rmse_is_that_of_the_predictions():
    X, y = table(), score()
    reg = regressor(n_epochs=20).fit(X[:150], y[:150], validation_data=(X[150:], y[150:]))
    rmse = np.sqrt(np.mean((reg.predict(X[150:]) - y[150:]) ** 2))
    assert_allclose(reg.metrics_["val_rmse"] * y[:150].std(), rmse, rtol=1e-5)


def test_validation_data_choose_the_epoch_and_are_not_learned():
    X, y = table(), labels()
    clf = classifier().fit(X[:150], y[:150], validation_data=(X[150:], y[150:]))
    one_left = classifier().fit(X[:150], y[:150], validation_data=(X[150:160], y[150:160]))
    assert clf.history_["loss"] == one_left.history_["loss"]
    accuracy = np.mean(clf.predict(X[150:]) == y[150:])
    assert_allclose(clf.metrics_["val_accuracy"], accuracy, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ("X", TypeError, r"validation_data must be a tuple \(X, y\)"),
        ((1, 2, 3, 4), TypeError, "validation_data must be a tuple"),
    ],
)
def test_wrong_validation_data_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        classifier().fit(table(), labels(), validation_data=wrong)


def test_unknown_classes_in_validation_data_are_refused():
    with pytest.raises(ValueError, match="must have the classes of y; got 'new'"):
        classifier().fit(table(), labels(), validation_data=(table(), ["new"] * 200))


def test_without_validation_the_last_epoch_is_kept():
    clf = classifier(validation_fraction=0.0).fit(table(), labels())
    assert clf.best_epoch_ == 3
    assert list(clf.metrics_) == ["loss", "learning_rate"]


def test_preprocessing_is_fitted_to_the_training_part_only():
    y, X = labels(), table().copy()
    X.loc[150:, "age"] = 10_000
    clf = classifier().fit(X[:150], y[:150], validation_data=(X[150:], y[150:]))
    assert clf._members[0].preprocessing.center[0] < 100


@pytest.mark.parametrize(
    ("preset", "early_stopping", "stops"),
    [("td", None, True), ("td-s", None, True), ("plain", None, False), ("plain", True, True),
     ("td-s", False, False)],
)  # fmt: skip
def test_early_stopping(preset, early_stopping, stops):
    noise = np.random.default_rng(0).permutation(labels())
    settings = {"n_epochs": 400, "learning_rate": 0.04}
    clf = classifier(preset=preset, early_stopping=early_stopping, **settings)
    clf.fit(table(), noise)
    assert clf.history_.epochs == (20 + 2 * clf.best_epoch_ + 1 if stops else 400)


def test_the_classes_are_held_out_in_proportion():
    y = np.array(["a"] * 190 + ["b"] * 10)
    seen = []

    class Look(bpnet.Callback):
        def on_train_begin(self, training):
            seen.append(np.bincount(training.validation.y).tolist())

    classifier(callbacks=[Look()]).fit(table(), y)
    assert seen == [[38, 2]]


# --- weights ------------------------------------------------------------------------------


def test_examples_of_weight_0_are_not_learned():
    w = (np.arange(200) % 2).astype(float)
    X, y = table(), labels()
    wrong = np.where(w > 0, y, "buys")
    one = classifier(batch_size=500).fit(X, y, w).predict_proba(X)
    assert_array_equal(classifier(batch_size=500).fit(X, wrong, w).predict_proba(X), one)


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match="sample_weight"):
        classifier().fit(table(), labels(), -np.ones(200))


@pytest.mark.parametrize("task", ["classes", "numbers"])
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (1e-60, r"at least 1\.18e-38, the smallest normal number of float32; got 1e-60"),
        (1e37, "sample_weight must have a finite sum in float32, got inf"),
        (1e200, "sample_weight"),
    ],
)
def test_weights_that_the_dtype_cannot_hold_are_refused(task, weight, message):
    model, y = (classifier, labels()) if task == "classes" else (regressor, score())
    with pytest.raises(ValueError, match=message):
        model().fit(table(), y, np.full(200, weight))
    assert model(dtype="float64").fit(table(), y, np.full(200, weight)).history_.epochs == 3


def test_weights_that_vanish_beside_others_are_0():
    w = (np.arange(200) % 2).astype(float)
    X, y = table(), labels()
    one = classifier().fit(X, y, w).predict_proba(X)
    assert_array_equal(classifier().fit(X, y, np.where(w, w, 1e-60)).predict_proba(X), one)


# --- ensembles ----------------------------------------------------------------------------


def test_an_ensemble_averages_probabilities():
    clf = fitted(n_ensemble=3)
    parts = [member.outputs(clf._schema.read(table()), None) for member in clf._members]
    assert_allclose(clf.predict_proba(table()), np.mean(parts, axis=0), rtol=1e-6)
    assert not np.allclose(parts[0], parts[1])
    assert len(clf.networks_) == len(clf.histories_) == 3
    assert_array_equal(parts[0], fitted().predict_proba(table()))  # the first has the seed


def test_members_of_a_bag_hold_out_different_parts():
    seen = []

    class Look(bpnet.Callback):
        def on_train_begin(self, training):
            X = np.asarray(training.validation.X)
            seen.append(len(X))

    clf = classifier(n_ensemble=4, ensemble="bag", callbacks=[Look()])
    clf.fit(table(), labels())
    assert seen == [50] * 4
    assert clf.predict_proba(table()).shape == (200, 2)


def test_the_spread_of_an_ensemble():
    reg = regressor(n_ensemble=3).fit(table(), score())
    mean, std = reg.predict(table(), return_std=True)
    assert_array_equal(mean, reg.predict(table()))
    parts = [member.outputs(reg._schema.read(table()), None)[:, 0] for member in reg._members]
    assert_allclose(std, np.std(parts, axis=0, ddof=1))
    with pytest.raises(ValueError, match="n_ensemble >= 2, got 1"):
        regressor().fit(table(), score()).predict(table(), return_std=True)


@pytest.mark.parametrize("model", [classifier, regressor])
def test_each_member_of_a_bag_holds_out_an_example_with_a_weight(model):
    X, y = table(), labels() if model is classifier else score()
    w = np.zeros(len(y))
    w[:3] = 1.0
    settings = {"n_ensemble": 3, "ensemble": "bag", "n_epochs": 2}
    fitted = model(**settings).fit(X, y, sample_weight=w)
    assert np.all(np.isfinite(list(fitted.metrics_.values())))
    w[0] = 0.0
    with pytest.raises(ValueError, match=r"> 0 for at least n_ensemble=3 examples .* got 2"):
        model(**settings).fit(X, y, sample_weight=w)


def test_a_bag_of_one_is_refused():
    with pytest.raises(ValueError, match="n_ensemble must be >= 2 for ensemble='bag'"):
        classifier(ensemble="bag").fit(table(), labels())
    with pytest.raises(ValueError, match="validation_data must be None for ensemble='bag'"):
        classifier(ensemble="bag", n_ensemble=2).fit(
            table(), labels(), validation_data=(table(), labels())
        )


# --- time ---------------------------------------------------------------------------------


def test_a_time_budget_limits_the_epochs_and_the_schedules():
    clf = classifier(time_budget=0.5, n_epochs=10**6)
    start = time.perf_counter()
    clf.fit(table(), labels())
    assert time.perf_counter() - start < 30.0  # far below that of a million epochs
    planned = clf.network_.layers[5].rate.epochs
    assert clf.history_.epochs <= planned < 10**6


@pytest.mark.parametrize(
    ("trial", "left", "epochs"),
    [((5.0, 0.1), 8.0, 31), ((0.1, 0.1), 1.05, 10), ((5.0, 0.1), 2.0, 1), ((9.0,), 1.0, 1)],
)
def test_the_epochs_that_a_trial_allows_compile_once_more(trial, left, epochs):
    assert int(affordable(trial, left)) == epochs


def test_a_trial_on_some_examples_tells_of_an_epoch_of_all():
    assert affordable((2.0, 1.0), 11.0, 0.1) == pytest.approx(1.0)
    assert affordable((2.0, 1.0), 6.0, 0.1) == pytest.approx(0.5)
    assert affordable((2.0, 1.0), -5.0, 0.1) == affordable((2.0,), 9.0, 0.1) == 0.1


def test_too_short_a_time_for_an_epoch_is_spent_on_some_examples(monkeypatch):
    monkeypatch.setattr("bpnet.estimators.tabular.member._TRIAL_STEPS", 2)
    clf = classifier(time_budget=1e-9, batch_size=16)
    with pytest.warns(UserWarning, match=r"trained on 32 of the \d+ examples, each once"):
        clf.fit(table(), labels())
    assert clf.history_.epochs == 1
    large = classifier(time_budget=1e6, batch_size=16).fit(table(), labels())
    plain = classifier(batch_size=16).fit(table(), labels())
    assert_array_equal(large.predict_proba(table()), plain.predict_proba(table()))


def test_a_large_time_budget_changes_nothing():
    clf = classifier(time_budget=1e6).fit(table(), labels())
    assert_array_equal(clf.predict_proba(table()), fitted().predict_proba(table()))


# --- scikit-learn's manners ---------------------------------------------------------------


def test_the_same_seed_gives_the_same_model():
    again, other = classifier().fit(table(), labels()), classifier(random_state=1)
    assert_array_equal(again.predict_proba(table()), fitted().predict_proba(table()))
    p = other.fit(table(), labels()).predict_proba(table())
    assert not np.array_equal(p, fitted().predict_proba(table()))


def test_pickles_and_copies_predict_the_same():
    for copied in (pickle.loads(pickle.dumps(fitted())), copy.deepcopy(fitted())):
        assert_array_equal(copied.predict_proba(table()), fitted().predict_proba(table()))


def test_a_clone_is_not_fitted():
    with pytest.raises(NotFittedError):
        clone(fitted()).predict(table())
    with pytest.raises(AttributeError, match="not fitted yet"):
        clone(fitted()).network_  # noqa: B018


def test_a_failed_fit_leaves_the_estimator_as_it_was():
    clf = classifier().fit(table(), labels())
    before = clf.predict_proba(table())
    with pytest.raises(ValueError, match="infinity"):
        clf.fit(table().assign(size=np.inf), labels())
    assert_array_equal(clf.predict_proba(table()), before)


def test_unknown_presets_and_metrics_are_suggested():
    with pytest.raises(ValueError, match="did you mean 'td-s'"):
        classifier(preset="tds").fit(table(), labels())
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        classifier(metric="acuracy").fit(table(), labels())


def test_verbose_prints_each_epoch(capsys):
    classifier(verbose=True).fit(table(), labels())
    assert capsys.readouterr().out.count("val_accuracy = ") == 3


def test_what_a_regression_shows_names_its_units(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    X = np.arange(40.0).reshape(20, 2)
    bpnet.TabularRegressor("td-s", n_epochs=2, verbose=True, progress=True).fit(X, X[:, 0])
    out, err = capsys.readouterr()
    assert re.search(r"Epoch 2/2: .*val_rmse = \S+, of standardized targets\n", out)
    assert "standardized targets: " in err


# --- backends -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "kind"),
    [
        ("td", "classes"),
        *(
            pytest.param(preset, kind, marks=pytest.mark.full)  # JAX takes long to compile
            for preset, kind in itertools.product(PRESETS, ("classes", "numbers"))
            if (preset, kind) != ("td", "classes")
        ),
    ],
)
def test_the_same_model_on_every_backend(preset, kind, backend):
    """To the promise of parity (:mod:`bpnet.testing.parity`), after 20 epochs."""
    make, y = (classifier, labels()) if kind == "classes" else (regressor, score())
    settings = {"preset": preset, "dtype": "float64", "n_epochs": 20, "batch_size": 64}
    found = make(**settings, backend=backend).fit(table(), y)
    expected = _reference(preset, kind)
    for name in ("loss", "val_loss"):
        assert_allclose(found.history_[name], expected.history_[name], rtol=1e-9)
    assert found.network_.backend == backend
    use = "predict_proba" if kind == "classes" else "predict"
    assert_allclose(getattr(found, use)(table()), getattr(expected, use)(table()), rtol=1e-9)


@functools.cache
def _reference(preset, kind):
    make, y = (classifier, labels()) if kind == "classes" else (regressor, score())
    settings = {"preset": preset, "dtype": "float64", "n_epochs": 20, "batch_size": 64}
    return make(**settings).fit(table(), y)


def test_arrays_of_a_device_are_taken_and_returned(backend):
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(np.int64)
    with backend.activate():
        device_X, device_y = backend.asarray(X), backend.asarray(y)
        clf = classifier(backend=None).fit(device_X, device_y)
        assert clf.network_.backend == backend
        p = clf.predict_proba(device_X)
        assert type(p) is type(device_X)
        assert_allclose(backend.to_numpy(p), classifier().fit(X, y).predict_proba(X), atol=1e-4)
        assert set(backend.to_numpy(clf.predict(device_X)).tolist()) <= {0, 1}
