"""The validation split of early stopping: scikit-learn's, but stratified as documented."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from bpnet.data.split import counted, number_to_hold_out, split_rows


def train_and_validation(
    rows: int, weights: Any, fraction: float, strata: Any, random_state: np.random.RandomState
) -> tuple[Any, Any]:
    """Return the indices of training and validation examples.

    Parameters
    ----------
    rows : int
        Number of examples.
    weights : array (rows,) or None
        Their weights; those of weight 0 remain in training.
    fraction : float
        Fraction to hold out.
    strata : array (rows,) or (rows, 1) or None
        Classes to stratify by. scikit-learn does not stratify more than two classes, nor does
        it know which rows count, so if it cannot stratify these, warn instead of raising.
    random_state : RandomState
        Used as in scikit-learn's own split.
    """

    def draw(counting: Any) -> tuple[Any, Any]:
        held_out = number_to_hold_out(fraction, len(counting), rows, math.ceil, least=2)
        counts = counted(len(counting), rows)
        given = f"validation_fraction={fraction:g} of {counts} is {held_out}"
        if held_out >= len(counting):
            raise ValueError(
                f"{given}, so the resulting train set will be empty. Decrease "
                f"'validation_fraction' or increase the size of your dataset."
            )
        if held_out == 0:
            raise _too_small(given)
        options = {"test_size": held_out, "random_state": random_state}
        classes = None if strata is None else strata[counting]
        try:
            sides = train_test_split(counting, stratify=classes, **options)
        except ValueError as error:
            if classes is None or (classes.ndim == 2 and len(counting) == rows):
                raise ValueError(f"validation_fraction={fraction:g}: {error}") from error
            warnings.warn(f"The validation split is not stratified: {error}", stacklevel=2)
            sides = train_test_split(counting, **options)
        if held_out < 2:
            raise _too_small(given)
        return sides[0], sides[1]

    return split_rows(rows, weights, draw)


def _too_small(given: str) -> ValueError:
    return ValueError(
        f"The validation set is too small. Increase 'validation_fraction' or the size of your "
        f"dataset: {given}; it takes 2."
    )
