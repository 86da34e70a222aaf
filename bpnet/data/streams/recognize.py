"""Which arguments are streams, and which are arrays."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from bpnet.common.checks import kind_of
from bpnet.data.deferred import WHOLE
from bpnet.data.frames import is_tabular
from bpnet.data.loader import Loader
from bpnet.data.streams.arrays import Arrays, is_sliceable, nbytes
from bpnet.data.streams.batches import Batches
from bpnet.data.streams.blocks import Blocks
from bpnet.data.streams.dask_collections import Dask, is_dask
from bpnet.data.streams.examples import Examples
from bpnet.data.streams.source import Source


def as_source(
    X: Any, y: Any = None, sample_weight: Any = None, suffix: str = ""
) -> Blocks | None:
    """Return the stream that X is, or that X, y and the weights are; None for arrays.

    Arrays of files are a source if X takes more than 64 MiB; smaller ones are read at once.
    What dask computes is one, whatever its size.

    Raises
    ------
    ValueError, TypeError
        If targets or weights are passed beside a source, or an iterable of batches is no good.
    """
    if type(X) is np.ndarray:
        return None
    if is_dask(X):
        return Dask(X, y, sample_weight)
    if is_sliceable(X):
        return Arrays(X, y, sample_weight) if nbytes(X) > WHOLE else None
    source: Blocks | None = X if isinstance(X, Source) else None
    if source is None and y is None and sample_weight is None:
        if _is_batches(X):
            return Batches(X)
        source = Examples(X) if _is_torch_dataset(X) else None
    if source is not None:
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(
                    f"{name}{suffix} must be None if X is a stream, whose blocks include the "
                    f"targets and weights; got {kind_of(value)}"
                )
    return source


def refuse_streams(X: Any, y: Any) -> None:
    """Reject loaders and streams where only arrays are taken, and say how to get some of them.

    Raises
    ------
    TypeError
        If X is one; an iterable of batches is one only if there is no y.
    """
    if isinstance(X, Loader):
        parts = "X, y, w" if X.weighted else "X, y"
        some = f"some of its examples: {parts} = loader.sample(32)"
    elif isinstance(X, Source):
        some = "one of its blocks: X, y, w = stream.read(0)"
    elif _is_of_torch(X) and not hasattr(type(X), "__iter__"):
        some = "a batch of it: X, y = next(iter(torch.utils.data.DataLoader(dataset, 32)))"
    elif _is_of_torch(X) or (y is None and _is_batches(X)):
        some = "its first batch: X, y = next(iter(batches))"
    else:
        return
    raise TypeError(
        f"X must be an array here, not a loader or a stream; got {kind_of(X)}. Pass {some}"
    )


def _is_batches(value: Any) -> bool:
    """Whether a value is an iterable of batches, and no array, frame or other collection."""
    kind = type(value)
    if isinstance(value, list | tuple):
        first: Any = value[0] if value else None
        is_pair = isinstance(first, list | tuple) and len(first) in (2, 3)
        return is_pair and len(getattr(first[0], "shape", ())) == 2
    if _is_torch_dataset(value):
        return hasattr(kind, "__iter__")
    looks_alike = hasattr(kind, "__getitem__") or hasattr(kind, "__array__")
    return (
        hasattr(kind, "__iter__")
        and not looks_alike
        and not is_tabular(value)
        and not isinstance(value, Mapping | Set | str | bytes)
    )


def _is_of_torch(value: Any) -> bool:
    """Whether a value is a data set or a loader of torch."""
    return any(base.__module__.startswith("torch.utils.data") for base in type(value).__mro__)


def _is_torch_dataset(value: Any) -> bool:
    return any(
        base.__module__.startswith("torch.utils.data") and base.__name__ == "Dataset"
        for base in type(value).__mro__
    )
