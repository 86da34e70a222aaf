"""Profile the data and the network before the first step, for :func:`bpnet.diagnose`.

Everything is measured on the host, on at most `ROWS` examples; what a sample cannot prove
(a constant feature, a duplicate) is verified on all of them; of a loader, which yields its
examples in batches, only on the sample.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend import get_backend
from bpnet.common.recent import Recent
from bpnet.data.dataset import Dataset
from bpnet.diagnosis import simple_models
from bpnet.diagnosis.simple_models import constant_loss, logits
from bpnet.layers import Dense, Embedding, PeriodicEmbedding, trained_parameters
from bpnet.losses import Loss, Quantile
from bpnet.model.parameters import has_weights
from bpnet.training.loop import Training

ROWS = 2000
# float32 has 7 digits, so copies correlate to 1 - 1e-7 at least; 1 - 1e-6 leaves some room.
COPY = 1.0 - 1e-6


class DataProfile(NamedTuple):
    """The state of data and network before the first step.

    Attributes
    ----------
    n_rows, n_features : int
        Shape of the training features.
    n_batches : int
        Steps per epoch.
    activations : tuple of str
        Activation of each layer with weights; "" if it is not a Dense.
    zero_loss : float
        Mean loss with all logits 0: ln K for K classes.
    baseline_loss : float
        Mean loss of the best constant prediction, which ignores the features.
    best_loss : float
        Mean loss of perfect predictions: 0, except for counts and soft labels.
    start : dict of str to float
        The metrics of :mod:`bpnet.diagnosis.gradient_flow`.
    feature_rms, feature_rms_of : float, int
        Largest root mean square of a feature, and the index of that feature; codes of an
        :class:`bpnet.Embedding` count in neither this nor the range. NaN if all are codes.
    feature_range : float
        Largest over smallest maximum deviation of a feature from its mean, over the features
        that are not constant.
    constant_features : tuple of int
        Features with the same value in all examples.
    duplicate_features : tuple of (int, int)
        Pairs of features that are linear functions of each other.
    class_shares : tuple of float
        Share of each class in the sample weights; () for regression.
    target_rms : float
        Root mean square of regression targets; NaN for classes and counts.
    one_target : bool
        Whether all examples have the same target.
    neighbor_signal, neighbor_noise : float
        Similarity of the targets of near neighbors: Moran's I (1950) with each example's 5
        nearest neighbors, 0 by chance and at most 1; and its standard deviation for shuffled
        targets.
    agreement : simple_models.Agreement
        How far the targets agree with the features, validation examples included.
    reach : float
        The lowest loss of simple models on examples that they have not seen, relative to
        `baseline_loss`: 0 is perfect, 1 no better. See :mod:`bpnet.diagnosis.simple_models`.
    held_out_loss : float
        Mean loss of the best constant on the validation examples; NaN without any.
    useless_share : float
        Share of constant features, and of those that repeat others, in the mean square of X.
    outcome : dict of str to float
        Measured after training on up to 2000 examples: "loss", the training loss without
        penalties; "penalty"; of classes "accuracy", and "recall", the share of the rarest class
        that is recognized, of held-out examples if there are at least five. "epoch" is the one
        whose weights were measured. Empty before the end.
    is_multilabel : bool
        Whether each output is a class of its own, which an example may have or not.

    The statistics of neighbors and simple models are NaN if there are too few examples or only
    one target.
    """

    n_rows: int
    n_features: int
    n_batches: int
    activations: tuple[str, ...]
    zero_loss: float
    baseline_loss: float
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
    neighbor_signal: float
    neighbor_noise: float
    agreement: simple_models.Agreement
    reach: float
    held_out_loss: float
    useless_share: float
    outcome: Mapping[str, float]
    is_multilabel: bool = False  # in files of earlier versions


def facts(training: Training, start: dict[str, float]) -> DataProfile:
    """Return the profile of a training run that is about to begin."""
    kind = training.network.loss
    sample = training.sample(ROWS).to_host()
    data = training.data if isinstance(training.data, Dataset) else sample
    X = np.asarray(sample.X, np.float64)
    every_y, every_w = _without_gaps(_to_host(data, data.y)), _to_host(data, data.w)
    n_outputs = training.network.n_outputs
    useless = _useless_features(data, X)
    repeated = _useless(useless["constant_features"], useless["duplicate_features"])
    useful = np.delete(X, repeated, axis=1)
    return DataProfile(
        n_rows=training.data.n_rows,
        n_features=X.shape[1],
        n_batches=training.n_batches,
        activations=_activations(training),
        zero_loss=constant_loss(kind, sample.y, sample.w, np.zeros(n_outputs)),
        baseline_loss=baseline_loss(kind, sample.y, sample.w, n_outputs),
        best_loss=best_loss(kind, sample.y, sample.w, n_outputs),
        start=start,
        **_scale(X, _codes(training)),
        **useless,
        class_shares=class_shares(kind, every_y, every_w, n_outputs),
        target_rms=_rms(every_y) if kind.targets == "real" else math.nan,
        one_target=bool(np.all(every_y == every_y[:1])),
        **_signals(training, sample, useful, repeated),
        held_out_loss=_held_out_loss(training, sample),
        outcome={},
        is_multilabel=kind.targets == "probabilities" and n_outputs > 1,
    )


def in_memory(examples: Any) -> Dataset:
    """Return a Dataset; of a stream, its first examples."""
    return examples if isinstance(examples, Dataset) else examples.sample(ROWS)


def _held_out_loss(training: Training, sample: Dataset) -> float:
    """Return the loss of the training examples' best constant on the validation examples."""
    if training.validation is None:
        return math.nan
    kind, n_outputs = training.network.loss, training.network.n_outputs
    held_out = in_memory(training.validation)
    y, w = (_to_host(held_out, a) for a in held_out[1:3])
    losses = (
        (constant_loss(kind, sample.y, sample.w, z), z)
        for z in _constants(kind, sample.y, sample.w, n_outputs)
    )
    return constant_loss(kind, y, w, min(losses, key=lambda pair: pair[0])[1])


