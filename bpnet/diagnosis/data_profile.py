"""What data and network are like before the first step: what a diagnosis starts from.

Everything is measured on the host, on at most `ROWS` examples; what a sample cannot prove
(that a feature never changes, that two are copies) is checked on all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import array_api_compat.numpy as xp
import numpy as np

from bpnet.data.dataset import Dataset
from bpnet.layers import Dense
from bpnet.losses import Loss, mean_loss
from bpnet.training.loop import Training

# Nearest neighbours take time in rows squared; this many tell signal from noise.
ROWS = 512
NEIGHBOURS = 5
# float32 keeps 7 digits, so copies correlate to 1 - 1e-7 at least; 1 - 1e-6 leaves some room.
COPY = 1.0 - 1e-6
_TINY = float(np.finfo(np.float64).tiny)


class DataProfile(NamedTuple):
    """What was so before the first step.

    Attributes
    ----------
    n_rows, n_features : int
        Shape of the training features.
    n_batches : int
        Steps in an epoch.
    activations : tuple of str
        The activation of each layer that has weights, "" if it is no Dense.
    zero_loss : float
        Mean loss if all logits were 0: chance, ln K for K classes.
    chance_loss : float
        Mean loss of the best constant prediction: what is reached without any feature.
    best_loss : float
        Mean loss of perfect predictions: 0, but for counts and soft labels.
    start : dict of str to float
        The figures of :mod:`bpnet.diagnosis.gradient_flow`.
    feature_rms : float
        Largest root mean square of a feature; `feature_rms_of` is its number from 0.
    feature_rms_of : int
        See there.
    feature_range : float
        Largest deviation of a feature from its mean, relative to that of the feature whose
        largest deviation is the smallest; constant features apart.
    constant_features : tuple of int
        Features with one value in all examples.
    duplicate_features : tuple of (int, int)
        Pairs of features of which one is a linear function of the other.
    class_shares : tuple of float
        For each class its share of the examples' weights; () for regression.
    target_rms : float
        Root mean square of the targets of regression; NaN for classes and counts.
    one_target : bool
        Whether all examples have the same target.
    neighbour_signal : float
        How much the targets of near neighbours are alike: Moran's I (1950), 0 by chance
        and 1 at most, with each example's 5 nearest neighbours.
    neighbour_noise : float
        Standard deviation of that for shuffled targets.
    neighbour_loss : float
        The loss that is within reach, in units of `chance_loss`, if the network knew no more
        than the 5 nearest neighbours do. For regression their mean's squared error by the
        variance; for classes the cross-entropy that goes with their mistakes (Fano). NaN for
        several labels at once.

    The neighbours' figures are NaN where there are too few examples or one target only.
    """

    n_rows: int
    n_features: int
    n_batches: int
    activations: tuple[str, ...]
    zero_loss: float
    chance_loss: float
    best_loss: float
    start: dict[str, float]
    feature_rms: float
    feature_rms_of: int
    feature_range: float
    constant_features: tuple[int, ...]
    duplicate_features: tuple[tuple[int, int], ...]
    class_shares: tuple[float, ...]
    target_rms: float
    one_target: bool
    neighbour_signal: float
    neighbour_noise: float
    neighbour_loss: float


def facts(training: Training, start: dict[str, float]) -> DataProfile:
    """Examine the data of a training that is about to begin."""
    kind, data = training.network.loss, training.data
    sample = training.sample(ROWS).to_host()
    X = np.asarray(sample.X, np.float64)
    every_y, every_w = _to_host(data, data.y), _to_host(data, data.w)
    n_outputs = training.network.n_outputs
    return DataProfile(
        n_rows=data.n_rows,
        n_features=X.shape[1],
        n_batches=math.ceil(data.n_rows / training.batch_size),
        activations=_activations(training),
        zero_loss=constant_loss(kind, sample.y, sample.w, np.zeros(n_outputs)),
        chance_loss=chance_loss(kind, sample.y, sample.w, n_outputs),
        best_loss=best_loss(kind, sample.y, sample.w, n_outputs),
        start=start,
        **_scale(X),
        **_useless_features(data, X),
        class_shares=class_shares(kind, every_y, every_w, n_outputs),
        target_rms=_rms(every_y) if kind.targets == "real" else math.nan,
        one_target=bool(np.all(every_y == every_y[:1])),
        **neighbours(kind, X, as_rows(sample.y, n_outputs)),
    )


def chance_loss(kind: Loss, y: Any, w: Any, n_outputs: int) -> float:
    """Give the mean loss of the best constant prediction, of a few that are known to be it.

    For cross-entropies, counts and squares that is the mean target, for absolute errors the
    median; Huber's lies between.
    """
    rows = as_rows(y, n_outputs)
    constants = [np.average(rows, axis=0, weights=w)]
    if kind.targets == "real":
        constants.append(np.median(rows, axis=0))
    losses = [constant_loss(kind, y, w, _logits(kind, c)) for c in constants]
    return min(*losses, constant_loss(kind, y, w, np.zeros(n_outputs)))


def best_loss(kind: Loss, y: Any, w: Any, n_outputs: int) -> float:
    """Give the mean loss of perfect predictions: 0, but for counts and soft labels."""
    return constant_loss(kind, y, w, _logits(kind, as_rows(y, n_outputs)))


def constant_loss(kind: Loss, y: Any, w: Any, z: Any) -> float:
    """Give the mean loss if every example had the logits z, (n_L,) or a row for each."""
    y = y if y.ndim == 1 else np.asarray(y, np.float64)
    values = kind.value(xp, y, np.broadcast_to(z, (len(y), z.shape[-1])))
    return float(mean_loss(xp, values, w))


def _logits(kind: Loss, expected: Any) -> Any:
    """Give the logits that predict these targets, finite ones where 0 or 1 is certain."""
    if kind.targets == "real":
        return expected
    log = np.log(np.maximum(expected, _TINY))
    if kind.targets == "probabilities":
        return log - np.log(np.maximum(1.0 - expected, _TINY))
    return log


def class_shares(kind: Loss, y: Any, w: Any, n_outputs: int) -> tuple[float, ...]:
    """Give each class's share of the weights; () where targets are no exclusive classes."""
    if kind.targets == "labels" and n_outputs > 1:
        shares = np.average(as_rows(y, n_outputs), axis=0, weights=w)
    elif kind.targets == "probabilities" and n_outputs == 1:
        p = float(np.average(y[:, 0], weights=w))
        shares = np.array([1.0 - p, p])
    else:
        return ()
    return tuple(shares.tolist())


