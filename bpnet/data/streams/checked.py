"""The blocks of a source, checked like X and y."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from bpnet.backend.transfer import to_host
from bpnet.data.array_loaders import PIECE
from bpnet.data.dataset import Dataset
from bpnet.data.frames import check_names, column_names
from bpnet.data.streams.blocks import Blocks
from bpnet.data.streams.cut import cut
from bpnet.data.streams.order import Window
from bpnet.data.streams.read_ahead import read_ahead
from bpnet.data.streams.source import Source
from bpnet.data.target_form import TargetForm
from bpnet.data.validation import as_array, as_features, as_weights

# check(X, y, w, suffix=...) returns validated examples.
Check = Callable[..., Dataset]


class CheckedStream:
    """Validated examples of a source on the host, block by block.

    It takes the place of a :class:`bpnet.data.dataset.Dataset`.

    Parameters
    ----------
    source : Blocks
        The blocks.
    check : callable
        ``check(X, y, w, suffix=...)`` returns a validated Dataset of a block; errors append the
        suffix to the names of the arrays.
    dtype : str
        Name of the dtype of the features.
    suffix : str, default ""
        What errors append to the names of the arrays.
    feature_names : tuple of str or None
        Names that the features of frames must have; None takes those of the first frame.
    labeled : bool, default True
        Whether `check` returns targets and weights; to predict, it does not.

    Raises
    ------
    OSError
        While blocks are read, if one cannot be.
    ValueError, TypeError
        If one is invalid, or has other rows than when the source was opened.
    """

    owner = None
    is_sparse = False

    def __init__(
        self, source: Blocks, check: Check, dtype: str, *, suffix: str = "",
        feature_names: tuple[str, ...] | None = None, labeled: bool = True,
    ) -> None:  # fmt: skip
        self.source, self.check, self.dtype = source, check, dtype
        self._weighted = source.weighted and labeled
        self.suffix, self.feature_names = suffix, feature_names
        self._targets = TargetForm("blocks")

    @property
    def n_rows(self) -> int:
        """Number of examples m."""
        return self.source.n_rows

    @property
    def n_inputs(self) -> int:
        """Number of features n_0."""
        return self.source.n_inputs

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of examples and features."""
        return self.n_rows, self.n_inputs

    @property
    def bytes_per_row(self) -> int:
        """Size of the features of an example in bytes."""
        return self.n_inputs * int(np.dtype(self.dtype).itemsize)

    @functools.cached_property
    def total_weight(self) -> float:
        """Sum of the weights; without weights, the number of examples."""
        source, name = self.source, f"sample_weight{self.suffix}"
        if not source.weighted:
            return float(source.n_rows)
        total = sum(self._weight(k, w) for k, w in enumerate(source._weights_in_order()))
        if not total > 0.0:
            raise ValueError(f"{name} must have a finite sum > 0, got {total:g}")
        return total

    def fits(self, backend: Any) -> bool:
        """Return False: the examples stay where they are."""
        return False

    def blocks(self) -> Iterator[Dataset]:
        """Yield the blocks in order."""
        return map(self._next, itertools.count(), self.source._in_order())

    def block(self, number: int) -> Dataset:
        """Return a block by its number."""
        return next(self._numbered([number]))

    def pieces(
        self, rows: int, plan: Sequence[Window] | None = None
    ) -> Generator[Dataset, None, None]:
        """Yield so many rows at a time, of all blocks; the last may have fewer.

        Parameters
        ----------
        rows : int
            Rows of a piece.
        plan : sequence of Window or None
            Which blocks are shuffled together, and how; None is the order of the rows.
        """
        if plan is None:
            return cut(((data, None) for data in self.blocks()), rows)
        blocks = self._numbered([number for window in plan for number in window.blocks])
        return cut(((self._window(w.blocks, blocks), w.order()) for w in plan), rows)

    def parts(self, rows: int) -> Generator[Dataset, None, None]:
        """Yield a multiple of so many rows at a time, in order, read ahead by a thread."""
        rows *= max(1, PIECE // (rows * self.bytes_per_row))
        return read_ahead(self.pieces(rows), 2)

    def sample(self, rows: int, plan: Sequence[Window] | None = None) -> Dataset:
        """Return the first rows."""
        with contextlib.closing(self.pieces(rows, plan)) as pieces:
            return next(pieces)

    def with_moderate_weights(self) -> tuple[CheckedStream, float]:
        """Return these examples as they are; a Dataset scales extreme weights."""
        return self, 1.0

    def fingerprint(self) -> list[Any]:
        """Return the numbers of examples and features, and a hash.

        It is that of the numbers of rows of all blocks, and of the values of the first and the
        last one: a hash of all would read the data twice. Of an iterable it is that of the
        sizes of the batches alone, whose order may differ in each pass.
        """
        source = self.source
        parts: list[Any] = [source.sizes, source.buffer_blocks, self.total_weight]
        parts += [self.block(number).fingerprint() for number in source._identifying]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        return [self.n_rows, self.n_inputs, f"sha256:{digest}"]

    def _numbered(self, numbers: Sequence[int]) -> Iterator[Dataset]:
        """Yield blocks of a source by their numbers."""
        assert isinstance(self.source, Source)
        return map(self._next, numbers, self.source._numbered(numbers))

    def _next(self, number: int, block: tuple[Any, Any, Any]) -> Dataset:
        """Return a block that was read."""
        data, due = self._checked(number, *block), self.source._due_rows(number)
        if due is not None and data.n_rows != due:
            raise ValueError(
                f"{self.source.where(number)} must have {due} rows, as when the stream was "
                f"opened; got {data.n_rows}. Open it again"
            )
        return data

    def _window(self, numbers: list[int], blocks: Iterator[Dataset]) -> Dataset:
        """Return the next blocks one after another, without holding all of them twice."""
        rows = sum(self.source.sizes[number] for number in numbers)
        whole: list[Any] = []
        start = 0
        for data in itertools.islice(blocks, len(numbers)):
            whole = whole or [
                None if a is None else np.empty((rows, *a.shape[1:]), a.dtype) for a in data[:3]
            ]
            for array, part in zip(whole, data[:3], strict=True):
                if array is not None:
                    array[start : start + data.n_rows] = part
            start += data.n_rows
            del data  # before the next one is read
        X, y, w = whole
        return Dataset(X, y, w, None, self.dtype)

    def _checked(self, number: int, X: Any, y: Any, w: Any) -> Dataset:
        """Check a block, which must have the same form as the others."""
        suffix = f"{self.suffix} of {self.source.where(number)}"
        try:
            check_names(f"X{suffix}", X, self.feature_names)
            data = self.check(X, y, w, suffix=suffix).to_host()
        except (TypeError, ValueError) as error:
            row = _first_not_finite((X, y, w), self.dtype)
            hint = (
                "" if row is None else f"; the first in row {self.source.first(number) + row}"
            )
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{error}{hint}") from error
        self.feature_names = self.feature_names or column_names(X)
        if (data.w is not None) != self._weighted:
            raise ValueError(
                f"sample_weight{suffix} must be given if and only if the source is weighted; "
                f"its attribute weighted is {self.source.weighted}"
            )
        self._targets.check(data.y, f"y{suffix}")
        return data._replace(X=np.asarray(data.X))

    def _weight(self, number: int, w: Any) -> float:
        """Return the sum of the weights of a block."""
        name = f"sample_weight{self.suffix} of {self.source.where(number)}"
        w = as_weights(w, self.source.sizes[number], self.dtype, name, part=True)
        return float(to_host(w).sum(dtype=float))


def check_inputs_only(
    X: Any, y: Any, w: Any, *, dtype: str, n_inputs: int | None, suffix: str
) -> Dataset:
    """Return validated features, as examples with targets of no columns."""
    X = np.asarray(to_host(as_features(X, dtype, n_inputs, f"X{suffix}")))
    return Dataset(X, np.empty((X.shape[0], 0), dtype), None, None, dtype)


def _first_not_finite(arrays: Iterable[Any], dtype: str) -> int | None:
    """Return the first row with a NaN or an infinity, if any."""
    for array in arrays:
        with contextlib.suppress(TypeError, ValueError), np.errstate(all="ignore"):
            values = to_host(as_array("a block", array)).astype(dtype)
            bad = ~np.isfinite(values.reshape(values.shape[0], -1)).all(axis=1)
            if bad.any():
                return int(bad.argmax())
    return None
