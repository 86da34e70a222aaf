"""What simple models reach on new examples, and how far features tell of targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import bpnet
from bpnet import losses
from bpnet.common.recent import Recent
from bpnet.diagnosis import data_profile, simple_models
from bpnet.diagnosis.simple_models import agreement, neighbor_signal, within_reach

rng = np.random.default_rng(3)


def numbers(rows, share, features=5):
    X = rng.normal(size=(rows, features))
    signal = X @ np.ones(features) / math.sqrt(features)
    y = math.sqrt(share) * signal + math.sqrt(1.0 - share) * rng.normal(size=rows)
    return X, y[:, None]


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_leaving_one_out_in_closed_form_is_leaving_one_out(penalty, monkeypatch):
    monkeypatch.setattr(simple_models, "PENALTIES", (penalty,))
    X, T = numbers(30, 0.5)
    Z = simple_models.standardized(X)
    found = simple_models._linear(Z, T)
    scale = penalty * np.linalg.eigvalsh(Z.T @ Z).mean()
    A = np.hstack([np.ones((30, 1)), Z])
    ridge = np.diag([0.0, *[scale] * 5])
    for k in range(30):
        rest = np.arange(30) != k
        beta = np.linalg.solve(A[rest].T @ A[rest] + ridge, A[rest].T @ T[rest])
        assert_allclose(found[k], A[k] @ beta, rtol=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_what_is_within_reach_is_the_unexplained_variance(share):
    X, T = numbers(800, share)
    found = within_reach(losses.get("mean_squared_error"), X, T, T, None)
    assert found == pytest.approx(1.0 - share, abs=0.06)
    assert found <= 1.0


def test_classes_apart_are_within_reach_and_shuffled_ones_are_not():
    X, y = bpnet.datasets.make_moons(400, noise=0.1, seed=0)
    kind = losses.get("binary_crossentropy")

    def reach(y):
        T = y[:, None].astype(float)
        return within_reach(kind, X, T, T, None)

    assert reach(y) < 0.1
    assert reach(rng.permutation(y)) > 0.97


@pytest.mark.parametrize(
    ("loss", "T"),
    [
        ("poisson", rng.poisson(3.0, (60, 2)).astype(float)),
        ("mean_absolute_error", rng.normal(size=(60, 2))),
        ("categorical_crossentropy", np.eye(3)[rng.integers(0, 3, 60)]),
        ("binary_crossentropy", rng.integers(0, 2, (60, 2)).astype(float)),
    ],
)
def test_every_kind_of_target_has_a_reach(loss, T):
    X = rng.normal(size=(60, 4))
    kind = losses.get(loss)
    y = T.argmax(axis=1) if loss == "categorical_crossentropy" else T
    for w in (None, rng.uniform(0.5, 2.0, 60)):
        assert 0.5 < within_reach(kind, X, T, y, w) <= 1.0


def test_features_that_do_not_vary_count_for_nothing():
    X, T = numbers(100, 0.5)
    wide = np.hstack([X, np.full((100, 3), 7.0)])
    kind = losses.get("mean_squared_error")
    assert within_reach(kind, wide, T, T, None) == within_reach(kind, X, T, T, None)
    assert_allclose(agreement(wide, T, 0.0), agreement(X, T, 0.0))


def test_shuffled_targets_agree_by_chance_only_and_true_ones_do_not():
    found = []
    for share in (0.0, 0.05):
        every = [agreement(*numbers(1000, share), 0.0) for _ in range(40)]
        found.append(np.array(every))
    shuffled, weak = found
    assert abs(shuffled[:, 1].mean()) < 0.5
    assert 0.6 < shuffled[:, 1].std() < 1.5
    assert weak[:, 1].min() > 2.0
    assert weak[:, 1].mean() == pytest.approx(weak[:, 2].mean(), rel=0.25)


def test_the_largest_of_many_exceeds_its_limit_as_often_as_it_should():
    rng = np.random.default_rng(0)
    largest = np.abs(rng.normal(size=(1500, 101, 60))).max(axis=2)
    found = np.array([simple_models._largest(draws) for draws in largest])
    for limit, share in ((2.0, 0.0228), (3.0, 0.00135)):
        assert np.mean(found > limit) == pytest.approx(share, rel=0.5, abs=0.002)
    assert simple_models._largest(np.array([40.0, 1.0, 1.1])) > 8.0


def test_a_signal_in_the_distance_from_the_mean_is_seen():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 10))
    T = (np.sum(X * X, axis=1) > 9.3)[:, None].astype(float)
    assert agreement(X, T, 0.0).strongest > 5.0
    assert agreement(X, T, 0.0).linear < 3.0


def test_neighbors_tell_a_signal_from_shuffled_labels():
    X, y = bpnet.datasets.make_moons(400, noise=0.1, seed=0)
    T = y[:, None].astype(float)
    signal, noise = neighbor_signal(X, T)
    assert signal > 0.9
    assert signal / noise > 20.0
    signal, noise = neighbor_signal(X, rng.permutation(T))
    assert abs(signal) < 3.0 * noise < 0.2
    assert all(map(math.isnan, neighbor_signal(X[:8], T[:8])))
    assert all(map(math.isnan, neighbor_signal(X, np.ones((400, 1)))))


def test_models_are_fitted_once_to_the_same_data_and_again_to_others(monkeypatch):
    fits = []
    fit = data_profile._fit
    monkeypatch.setattr(data_profile, "_fit", lambda *data: fits.append(1) or fit(*data))
    monkeypatch.setattr(data_profile, "_RECENT", Recent(data_profile._RECENT.limit))
    X, y = bpnet.datasets.make_moons(60, seed=0)
    net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0)

    def facts(X, y, **held_out):
        history = net.fit(X, y, epochs=1, callbacks=[bpnet.GradientFlow()], **held_out)
        return history.facts.reach, history.facts.agreement

    first = facts(X, y)
    assert facts(X.copy(), y) == first
    assert len(fits) == 1
    held_out = (X[:20], y[:20])
    changed = (X, 1 - y), (2.0 * X, y), (X[:50], y[:50])
    for k, data in enumerate(changed, start=2):
        facts(*data)
        assert len(fits) == k
    facts(X, y, validation_data=held_out)
    facts(X, y, sample_weight=np.ones(60))
    assert len(fits) == 6
    facts(X, y)
    assert len(fits) == 6
    kind, known = losses.get("mean_squared_error"), data_profile._RECENT
    monkeypatch.setattr(data_profile, "_fit", lambda *data: {})
    for scale in range(20):
        data_profile._fitted(kind, scale * X, None)
    assert len(known.all()) == known.limit == 8
    data_profile._fitted(kind, 19.0 * X, None)
    assert len(known.all()) == known.limit == 8
