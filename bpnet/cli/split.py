"""The rows that a model is tested on, which it never sees in training."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from bpnet.cli.failures import UserError
from bpnet.cli.plan import Plan


class Split(NamedTuple):
    """Rows, by their numbers, and in words how they were chosen."""

    training: Any
    test: Any
    how: str


def split_of(plan: Plan, test_size: float, seed: int) -> Split:
    """Return the rows to train on and to test on.

    With a time column the last rows are tested, and rows of the same time are on one side, so
    that there may be more or fewer; else random ones, of each class in proportion.

    Raises
    ------
    UserError
        If a class would have no row to train on, or all rows are of one time.
    """
    rows = np.arange(len(plan.y))
    n_test = max(1, round(test_size * len(rows)))
    if plan.time is not None:
        order = np.argsort(plan.time.to_numpy(), kind="stable")
        n_training = _n_earlier(plan.time.gather(order), len(order) - n_test)
        training, test = order[:n_training], order[n_training:]
        if plan.task == "classification":
            _check_classes(plan.y[training])
        return Split(training, test, f"the last rows by {plan.time.name!r}")
    classes = plan.y if plan.task == "classification" else None
    if classes is not None:
        n_classes = len(np.unique(classes))
        if n_test < n_classes or len(rows) - n_test < n_classes:
            raise UserError(
                f"argument --test-size: {test_size:g} of {len(rows)} rows are {n_test}, but "
                f"each of {n_classes} classes needs a row to train on and one to test on"
            )
    training, test = train_test_split(
        rows, test_size=n_test, random_state=seed, stratify=classes
    )
    how = "random, of each class in proportion" if classes is not None else "random"
    return Split(training, test, how)


def _n_earlier(times: Any, wanted: int) -> int:
    """Return how many rows are before that change of the sorted times nearest to `wanted`.

    Of two as near, it is the one that leaves more rows to test.
    """
    values = times.to_numpy()
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    if not len(changes):
        raise UserError(
            f"argument --time-column: all rows with a target have the same {times.name!r}, so "
            f"none is later than the others; choose another column"
        )
    return int(changes[np.argmin(np.abs(changes - wanted))])


def _check_classes(labels: Any) -> None:
    if len(np.unique(labels)) < 2:
        raise UserError(
            f"all rows before the test set have the same class, {labels[0]!r}; choose a "
            f"smaller --test-size or another --time-column"
        )
