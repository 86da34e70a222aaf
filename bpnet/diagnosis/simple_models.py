"""How much the features tell of the targets, by models that need no training loop.

Ridge regression, linear and with radial basis functions, and nearest neighbors predict each
example from the others. What they reach is within reach of a network; and if the targets agree
with the features no more than shuffled ones do, there is nothing to learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from bpnet.losses import Loss, mean_loss

# The neighbor search and the kernels are quadratic and cubic in rows; this many suffice to tell
# signal from noise. The linear model takes all rows of the profile, but no more features.
ROWS = 512
KERNEL_ROWS = 400
FEATURES, NEAR_FEATURES = 200, 1000
NEIGHBORS = 5
# Neighbors to average, ridge penalties relative to the mean eigenvalue, widths of the kernel
# relative to the mean distance, and the confidence of a classifier: the best of each is taken.
AVERAGED = (5, 20)
PENALTIES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
WIDTHS = (1.0, 0.2)
CONFIDENCES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
SHUFFLES, FEWEST_SHUFFLES = 100, 40  # of one column of targets, and of many
_TINY = float(np.finfo(np.float64).tiny)
_OUTLIER = 5.0  # standard deviations


def standardized(X: Any) -> Any:
    """Return features with mean 0 and variance 1; constant ones are 0, outliers are cut off."""
    deviation = X.std(axis=0)
    Z = (X - X.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)
    return np.clip(Z, -_OUTLIER, _OUTLIER)


def constant_loss(kind: Loss, y: Any, w: Any, z: Any) -> float:
    """Return the mean loss for the logits z, (n_L,) or one row per example."""
    y = y if y.ndim == 1 else np.asarray(y, np.float64)
    values = kind.value(np, y, np.broadcast_to(z, (len(y), z.shape[-1])))
    return float(mean_loss(np, values, w))


def logits(kind: Loss, expected: Any) -> Any:
    """Return the logits that predict these targets, finite even where 0 or 1 is certain."""
    expected = kind.best_predictions(np, expected)
    if kind.targets == "real":
        return expected
    log = np.log(np.maximum(expected, _TINY))
    if kind.targets == "probabilities":
        return log - np.log(np.maximum(1.0 - expected, _TINY))
    return log


# --- what is within reach ---------------------------------------------------------------------


def within_reach(kind: Loss, X: Any, T: Any, y: Any, w: Any) -> float:
    """Return the lowest loss of a simple model on examples that it has not seen.

    Parameters
    ----------
    kind : Loss
        The loss of the network.
    X, T, y, w : arrays
        Features and targets as float rows (m, n_L), and as the loss takes them; the weights.

    Returns
    -------
    float
        Relative to that of the mean target on the same examples: 0 is perfect, 1 no better.
    """
    Z, lowest = standardized(X), 1.0
    for predicted in _held_out_predictions(Z, T):
        n = len(predicted)
        some = (kind, y[:n], None if w is None else w[:n])
        best = constant_loss(*some, logits(kind, T[:n]))
        mean = constant_loss(*some, logits(kind, np.average(T[:n], axis=0, weights=some[2])))
        for z in _candidates(kind, predicted, T[:n]):
            lowest = min(lowest, (constant_loss(*some, z) - best) / ((mean - best) or 1.0))
    return lowest


def _held_out_predictions(Z: Any, T: Any) -> Iterator[Any]:
    """Yield each model's predictions of examples, each by the others."""
    yield _linear(_thinned(Z, FEATURES), T)
    Z = _thinned(Z, NEAR_FEATURES)
    some, targets = Z[:KERNEL_ROWS], T[:KERNEL_ROWS]
    distance = _distances(some)
    mean = float(distance.mean()) or 1.0
    for width in WIDTHS:
        yield _kernel_ridge(np.exp(-distance / (width * mean)), targets)
    some, targets = Z[:ROWS], T[:ROWS]
    order = np.argsort(_distances(some) + np.diag(np.full(len(some), np.inf)), axis=1)
    for count in AVERAGED:
        if count < len(some):
            yield targets[order[:, :count]].mean(axis=1)


def _candidates(kind: Loss, predicted: Any, T: Any) -> Iterator[Any]:
    """Yield logits for predicted targets: for classes, with more or less confidence."""
    if kind.targets == "real":
        yield kind.best_predictions(np, predicted)
        return
    mean = T.mean(axis=0)
    if kind.targets == "counts":
        yield logits(kind, np.maximum(predicted, 0.05 * mean))
        return
    for confidence in CONFIDENCES:
        yield logits(kind, mean) + confidence * (predicted - mean)


def _linear(Z: Any, T: Any) -> Any:
    """Return leave-one-out predictions of linear ridge regression."""
    values, Q = np.linalg.eigh(Z.T @ Z)
    return _left_out(Z @ Q, values, T)


def _kernel_ridge(K: Any, T: Any) -> Any:
    """Return leave-one-out predictions of kernel ridge regression."""
    values, Q = np.linalg.eigh(K)
    return _left_out(Q * np.sqrt(np.maximum(values, 0.0)), values, T)


def _left_out(U: Any, values: Any, T: Any) -> Any:
    """Return the predictions with the best penalty, for orthogonal columns U.

    Each example is left out in closed form, by its leverage: Hastie, Tibshirani and Friedman
    2009, The Elements of Statistical Learning, equation 7.64.
    """
    mean = T.mean(axis=0)
    products, best, least = U.T @ (T - mean), T, math.inf
    for penalty in PENALTIES:
        inverse = 1.0 / (np.maximum(values, 0.0) + penalty * max(float(values.mean()), _TINY))
        leverage = np.square(U) @ inverse + 1.0 / len(T)
        residual = T - mean - U @ (inverse[:, None] * products)
        residual = residual / np.maximum(1.0 - leverage, 1e-6)[:, None]
        if (error := float(np.sum(np.square(residual)))) < least:
            best, least = T - residual, error
    return best


