"""The examples of a training run: arrays, or a loader of the user's own."""

from __future__ import annotations

import functools
from typing import Any

from bpnet.common.checks import kind_of
from bpnet.data.checked_loader import CheckedLoader
from bpnet.data.dataset import Dataset
from bpnet.data.loader import Loader
from bpnet.data.validation import check_data
from bpnet.model.model import Model
from bpnet.training.validation_split import hold_out, validation_examples

# What else a loader determines: the defaults of fit, and why others cannot be passed.
_DEFAULTS: dict[str, tuple[Any, str]] = {
    "y": (None, "its batches include the targets"),
    "sample_weight": (None, "its batches may include weights: (X, y, weights)"),
    "batch_size": (32, "it determines the batches; pass the size to the loader"),
    "shuffle": (True, "it determines the order; shuffle in its batches(epoch)"),
    "validation_split": (
        0.0, "it cannot be split; let it leave out some examples, and pass these in "
        "validation_data"
    ),
    "stratify": (False, "there is nothing to split"),
}  # fmt: skip


def examples_of(
    network: Model, X: Any, *, validation_data: tuple[Any, ...] | None, **given: Any
) -> tuple[Dataset | Loader, Dataset | None]:
    """Return the checked training examples, or their loader, and the validation examples.

    Parameters
    ----------
    network, X, validation_data
        As in ``Network.fit``.
    **given
        The arguments y, sample_weight, batch_size, shuffle, validation_split and stratify.

    Raises
    ------
    ValueError, TypeError
        If one is invalid, or passed although a loader determines it.
    """
    if not isinstance(X, Loader):
        data = network.check_data(X, given["y"], given["sample_weight"])
        split, stratify = given["validation_split"], given["stratify"]
        return hold_out(network, data, validation_data, split, stratify)
    for name, value in given.items():
        default, reason = _DEFAULTS[name]
        if type(value) is not type(default) or value != default:
            shown = kind_of(value) if default is None else repr(value)
            raise ValueError(
                f"{name} must be left at {default!r} if X is a loader, as {reason}; got {shown}"
            )
    loader = _checked(network, X)
    if validation_data is None:
        return loader, None
    return loader, validation_examples(network, validation_data, loader.n_inputs)


def _checked(network: Model, loader: Loader) -> CheckedLoader:
    check = functools.partial(
        check_data,
        dtype=network.dtype, n_inputs=getattr(loader, "n_inputs", None),
        n_outputs=network.n_outputs, loss=network.loss, part=True,
    )  # fmt: skip
    checked = CheckedLoader(loader, check)
    if network.n_inputs not in (None, checked.n_inputs):
        raise ValueError(
            f"{checked.name} must have n_inputs={network.n_inputs}, as the network was built "
            f"with; got n_inputs={checked.n_inputs}"
        )
    return checked
