"""Every metric against scikit-learn, on every backend; its limits; what it refuses."""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special
from scores import evaluated
from sklearn import metrics as sk
from sklearn.exceptions import UndefinedMetricWarning

from bpnet.losses import LOSSES
from bpnet.metrics import F1, METRICS, MeanMetric, TopKAccuracy

M = 60
rng = np.random.default_rng(0)
W = rng.uniform(0.5, 2.0, M) * (rng.random(M) > 0.2)  # some are 0
AVERAGES = ("micro", "macro", "weighted")


def tied(z):
    """Return logits with ties, as the last rows repeat others, that float32 represents."""
    z = np.round(4.0 * z) / 4.0
    z[-20:] = z[:20]
    return z


BINARY, CLASSES, LABELS = (tied(rng.normal(0.0, 2.0, (M, n))) for n in (1, 4, 3))
Y1 = (BINARY[:, 0] + rng.normal(0.0, 2.0, M) > 0.0).astype(int)
Y4 = np.argmax(CLASSES + rng.normal(0.0, 2.0, (M, 4)), axis=1)
Y3 = (LABELS + rng.normal(0.0, 2.0, (M, 3)) > 0.5).astype(int)
SOFT1 = np.where(Y1 == 1, 0.75, 0.25)
SOFT4 = 0.5 * np.eye(4)[Y4] + 0.125
REAL = tied(rng.normal(0.0, 2.0, (M, 2)))
COUNTS = rng.poisson(2.0, M).astype(float)


def binary(y, z, w):
    z = z[:, 0]
    guess, p = z > 0.0, special.expit(z)
    return {
        "accuracy": sk.accuracy_score(y, guess, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, guess, sample_weight=w),
        "f1": sk.f1_score(y, guess, sample_weight=w),
        "roc_auc": sk.roc_auc_score(y, z, sample_weight=w),
        "log_loss": sk.log_loss(y, p, sample_weight=w),
    } | {f"f1 {a}": sk.f1_score(y, guess, average=a, sample_weight=w) for a in AVERAGES}


def classes(y, z, w):
    guess, p = np.argmax(z, axis=1), special.softmax(z, axis=1)
    return {
        "accuracy": sk.accuracy_score(y, guess, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, guess, sample_weight=w),
        "top_k_accuracy": sk.top_k_accuracy_score(y, z, k=2, sample_weight=w),
        "f1": sk.f1_score(y, guess, average="macro", sample_weight=w),
        "roc_auc": sk.roc_auc_score(y, p, multi_class="ovr", sample_weight=w),
        "log_loss": sk.log_loss(y, p, sample_weight=w),
    } | {f"f1 {a}": sk.f1_score(y, guess, average=a, sample_weight=w) for a in AVERAGES}


def labels(y, z, w):
    guess, p = (z > 0.0).astype(int), special.expit(z)
    columns = list(zip(y.T, guess.T, p.T, strict=True))
    balanced = [sk.balanced_accuracy_score(a, b, sample_weight=w) for a, b, _ in columns]
    return {
        "accuracy": sk.accuracy_score(y, guess, sample_weight=w),
        "balanced_accuracy": np.mean(balanced),
        "f1": sk.f1_score(y, guess, average="macro", sample_weight=w),
        "roc_auc": sk.roc_auc_score(y, z, sample_weight=w),
        "log_loss": np.mean([sk.log_loss(a, p, sample_weight=w) for a, _, p in columns]),
    } | {f"f1 {a}": sk.f1_score(y, guess, average=a, sample_weight=w) for a in AVERAGES}


def soft(hard, expected):
    """Return the expected values of soft targets, which count as `hard` but in the log loss."""

    def values(y, z, w):
        if y.ndim == 1:
            log_loss = -y * special.log_expit(z[:, 0]) - (1.0 - y) * special.log_expit(-z[:, 0])
        else:
            log_loss = -np.sum(y * special.log_softmax(z, axis=1), axis=1)
        return expected(hard, z, w) | {"log_loss": np.average(log_loss, weights=w)}

    return values


