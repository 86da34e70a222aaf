"""Ctrl-C while a tabular estimator trains: a real signal."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import bpnet
from bpnet.estimators.tabular import member

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
Y = (X[:, 0] > 0.0).astype(int)


class Press(bpnet.Callback):
    """Presses Ctrl-C in an epoch of the n-th network."""

    def __init__(self, network, times=1):
        self.network, self.times, self.begun = network, times, 0

    def on_train_begin(self, training):
        self.begun += 1

    def on_epoch_end(self, training):
        if self.begun == self.network and training.epoch == 2:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def python_handles_ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def model(**settings):
    settings = {"n_epochs": 4, "random_state": 0} | settings
    return bpnet.TabularClassifier("td-s", **settings)


@pytest.mark.parametrize("ensemble", ["seed", "bag"])
@pytest.mark.parametrize(("pressed", "epochs"), [(1, [2]), (2, [4]), (3, [4, 4])])
def test_ctrl_c_ends_an_ensemble(ensemble, pressed, epochs):
    settings = {"n_ensemble": 3, "ensemble": ensemble}
    press = Press(pressed)
    found = model(callbacks=[press], **settings).fit(X, Y)
    assert press.begun == pressed
    assert [history.epochs for history in found.histories_] == epochs
    if pressed > 1:
        expected = model(**settings).fit(X, Y)._members[: pressed - 1]
        outputs = [one.outputs(found._schema.read(X), None) for one in expected]
        assert np.array_equal(found.predict_proba(X), np.mean(np.stack(outputs), axis=0))


def test_a_second_ctrl_c_leaves_an_ensemble_as_it_was():
    fitted = model().fit(X, Y)
    before = fitted.predict_proba(X)
    fitted.set_params(n_ensemble=3, callbacks=[Press(2, times=2)])
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(X, Y)
    assert len(fitted.networks_) == 1
    assert np.array_equal(fitted.predict_proba(X), before)


def test_ctrl_c_in_the_trial_of_a_time_budget_ends_training(monkeypatch):
    class Pressing(member.Deadline):
        def on_epoch_end(self, training):
            if training.epochs == member._TRIAL:
                signal.raise_signal(signal.SIGINT)
            super().on_epoch_end(training)

    monkeypatch.setattr(member, "Deadline", Pressing)
    found = model(time_budget=60.0).fit(X, Y)
    assert (found.history_.stopped, found.history_.epochs) == ("interrupted", 1)
    assert found.planned_epochs_ == 4
    assert found.predict_proba(X).shape == (60, 2)
