"""Fitting a tabular estimator to more rows than fit into memory.

What is fitted before training, and the schema of the table, are those of a sample in memory, a
part of which chooses the best epoch. All other rows come block by block. They are written, as
the network takes them, to a folder on disk, and are read from there in each epoch.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bpnet.data.streams.scattered import Scatter, Scattered
from bpnet.estimators.tabular.base import BaseTabular
from bpnet.estimators.tabular.callbacks import Deadline
from bpnet.estimators.tabular.examples import held_out
from bpnet.estimators.tabular.member import Inputs, Plan
from bpnet.estimators.tabular.rows import Streamed
from bpnet.random import generator

# rest(held) yields the table and the targets of all rows to train on, part by part: of the
# sample all but those held out, whose numbers there `held` are, and those not in the sample.
Rest = Callable[[Any], Iterator[tuple[Any, Any]]]


def fit_streamed(
    estimator: BaseTabular, X: Any, y: Any, rest: Rest, expected: int, folder: str
) -> BaseTabular:
    """Fit an estimator to a sample, and train its network on all rows.

    The preprocessing, the validation examples and the initial weights are those of
    ``estimator.fit(X, y)``; the range of a regression's targets is that of all rows. The time
    budget begins when the rows are on disk.

    Parameters
    ----------
    estimator : TabularClassifier or TabularRegressor
        Not fitted; it has a single network.
    X, y : data frame (n_samples, n_features), array (n_samples,)
        The sample, rows at random.
    rest : callable
        Yields the rows to train on; see above.
    expected : int
        About how many rows these are.
    folder : str
        An empty folder for them, which the caller removes.

    Returns
    -------
    object
        The estimator.

    Raises
    ------
    ValueError, TypeError
        If the estimator is an ensemble; or if a parameter or a column is invalid.
    OSError
        If the disk is full, or will be.
    """
    if estimator.n_ensemble > 1:
        raise ValueError(f"n_ensemble must be 1 for a stream; got {estimator.n_ensemble}")
    estimator._validate_params()
    examples, _, plan, seed = estimator._prepared(X, y, None, None)
    train, held = held_out(examples, estimator.validation_fraction, generator(seed, "split"))
    training = examples.take(train)
    inputs = plan.inputs_of(training)
    rows, inputs = _on_disk(estimator, plan, inputs, rest(held), expected, folder, seed)
    validation = plan.dataset(inputs, examples.take(held)) if len(held) else None
    data = Streamed(rows, plan.dataset(inputs, training))
    budget = estimator.time_budget
    deadline = None if budget is None else Deadline(time.perf_counter() + budget)
    estimator._members = [plan.train_on(inputs, data, validation, seed, deadline)]
    return estimator


def _on_disk(
    estimator: BaseTabular, plan: Plan, inputs: Inputs, parts: Iterator[tuple[Any, Any]],
    expected: int, folder: str, seed: int,
) -> tuple[Scattered, Inputs]:  # fmt: skip
    """Write rows as the network takes them; return their source, and the range of targets."""
    preprocessing, scale = inputs
    target = ("i8", ()) if scale is None else ("f8", scale.mean.shape)
    scatter = Scatter(folder, expected, preprocessing.n_outputs, plan.dtype, target, seed)
    need, free = expected * scatter.row.itemsize, shutil.disk_usage(folder).free
    if need > free:
        raise OSError(
            errno.ENOSPC,
            f"they take some {need / 1e9:,.1f} GB there, and {free / 1e9:,.1f} GB are free",
        )
    for X, y in parts:
        examples = estimator._examples(X, y, None, reset=False)
        scatter.add(preprocessing.transform(examples.table, plan.dtype), examples.y)
        if scale is not None:  # of what is not clipped, the limits are infinite
            scale = scale._replace(
                low=np.minimum(scale.low, examples.y.min(axis=0)),
                high=np.maximum(scale.high, examples.y.max(axis=0)),
            )
    source = scatter.source(None if scale is None else scale.standardized)
    return source, Inputs(preprocessing, scale)
