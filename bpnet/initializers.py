"""Weight initializers, drawn by NumPy on the host: bit-identical on every backend.

For weights W of shape (n_in, n_out) the variance is chosen to preserve that of signals through
a layer, forward (n_in) or backward (n_out). Values are drawn in float64 and then rounded, so a
float32 network starts from the rounded weights of its float64 counterpart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bpnet.common.checks import check_number, fits, kind_of
from bpnet.common.component import Component
from bpnet.common.suggestions import unknown_name

if TYPE_CHECKING:  # numpy.random is slow to import
    from numpy.typing import NDArray

    Weights: TypeAlias = NDArray[np.float64]
    Initializer: TypeAlias = Callable[[np.random.Generator, int, int], Weights]


def zeros(rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
    """All 0, for biases. With zero weights, hidden units start equal and stay equal."""
    return np.zeros((n_in, n_out))


class Constant(Component):
    """All weights equal to `value`.

    Examples
    --------
    >>> import numpy as np
    >>> Constant(0.5)(np.random.default_rng(0), 1, 2)
    array([[0.5, 0.5]])
    """

    kind = "initializers"

    def __init__(self, value: float) -> None:
        self.value = check_number("value", value)

    def __call__(self, rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
        """Return an array (n_in, n_out) filled with the value."""
        return np.full((n_in, n_out), self.value)


class Normal(Component):
    """N(0, std^2), regardless of the layer's size.

    Examples
    --------
    >>> import numpy as np
    >>> Normal(1.0)(np.random.default_rng(0), 3, 4).shape
    (3, 4)
    """

    kind = "initializers"

    def __init__(self, std: float = 0.05) -> None:
        self.std = check_number("std", std, 0.0)

    def __call__(self, rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
        """Draw an array (n_in, n_out)."""
        return rng.normal(0.0, self.std, (n_in, n_out))


def glorot_uniform(rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
    """U(-r, r) with r = sqrt(6 / (n_in + n_out)): Glorot and Bengio 2010, equation 16."""
    return _uniform(rng, n_in, n_out, 2.0 / (n_in + n_out))


def glorot_normal(rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
    """N(0, 2 / (n_in + n_out)): Glorot and Bengio 2010, the variance of equation 12."""
    return rng.normal(0.0, math.sqrt(2.0 / (n_in + n_out)), (n_in, n_out))


def he_uniform(rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
    """U(-r, r) with r = sqrt(6 / n_in): the variance of `he_normal`."""
    return _uniform(rng, n_in, n_out, 2.0 / n_in)


def he_normal(rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
    """N(0, 2 / n_in), as relu halves the signal's power: He et al. 2015, equation 10."""
    return rng.normal(0.0, math.sqrt(2.0 / n_in), (n_in, n_out))


def lecun_uniform(rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
    """U(-r, r) with r = sqrt(3 / n_in): the variance of `lecun_normal`."""
    return _uniform(rng, n_in, n_out, 1.0 / n_in)


def lecun_normal(rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
    """N(0, 1 / n_in): LeCun, Bottou, Orr and Müller 1998, section 4.6."""
    return rng.normal(0.0, math.sqrt(1.0 / n_in), (n_in, n_out))


def orthogonal(rng: np.random.Generator, n_in: int, n_out: int) -> Weights:
    """Draw orthonormal rows or columns, uniformly: Saxe, McClelland and Ganguli 2014."""
    tall = rng.normal(size=(max(n_in, n_out), min(n_in, n_out)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform (Mezzadri 2007)
    return q if n_in >= n_out else q.T


def _uniform(rng: np.random.Generator, n_in: int, n_out: int, variance: float) -> Weights:
    limit = math.sqrt(3.0 * variance)
    return rng.uniform(-limit, limit, (n_in, n_out))


INITIALIZERS: dict[str, Initializer] = {
    "zeros": zeros,
    "normal": Normal(),
    "standard_normal": Normal(1.0),
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "xavier_uniform": glorot_uniform,
    "xavier_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_normal": lecun_normal,
    "orthogonal": orthogonal,
}


def get(initializer: str | Initializer, argument: str = "init") -> Initializer:
    """Look up an initializer by name; a function ``(rng, n_in, n_out)`` is returned unchanged.

    An unknown name raises ValueError, any other type TypeError; `argument` names it there.
    """
    if callable(initializer) and not isinstance(initializer, type):
        return initializer
    if not isinstance(initializer, str):
        raise TypeError(
            f"{argument} must be a name or function (rng, n_in, n_out) -> weights, "
            f"got {kind_of(initializer)}"
        )
    if initializer not in INITIALIZERS:
        raise unknown_name(argument, initializer, INITIALIZERS)
    return INITIALIZERS[initializer]


def shape_of(values: Any) -> tuple[int, ...]:
    """Return the shape of initial values, which may be nested lists."""
    return np.shape(values)


def draw(
    argument: str, initializer: Initializer, rng: np.random.Generator, n_in: int, n_out: int
) -> Weights:
    """Draw weights (n_in, n_out), and check what a user-defined initializer returns."""
    where = f"{argument} {name_of(initializer)}"
    try:
        given = initializer(rng, n_in, n_out)
    except TypeError as error:
        if fits(initializer, rng, n_in, n_out):
            raise
        raise TypeError(f"{where} must be a function (rng, n_in, n_out): {error}") from error
    due = f"{where} must return real numbers of shape {(n_in, n_out)}"
    try:
        weights = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{due}; got {error}") from error
    if weights.dtype.kind not in "biuf" or weights.shape != (n_in, n_out):
        raise ValueError(f"{due}; got shape {weights.shape} of {weights.dtype}")
    return weights


def name_of(initializer: Initializer) -> str:
    """Return the name of a function for an error, or what an object says of itself."""
    return getattr(initializer, "__name__", None) or repr(initializer)
