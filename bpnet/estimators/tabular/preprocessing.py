"""The columns of a table as inputs of a network, near unit scale and without outliers.

The preprocessing of RealMLP (Holzmüller, Grinsztajn and Steinwart, "Better by default: strong
pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024, section 3): categories with few
levels are one-hot encoded; every column of numbers, and of the one-hot codes, is then centered
at its median, scaled by its quartiles and smoothly clipped. Categories with more levels remain
codes, for an :class:`bpnet.Embedding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend.typing import Array, Namespace
from bpnet.estimators.tabular.table import Levels, Table

# What the smooth clip approaches; the values of well-behaved columns hardly change.
LIMIT = 3.0
# Beyond this, squares would overflow.
_LARGEST = 1e150


class Encoder(NamedTuple):
    """The levels of a column of categories.

    Attributes
    ----------
    levels : list
        The levels in the training part, in a fixed order; level k has the code k + 1.
    has_gaps : bool
        Whether values were missing there. Only then has a missing value a vector of its own.
    embedded : bool
        Whether the codes remain, instead of being one-hot encoded.
    """

    levels: list[Any]
    has_gaps: bool
    embedded: bool

    @property
    def n_codes(self) -> int:
        """The number of codes, with 0 for what is missing or unknown."""
        return len(self.levels) + 1

    @property
    def width(self) -> int:
        """The number of columns of the one-hot code."""
        return 1 if len(self.levels) <= 2 else len(self.levels)

    def codes_of(self, column: Levels) -> Any:
        """Return the code of each value, 0 for a missing or unknown one."""
        known = {level: number for number, level in enumerate(self.levels, 1)}
        of_level = [known.get(level, 0) for level in column.levels]
        return np.array([*of_level, 0], dtype=np.int64)[column.codes]  # -1 is the last one

    def one_hot(self, xp: Namespace, codes: Array) -> Array:
        """Return the one-hot code (m, width): zeros for a missing or unknown value.

        Two levels become one column of 1 and -1. One level becomes 1, and what is unknown -1.
        """
        if len(self.levels) > 2:
            places = xp.arange(1, self.n_codes)
            return xp.astype(codes[:, None] == places[None, :], xp.float64)
        signs = {0: [0.0], 1: [-1.0, 1.0], 2: [0.0, 1.0, -1.0]}[len(self.levels)]
        return xp.take(xp.asarray(signs, dtype=xp.float64), codes, axis=0)[:, None]

    def embedded_codes(self, xp: Namespace, codes: Array) -> Array:
        """Return codes in which 0, if no value was missing in training, is none at all: -1.

        An embedding has zeros for it, instead of a vector that it has not learned.
        """
        return codes if self.has_gaps else xp.where(codes == 0, -1, codes)


class Preprocessing(NamedTuple):
    """The fitted preprocessing of a table.

    Its output has the columns of numbers first, then for each of those with gaps in the
    training part a column that says where, then the one-hot codes, then the other codes.

    Attributes
    ----------
    filler : array (p,)
        What takes the place of a missing number: the median, which becomes 0.
    indicated : array (p,) of bool
        Which columns of numbers had gaps.
    center, scale : array (n,)
        Median and scale of all columns but the codes.
    encoders : list of Encoder
        The columns of categories.
    """

    filler: Any
    indicated: Any
    center: Any
    scale: Any
    encoders: list[Encoder]

    @property
    def n_numbers(self) -> int:
        """Number of columns of numbers, which come first."""
        return len(self.filler)

    @property
    def embedded(self) -> dict[int, int]:
        """The number of codes of each column of codes, by its place in the output."""
        sizes = [encoder.n_codes for encoder in self.encoders if encoder.embedded]
        return dict(enumerate(sizes, len(self.center)))

    @property
    def n_outputs(self) -> int:
        """Number of columns of the output."""
        return len(self.center) + sum(encoder.embedded for encoder in self.encoders)

    def transform(self, table: Table, dtype: str = "float32") -> Any:
        """Return the inputs of a network (m, n_outputs).

        Parameters
        ----------
        table : Table
            Columns as in the one fitted to.
        dtype : str, default "float32"
            The dtype of the result; computed in float64.
        """
        codes = _codes(self.encoders, table)
        with np.errstate(over="ignore"):
            return self.inputs(np, table.numbers, codes, dtype)

    def inputs(
        self, xp: Namespace, numbers: Array, codes: Sequence[Array], dtype: str
    ) -> Array:
        """Return the inputs of a network from arrays of any library.

        Parameters
        ----------
        xp : namespace
            That of the arrays.
        numbers : array (m, p) of float64
            The columns of numbers, NaN where one is missing.
        codes : sequence of array (m,) of int64
            The code of each value of a column of categories (:meth:`Encoder.codes_of`).
        dtype : str
            The dtype of the result; computed in float64.
        """
        columns = _dense(xp, numbers, codes, self.filler, self.indicated, self.encoders)
        z = (columns - xp.asarray(self.center)) * xp.asarray(self.scale)
        z = smooth_clip(xp, xp.clip(z, min=-_LARGEST, max=_LARGEST))
        kind = getattr(xp, dtype)
        parts = [
            xp.astype(encoder.embedded_codes(xp, code), kind)[:, None]
            for encoder, code in zip(self.encoders, codes, strict=True)
            if encoder.embedded
        ]
        return xp.concat([xp.astype(z, kind), *parts], axis=1)


def fit_preprocessing(
    table: Table, max_one_hot_size: float = 9, missing_indicator: bool = True
) -> Preprocessing:
    """Fit the preprocessing to the training part of a table.

    Parameters
    ----------
    table : Table
        The training part.
    max_one_hot_size : float, default 9
        Categories of at most so many codes are one-hot encoded; one of the codes is that of
        missing and unknown values, so that 9 are 8 levels. Infinity encodes all.
    missing_indicator : bool, default True
        Whether to add a column for each column of numbers with gaps.
    """
    encoders = [_encoder(column, max_one_hot_size) for column in table.categories]
    gaps = np.isnan(table.numbers)
    filler = np.array([_median(column) for column in table.numbers.T])
    indicated = gaps.any(axis=0) & ~gaps.all(axis=0) & missing_indicator
    columns = _dense(np, table.numbers, _codes(encoders, table), filler, indicated, encoders)
    center, scale = robust_scale(columns)
    for number in np.flatnonzero(gaps.any(axis=0)):  # the values that are there say the scale
        known = table.numbers[~gaps[:, number], number]
        if len(known):
            center[[number]], scale[[number]] = robust_scale(known[:, None])
    return Preprocessing(filler, indicated, center, scale, encoders)


def robust_scale(columns: Any) -> tuple[Any, Any]:
    """Return the median of each column, and the factor that brings it to unit scale.

    The factor is ``1 / (q_75 - q_25)`` of the quartiles; if they are equal,
    ``2 / (max - min)``; and 0 for a constant column.

    Parameters
    ----------
    columns : array (m, n)
        Finite columns, m >= 1.
    """
    if columns.shape[1] == 0:
        return np.empty(0), np.empty(0)
    halves = 0.5 * columns  # the differences of which are finite
    low, median, high = np.quantile(halves, [0.25, 0.5, 0.75], axis=0)
    spread = np.where(high > low, high - low, 0.5 * (halves.max(axis=0) - halves.min(axis=0)))
    with np.errstate(divide="ignore", over="ignore"):
        factor = np.minimum(0.5 / spread, np.finfo(np.float64).max)
    return 2.0 * median, np.where(spread > 0.0, factor, 0.0)


def smooth_clip(xp: Namespace, z: Array) -> Array:
    """Compute ``z / sqrt(1 + (z / 3)^2)``, which stays between -3 and 3."""
    return z / xp.sqrt(1.0 + (z / LIMIT) ** 2)


def _dense(
    xp: Namespace,
    numbers: Array,
    codes: Sequence[Array],
    filler: Any,
    indicated: Any,
    encoders: Sequence[Encoder],
) -> Array:
    """Return all columns but those of codes, not yet scaled."""
    gaps = xp.isnan(numbers)
    parts = [xp.where(gaps, xp.asarray(filler), numbers)]
    for place in (n for n, has_gaps in enumerate(indicated) if has_gaps):
        parts.append(xp.astype(gaps[:, place : place + 1], xp.float64))
    for encoder, code in zip(encoders, codes, strict=True):
        if not encoder.embedded:
            parts.append(encoder.one_hot(xp, code))
    return xp.concat(parts, axis=1)


def _codes(encoders: Sequence[Encoder], table: Table) -> list[Any]:
    """Return the codes of all columns of categories."""
    pairs = zip(encoders, table.categories, strict=True)
    return [encoder.codes_of(column) for encoder, column in pairs]


def _encoder(column: Levels, max_one_hot_size: float) -> Encoder:
    """Return the levels that occur in a column, in an order of their own."""
    seen = [column.levels[code] for code in np.unique(column.codes[column.codes >= 0])]
    levels = sorted(seen, key=lambda level: (type(level).__name__, level))
    return Encoder(levels, bool((column.codes < 0).any()), len(levels) + 1 > max_one_hot_size)


def _median(column: Any) -> float:
    known = column[~np.isnan(column)]
    return float(2.0 * np.median(0.5 * known)) if len(known) else 0.0  # sums are finite
