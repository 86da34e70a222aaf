"""The datasets: shapes, balance, determinism, geometry and invalid arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from bpnet import datasets
from bpnet.datasets import make_circles, make_moons, make_spiral, make_xor

MAKERS = (make_spiral, make_moons, make_circles, make_xor)


@pytest.mark.parametrize("make", MAKERS)
@given(n=st.integers(4, 60), seed=st.integers(0, 2**64))
def test_shapes_dtypes_and_balance(make, n, seed):
    X, y = make(n, seed=seed)
    assert X.shape == (n, 2)
    assert X.dtype == np.float64
    assert y.shape == (n,)
    assert y.dtype == np.int64
    assert np.isfinite(X).all()
    counts = np.bincount(y, minlength=2)
    assert len(counts) == 2
    # xor splits the points into four clouds, so its two classes may differ by two
    assert counts.max() - counts.min() <= (2 if make is make_xor else 1)


@given(n=st.integers(7, 90), classes=st.integers(2, 7))
def test_spiral_has_all_its_classes_in_equal_parts(n, classes):
    counts = np.bincount(make_spiral(n, classes)[1])
    assert len(counts) == classes
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_decides(make):
    (X, y), (again, y_again), (other, _) = make(50, seed=3), make(50, seed=3), make(50, seed=4)
    np.testing.assert_array_equal(X, again)
    np.testing.assert_array_equal(y, y_again)
    assert not np.array_equal(X, other)


@pytest.mark.parametrize("make", MAKERS)
def test_the_order_is_shuffled(make):
    y = make(100)[1]
    changes = np.count_nonzero(np.diff(y))
    assert changes > 20  # sorted classes would have 1 to 3


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_spiral_without_noise_lies_on_its_arms(classes):
    per_arm = 40
    X, y = make_spiral(per_arm * classes, classes, noise=0.0)
    radius = np.hypot(*X.T)
    for k in range(classes):
        np.testing.assert_allclose(
            np.sort(radius[y == k]), np.linspace(0.0, 1.0, per_arm), atol=1e-15
        )
    angle = 4.0 * radius + 2.0 * math.pi * y / classes
    np.testing.assert_allclose(X[:, 0], radius * np.sin(angle), atol=1e-14)
    np.testing.assert_allclose(X[:, 1], radius * np.cos(angle), atol=1e-14)


def test_noise_of_the_spiral_is_on_the_angle():
    X, y = make_spiral(20_000, noise=0.3, seed=1)
    radius = np.hypot(*X.T)
    off = np.arctan2(*X.T) - (4.0 * radius + math.pi * y)
    off = (off[radius > 0] + math.pi) % (2.0 * math.pi) - math.pi
    assert off.mean() == pytest.approx(0.0, abs=0.01)
    assert off.std() == pytest.approx(0.3, abs=0.01)


def test_the_others_without_noise_are_their_figures():
    X, y = make_moons(101, noise=0.0)
    centres = np.where(y[:, None] == 0, [0.0, 0.0], [1.0, 0.5])
    np.testing.assert_allclose(np.hypot(*(X - centres).T), 1.0, atol=1e-14)
    assert (X[y == 0, 1] >= 0.0).all()
    assert (X[y == 1, 1] <= 0.5).all()

    X, y = make_circles(100, noise=0.0, factor=0.3)
    np.testing.assert_allclose(np.hypot(*X.T), np.where(y == 0, 1.0, 0.3), atol=1e-14)

    X, y = make_xor(100, noise=0.0)
    np.testing.assert_array_equal(y, np.logical_xor(*X.T))


@pytest.mark.parametrize(
    ("make", "limit"), [(make_spiral, 0.8), (make_circles, 0.65), (make_xor, 0.65)]
)
def test_no_straight_line_parts_the_classes(make, limit):
    X, y = make(400, seed=0)
    assert LogisticRegression().fit(X, y).score(X, y) < limit


def test_every_public_function_is_tested():
    public = {name for name in vars(datasets) if name.startswith("make_")}
    assert public == {make.__name__ for make in MAKERS}