def _distances(Z: Any) -> Any:
    """Return the squared distances of all pairs of rows."""
    square = np.sum(Z * Z, axis=1)
    return np.maximum(square[:, None] + square[None, :] - 2.0 * (Z @ Z.T), 0.0)


def _thinned(Z: Any, most: int) -> Any:
    """Return the features that vary, or at most so many of them, evenly chosen."""
    Z = Z[:, np.any(Z != 0.0, axis=0)]
    step = max(1, math.ceil(Z.shape[1] / most))
    return Z[:, ::step]


# --- whether there is anything to learn -------------------------------------------------------


class Agreement(NamedTuple):
    """How far targets agree with features, in standard deviations of shuffled targets.

    Attributes
    ----------
    strongest : float
        The largest of four statistics: the variance explained by all features together, or by
        their principal components in proportion to their own; the largest correlation of a
        single feature, its square, or the distance from the mean; the similarity of
        neighbors' targets.
    linear : float
        The second of these.
    expected : float
        What `linear` would be about if features explained 5 % of the variance.
    """

    strongest: float
    linear: float
    expected: float


WEAK = 0.05  # share of the variance that features explain where the signal is weak


def agreement(X: Any, T: Any, near: float) -> Agreement:
    """Return how far the targets T (m, n_L) agree with the features; `near` is neighbors'."""
    Z, T = _thinned(standardized(X), FEATURES), T - T.mean(axis=0)
    T = T[:, np.any(T != 0.0, axis=0)]
    T = T / np.linalg.norm(T)
    values, Q = np.linalg.eigh(Z.T @ Z)
    used = values > 1e-6 * values.max()
    U, values = (Z @ Q[:, used]) / np.sqrt(values[used]), values[used] / values.max()
    orders = _orders(T)
    explained = np.sum(np.square(_products(U, T, orders)), axis=2)
    bent = np.hstack([Z, _curves(Z)])
    single = np.abs(_products(bent, T / np.linalg.norm(T, axis=0), orders)).max(axis=(0, 2))
    together, linear = (_chi_squared(x) for x in (explained.sum(axis=0), values @ explained))
    components = float(values.sum() ** 2 / np.square(values).sum())
    ratio = 1.0 + WEAK / (1.0 - WEAK) * len(T) / components
    weak = _normal(ratio, math.sqrt(components / 2.0))
    return Agreement(max(together, linear, _largest(single), near), linear, weak)


def _curves(Z: Any) -> Any:
    """Return the squares of features and of their distance from the mean of all examples."""
    return standardized(np.column_stack([Z * Z, np.sum(Z * Z, axis=1)]))


def _orders(T: Any) -> Any:
    """Return orders of the targets, one a row: the first is the true one, others shuffled."""
    rng, rows = np.random.default_rng(0), np.arange(len(T))
    shuffles = max(FEWEST_SHUFFLES, SHUFFLES // T.shape[1])
    return np.vstack([rows, *(rng.permutation(rows) for _ in range(shuffles))])


def _products(A: Any, T: Any, orders: Any) -> Any:
    """Return columns of A times targets in each order, (columns, orders, n_L)."""
    found = A.T @ T[orders.T].reshape(len(T), -1)
    return found.reshape(A.shape[1], len(orders), T.shape[1])


def _chi_squared(found: Any) -> float:
    """Return the normal deviate of the first of these sums of squares among the others."""
    mean, deviation = np.mean(found[1:]), np.std(found[1:], ddof=1)
    return _normal(float(found[0] / mean), float(mean / deviation))


def _largest(found: Any) -> float:
    """Return the normal deviate of the first of these maxima among the others.

    Maxima of many have Gumbel's distribution, with a long tail.
    """
    mean, deviation = np.mean(found[1:]), np.std(found[1:], ddof=1) or 1.0
    reduced = math.pi / math.sqrt(6.0) * float((found[0] - mean) / deviation) + np.euler_gamma
    tail = -math.expm1(-math.exp(-max(reduced, -5.0)))
    return -NormalDist().inv_cdf(min(max(tail, 1e-300), 1.0 - 1e-9))


def _normal(ratio: float, precision: float) -> float:
    """Return the normal deviate of a chi-squared variable, relative to its mean.

    `precision` is its mean over its deviation. Wilson and Hilferty, "The distribution of
    chi-square", 1931.
    """
    small = 1.0 / (9.0 * max(precision, 1.0) ** 2)
    return float((ratio ** (1.0 / 3.0) - (1.0 - small)) / math.sqrt(small))


def neighbor_signal(X: Any, T: Any) -> tuple[float, float]:
    """Return the similarity of the targets T (m, n_L) of near neighbors, and its noise.

    Moran, "Notes on continuous stochastic phenomena", Biometrika 37 (1950); the deviation comes
    from permuted targets, as Cliff and Ord (1981) recommend. NaN if there are too few examples
    or only one target.
    """
    if len(X) <= 2 * NEIGHBORS or not np.any(np.ptp(T, axis=0)):
        return math.nan, math.nan
    distance = _distances(_thinned(standardized(X), NEAR_FEATURES))
    np.fill_diagonal(distance, np.inf)
    near = np.argpartition(distance, NEIGHBORS, axis=1)[:, :NEIGHBORS]
    true, *shuffled = (_moran(T[order], near) for order in _orders(T))
    return true, float(np.std(shuffled, ddof=1))


def _moran(T: Any, near: Any) -> float:
    """Return Moran's I: the correlation of targets with the mean target of their neighbors."""
    T = T - T.mean(axis=0)
    return float(np.sum(T * T[near].mean(axis=1)) / np.sum(T * T))
