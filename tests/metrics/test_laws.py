"""Laws of metrics: blocks add up, weights repeat rows, the area depends on the order only."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scores import evaluated

from bpnet.metrics import F1

CLASSES = ["accuracy", "balanced_accuracy", "f1", "log_loss"]
NUMBERS = ["mse", "rmse", "mae"]
SEEDS = st.integers(0, 10**6)


def examples(kind, rng, m):
    """Return loss, targets, logits and metrics; logits of few values have ties."""
    n = {"classes": 3, "labels": 2, "numbers": 2}[kind]
    z = rng.integers(-4, 5, (m, n)) / 2.0
    if kind == "classes":
        return "categorical_crossentropy", rng.integers(0, n, m), z, [*CLASSES, "roc_auc"]
    if kind == "labels":
        return "binary_crossentropy", rng.integers(0, 2, (m, n)), z, [*CLASSES, "roc_auc"]
    return "huber", rng.normal(size=(m, n)), z, [*NUMBERS, "r2"]


def same(found, expected):
    return found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("kind", ["classes", "labels", "numbers"])
@given(seed=SEEDS, block=st.integers(1, 9))
def test_blocks_add_up_to_the_whole(kind, seed, block):
    rng = np.random.default_rng(seed)
    loss, y, z, metrics = examples(kind, rng, 20)
    w = rng.uniform(0.1, 1.0, 20)
    whole = evaluated(metrics, loss, y, z, w)
    with mock.patch("bpnet.inference.ROWS", block):
        assert same(evaluated(metrics, loss, y, z, w), whole)


@pytest.mark.parametrize("kind", ["classes", "labels", "numbers"])
@given(seed=SEEDS)
def test_a_whole_weight_repeats_a_row(kind, seed):
    rng = np.random.default_rng(seed)
    loss, y, z, metrics = examples(kind, rng, 12)
    w = rng.integers(0, 4, 12)
    w[0] = 2
    weighted = evaluated(metrics, loss, y, z, w)
    assert same(evaluated(metrics, loss, np.repeat(y, w, 0), np.repeat(z, w, 0)), weighted)


@given(seed=SEEDS, scale=st.floats(0.1, 10.0), shift=st.floats(-5.0, 5.0))
def test_the_area_depends_on_the_order_only(seed, scale, shift):
    rng = np.random.default_rng(seed)
    _, y, z, _ = examples("labels", rng, 20)
    area = evaluated("roc_auc", "binary_crossentropy", y, z)["roc_auc"]
    moved = np.sinh(scale * z) + shift
    assert same(evaluated("roc_auc", "binary_crossentropy", y, moved)["roc_auc"], area)
    opposite = evaluated("roc_auc", "binary_crossentropy", y, -z)["roc_auc"]
    assert same(opposite, 1.0 - area)


@given(seed=SEEDS)
def test_the_micro_average_of_classes_is_the_accuracy(seed):
    loss, y, z, _ = examples("classes", np.random.default_rng(seed), 15)
    found = evaluated(["accuracy", F1("micro")], loss, y, z)
    assert found["f1"] == pytest.approx(found["accuracy"], rel=1e-12)