def _signals(
    training: Training, sample: Dataset, X: Any, repeated: Sequence[int]
) -> dict[str, Any]:
    """Measure what the features X of a sample, without repeated ones, tell of the targets."""
    kind, n_outputs = training.network.loss, training.network.n_outputs
    T = as_rows(sample.y, n_outputs)
    alike = not X.size or not np.any(np.ptp(T, axis=0))
    if len(X) <= 2 * simple_models.NEIGHBORS or alike:
        nothing = simple_models.Agreement(math.nan, math.nan, math.nan)
        return dict.fromkeys(("neighbor_signal", "neighbor_noise", "reach"), math.nan) | {
            "agreement": nothing
        }
    more_X, more_T = X[:0], T[:0]
    if training.validation is not None:
        held_out = in_memory(training.validation)
        rows = np.linspace(0, held_out.n_rows - 1, min(ROWS, held_out.n_rows)).astype(np.int64)
        other = held_out.take(rows).to_host()
        more_X = np.delete(_dense(other.X), repeated, axis=1)
        more_T = as_rows(other.y, n_outputs)
    return _fitted(kind, X, T, sample.y, sample.w, more_X, more_T)


_RECENT: Recent[dict[str, Any]] = Recent(8)


def _fitted(kind: Loss, *arrays: Any) -> dict[str, Any]:
    """Fit the simple models to some data, unless that has been done a short while ago.

    Data are told by their bytes, which is cheap: who trains on them again, or warm-starts, does
    not wait again.
    """
    digest = hashlib.blake2b(repr(kind).encode())
    for array in arrays:
        described = "" if array is None else f"{array.shape}{array.dtype}"
        digest.update(described.encode())
        digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    numpy = get_backend("numpy")  # computes this on every backend
    return _RECENT.get(
        digest.digest(), lambda: numpy.on_one_thread(lambda: _fit(kind, *arrays))
    )


def _fit(
    kind: Loss, X: Any, T: Any, y: Any, w: Any, more_X: Any, more_T: Any
) -> dict[str, Any]:
    few = simple_models.ROWS
    signal, noise = simple_models.neighbor_signal(X[:few], T[:few])
    every = np.vstack([X, more_X]), np.vstack([T, more_T])
    return {
        "neighbor_signal": signal,
        "neighbor_noise": noise,
        "reach": simple_models.within_reach(kind, X, T, y, w),
        "agreement": simple_models.agreement(*every, signal / noise if noise > 0.0 else 0.0),
    }


def _dense(X: Any) -> Any:
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, np.float64)


def baseline_loss(kind: Loss, y: Any, w: Any, n_outputs: int) -> float:
    """Return the mean loss of the best constant prediction.

    It is the mean target for cross-entropies, counts and squared errors, and the median for
    absolute errors; Huber's lies in between.
    """
    constants = _constants(kind, y, w, n_outputs)
    return min(constant_loss(kind, y, w, z) for z in constants)


def _constants(kind: Loss, y: Any, w: Any, n_outputs: int) -> list[Any]:
    """Return the logits of constant predictions, of which one is the best."""
    rows = as_rows(y, n_outputs)
    if isinstance(kind.unmasked, Quantile):
        return [np.quantile(rows, kind.unmasked.quantiles, axis=0).T.ravel()]
    constants = [np.average(rows, axis=0, weights=w)]
    if kind.targets == "real":
        constants.append(np.median(rows, axis=0))
    return [*(logits(kind, c) for c in constants), np.zeros(n_outputs)]


def best_loss(kind: Loss, y: Any, w: Any, n_outputs: int) -> float:
    """Return the mean loss of perfect predictions: 0, except for counts and soft labels."""
    return constant_loss(kind, y, w, logits(kind, as_rows(y, n_outputs)))


