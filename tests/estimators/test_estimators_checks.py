"""scikit-learn's own estimator checks."""

from __future__ import annotations

import warnings

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

import bpnet

ESTIMATORS = [
    bpnet.MLPClassifier(), bpnet.MLPRegressor(), bpnet.MLPRegressor(loss="absolute_error")
]  # fmt: skip
EXPECTED_FAILURES: dict[str, str] = {}


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:y has a single class:RuntimeWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda estimator: EXPECTED_FAILURES)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        check(estimator)
