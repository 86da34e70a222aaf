"""Files of the tabular estimators: equal predictions, and refusal of what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from test_fit import classifier, labels, regressor, score, table

import bpnet
from bpnet.estimators._files import FileState


def saved(estimator, folder, **options):
    path = folder / "model.safetensors"
    estimator.save(path)
    return bpnet.load(path, **options)


@pytest.mark.parametrize("changes", [{}, {"preset": "td-s"}, {"n_ensemble": 2}])
def test_a_loaded_classifier_predicts_the_same(changes, tmp_path):
    clf = classifier(**changes).fit(table(), labels())
    loaded = saved(clf, tmp_path)
    assert_array_equal(loaded.predict_proba(table()), clf.predict_proba(table()))
    assert_array_equal(loaded.predict(table()), clf.predict(table()))
    assert loaded.get_params() | {"backend": "numpy"} == clf.get_params()
    assert loaded.feature_names_in_.tolist() == list(table().columns)
    assert (loaded.metrics_, loaded.best_epoch_) == (clf.metrics_, clf.best_epoch_)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_loaded_regressor_predicts_the_same(outputs, tmp_path):
    y = score() if outputs == 1 else np.stack([score(), -score()], axis=1)
    reg = regressor(n_ensemble=2).fit(table(), y)
    loaded = saved(reg, tmp_path)
    for one, other in zip(
        loaded.predict(table(), return_std=True), reg.predict(table(), return_std=True),
        strict=True,
    ):  # fmt: skip
        assert_array_equal(one, other)


def test_an_array_without_names(tmp_path):
    X = table().astype(object).to_numpy()
    clf = saved(classifier().fit(X, labels()), tmp_path)
    assert clf.n_features_in_ == 6
    assert not hasattr(clf, "feature_names_in_")
    assert clf.predict(X).shape == (200,)


def test_a_loaded_estimator_computes_where_it_is_told(backend, tmp_path):
    clf = classifier().fit(table(), labels())
    loaded = saved(clf, tmp_path, backend=backend)
    np.testing.assert_allclose(
        loaded.predict_proba(table()), clf.predict_proba(table()), atol=1e-5
    )


def test_an_estimator_that_is_not_fitted_is_not_saved(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        classifier().save(tmp_path / "model.safetensors")


def state_of(estimator):
    return FileState(estimator._file_state())


def restored(state, estimator=None):
    made = (estimator or classifier()).__class__()
    made._restore_file_state(state)
    if state:
        raise ValueError("left over")


CHANGES = {
    "no member": lambda s: s.update(members=[]),
    "other outputs": lambda s: s.update(n_outputs_=3),
    "other classes": lambda s: s.update(classes_=np.arange(3)),
    "no classes": lambda s: s.pop("classes_"),
    "a name too few": lambda s: s["schema"].update(names=("a",)),
    "equal names": lambda s: s["schema"].update(names=("a",) * 6),
    "categories are no flags": lambda s: s["schema"].update(categorical=(1,) * 6),
    "other columns": lambda s: s["schema"].update(categorical=(False,) * 6),
    "wrong filler": lambda s: first(s)["preprocessing"].update(filler=np.zeros(2)),
    "wrong scale": lambda s: first(s)["preprocessing"].update(scale=np.zeros(1)),
    "NaN": lambda s: first(s)["preprocessing"]["center"].__setitem__(0, np.nan),
    "an encoder less": lambda s: first(s)["preprocessing"]["encoders"].pop(),
    "equal levels": lambda s: encoder(s).update(levels=["a", "a"]),
    "levels of another kind": lambda s: encoder(s).update(levels=[None]),
    "a number as flag": lambda s: encoder(s).update(has_gaps=1),
    "no network": lambda s: first(s).update(network=None),
    "no history": lambda s: first(s).update(history={}),
    "a scale of targets": lambda s: first(s).update(scale={}),
    "more in a member": lambda s: first(s).update(more=1),
    "more in the schema": lambda s: s["schema"].update(more=1),
}


def first(state):
    return state["members"][0]


def encoder(state):
    return first(state)["preprocessing"]["encoders"][0]


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_is_refused(change):
    state = state_of(classifier().fit(table(), labels()))
    restored(FileState(state))  # as it is
    state = state_of(classifier().fit(table(), labels()))
    CHANGES[change](state)
    with pytest.raises((ValueError, TypeError, LookupError)):
        restored(state)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: first(s).update(scale=None),
        lambda s: first(s)["scale"].update(mean=np.array([np.inf])),
        lambda s: first(s)["scale"].update(low=np.array([9e9])),
        lambda s: first(s)["scale"].update(high=np.zeros(2)),
        lambda s: s.update(one_dimensional=1),
    ],
)
def test_what_does_not_fit_a_regressor_is_refused(change):
    reg = regressor().fit(table(), score())
    state = state_of(reg)
    change(state)
    with pytest.raises((ValueError, TypeError, LookupError)):
        restored(state, reg)


def test_files_of_one_kind_are_not_of_the_other():
    state = state_of(classifier().fit(table(), labels()))
    with pytest.raises((ValueError, LookupError)):
        restored(state, regressor())
