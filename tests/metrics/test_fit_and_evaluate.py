"""Metrics in `fit` and `evaluate`: names, defaults, the training data, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import Unchanged

import bpnet
from bpnet.metrics import TopKAccuracy

pytestmark = pytest.mark.few_on_jax

X, Y = bpnet.datasets.make_spiral(60, 3, seed=0)
W = np.linspace(0.5, 1.5, 60)
CCE = "categorical_crossentropy"


def network(loss=CCE, units=3):
    layers = [bpnet.Dense(5, "tanh", l2=0.01), bpnet.Dropout(0.2), bpnet.Dense(units)]
    return bpnet.Network(layers, loss, seed=0).build(2)


def test_the_default_is_the_accuracy_of_classes_and_nothing_of_numbers():
    assert list(network().evaluate(X, Y)) == ["loss", "accuracy"]
    assert list(network("huber", 1).evaluate(X, Y)) == ["loss"]
    assert list(network().evaluate(X, Y, metrics=[])) == ["loss"]
    history = network("huber", 1).fit(X, Y, epochs=1, validation_split=0.5)
    assert list(history) == ["loss", "learning_rate", "val_loss"]


def test_the_history_has_what_evaluate_returns(backend):
    chosen = ["roc_auc", TopKAccuracy(2), "f1"]
    net = network()
    history = net.fit(
        X, Y, sample_weight=W, validation_data=(X, Y[::-1], W), epochs=2,
        metrics=chosen, training_metrics=True, backend=backend,
    )  # fmt: skip
    names = ["roc_auc", "top_2_accuracy", "f1"]
    validation = [f"val_{name}" for name in ("loss", *names)]
    assert set(history) == {"loss", "learning_rate", *names, *validation}
    assert all(len(values) == 2 for values in history.values())
    on_all = net.evaluate(X, Y, W, metrics=chosen)
    held_out = net.evaluate(X, Y[::-1], W, metrics=chosen)
    for name in names:
        assert history[name][-1] == on_all[name]
        assert history[f"val_{name}"][-1] == held_out[name]
    assert history["val_loss"][-1] == held_out["loss"]
    assert history["loss"][-1] != on_all["loss"]  # the mean during the epoch, with dropout


def test_metrics_do_not_change_the_training():
    plain, measured = network(), network()
    expected = plain.fit(X, Y, epochs=3)
    found = measured.fit(X, Y, epochs=3, metrics=["f1", "roc_auc"], training_metrics=True)
    assert found["loss"] == expected["loss"]
    assert np.array_equal(plain.parameters[0]["W"], measured.parameters[0]["W"])
    assert len(found["f1"]) == len(found["roc_auc"]) == 3
    assert "f1" not in measured.fit(X, Y, epochs=1, metrics="f1")


def test_metrics_of_training_data_that_stays_on_the_host(monkeypatch):
    pytest.importorskip("array_api_strict")
    backend = bpnet.get_backend("array_api_strict:device1")
    settings = {"epochs": 1, "metrics": "roc_auc", "training_metrics": True, "backend": backend}
    expected = network().fit(X, Y, **settings)
    monkeypatch.setattr(type(backend), "fits", lambda self, nbytes: False)
    assert network().fit(X, Y, **settings)["roc_auc"] == expected["roc_auc"]


def test_other_metrics_are_compiled_beside_the_first():
    net = network()
    first, second = (net.evaluate(X, Y, metrics=m) for m in ("accuracy", ["f1", "accuracy"]))
    assert first["accuracy"] == second["accuracy"]
    assert net.evaluate(X, Y, metrics=TopKAccuracy(1)).keys() == {"loss", "top_1_accuracy"}
    assert net.evaluate(X, Y, metrics=TopKAccuracy(2)).keys() == {"loss", "top_2_accuracy"}


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ("nonsense", ValueError, "unknown metrics 'nonsense'"),
        ("r2", ValueError, "^metrics must suit the loss 'categorical_crossentropy'"),
        (["f1", "mse"], ValueError, "^metrics must suit the loss"),
        ("top_k_accuracy", ValueError, "of 3 classes, all are among the top k=5"),
        (bpnet.metrics.F1, TypeError, r"the class F1; pass an instance, F1\(\)"),
    ],
)
def test_what_does_not_suit_is_refused_before_anything_changes(metrics, error, message):
    net = network()
    for use in (net.evaluate, net.fit):
        Unchanged(net).refuses(lambda use=use: use(X, Y, metrics=metrics), error, message)
