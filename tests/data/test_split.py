"""Splits into training and validation: among the rows that count, and by classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import bpnet
from bpnet.data.split import first_of_each, split_rows

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=6)


def in_two(rows):
    """Hold out every third row."""
    return np.delete(rows, np.s_[::3]), rows[::3]


@given(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=1, max_size=40))
def test_each_row_is_on_one_side_and_none_of_weight_0_is_held_out(weights):
    weights = np.array(weights)
    training, held_out = split_rows(len(weights), weights, in_two)
    assert sorted([*training, *held_out]) == list(range(len(weights)))
    assert np.all(weights[held_out] > 0.0)
    assert len(held_out) == math.ceil(np.count_nonzero(weights) / 3)


def test_if_all_rows_count_they_are_split_as_drawn():
    for weights in (None, np.ones(10)):
        for side, drawn in zip(
            split_rows(10, weights, in_two), in_two(np.arange(10)), strict=True
        ):
            assert_array_equal(side, drawn)


def test_rows_of_weight_0_are_spread_over_the_training_side():
    weights = np.repeat([1.0, 0.0], 30)
    training, _ = split_rows(60, weights, in_two)
    assert np.all(np.add.reduceat(weights[training], np.arange(0, 50, 10)) >= 3.0)


@given(SIZES, st.floats(0.01, 0.99), st.integers(0, 1000))
def test_each_class_is_held_out_in_proportion(sizes, share, seed):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    total = round(share * len(classes))
    if not 0 < total < len(classes):
        return
    inside = first_of_each(classes, total)
    chosen = np.bincount(classes[inside], minlength=len(sizes))
    assert chosen.sum() == total
    due = total * np.array(sizes) / len(classes)
    if all(1 <= d <= n - 1 for d, n in zip(due, sizes, strict=True)):
        assert np.all(np.abs(chosen - due) < 1.0)
    if min(sizes) > 1 and len(sizes) <= total <= len(classes) - len(sizes):
        assert np.all(chosen >= 1)
        assert np.all(chosen < sizes)
    for k, number in enumerate(chosen):
        assert np.all(
            np.flatnonzero(inside & (classes == k)) == np.flatnonzero(classes == k)[:number]
        )


# --- by Network.fit ---------------------------------------------------------------------------


class Sides(bpnet.Callback):
    def on_train_begin(self, training):
        self.training, self.validation = training.data.to_host(), training.validation.to_host()


def sides(X, y, loss="categorical_crossentropy", units=3, seed=0, **settings):
    sides = Sides()
    net = bpnet.Network([bpnet.Dense(units)], loss, seed=seed)
    net.fit(X, y, epochs=1, callbacks=[sides], **settings)
    return sides.training, sides.validation


X = np.arange(60.0)[:, None] / 60.0
LABELS = np.repeat([0, 1, 2], [36, 18, 6])


@pytest.mark.once_on_jax
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("form", ["labels", "one-hot", "column"])
def test_the_classes_are_in_proportion(form, seed, backend):
    loss, units, due = "categorical_crossentropy", 3, np.array([12, 6, 2])
    y = {"labels": LABELS, "one-hot": np.eye(3)[LABELS], "column": LABELS[:, None] > 0}[form]
    if form == "column":
        loss, units, due = "binary_crossentropy", 1, np.array([12, 8])
    labels = np.minimum(LABELS, len(due) - 1)
    arrays = backend.asarray(X, "float32"), backend.asarray(y.astype(np.int64))
    training, held_out = sides(
        *arrays, loss, units, seed, validation_split=1 / 3, stratify=True
    )
    for data, share in ((training, 2), (held_out, 1)):
        rows = np.rint(60 * data.X[:, 0]).astype(int)
        assert_array_equal(np.bincount(labels[rows]), share * due)


def test_the_seed_decides_which_rows_are_held_out():
    rows = [
        sides(X, LABELS, seed=seed, validation_split=0.25, stratify=True)[1].X
        for seed in (0, 0, 1)
    ]
    assert_array_equal(rows[0], rows[1])
    assert np.any(rows[0] != rows[2])


@pytest.mark.parametrize("stratify", [False, True])
def test_validation_takes_rows_that_count(backend, stratify):
    w = np.tile([0.0, 0.0, 1.0], 20)
    training, held_out = sides(
        X, LABELS, sample_weight=backend.asarray(w, "float32"), backend=backend,
        validation_split=0.25, stratify=stratify,
    )  # fmt: skip
    assert (training.n_rows, held_out.n_rows) == (55, 5)
    assert_array_equal(held_out.w, np.ones(5, "float32"))
    assert training.w.sum() == 15


def test_of_few_rows_that_count_one_is_held_out():
    _, held_out = sides(X, LABELS, sample_weight=np.arange(60) < 3, validation_split=0.1)
    assert_array_equal(held_out.w, [1.0])


@pytest.mark.parametrize(
    ("counting", "share", "message"),
    [
        (1, 0.5, r"0.5 of the 1 examples with a weight > 0 \(1 of 60 examples\) is 1"),
        (3, 0.001, r"\(3 of 60 examples\) is 0"),
        (3, 0.9, r"\(3 of 60 examples\) is 3"),
    ],
)
def test_too_few_rows_that_count_are_refused(counting, share, message):
    with pytest.raises(ValueError, match=message):
        sides(X, LABELS, sample_weight=np.arange(60) < counting, validation_split=share)


@pytest.mark.parametrize(
    ("y", "settings", "message"),
    [
        (LABELS, {"validation_split": 0.0}, "^stratify must be False without validation_split"),
        (
            LABELS,
            {"validation_split": 0.0, "validation_data": (X, LABELS)},
            "^stratify must be False without validation_split",
        ),
        (
            X,
            {"loss": "mean_squared_error", "units": 1},
            "'mean_squared_error', which is not one",
        ),
        (X, {"loss": "poisson", "units": 1}, "'poisson', which is not one of a classification"),
        (X, {"loss": "binary_crossentropy", "units": 1}, "other than 0 and 1"),
        (np.full((60, 3), 1 / 3), {}, "other than 0 and 1"),
        (
            np.eye(3)[LABELS],
            {"loss": "binary_crossentropy"},
            "^stratify must be False for several labels at once, .* 3 columns",
        ),
        (np.minimum(np.arange(60), 2), {}, "class 0 has 1$"),
        (LABELS, {"sample_weight": np.arange(60) < 55}, "class 2 has 1$"),
    ],
)
def test_what_cannot_be_stratified_is_refused(y, settings, message):
    with pytest.raises(ValueError, match=message):
        sides(X, y, **{"validation_split": 0.3, "stratify": True} | settings)
