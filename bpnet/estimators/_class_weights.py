"""Class weights: factors for the weights of examples, by their class."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from bpnet.common.checks import check_number


def class_factors(class_weight: Any, y: Any, classes: Any, multilabel: bool) -> Any:
    """Return a factor for the weight of each example, shape (m,), or None.

    Parameters
    ----------
    class_weight : dict, list of dict, "balanced" or None
        As in :class:`bpnet.MLPClassifier`. Classes without an entry have the factor 1.
    y : array (m,) or (m, n_labels)
        Targets; they may lack some of the classes.
    classes : array (n_classes,)
        All classes; for multilabel targets the column numbers.
    multilabel : bool
        Whether `y` has a column of 0 and 1 for each label.

    Raises
    ------
    ValueError, TypeError
        If the weights are not of this form, are not >= 0, or name no class.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        return compute_sample_weight(class_weight, y)
    if not multilabel:
        if not isinstance(class_weight, dict):
            raise ValueError(
                f"class_weight must be a dict {{class: weight}}, 'balanced' or None; got "
                f"{class_weight!r}. A list of dicts is for multilabel targets"
            )
        return _of_column(class_weight, y, classes)
    is_list = isinstance(class_weight, list)
    if not is_list or [type(table) for table in class_weight] != [dict] * y.shape[1]:
        raise ValueError(
            f"class_weight must be a list with a dict {{0: weight, 1: weight}} for each of "
            f"{y.shape[1]} labels, 'balanced' or None; got {class_weight!r}"
        )
    both = np.array([0, 1])
    columns = zip(class_weight, (y != 0).T.astype(np.int64), strict=True)
    return np.prod([_of_column(table, column, both) for table, column in columns], axis=0)


def _of_column(table: dict[Any, Any], y: Any, classes: Any) -> Any:
    """Return the factor of the class of each row."""
    known = classes.tolist()
    wrong = [key for key in table if key not in known]
    if wrong and any(k not in table for k in known):
        raise ValueError(
            f"class_weight must have classes of y as keys, {', '.join(map(repr, known))}; got "
            f"{', '.join(map(repr, wrong))}"
        )
    for weight in table.values():
        check_number("class_weight", weight, 0.0)
    factors = np.array([float(table.get(k, 1.0)) for k in known])
    return factors[np.searchsorted(classes, y)]
