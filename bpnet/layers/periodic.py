"""Periodic embeddings: learned cosine features of columns of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bpnet.backend.compat import device
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import check_integer, check_number
from bpnet.layers.base import Context, Layer
from bpnet.layers.columns import check_columns, check_width, others, runs

if TYPE_CHECKING:
    from numpy.random import Generator


class PeriodicEmbedding(Layer):
    r"""Learned features of numbers: cosines of learned frequencies, mixed by a linear map.

    For each embedded column x, with parameters of its own,

    .. math::
        t &= 2 \pi\, w_1 x^T + b_1, \quad z = W_2 \cos t + b_2 \\
        dW_2 &= \delta \cos(t)^T, \quad db_2 = \sum_{rows} \delta, \quad
        \tau = -(W_2^T \delta) \odot \sin t \\
        dw_1 &= 2 \pi\, \tau x, \quad db_1 = \sum_{rows} \tau, \quad
        \frac{\partial L}{\partial x} = 2 \pi\, \tau^T w_1

    Shapes, with f frequencies, dimension d and rows of the batch along the last axis: x (m,),
    w_1 and b_1 (f, 1), t and tau (f, m), W_2 (d - 1, f), b_2 (d - 1, 1), z and its error delta
    (d - 1, m). The parameters of all c embedded columns are stacked along the first axis, such
    as w_1 of the shape (c, f, 1).

    All columns of the input come first in the output, unchanged and in order, which makes x
    itself the last of its d features; then follow the d - 1 columns z^T of each embedded
    column. So with n inputs, the output has n + c (d - 1) columns.

    Parameters
    ----------
    frequencies : int, default 16
        Cosines f >= 1 of each column.
    dimension : int, default 4
        Features d >= 2 of each column, itself included.
    sigma : float, default 0.1
        Standard deviation > 0 of the initial frequencies w_1. The features of columns of about
        unit scale oscillate faster with a larger one.
    columns : int or tuple of int or None, default None
        What to embed: the first so many columns, columns by their index, or all.
    learning_rate_factors, weight_decay_factors : dict of str to float or None, default None
        Factors >= 0 of the optimizer's learning rate and weight decay, by parameter: "w1",
        "b1", "W2", "b2".

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or of the wrong type.

    Notes
    -----
    Initially w_1 is N(0, sigma^2), b_1 U(-pi, pi), W_2 and b_2 U(-1/sqrt(f), 1/sqrt(f)).

    References
    ----------
    Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep
    learning", NeurIPS 2022, section 3.3; in the form "PBLD" (periodic, bias, linear, with x
    itself as in DenseNet) of Holzmüller, Grinsztajn and Steinwart, "Better by default: strong
    pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024, section 3.

    Examples
    --------
    >>> from bpnet import PeriodicEmbedding
    >>> PeriodicEmbedding(columns=2).n_outputs(5)  # 5 + 2 * 3
    11
    >>> PeriodicEmbedding(columns=(0, 4)).parameter_shapes(5)["W2"]
    (2, 3, 16)
    """

    def __init__(
        self,
        frequencies: int = 16,
        dimension: int = 4,
        sigma: float = 0.1,
        *,
        columns: int | Iterable[int] | None = None,
        learning_rate_factors: Mapping[str, float] | None = None,
        weight_decay_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.frequencies = check_integer("frequencies", frequencies, 1)
        self.dimension = check_integer("dimension", dimension, 2)
        self.sigma = check_number("sigma", sigma, 0.0, above=True)
        self.columns = _check_columns(columns)
        names = ("w1", "b1", "W2", "b2")
        self._set_factors(names, learning_rate_factors, weight_decay_factors)

    def n_outputs(self, n_inputs: int) -> int:
        """Return the number of inputs, plus `dimension` - 1 for each embedded column."""
        return n_inputs + len(self._embedded(n_inputs)) * (self.dimension - 1)

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of w1, b1, W2 and b2, stacked over the c embedded columns."""
        c, f, d = len(self._embedded(n_inputs)), self.frequencies, self.dimension
        return {"w1": (c, f, 1), "b1": (c, f, 1), "W2": (c, d - 1, f), "b2": (c, d - 1, 1)}

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Draw w1, b1, W2 and b2."""
        shapes = self.parameter_shapes(n_inputs)
        limit = 1.0 / math.sqrt(self.frequencies)
        return {
            "w1": rng.normal(0.0, self.sigma, shapes["w1"]),
            "b1": rng.uniform(-math.pi, math.pi, shapes["b1"]),
            "W2": rng.uniform(-limit, limit, shapes["W2"]),
            "b2": rng.uniform(-limit, limit, shapes["b2"]),
        }

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Compute u = 2 pi x, t = w1 u + b1 and z; join all columns and z."""
        columns = self._embedded(a_previous.shape[1])
        index = xp.asarray(columns, dtype=xp.int64, device=device(a_previous))
        x = xp.take(a_previous.T, index, axis=0)
        u = 2.0 * math.pi * x[:, None, :]
        t = parameters["w1"] * u + parameters["b1"]
        cos = xp.cos(t)
        z = xp.matmul(parameters["W2"], cos)
        z += parameters["b2"]
        learned = xp.reshape(z, (-1, z.shape[2]))
        return xp.concat([a_previous, learned.T], axis=1), (u, t, cos)

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Compute delta and tau, the gradients, and the error of the previous layer."""
        u, t, cos = cache
        c, _, m = t.shape
        n = error.shape[1] - c * (self.dimension - 1)
        delta = xp.reshape(error[:, n:].T, (c, -1, m))
        tau = -(xp.matmul(xp.matrix_transpose(parameters["W2"]), delta) * xp.sin(t))
        gradients = {
            "w1": xp.matmul(tau, xp.matrix_transpose(u)),
            "b1": xp.sum(tau, axis=2, keepdims=True),
            "W2": xp.matmul(delta, xp.matrix_transpose(cos)),
            "b2": xp.sum(delta, axis=2, keepdims=True),
        }
        if not propagate:
            return None, gradients
        dx = 2.0 * math.pi * xp.matmul(xp.matrix_transpose(parameters["w1"]), tau)
        dx = xp.reshape(dx, (c, m))
        return self._error_before(xp, error[:, :n], dx.T), gradients

    def _error_before(self, xp: Namespace, passed: Array, dx: Array) -> Array:
        """Add the errors through the features to those of the columns themselves."""
        n = passed.shape[1]
        embedded = self._embedded(n)
        parts, start = [], 0
        pieces = [*runs(others(embedded, n)), *runs(embedded)]
        for run in sorted(pieces, key=lambda run: run.start):
            part, width = passed[:, run], run.stop - run.start
            if run.start in embedded:
                part = part + dx[:, start : start + width]
                start += width
            parts.append(part)
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=1)

    def _embedded(self, n_inputs: int) -> tuple[int, ...]:
        """Return the columns to embed of so many."""
        if self.columns is None:
            return tuple(range(n_inputs))
        given = self.columns
        columns = tuple(range(given)) if isinstance(given, int) else given
        check_width(self, columns, n_inputs)
        return columns

    def __repr__(self) -> str:
        columns = "" if self.columns is None else f", columns={self.columns}"
        sizes = f"{self.frequencies}, {self.dimension}, {self.sigma:g}"
        return f"{type(self).__name__}({sizes}{columns})"


def _check_columns(columns: Any) -> int | tuple[int, ...] | None:
    if columns is None:
        return None
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        return check_integer("columns", columns, 1)
    return check_columns("columns", columns)
