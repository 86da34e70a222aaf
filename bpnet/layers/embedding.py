"""Embedding: learned vectors for the categories of columns of codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bpnet import initializers
from bpnet.backend.compat import device
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import check_integer, described
from bpnet.layers.base import Context, Layer
from bpnet.layers.columns import check_columns, check_width, others, runs

if TYPE_CHECKING:
    from numpy.random import Generator

    from bpnet.initializers import Initializer

Sizes = tuple[tuple[int, int], ...]


class Embedding(Layer):
    r"""Learned vectors in place of categories, as rows of one table for each column of codes.

    A column x of codes 0, ..., k - 1 becomes d columns, with the one-hot matrix H of x:

    .. math::
        a = H E, \quad H_{ij} = [x_i = j], \quad dE = H^T \frac{\partial L}{\partial a}

    Shapes: x (m,), H (m, k), E (k, d), a (m, d). The error of x itself is 0.

    The columns without codes come first in the output, unchanged and in order; then follow d
    columns for each column of codes, in the order of these. So with n inputs, c of them codes,
    the output has n - c + c d columns. A value that is not one of the codes 0, ..., k - 1, such
    as a category that was not seen in training, becomes zeros, and no row of E learns from it.

    Parameters
    ----------
    sizes : dict of int to int
        The number of categories k >= 1 of each column of codes, by its index in the input,
        counted from 0. Kept as pairs.
    dimension : int
        Columns d >= 1 for each column of codes.
    init : str or callable, default "standard_normal"
        A name from :mod:`bpnet.initializers`, or a function ``(rng, n_in, n_out)``, which draws
        each table (k, d).
    learning_rate_factors, weight_decay_factors : dict of str to float or None, default None
        Factors >= 0 of the optimizer's learning rate and weight decay, by parameter: "E" and
        the column, such as "E3".

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or of the wrong type.

    References
    ----------
    Guo and Berkhahn, "Entity embeddings of categorical variables", 2016, section 3.

    Examples
    --------
    >>> from bpnet import Embedding
    >>> layer = Embedding({3: 12, 7: 40}, dimension=8)
    >>> layer.n_outputs(10)  # 8 + 2 * 8
    24
    >>> layer.parameter_shapes(10)
    {'E3': (12, 8), 'E7': (40, 8)}
    """

    def __init__(
        self,
        sizes: Mapping[int, int] | Iterable[tuple[int, int]],
        dimension: int,
        *,
        init: str | Initializer = "standard_normal",
        learning_rate_factors: Mapping[str, float] | None = None,
        weight_decay_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.sizes = _check_sizes(sizes)
        self.dimension = check_integer("dimension", dimension, 1)
        self.init = initializers.get(init)
        names = tuple(f"E{column}" for column, _ in self.sizes)
        self._set_factors(names, learning_rate_factors, weight_decay_factors)

    def n_outputs(self, n_inputs: int) -> int:
        """Return the number of columns without codes, plus `dimension` for each with codes."""
        check_width(self, self._columns, n_inputs)
        return n_inputs + len(self.sizes) * (self.dimension - 1)

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tables (k, dimension), by names such as "E3"."""
        return {f"E{column}": (size, self.dimension) for column, size in self.sizes}

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Draw the tables, in the order of their columns."""
        return {
            f"E{column}": initializers.draw("init", self.init, rng, size, self.dimension)
            for column, size in self.sizes
        }

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Join the columns without codes and a row of a table for each code."""
        passing = runs(others(self._columns, a_previous.shape[1]))
        parts = [a_previous[:, run] for run in passing]
        for column, size in self.sizes:
            parts.append(_rows(xp, parameters[f"E{column}"], a_previous[:, column], size))
        return xp.concat(parts, axis=1), a_previous

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Sum the errors of each category; return the error of the previous layer."""
        start, gradients = cache.shape[1] - len(self.sizes), {}
        for column, size in self.sizes:
            hot = _one_hot(xp, cache[:, column], size)
            part = error[:, start : start + self.dimension]
            gradients[f"E{column}"] = xp.matmul(hot, part)
            start += self.dimension
        return self._error_before(xp, cache, error) if propagate else None, gradients

    def _error_before(self, xp: Namespace, a_previous: Array, error: Array) -> Array:
        """Return the error of the previous layer, which is 0 for codes."""
        parts, start = [], 0
        passing = others(self._columns, a_previous.shape[1])
        for run in sorted([*runs(passing), *runs(self._columns)], key=lambda run: run.start):
            width = run.stop - run.start
            if run.start in self._columns:
                parts.append(xp.zeros_like(a_previous[:, run]))
            else:
                parts.append(error[:, start : start + width])
                start += width
        return xp.concat(parts, axis=1)

    @property
    def _columns(self) -> tuple[int, ...]:
        return tuple(column for column, _ in self.sizes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self.sizes)}, {self.dimension})"


def _rows(xp: Namespace, table: Array, codes: Array, size: int) -> Array:
    """Return the row of each code (m, d), zeros for a value that is no code.

    A product with the one-hot matrix would round the rows where products do, as with TF32.
    """
    nearest = xp.astype(xp.clip(codes, min=0.0, max=size - 1.0), xp.int64)
    rows = xp.take(table, nearest, axis=0)
    is_code = xp.astype(nearest, codes.dtype) == codes
    return xp.where(is_code[:, None], rows, xp.zeros_like(rows))


def _one_hot(xp: Namespace, codes: Array, size: int) -> Array:
    """Return the transposed one-hot matrix (size, m), of the dtype of the codes."""
    categories = xp.arange(size, dtype=codes.dtype, device=device(codes))
    return xp.astype(categories[:, None] == codes[None, :], codes.dtype)


def _check_sizes(sizes: Any) -> Sizes:
    """Return columns and their numbers of categories as pairs, in the order of the columns."""
    try:
        given = dict(sizes)
    except (TypeError, ValueError):
        raise TypeError(
            f"sizes must be a dict of columns and their numbers of categories, such as "
            f"{{3: 12, 7: 40}}; got {described(sizes)}"
        ) from None
    columns = check_columns("sizes", given)
    return tuple((c, check_integer(f"sizes[{c}]", given[c], 1)) for c in columns)