def numbers(link=lambda z: z):
    def values(y, z, w):
        p = link(z)[:, 0] if y.ndim == 1 else link(z)
        return {
            "mse": sk.mean_squared_error(y, p, sample_weight=w),
            "mean_squared_error": sk.mean_squared_error(y, p, sample_weight=w),
            "rmse": sk.root_mean_squared_error(y, p, sample_weight=w),
            "root_mean_squared_error": sk.root_mean_squared_error(y, p, sample_weight=w),
            "mae": sk.mean_absolute_error(y, p, sample_weight=w),
            "mean_absolute_error": sk.mean_absolute_error(y, p, sample_weight=w),
            "r2": sk.r2_score(y, p, sample_weight=w),
        }

    return values


BCE, CCE = "binary_crossentropy", "categorical_crossentropy"
CASES = {
    "binary": (BCE, Y1, BINARY, binary),
    "binary, soft": (BCE, SOFT1, BINARY, soft(Y1, binary)),
    "classes": (CCE, Y4, CLASSES, classes),
    "classes, soft": (CCE, SOFT4, CLASSES, soft(Y4, classes)),
    "several labels": (BCE, Y3, LABELS, labels),
    "one output": ("huber", REAL[:, 0] + rng.normal(size=M), REAL[:, :1], numbers()),
    "two outputs": ("mean_squared_error", REAL + rng.normal(size=(M, 2)), REAL, numbers()),
    "counts": ("poisson", COUNTS, REAL[:, :1] / 4.0, numbers(np.exp)),
}


class NamedF1(F1):
    """F1 under a name for each average."""

    @property
    def name(self):
        return f"f1 {self.average}"


OTHERS = {f"f1 {average}": NamedF1(average) for average in AVERAGES}
OTHERS["top_k_accuracy"] = TopKAccuracy(2)
RTOL = {"float32": 3e-6, "float64": 1e-12}


def compare(case, w, dtype, backend):
    loss, y, z, expected = CASES[case]
    expected = expected(y, z, w)
    chosen = [OTHERS.get(name, name) for name in expected]
    found = evaluated(chosen, loss, y, z, w, dtype=dtype, backend=backend)
    for name, value in zip(expected, list(found.values())[1:], strict=True):
        assert_allclose(value, expected[name], rtol=RTOL[dtype], err_msg=name)


@pytest.mark.once_on_jax
@pytest.mark.parametrize("case", CASES)
def test_every_metric_is_scikit_learns_on_every_backend(case, backend):
    dtype = "float64" if case.endswith(("soft", "output", "counts")) else "float32"
    compare(case, W, dtype, backend)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("w", [None, W], ids=["alike", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_every_metric_is_scikit_learns(case, w, dtype):
    compare(case, w, dtype, "numpy")


def test_every_metric_has_a_case():
    named = [case(y, z, None) for _, y, z, case in CASES.values()]
    assert set().union(*named) - set(OTHERS) | {"top_k_accuracy"} == set(METRICS)


# --- limits -------------------------------------------------------------------------------


def column(*values):
    return np.array(values, float)[:, None]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_of_equal_logits_the_last_counts_as_largest_in_the_top_k(k, backend):
    rows = np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 2.0, 1.0], [0.0, 3.0, 3.0, 3.0]])
    z, y = np.repeat(rows, 4, axis=0), np.tile(np.arange(4), 3)
    given = backend.asarray(y), backend.asarray(z)
    with backend.activate():
        hits = backend.to_numpy(TopKAccuracy(k).values(backend.xp, LOSSES[CCE], *given))
    every = np.arange(4)
    expected = [
        sk.top_k_accuracy_score(y[i : i + 1], z[i : i + 1], k=k, labels=every)
        for i in range(12)
    ]
    assert hits.tolist() == expected


def test_a_class_that_does_not_occur_is_left_out():
    y, z = np.array([0, 0, 1, 1]), np.eye(4)[[0, 1, 1, 1]]
    found = evaluated(["balanced_accuracy", "f1", "roc_auc"], CCE, y, z)
    assert found["balanced_accuracy"] == 0.75
    guess = np.argmax(z, axis=1)
    assert found["f1"] == pytest.approx(sk.f1_score(y, guess, average="macro"))
    p = special.softmax(z, axis=1)
    areas = [sk.roc_auc_score(y == k, p[:, k]) for k in (0, 1)]
    assert found["roc_auc"] == pytest.approx(np.mean(areas))


