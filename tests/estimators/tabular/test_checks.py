"""scikit-learn's own checks of the tabular estimators."""

from __future__ import annotations

import warnings

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

import bpnet

SETTINGS = {"preset": "td-s", "n_epochs": 40, "hidden_layer_sizes": (16,), "batch_size": 32}
ESTIMATORS = [bpnet.TabularClassifier(**SETTINGS), bpnet.TabularRegressor(**SETTINGS)]
EXPECTED_FAILURES = {
    "check_dataframe_column_names_consistency": "columns are found by name, in any order",
    "check_sample_weight_equivalence_on_dense_data": "examples are held out and batches drawn",
}


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:y has a single class:RuntimeWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda estimator: EXPECTED_FAILURES)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        check(estimator)
