"""A model applied to a stream: examples that are checked and computed block by block."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from bpnet import inference
from bpnet.backend import Backend
from bpnet.backend.typing import Array, Parameters
from bpnet.common.plurals import number_of
from bpnet.data.dataset import Dataset
from bpnet.data.streams.blocks import Blocks
from bpnet.data.streams.checked import CheckedStream, check_inputs_only
from bpnet.data.validation import check_data


def examples_stream(
    model: Any,
    source: Blocks,
    *,
    suffix: str = "",
    n_inputs: int | None = None,
    feature_names: tuple[str, ...] | None = None,
) -> CheckedStream:
    """Return the examples of a source, each block of which is validated for a model.

    Raises
    ------
    ValueError
        If it has no targets, or other numbers of features than the model.
    """
    due = _n_inputs(model, source, suffix, n_inputs)
    if not source.labeled:
        raise ValueError(
            f"X{suffix} must have targets to train on or to evaluate, got a stream without"
        )
    check = functools.partial(
        check_data,
        dtype=model.dtype, n_inputs=due, n_outputs=model.n_outputs, loss=model.loss, part=True,
    )  # fmt: skip
    names = feature_names or model.feature_names
    return CheckedStream(source, check, model.dtype, suffix=suffix, feature_names=names)


def inputs_stream(model: Any, source: Blocks) -> CheckedStream:
    """Return the features of a source, each block of which is validated for a model."""
    due = _n_inputs(model, source, "", None)
    check = functools.partial(check_inputs_only, dtype=model.dtype, n_inputs=due)
    return CheckedStream(
        source, check, model.dtype, feature_names=model.feature_names, labeled=False
    )


def infer_blocks(
    infer: Callable[..., Array],
    stream: CheckedStream,
    backend: Backend,
    parameters: Parameters,
) -> Array:
    """Return what `infer` computes from the features of each part of a stream, on the host."""
    with contextlib.closing(stream.parts(inference.ROWS)) as parts:
        return np.concatenate([infer(part.X, None, backend, parameters) for part in parts])


def sums_over(
    compute: Any, data: Dataset | CheckedStream, backend: Backend, parameters: Parameters
) -> tuple[Array, list[Array], Array, Array | None]:
    """Return the sums of a :class:`bpnet.metrics.evaluation.Evaluation` over all examples.

    Returns
    -------
    totals : array
        The sums.
    logits : list of array
        Those of all blocks, if the metrics need all rows at once.
    y, w : array, array or None
        Targets and weights of all rows, if those metrics need them.
    """
    totals, logits = None, []
    seen: list[tuple[Array, Array | None]] = []
    with contextlib.closing(data.parts(inference.ROWS)) as parts:
        for part in parts:
            for rows in inference.row_blocks(part.n_rows, part.is_sparse):
                sums, z = compute(parameters, *part.arrays_on(backend, rows))
                totals = sums if totals is None else totals + sums
                logits.append(z)
            if compute.keeps_logits or not seen:
                seen.append((part.y, part.w))
    if len(seen) == 1:
        return totals, logits, *seen[0]
    y, w = (None if a[0] is None else np.concatenate(a) for a in zip(*seen, strict=True))
    return totals, logits, y, w


def _n_inputs(model: Any, source: Blocks, suffix: str, n_inputs: int | None) -> int:
    due = n_inputs or model.n_inputs or source.n_inputs
    if source.n_inputs != due:
        raise ValueError(
            f"X{suffix} must have {number_of(due, 'feature')}, as the network was built with; "
            f"got a stream with {source.n_inputs}"
        )
    return due