def class_shares(kind: Loss, y: Any, w: Any, n_outputs: int) -> tuple[float, ...]:
    """Return each class's share of the weights; () unless classes are mutually exclusive."""
    if kind.targets == "labels" and n_outputs > 1:
        shares = np.average(as_rows(y, n_outputs), axis=0, weights=w)
    elif kind.targets == "probabilities" and n_outputs == 1:
        p = float(np.average(y[:, 0], weights=w))
        shares = np.array([1.0 - p, p])
    else:
        return ()
    return tuple(shares.tolist())


def as_rows(y: Any, n_outputs: int) -> Any:
    """Return targets as float rows (m, n_L), labels one-hot encoded."""
    if y.ndim == 2:
        return _without_gaps(np.asarray(y, np.float64))
    return (y[:, None] == np.arange(n_outputs)).astype(np.float64)


def _without_gaps(y: Any) -> Any:
    """Return targets with the mean of their column in the place of missing ones."""
    missing = np.isnan(y)
    if not np.any(missing):
        return y
    means = np.sum(np.where(missing, 0.0, y), axis=0) / np.maximum(np.sum(~missing, axis=0), 1)
    return np.where(missing, means, y)


def _rms(y: Any) -> float:
    return float(np.sqrt(np.mean(np.square(y, dtype=np.float64))))


def _codes(training: Training) -> list[int]:
    """Return the features that are codes of categories, whose size says nothing."""
    for layer in training.network.layers:
        if isinstance(layer, Embedding):
            return [column for column, _ in layer.sizes]
        if not isinstance(layer, PeriodicEmbedding):  # which keeps the columns in their places
            break
    return []


def _scale(X: Any, codes: Sequence[int]) -> dict[str, Any]:
    """Return the largest feature RMS, and the ratio of ranges of non-constant features."""
    numbers = np.delete(np.arange(X.shape[1]), codes)
    if not len(numbers):
        return {"feature_rms": math.nan, "feature_rms_of": 0, "feature_range": 1.0}
    X = X[:, numbers]
    rms = np.sqrt(np.mean(X * X, axis=0))
    reach = np.max(np.abs(X - X.mean(axis=0)), axis=0)
    reach = reach[np.ptp(X, axis=0) > 0.0]
    return {
        "feature_rms": float(rms.max()),
        "feature_rms_of": int(numbers[rms.argmax()]),
        "feature_range": float(reach.max() / reach.min()) if reach.size else 1.0,
    }


def _useless_features(data: Dataset, X: Any) -> dict[str, Any]:
    """Find constant features, and pairs that are linear functions of each other."""
    still = np.flatnonzero(np.ptp(X, axis=0) == 0.0)
    constant = [int(k) for k in still if np.ptp(_column(data, k)) == 0.0]
    varying = np.flatnonzero(np.ptp(X, axis=0) > 0.0)
    pairs = [(int(varying[i]), int(varying[j])) for i, j in _similar(X[:, varying])]
    pairs = [p for p in pairs if _correlation(*(_column(data, k) for k in p)) >= COPY]
    square, useless = np.mean(X * X, axis=0), _useless(constant, pairs)
    return {
        "constant_features": tuple(constant),
        "duplicate_features": tuple(pairs),
        "useless_share": float(square[useless].sum() / (square.sum() or 1.0)),
    }


def _useless(constant: Iterable[int], pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return constant features, and those that repeat another: all but one of each group."""
    return sorted({*constant, *(second for _, second in pairs)})


def _similar(X: Any) -> Iterator[tuple[int, int]]:
    """Yield pairs of columns whose standardized values have equal projections, up to sign.

    Sorting projections onto a random direction places copies side by side in one pass.
    """
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    projection = np.abs(np.random.default_rng(0).normal(size=len(Z)) @ Z)
    order = projection.argsort(kind="stable")
    for i, j in pairwise(order):
        if projection[j] - projection[i] <= 1e-3 * math.sqrt(len(Z)):
            yield (i, j) if i < j else (j, i)


def _correlation(a: Any, b: Any) -> float:
    """Return the absolute correlation of two features."""
    return float(abs(np.corrcoef(a, b)[0, 1]))


def _column(data: Dataset, number: Any) -> Any:
    """Return one feature of all examples, on the host."""
    return np.asarray(_to_host(data, data.X[:, int(number)]), np.float64)


def _to_host(data: Dataset, array: Any) -> Any:
    return array if data.owner is None or array is None else data.owner.to_numpy(array)


def _activations(training: Training) -> tuple[str, ...]:
    layers = training.network.layers
    trained = trained_parameters(layers, training.parameters)
    return tuple(
        layer.activation.name if isinstance(layer, Dense) else ""
        for layer, parameters in zip(layers, trained, strict=True)
        if has_weights(parameters)
    )
