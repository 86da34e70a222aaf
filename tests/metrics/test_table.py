"""Looking metrics up, and what a metric of the user's own may return."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import Unchanged
from scores import identity

import bpnet
from bpnet import metrics
from bpnet.metrics import F1, METRICS, Accuracy, MeanMetric, Metric, TopKAccuracy, WholeMetric

X, Y = np.ones((6, 2)), np.arange(12.0).reshape(6, 2)


def test_names_and_metrics_are_looked_up_in_their_order():
    top, f1 = TopKAccuracy(3), F1("macro")
    found = metrics.get(["mse", top, "accuracy", f1])
    assert list(found) == ["mse", "top_3_accuracy", "accuracy", "f1"]
    assert found["top_3_accuracy"] is top
    assert found["mse"] is METRICS["mse"]
    assert metrics.get("r2") == {"r2": METRICS["r2"]}
    assert metrics.get(f1) == {"f1": F1("macro")}
    assert metrics.get(iter(["r2"])) == metrics.get("r2")
    assert metrics.get([]) == {}


def test_metrics_with_equal_parameters_are_equal():
    assert METRICS["mse"] == METRICS["mean_squared_error"]
    assert TopKAccuracy(3) == TopKAccuracy(3) != TopKAccuracy(2)
    assert repr(TopKAccuracy(3)) == "TopKAccuracy(k=3)"
    assert len({F1(), F1("micro"), F1(None)}) == 2


def test_every_metric_has_a_name_and_a_direction():
    assert all(metric.direction in ("min", "max") for metric in METRICS.values())
    losses = {"log_loss", "mse", "mae", "rmse"}
    minimized = {name for name, metric in METRICS.items() if metric.direction == "min"}
    assert minimized == losses | {METRICS[name].name for name in losses}
    own = {name for name, metric in METRICS.items() if metric.name == name}
    assert METRICS.keys() - own == {"top_k_accuracy", "mse", "rmse", "mae"}


class Hits(MeanMetric):
    direction = "max"

    def values(self, xp, loss, y, z):
        return xp.astype(xp.all(z == y, axis=1), z.dtype)


def described(**attributes):
    return type("Odd", (Hits,), attributes)()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["r2", "r2"], ValueError, "different names; got 'r2' twice"),
        ([F1(), F1("macro")], ValueError, "different names; got 'f1' twice"),
        ("nonsense", ValueError, "unknown metrics 'nonsense'; available: accuracy, .*, top_k_"),
        (Accuracy, TypeError, r"got the class Accuracy; pass an instance, Accuracy\(\)"),
        ([Hits], TypeError, r"got the class Hits; pass an instance, Hits\(\)"),
        ([3], TypeError, "names or bpnet metrics .* got int$"),
        (described(name=3), TypeError, "must have a name, a str; that of Odd is 3"),
        (described(name=""), TypeError, "must have a name, a str; that of Odd is ''"),
        (described(name="loss"), ValueError, "must not be called loss, .*; got 'loss', .* Odd"),
        (described(name="val_x"), ValueError, "must not be called .* or val_.*; got 'val_x'"),
        (
            described(direction="up"),
            ValueError,
            "direction, 'min' or 'max'.* of Odd is 'up",
        ),
        (described(direction=None), ValueError, "direction, 'min' or 'max'.* of Odd is None"),
    ],
)
def test_what_is_no_metric_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        metrics.get(given)


def test_a_metric_without_its_method_is_refused_by_python():
    for kind in (Metric, MeanMetric, WholeMetric):
        with pytest.raises(TypeError, match="abstract"):
            kind()
    auc = METRICS["roc_auc"]
    for use in (lambda: auc.sums(None, None, None, None, None), lambda: auc.result([], 1.0)):
        with pytest.raises(TypeError, match="'roc_auc' is computed from all rows, by `value`"):
            use()


# --- metrics of the user's own ----------------------------------------------------------------


class Sums(Metric):
    direction = "min"

    def sums(self, xp, loss, y, z, w):
        return xp.sum(w[:, None] * (z - y), axis=0)

    def result(self, sums, total_weight):
        assert (sums.dtype, sums.shape) == (np.float64, (2,))
        return float(abs(sums).max()) / total_weight


class Largest(WholeMetric):
    direction = "min"
    name = "largest"

    def value(self, xp, loss, y, z, w):
        return xp.max(xp.abs(z - y))


class LargestFloat(Largest):
    name = "as a float"

    def value(self, xp, loss, y, z, w):
        return float(super().value(xp, loss, y, z, w))


def test_a_metric_of_ones_own_is_computed_on_every_backend(backend):
    net = identity(2, "huber", backend=backend)
    w = np.arange(6.0)
    found = net.evaluate(X, Y, w, metrics=[LargestFloat(), Sums(), "mse", Hits(), Largest()])
    assert list(found) == ["loss", "as a float", "Sums", "mse", "Hits", "largest"]
    assert found["Hits"] == 0.0
    assert found["as a float"] == found["largest"] == 10.0
    assert found["Sums"] == pytest.approx(np.max(abs(w @ (X - Y))) / w.sum())
    assert found["mse"] == pytest.approx(np.average(np.mean((X - Y) ** 2, axis=1), weights=w))


def returning(base, method, value):
    return type("Wrong", (base,), {method: lambda self, *given: value(*given)})()


WRONG = {
    "two columns": (
        returning(Hits, "values", lambda xp, loss, y, z: z),
        r"Wrong.values must return an array of shape \(\d,\) .*float64; got .*shape \(\d, 2\)",
    ),
    "bools": (
        returning(Hits, "values", lambda xp, loss, y, z: xp.all(z == y, axis=1)),
        r"Wrong.values must return .* dtype of the logits, .*; got .* dtype .*bool",
    ),
    "mean": (
        returning(Hits, "values", lambda xp, loss, y, z: xp.mean(z - y)),
        r"Wrong.values must return an array of shape \(\d,\) .*; got an array of shape \(\)",
    ),
    "None": (returning(Hits, "values", lambda *_: None), "Wrong.* must return .*; got None"),
    "list": (returning(Hits, "values", lambda *_: [1.0]), r"Wrong.* got \[1.0\]"),
    "0-d sums": (
        returning(Sums, "sums", lambda xp, loss, y, z, w: xp.sum(w)),
        r"Wrong.sums must return a 1-D array .*; got an array of shape \(\)",
    ),
    "no result": (
        returning(Sums, "result", lambda sums, total: None),
        "Wrong.result must return a real number; got None",
    ),
    "several results": (
        returning(Sums, "result", lambda sums, total: sums),
        r"Wrong.result must return a real number; got an array of shape \(2,\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_metric_may_not_return_is_refused_before_anything_changes(case, backend):
    metric, message = WRONG[case]
    net = bpnet.Network([bpnet.Dense(2)], "huber", seed=0, dtype="float64")
    for use in (
        lambda: net.evaluate(X, Y, metrics=metric, backend=backend),
        lambda: net.fit(X, Y, metrics=metric, backend=backend),
    ):
        Unchanged(net).refuses(use, bpnet.ComponentError, f"^metric '(Wrong|Sums)': {message}")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (lambda xp, loss, y, z, w: "much", r"'much' \(str\)"),
        (lambda xp, loss, y, z, w: z[:, 0], r"an array of shape \(6,\)"),
        (lambda xp, loss, y, z, w: xp.all(z == y), "False"),
    ],
)
def test_a_metric_of_all_rows_must_return_a_number(value, found, backend):
    net = identity(2, "huber", backend=backend)
    with pytest.raises(bpnet.ComponentError, match=f"Wrong.value must return .*; got {found}"):
        net.evaluate(X, Y, metrics=returning(Largest, "value", value))


def test_each_block_has_as_many_sums(monkeypatch):
    monkeypatch.setattr("bpnet.inference.ROWS", 4)  # blocks of 4 and 2 rows

    class Uneven(Sums):
        def sums(self, xp, loss, y, z, w):
            return w

        def result(self, sums, total_weight):
            return 0.0

    metric = Uneven()
    with pytest.raises(bpnet.ComponentError, match=r"as many sums .*; got 4, then 2"):
        identity(2, "huber").evaluate(X, Y, metrics=metric)


class Halved(bpnet.losses.BinaryCrossentropy):
    """A loss of the user's own with the link of bpnet's."""

    name = "halved"

    def value(self, xp, y, z):
        return 0.5 * super().value(xp, y, z)

    def error(self, xp, y, z):
        return 0.5 * super().error(xp, y, z)


def test_metrics_see_the_loss_of_the_users_own(backend):
    """The log loss depends on the link, and not on what the loss makes of it."""
    labels = [0, 1, 1, 0, 1, 0]
    net = identity(1, Halved())
    found = net.evaluate(X[:, :1], labels, metrics=["log_loss", "accuracy"], backend=backend)
    expected = identity(1, "binary_crossentropy").evaluate(X[:, :1], labels)
    assert found["log_loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert found["loss"] == pytest.approx(0.5 * expected["loss"], rel=1e-6)
    assert found["accuracy"] == expected["accuracy"]


def test_the_area_of_many_weighted_examples_is_exact(backend):
    """Sums of 200,000 weights in float32 are wrong by up to 1e-6."""
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(200_000, 1)), rng.integers(0, 2, 200_000)
    scores, w = scores.astype("float32"), rng.uniform(0.0, 3.0, 200_000).astype("float32")
    net = identity(1, "binary_crossentropy").replace(dtype="float32")
    found = net.evaluate(scores, labels, w, metrics="roc_auc", backend=backend)["roc_auc"]
    expected = sklearn_metrics.roc_auc_score(labels, scores[:, 0], sample_weight=w)
    assert found == pytest.approx(expected, rel=1e-7)


def test_a_metric_of_all_rows_may_return_a_scalar_of_numpy(backend):
    metric = returning(Largest, "value", lambda *_: np.float64(0.5))
    found = identity(2, "huber").evaluate(X, Y, metrics=metric, backend=backend)
    assert found[metric.name] == 0.5
