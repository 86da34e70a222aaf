"""Tabular estimators that several processes train together."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from thread_group import run_together

import bpnet

pytest.importorskip("sklearn")

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 3))
X[::7, 1] = np.nan
CLASSES = np.where(X[:, 0] + rng.normal(size=90) / 3 > 0.0, "yes", "no")
NUMBERS = np.nan_to_num(X).sum(axis=1)


def fitted(kind, y, communicator, **options):
    model = kind(
        n_epochs=4, batch_size=17, random_state=0, dtype="float64", communicator=communicator,
        **options,
    )  # fmt: skip
    return model.fit(X, y)


@pytest.mark.parametrize(
    ("kind", "y", "outputs"),
    [
        (bpnet.TabularClassifier, CLASSES, "predict_proba"),
        (bpnet.TabularRegressor, NUMBERS, "predict"),
    ],
)
def test_the_model_is_that_of_one_process(kind, y, outputs):
    alone = fitted(kind, y, None, n_ensemble=2)
    together = run_together(2, lambda group: fitted(kind, y, group, n_ensemble=2))
    expected = getattr(alone, outputs)(X)
    for model in together:
        assert_allclose(getattr(model, outputs)(X), expected, rtol=1e-9, atol=1e-12)
        assert model.best_epoch_ == alone.best_epoch_


def test_drawn_seeds_and_times_are_those_of_one_process(monkeypatch):
    from bpnet.estimators.tabular import member

    epochs = iter([3, 2])
    monkeypatch.setattr(member, "affordable", lambda *given: next(epochs))

    def fit(group):
        model = bpnet.TabularClassifier("plain", n_epochs=9, time_budget=60, communicator=group)
        return model.fit(X, CLASSES)

    one, other = run_together(2, fit)
    assert one.history_.epochs == other.history_.epochs < 4
    assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-6)


def test_shards_are_refused():
    def fit(group):
        with pytest.raises(ValueError, match="communicator must be one without shards"):
            fitted(bpnet.TabularClassifier, CLASSES, group)

    run_together(2, fit, shards=True)
