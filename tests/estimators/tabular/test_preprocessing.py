"""The preprocessing: the published formulas, derived anew, and gaps and oddities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from bpnet.estimators.tabular.preprocessing import (
    fit_preprocessing,
    robust_scale,
    smooth_clip,
)
from bpnet.estimators.tabular.table import Levels, Table


def table(numbers=None, *categories):
    """Return a table of columns of numbers and of categories, in which None is missing."""
    rows = len(categories[0]) if numbers is None else len(numbers)
    numbers = np.empty((rows, 0)) if numbers is None else np.asarray(numbers, float)
    columns = []
    for values in categories:
        levels = sorted({v for v in values if v is not None}, reverse=True)
        codes = [-1 if v is None else levels.index(v) for v in values]
        columns.append(Levels(levels, np.array(codes)))
    return Table(numbers.reshape(rows, -1), tuple(columns))


def published(x):
    """Return a column as RealMLP prepares it: appendix A of its paper, one value at a time."""
    q1, median, q3 = (np.quantile(x, q) for q in (0.25, 0.5, 0.75))
    if q3 > q1:
        scale = 1.0 / (q3 - q1)
    elif max(x) > min(x):
        scale = 2.0 / (max(x) - min(x))
    else:
        scale = 0.0
    z = [scale * (value - median) for value in x]
    return np.array([value / math.sqrt(1.0 + (value / 3.0) ** 2) for value in z])


COLUMNS = {
    "normal": np.random.default_rng(0).normal(5.0, 3.0, 101),
    "heavy tails": np.random.default_rng(1).standard_cauchy(100),
    "mostly one value": np.array([0.0] * 90 + [4.0] * 10),
    "constant": np.full(30, 7.0),
    "two": np.array([1.0, 2.0]),
    "one": np.array([3.0]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_are_centered_scaled_and_clipped_as_published(name):
    data = table(COLUMNS[name])
    found = fit_preprocessing(data).transform(data, "float64")
    assert_allclose(found[:, 0], published(COLUMNS[name]), rtol=1e-12, atol=1e-14)


def test_other_rows_are_prepared_as_those_fitted_to():
    fitted = fit_preprocessing(table([0.0, 1.0, 2.0, 3.0, 4.0]))
    assert_allclose(
        fitted.transform(table([[2.0], [4.0], [1e9]]), "float64")[:, 0],
        [0.0, 1.0 / math.sqrt(1.0 + 1.0 / 9.0), 3.0],
    )


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 3)),
        elements=st.one_of(st.floats(allow_infinity=False), st.just(0.0)),
    )
)
def test_every_table_of_numbers_becomes_finite_ones_between_minus_3_and_3(numbers):
    with np.errstate(over="ignore"):
        z = fit_preprocessing(table(numbers)).transform(table(numbers), "float64")
    assert np.isfinite(z).all()
    assert np.abs(z).max() <= 3.0


@given(arrays(np.float64, (20, 2), elements=st.floats(-1e6, 1e6)), st.floats(0.1, 100.0))
def test_the_scale_of_a_column_does_not_matter(x, factor):
    median, scale = robust_scale(x)
    median_2, scale_2 = robust_scale(x * factor)
    assert_allclose(median_2, median * factor, rtol=1e-9, atol=1e-9)
    assert_allclose((scale_2 > 0), (scale > 0))


def test_the_largest_floats_have_a_scale():
    """As where the largest or smallest float stands for what is missing."""
    largest = np.finfo(np.float64).max
    x = np.array([largest, largest, -largest, -largest])
    preprocessing = fit_preprocessing(Table(np.stack([x, np.abs(x)], axis=1), ()))
    assert preprocessing.filler.tolist() == [0.0, largest]
    found = preprocessing.transform(Table(np.stack([x, np.abs(x)], axis=1), ()), "float64")
    z = 0.5 / math.sqrt(1.0 + (0.5 / 3.0) ** 2)
    assert_allclose(found, [[z, 0.0], [z, 0.0], [-z, 0.0], [-z, 0.0]])


def test_the_clip_is_smooth_odd_and_the_identity_near_0():
    z = np.array([-1e100, -3.0, -1e-3, 0.0, 1e-3, 3.0, 1e100])
    assert_allclose(smooth_clip(np, z), -smooth_clip(np, -z))
    assert_allclose(smooth_clip(np, z)[3:], [0.0, 1e-3, 3.0 / math.sqrt(2.0), 3.0], rtol=1e-6)


# --- gaps ---------------------------------------------------------------------------------


def test_gaps_take_the_median_and_are_indicated():
    data = table([[1.0, np.nan], [2.0, 5.0], [np.nan, 6.0], [4.0, 7.0], [3.0, 8.0]])
    fitted = fit_preprocessing(data)
    z = fitted.transform(data, "float64")
    assert z.shape == (5, 4)
    assert fitted.n_numbers == 2
    assert z[2, 0] == z[0, 1] == 0.0
    assert_allclose(z[[0, 1, 3, 4], 0], published(np.array([1.0, 2.0, 4.0, 3.0])))
    one = published(np.array([1.0, 0.0, 0.0, 0.0, 0.0]))[0]
    assert_allclose(z[:, 3], [one, 0.0, 0.0, 0.0, 0.0])
    assert_allclose(z[:, 2], [0.0, 0.0, one, 0.0, 0.0])


def test_without_indicators_gaps_are_only_filled():
    data = table([[1.0], [np.nan], [3.0]])
    fitted = fit_preprocessing(data, missing_indicator=False)
    assert fitted.transform(data).shape == (3, 1)


def test_gaps_that_fit_has_not_seen_are_filled_only():
    fitted = fit_preprocessing(table([1.0, 2.0, 4.0]))
    assert fitted.transform(table([np.nan])).tolist() == [[0.0]]


def test_a_column_of_gaps_becomes_0():
    data = table([[np.nan], [np.nan]])
    assert fit_preprocessing(data).transform(table([[5.0], [np.nan]])).tolist() == [[0.0]] * 2


# --- categories ---------------------------------------------------------------------------


def raw(columns):
    """Return columns after the scaling, as the published preprocessing has them."""
    return np.stack([published(np.asarray(c, float)) for c in columns], axis=1)


def test_three_levels_are_one_hot_encoded_and_then_scaled():
    values = ["a", "b", "c", "a", "b", None]
    data = table(None, values)
    z = fit_preprocessing(data).transform(data, "float64")
    hot = [[float(v == level) for v in values] for level in "abc"]
    assert_allclose(z, raw(hot))


def test_two_levels_are_one_column_of_both_signs():
    data = table(None, ["no", "yes", None, "yes"])
    z = fit_preprocessing(data).transform(data, "float64")
    assert_allclose(z, raw([[1.0, -1.0, 0.0, -1.0]]))


def test_one_level_tells_whether_it_is_there():
    data = table(None, ["x", None, "x"])
    z = fit_preprocessing(data).transform(data, "float64")
    assert_allclose(z, raw([[1.0, -1.0, 1.0]]))


def test_unknown_levels_count_as_missing():
    fitted = fit_preprocessing(table(None, ["a", "b", "c", None]))
    unknown, missing = (fitted.transform(table(None, [v])) for v in ("new", None))
    assert_array_equal(unknown, missing)


@pytest.mark.parametrize(("n_levels", "embedded"), [(8, False), (9, True)])
def test_categories_of_more_than_9_codes_are_embedded(n_levels, embedded):
    """Missing and unknown values have a code, too."""
    data = table(None, list(range(n_levels)))
    fitted = fit_preprocessing(data)
    assert fitted.embedded == ({0: n_levels + 1} if embedded else {})
    assert fitted.n_outputs == (1 if embedded else n_levels)
    assert fit_preprocessing(data, math.inf).embedded == {}


def test_codes_come_last_and_count_from_1():
    levels = [f"level {k:02}" for k in range(10)]
    data = table(np.arange(10.0), levels, ["u", "v"] * 5)
    fitted = fit_preprocessing(data)
    z = fitted.transform(data)
    assert fitted.embedded == {2: 11}
    assert z[:, 2].tolist() == list(range(1, 11))


def test_without_gaps_in_training_an_unknown_level_has_no_code():
    """An embedding returns zeros then, instead of a vector that it has not learned."""
    levels = [f"level {k:02}" for k in range(10)]
    new = table(None, ["new", None])
    assert fit_preprocessing(table(None, levels)).transform(new).tolist() == [[-1.0], [-1.0]]
    with_gap = fit_preprocessing(table(None, [*levels, None]))
    assert with_gap.transform(new).tolist() == [[0.0], [0.0]]


def test_the_order_of_rows_does_not_change_the_codes():
    levels = [f"level {k:02}" for k in range(10)]
    one, other = table(None, levels), table(None, levels[::-1])
    assert fit_preprocessing(one).encoders == fit_preprocessing(other).encoders