def test_a_class_of_weight_0_does_not_occur():
    y, z, w = np.array([0, 1, 1, 2]), np.eye(3)[[0, 1, 0, 1]], np.array([1.0, 2.0, 1.0, 0.0])
    found = evaluated(["balanced_accuracy", "f1", "roc_auc"], CCE, y, z, w)
    reference = evaluated(["balanced_accuracy", "f1", "roc_auc"], CCE, y[:3], z[:3], w[:3])
    assert found == reference


def test_one_class_alone_has_no_area(backend):
    z = column(1.0, -1.0, 2.0)
    found = evaluated(["roc_auc", "f1"], BCE, np.zeros(3), z, backend=backend)
    assert np.isnan(found["roc_auc"])
    assert found["f1"] == 0.0
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(sk.roc_auc_score(np.zeros(3), z[:, 0]))
    assert evaluated("f1", BCE, np.zeros(2), column(-1.0, -2.0))["f1"] == 0.0


def test_a_score_that_is_nan_has_no_area_and_is_no_hit():
    y, z = np.array([0, 1, 2]), np.array([[1.0, np.nan, 0.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0]])
    auc, w = METRICS["roc_auc"], np.ones(3)
    assert np.isnan(auc.value(xp, LOSSES[CCE], y, z, w))
    assert not np.isnan(auc.value(xp, LOSSES[CCE], y, z, np.array([0.0, 1.0, 1.0])))
    assert TopKAccuracy(2).values(xp, LOSSES[CCE], y, z).tolist() == [0.0, 1.0, 1.0]


def test_the_area_tells_probabilities_apart_that_round_to_1():
    z = np.array([[50.0, 0.0], [60.0, 0.0], [70.0, 0.0], [80.0, 0.0]])
    assert evaluated("roc_auc", CCE, np.array([1, 1, 0, 0]), z)["roc_auc"] == 1.0
    assert evaluated("roc_auc", BCE, np.array([0, 0, 1, 1]), z[:, :1])["roc_auc"] == 1.0


def test_the_log_loss_is_exact_for_any_confidence():
    z = column(1000.0, -1000.0)
    assert evaluated("log_loss", BCE, np.array([0, 1]), z)["log_loss"] == 1000.0
    z = np.array([[0.0, 1000.0], [0.0, -1000.0]])
    assert evaluated("log_loss", CCE, np.array([0, 1]), z)["log_loss"] == 1000.0


@pytest.mark.parametrize("w", [None, np.array([0.1, 0.7, 0.3])])
@pytest.mark.parametrize("z", [column(0.5, 0.5, 0.5), column(0.5, 0.25, 0.75)])
def test_a_constant_target_has_the_r2_of_scikit_learn(z, w):
    y = np.full(3, 0.5)
    expected = sk.r2_score(y, z[:, 0], sample_weight=w)
    assert evaluated("r2", "huber", y, z, w)["r2"] == expected == float(np.ptp(z) == 0.0)
    assert evaluated("r2", "huber", y + 0.1, z + 0.1, w)["r2"] == expected  # not representable


def test_r2_of_one_example_is_nan():
    assert np.isnan(evaluated("r2", "huber", [1.0], column(2.0))["r2"])


def test_a_row_of_weight_0_does_not_spoil_a_mean(xp):
    class Bad(MeanMetric):
        direction = "min"

        def values(self, xp, loss, y, z):
            return xp.log(z[:, 0])

    z, w = xp.asarray([[0.0], [1.0]]), xp.asarray([0.0, 2.0])
    with np.errstate(divide="ignore"):
        assert float(Bad().sums(xp, None, None, z, w)[0]) == 0.0


# --- what does not suit -----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_refuses_losses_that_it_does_not_suit(name):
    metric = METRICS[name]
    for_numbers = name.startswith(("m", "r2", "rmse", "root"))
    for loss in LOSSES.values():
        suits = (loss.targets in ("real", "counts")) == for_numbers
        if name == "top_k_accuracy":
            suits = loss.targets == "labels"
        if suits:
            metric.check(loss, 9)
        else:
            with pytest.raises(ValueError, match=f"^metrics must suit the loss '{loss.name}'"):
                metric.check(loss, 9)


def test_as_many_guesses_as_classes_are_refused():
    with pytest.raises(ValueError, match=r"of 5 classes, all .* k=5; .*TopKAccuracy\(k\)"):
        METRICS["top_k_accuracy"].check(LOSSES[CCE], 5)
