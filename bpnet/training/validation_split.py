"""Validation examples: passed in, or held out of the training examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_flag, check_number
from bpnet.data.dataset import Dataset
from bpnet.data.frames import column_names
from bpnet.data.split import counted, first_of_each, number_to_hold_out, split_rows
from bpnet.data.streams.checked import CheckedStream
from bpnet.data.streams.recognize import as_source
from bpnet.model.blockwise import examples_stream
from bpnet.model.model import Model
from bpnet.random import generator


def hold_out(
    network: Model,
    data: Dataset,
    validation_data: tuple[Any, ...] | None,
    validation_split: float,
    feature_names: tuple[str, ...] | None = None,
    stratify: bool = False,
) -> tuple[Dataset, Any]:
    """Return training and validation examples, passed in or held out at random.

    The latter are a Dataset, a CheckedStream, which takes its place, or None.
    Those passed in must have the names of features of those to train on, if they have names.
    Rows of weight 0 are not held out. With `stratify`, the held-out rows have the same
    proportion of classes as all rows that count.
    """
    share = check_number("validation_split", validation_split, 0.0, 1.0, below=True)
    if check_flag("stratify", stratify) and not share:
        raise ValueError(
            "stratify must be False without validation_split, which it stratifies; got True"
        )
    if validation_data is None and not share:
        return data, None
    if validation_data is not None:
        if share:
            raise ValueError("pass validation_data or validation_split, not both")
        held = validation_examples(network, validation_data, data.n_inputs, feature_names)
        return data, held
    classes = _classes(network, data) if stratify else None

    def draw(rows: Any) -> tuple[Any, Any]:
        held_out = number_to_hold_out(share, len(rows), data.n_rows, round, least=1)
        if not 0 < held_out < len(rows):
            raise ValueError(
                f"validation_split must leave examples on both sides; {share:g} of "
                f"{counted(len(rows), data.n_rows)} is {held_out}"
            )
        order = rows[generator(network.seed, "split").permutation(len(rows))]
        if classes is None:
            return order[held_out:], order[:held_out]
        _check_classes(classes[rows])
        inside = first_of_each(classes[order], held_out)
        return order[~inside], order[inside]

    weights = None if data.w is None else to_host(data.w)
    training, held_out = split_rows(data.n_rows, weights, draw)
    return data.take(training), data.take(held_out)


def _classes(network: Model, data: Dataset) -> Any:
    """Return the class of each row, on the host."""
    loss = network.loss
    if loss.targets not in ("labels", "probabilities"):
        raise ValueError(
            f"stratify must be False for loss {loss.name!r}, which is not one of a "
            f"classification; got True"
        )
    y = to_host(data.y)
    if y.ndim == 1:
        return y
    if loss.targets == "probabilities" and y.shape[1] > 1:
        raise ValueError(
            f"stratify must be False for several labels at once, got y with {y.shape[1]} "
            f"columns of labels; for classes use the loss 'categorical_crossentropy'"
        )
    if not np.all((y == 0.0) | (y == 1.0)):
        raise ValueError(
            "stratify must be False unless each example has one class; got y with "
            "probabilities other than 0 and 1"
        )
    return y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0].astype(np.int64)


def _check_classes(classes: Any) -> None:
    """Check that each class has an example for each side."""
    found, sizes = np.unique(classes, return_counts=True)
    if sizes.min() < 2:
        raise ValueError(
            f"stratify needs 2 examples of each class with a weight > 0, one for each side of "
            f"validation_split; class {found[sizes.argmin()]} has {sizes.min()}"
        )


def validation_examples(
    network: Model,
    validation_data: Any,
    n_inputs: int,
    feature_names: tuple[str, ...] | None = None,
) -> Dataset | CheckedStream:
    """Return the checked examples of the argument `validation_data`."""
    suffix = " of validation_data"
    parts = validation_data
    if (source := as_source(parts)) is None:
        parts = parts_of(parts)
        source = as_source(*parts, suffix)
    if source is not None:
        return examples_stream(
            network, source, suffix=suffix, n_inputs=n_inputs, feature_names=feature_names
        )
    return network.check_data(
        *parts, suffix=suffix, n_inputs=n_inputs, feature_names=feature_names
    )


def names_of(validation_data: Any) -> tuple[str, ...] | None:
    """Return the names of the features of an argument `validation_data`, if they have any."""
    is_pair = isinstance(validation_data, tuple | list)
    return column_names(validation_data[0] if is_pair else validation_data)


def parts_of(validation_data: Any) -> tuple[Any, Any, Any]:
    """Return X, y and the weights or None of an argument `validation_data`."""
    if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
        raise TypeError(
            "validation_data must be a tuple (X, y) or (X, y, sample_weight), or a stream"
        )
    X, y, *w = validation_data
    return X, y, w[0] if w else None