def as_rows(y: Any, n_outputs: int) -> Any:
    """Write targets as float rows (m, n_L): labels one-hot."""
    if y.ndim == 2:
        return np.asarray(y, np.float64)
    return (y[:, None] == np.arange(n_outputs)).astype(np.float64)


def neighbours(kind: Loss, X: Any, T: Any) -> dict[str, Any]:
    """Compare the targets T (m, n_L) of examples with those of their nearest neighbours.

    Moran, "Notes on continuous stochastic phenomena", Biometrika 37 (1950); its deviation by
    chance from shuffled targets, as Cliff and Ord (1981) advise.
    """
    if len(X) <= 2 * NEIGHBOURS or not np.any(np.ptp(T, axis=0)):
        names = ("neighbour_signal", "neighbour_noise", "neighbour_loss")
        return dict.fromkeys(names, math.nan)
    near = _nearest(X)
    rng = np.random.default_rng(0)
    shuffled = [_moran(rng.permutation(T), near) for _ in range(20)]
    return {
        "neighbour_signal": _moran(T, near),
        "neighbour_noise": float(np.std(shuffled)),
        "neighbour_loss": _within_reach(kind, T[near].mean(axis=1), T),
    }


def _nearest(X: Any) -> Any:
    """Give the numbers of each example's nearest neighbours, features scaled alike."""
    deviation = X.std(axis=0)
    X = (X - X.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)
    square = np.sum(X * X, axis=1)
    distance = square[:, None] + square[None, :] - 2.0 * (X @ X.T)
    np.fill_diagonal(distance, np.inf)
    return np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]


