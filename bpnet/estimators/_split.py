"""The validation split of early stopping: scikit-learn's, but stratified as documented."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split


def train_and_validation(
    rows: int, fraction: float, strata: Any, random_state: np.random.RandomState
) -> tuple[Any, Any]:
    """Return the indices of training and validation examples.

    Parameters
    ----------
    rows : int
        Number of examples.
    fraction : float
        Fraction to hold out.
    strata : array (rows,) or (rows, 1) or None
        Classes to stratify by. scikit-learn does not stratify more than two classes, so if
        those cannot be stratified, warn instead of raising.
    random_state : RandomState
        Used as in scikit-learn's own split.
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
