"""The validation split of early stopping: scikit-learn's, but stratified as it says."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split


def train_and_validation(
    rows: int, fraction: float, strata: Any, random_state: np.random.RandomState
) -> tuple[Any, Any]:
    """Draw the indices of training and validation examples.

    Parameters
    ----------
    rows : int
        Number of examples.
    fraction : float
        Share to hold out.
    strata : array (rows,) or (rows, 1) or None
        Classes whose shares are kept. With more than two classes scikit-learn ignores them,
        so where they cannot be kept a warning says so, and nothing fails that works there.
    random_state : RandomState
        Draws as scikit-learn's own split does.
    """
    indices = np.arange(rows)
    options = {"test_size": fraction, "random_state": random_state}
    try:
        train, held_out = train_test_split(indices, stratify=strata, **options)
    except ValueError as error:
        if strata is None or strata.ndim == 2:
            raise
        warnings.warn(f"The validation split is not stratified: {error}", stacklevel=2)
        train, held_out = train_test_split(indices, **options)
    if len(held_out) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' "
            "or the size of your dataset."
        )
    return train, held_out
