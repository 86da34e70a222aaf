"""Validation examples: passed in, or held out of the training examples."""

from __future__ import annotations

from typing import Any

from bpnet.common.checks import check_number
from bpnet.data.dataset import Dataset
from bpnet.model.model import Model
from bpnet.random import generator


def hold_out(
    network: Model,
    data: Dataset,
    validation_data: tuple[Any, ...] | None,
    validation_split: float,
    feature_names: tuple[str, ...] | None = None,
) -> tuple[Dataset, Dataset | None]:
    """Return training and validation examples, passed in or held out at random.

    Those passed in must have the names of features of those to train on, if they have names.
    """
    share = check_number("validation_split", validation_split, 0.0, 1.0, below=True)
    if validation_data is None and not share:
        return data, None
    if validation_data is not None:
        if share:
            raise ValueError("pass validation_data or validation_split, not both")
        held = validation_examples(network, validation_data, data.n_inputs, feature_names)
        return data, held
    held_out = round(share * data.n_rows)
    if not 0 < held_out < data.n_rows:
        raise ValueError(
            f"validation_split must leave examples on both sides; {share:g} of "
            f"{data.n_rows} examples is {held_out}"
        )
    order = generator(network.seed, "split").permutation(data.n_rows)
    parts = data.take(order[held_out:]), data.take(order[:held_out])
    if not all(part.total_weight for part in parts):
        raise ValueError(
            f"sample_weight must leave a weight > 0 on both sides of validation_split; "
            f"drawn by seed {network.seed}, one side has only 0"
        )
    return parts


def validation_examples(
    network: Model,
    validation_data: tuple[Any, ...],
    n_inputs: int,
    feature_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Return the checked examples of the argument `validation_data`."""
    if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
        raise TypeError("validation_data must be a tuple (X, y) or (X, y, sample_weight)")
    X, y, *w = validation_data
    return network.check_data(
        X, y, w[0] if w else None,
        suffix=" of validation_data", n_inputs=n_inputs, feature_names=feature_names,
    )  # fmt: skip
