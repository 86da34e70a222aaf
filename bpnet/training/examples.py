"""The examples of a training run: arrays, or a loader of the user's own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from bpnet.common.checks import check_integer, kind_of
from bpnet.data.checked_loader import CheckedLoader
from bpnet.data.dataset import Dataset
from bpnet.data.frames import column_names
from bpnet.data.loader import Loader
from bpnet.data.streams.batches import Batches, BatchesLoader
from bpnet.data.streams.blocks import Blocks
from bpnet.data.streams.loader import StreamLoader
from bpnet.data.streams.recognize import as_source
from bpnet.data.validation import check_data
from bpnet.model.blockwise import examples_stream
from bpnet.model.model import Model
from bpnet.training.loop import Callback, Training
from bpnet.training.validation_split import hold_out, names_of, validation_examples

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


class NamesFeatures(Callback):
    """Lets the network remember the names of the features."""

    adds: Mapping[str, str | None] = {}

    def __init__(self, known: Callable[[], tuple[str, ...] | None]) -> None:
        self.known = known

    def on_train_begin(self, training: Training) -> None:
        """Remember the names."""
        training.network.remember_names(self.known())


class NamesLater(NamesFeatures):
    """Remembers the names that batches bring, too, and closes what reads them at the end."""

    def __init__(self, known: Callable[[], tuple[str, ...] | None], loader: Loader) -> None:
        super().__init__(known)
        self.loader = loader

    def on_epoch_end(self, training: Training) -> None:
        """Remember the names."""
        training.network.remember_names(self.known())

    def teardown(self, training: Training) -> None:
        """End the thread that reads ahead, if there is one."""
        self.loader._end_reading()
        super().teardown(training)


def examples_of(
    network: Model,
    X: Any,
    *,
    validation_data: tuple[Any, ...] | None,
    feature_names: tuple[str, ...] | None = None,
    **given: Any,
) -> tuple[Dataset | Loader, Any, Callback]:
    """Return the checked training examples, or their loader, and the validation examples.

    The latter are a Dataset, a CheckedStream, which takes its place, or None.

    The callback stores the names of their features in the network.

    Parameters
    ----------
    network, X, validation_data
        As in ``Network.fit``.
    feature_names
        Names that the features must have if they have names; None takes the network's.
    **given
        The arguments y, sample_weight, batch_size, shuffle, validation_split and stratify.

    Raises
    ------
    ValueError, TypeError
        If one is invalid, or passed although a loader determines it.
    """
    names = feature_names or network.feature_names
    source = None if isinstance(X, Loader) else as_source(X, given["y"], given["sample_weight"])
    if isinstance(source, Batches):
        X = BatchesLoader(source)
    elif source is not None:
        return _streamed(network, source, validation_data, names, given)
    if not isinstance(X, Loader):
        data = network.check_data(X, given["y"], given["sample_weight"], feature_names=names)
        names = column_names(X) or names
        split, stratify = given["validation_split"], given["stratify"]
        parts = hold_out(network, data, validation_data, split, names, stratify)
        return *parts, NamesFeatures(lambda: names)
    for name, value in given.items():
        default, reason = _DEFAULTS[name]
        if type(value) is not type(default) or value != default:
            shown = kind_of(value) if default is None else repr(value)
            what = X._described if isinstance(X, BatchesLoader) else "a loader"
            raise ValueError(
                f"{name} must be left at {default!r} if X is {what}, as {reason}; got {shown}"
            )
    loader = _checked(network, X, names)
    held_out = None
    if validation_data is not None:
        held_out = validation_examples(network, validation_data, loader.n_inputs, names)
        loader.feature_names = names or names_of(validation_data)
    return loader, held_out, NamesLater(lambda: loader.feature_names, loader)


def examples_in_memory(network: Model, X: Any, y: Any, rows: int) -> Dataset:
    """Return checked examples without weights: all of arrays, some of a loader or a stream.

    Parameters
    ----------
    network : Model
        For which they are checked.
    X, y : arrays, or a loader or stream and None
        As for ``Network.fit``.
    rows : int
        How many of a loader or a stream, at most.
    """
    given = {name: default for name, (default, _) in _DEFAULTS.items()} | {"y": y}
    data, _, _ = examples_of(network, X, validation_data=None, **given)
    if isinstance(data, Loader):
        loader = data
        try:
            data = Dataset(*loader.sample(rows))
        finally:
            loader._end_reading()
    return data._replace(w=None)


def _streamed(
    network: Model,
    source: Blocks,
    validation_data: Any,
    names: tuple[str, ...] | None,
    given: Mapping[str, Any],
) -> tuple[Loader, Any, Callback]:
    """Return the loader of a source, of which the first block is checked."""
    for name in ("validation_split", "stratify"):
        if given[name]:
            raise ValueError(
                f"{name} must be left at {_DEFAULTS[name][0]!r} if X is a stream, which is not "
                f"read twice; pass other examples, or another stream, as validation_data; got "
                f"{given[name]!r}"
            )
    stream = examples_stream(network, source, feature_names=names)
    first = stream.block(0)
    size = given["batch_size"]
    rows = stream.n_rows if size is None else check_integer("batch_size", size, 1)
    loader = StreamLoader(stream, rows, network.seed if given["shuffle"] else None)
    held_out = None
    if validation_data is not None:
        known = names or stream.feature_names
        held_out = validation_examples(network, validation_data, first.n_inputs, known)
        stream.feature_names = known or names_of(validation_data)
    return loader, held_out, NamesLater(lambda: stream.feature_names, loader)


def _checked(network: Model, loader: Loader, names: tuple[str, ...] | None) -> CheckedLoader:
    check = functools.partial(
        check_data,
        dtype=network.dtype, n_inputs=getattr(loader, "n_inputs", None),
        n_outputs=network.n_outputs, loss=network.loss, part=True,
    )  # fmt: skip
    checked = CheckedLoader(loader, check, names)
    if network.n_inputs not in (None, checked.n_inputs):
        raise ValueError(
            f"{checked.name} must have n_inputs={network.n_inputs}, as the network was built "
            f"with; got n_inputs={checked.n_inputs}"
        )
    return checked