def _moran(T: Any, near: Any) -> float:
    """Compute Moran's I: the correlation of targets with their neighbours' mean target."""
    T = T - T.mean(axis=0)
    return float(np.sum(T * T[near].mean(axis=1)) / np.sum(T * T))


def _within_reach(kind: Loss, predicted: Any, T: Any) -> float:
    """Give the loss of the neighbours' predictions, in units of chance.

    A rate e of mistakes among K classes goes with a cross-entropy of up to
    H(e) + e ln(K - 1), the bound of Fano's inequality (Cover and Thomas 2006, section 2.10).
    """
    if kind.targets in ("real", "counts"):
        return float(np.mean((predicted - T) ** 2) / np.mean((T - T.mean(axis=0)) ** 2))
    if kind.targets == "probabilities":
        if T.shape[1] > 1:
            return math.nan
        predicted, T = (np.hstack([1.0 - rows, rows]) for rows in (predicted, T))
    shares = T.mean(axis=0)
    e = float(np.mean(predicted.argmax(axis=1) != T.argmax(axis=1)))
    return (_entropy(np.array([e, 1.0 - e])) + e * math.log(len(shares) - 1)) / _entropy(shares)


def _entropy(shares: Any) -> float:
    """Compute -sum p ln p."""
    shares = shares[shares > 0.0]
    return float(-np.sum(shares * np.log(shares)))


def _rms(y: Any) -> float:
    return float(np.sqrt(np.mean(np.square(y, dtype=np.float64))))


def _scale(X: Any) -> dict[str, Any]:
    """Find the largest feature, and compare it with the smallest that is no constant."""
    rms = np.sqrt(np.mean(X * X, axis=0))
    reach = np.max(np.abs(X - X.mean(axis=0)), axis=0)
    reach = reach[np.ptp(X, axis=0) > 0.0]
    return {
        "feature_rms": float(rms.max()),
        "feature_rms_of": int(rms.argmax()),
        "feature_range": float(reach.max() / reach.min()) if reach.size else 1.0,
    }


def _useless_features(data: Dataset, X: Any) -> dict[str, Any]:
    """Find features that never change, and pairs that are linear functions of each other."""
    still = np.flatnonzero(np.ptp(X, axis=0) == 0.0)
    constant = [int(k) for k in still if np.ptp(_column(data, k)) == 0.0]
    varying = np.flatnonzero(np.ptp(X, axis=0) > 0.0)
    pairs = [(int(varying[i]), int(varying[j])) for i, j in _similar(X[:, varying])]
    return {
        "constant_features": tuple(constant),
        "duplicate_features": tuple(
            pair for pair in pairs if _correlation(*(_column(data, k) for k in pair)) >= COPY
        ),
    }


def _similar(X: Any) -> Iterator[tuple[int, int]]:
    """Give pairs of columns whose standardised values have equal projections, up to sign.

    Sorted projections on a random direction put copies side by side, in time of one pass.
    """
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    projection = np.abs(np.random.default_rng(0).normal(size=len(Z)) @ Z)
    order = projection.argsort(kind="stable")
    for i, j in pairwise(order):
        if projection[j] - projection[i] <= 1e-3 * math.sqrt(len(Z)):
            yield (i, j) if i < j else (j, i)


def _correlation(a: Any, b: Any) -> float:
    """Compute the absolute correlation of two features."""
    return float(abs(np.corrcoef(a, b)[0, 1]))


def _column(data: Dataset, number: Any) -> Any:
    """Bring one feature of all examples to the host."""
    return np.asarray(_to_host(data, data.X[:, int(number)]), np.float64)


def _to_host(data: Dataset, array: Any) -> Any:
    return array if data.owner is None or array is None else data.owner.to_numpy(array)


def _activations(training: Training) -> tuple[str, ...]:
    layers = zip(training.network.layers, training.parameters, strict=True)
    return tuple(
        layer.activation.name if isinstance(layer, Dense) else ""
        for layer, parameters in layers
        if "W" in parameters
    )
