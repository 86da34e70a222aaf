"""Metrics of classes and labels: accuracies, F1, log loss.

The predicted class is the one with the largest logit, as in ``Network.predict``. With the
targets of binary cross-entropy each output is a label, 1 if its logit is > 0. Soft targets
count as their most probable class, or as 1 if they are > 0.5.
"""

from __future__ import annotations

from typing import Any

from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_choice, check_integer
from bpnet.losses import LOSSES, BinaryCrossentropy, CategoricalCrossentropy, Loss
from bpnet.metrics.base import MeanMetric, Metric

CLASSES = ("labels", "probabilities")


def true_class(xp: Namespace, y: Array) -> Array:
    """Return the class of each example, shape (m,), of labels or rows of probabilities."""
    return y if y.ndim == 1 else xp.astype(xp.argmax(y, axis=1), xp.int64)


def predicted_class(xp: Namespace, z: Array) -> Array:
    """Return the class with the largest logit, the earliest of several, shape (m,)."""
    return xp.astype(xp.argmax(z, axis=1), xp.int64)


def of_each_class(xp: Namespace, loss: Loss, y: Array, z: Array) -> tuple[Array, Array]:
    """Return which classes or labels are true and which are predicted, as bools (m, n_L)."""
    if loss.targets != "labels":
        return y > 0.5, z > 0.0
    classes = xp.arange(z.shape[1], dtype=xp.int64, device=device(z))[None, :]
    predicted = predicted_class(xp, z)[:, None]
    return true_class(xp, y)[:, None] == classes, predicted == classes


def with_negatives(xp: Namespace, chosen: Array) -> Array:
    """Return bools (m, n) with their negation, (m, 2 n): 0 and 1 of a label as two classes."""
    return xp.concat([xp.logical_not(chosen), chosen], axis=1)


def weight_of(xp: Namespace, chosen: Array, w: Array) -> Array:
    """Return the weight of the rows that are chosen in each column of bools (m, n), (n,)."""
    w = w[:, None]
    return xp.sum(xp.where(chosen, w, xp.zeros_like(w)), axis=0)


class Accuracy(MeanMetric):
    """The weighted fraction of examples with the right class, or with every label right."""

    name = "accuracy"
    direction = "max"
    targets = CLASSES

    def values(self, xp: Namespace, loss: Loss, y: Array, z: Array) -> Array:
        """Compute 1 where the prediction is right, else 0."""
        if loss.targets == "labels":
            return xp.astype(predicted_class(xp, z) == true_class(xp, y), z.dtype)
        return xp.astype(xp.all((z > 0.0) == (y > 0.5), axis=1), z.dtype)


class BalancedAccuracy(Metric):
    """The mean of the recalls of all classes, so that a rare class counts like a common one.

    With one output the classes are 0 and 1; with several labels, 0 and 1 of each label. A
    class that does not occur (with weight > 0) has no recall and is left out, as in
    scikit-learn, which defines no such metric of several labels.

    Brodersen et al., "The balanced accuracy and its posterior distribution", 2010.
    """

    name = "balanced_accuracy"
    direction = "max"
    targets = CLASSES

    def sums(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute the weight of each class, then of its examples that are right."""
        truth, predicted = of_each_class(xp, loss, y, z)
        if loss.targets != "labels":
            truth, predicted = with_negatives(xp, truth), with_negatives(xp, predicted)
        right = xp.logical_and(truth, predicted)
        return xp.concat([weight_of(xp, truth, w), weight_of(xp, right, w)])

    def result(self, sums: Any, total_weight: float) -> float:
        """Compute the mean recall."""
        support, right = sums.reshape((2, -1)).tolist()
        recalls: list[float] = [r / s for r, s in zip(right, support, strict=True) if s > 0.0]
        return sum(recalls) / len(recalls)


class TopKAccuracy(MeanMetric):
    """The weighted fraction of examples whose class has one of the k largest logits.

    Of equal logits the one of the later class counts as larger, as in scikit-learn; so for
    k = 1 and a tie this may differ from "accuracy", which predicts the earlier class. A row
    with a NaN is wrong.

    Parameters
    ----------
    k : int, default 5
        Number of guesses, >= 1; less than the number of classes. 5 as in ImageNet's
        top-5 error (Russakovsky et al., 2015).
    """

    direction = "max"
    targets = ("labels",)

    def __init__(self, k: int = 5) -> None:
        self.k = check_integer("k", k, 1)

    @property
    def name(self) -> str:
        """The name with k: "top_5_accuracy"."""
        return f"top_{self.k}_accuracy"

    def check(self, loss: Loss, n_outputs: int) -> None:
        """Refuse a loss without classes, and k classes or fewer."""
        super().check(loss, n_outputs)
        if self.k >= n_outputs:
            raise ValueError(
                f"metrics must suit the network: of {n_outputs} classes, all are among the top "
                f"k={self.k}; pass bpnet.metrics.TopKAccuracy(k) with a smaller k"
            )

    def values(self, xp: Namespace, loss: Loss, y: Array, z: Array) -> Array:
        """Compute 1 where fewer than k classes are ahead of the true one, else 0."""
        classes = xp.arange(z.shape[1], dtype=xp.int64, device=device(z))[None, :]
        truth = true_class(xp, y)[:, None]
        own = xp.where(classes == truth, z, xp.zeros_like(z))
        own = xp.sum(own, axis=1, keepdims=True)
        ahead = xp.logical_or(z > own, xp.logical_and(z == own, classes > truth))
        hit = xp.sum(xp.astype(ahead, xp.int64), axis=1) < self.k
        known = xp.logical_not(xp.any(xp.isnan(z), axis=1))
        return xp.astype(xp.logical_and(hit, known), z.dtype)


class F1(Metric):
    """F1 = 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.

    TP, FP and FN are the weights of true positives, false positives and false negatives of a
    class or label (van Rijsbergen, "Information Retrieval", 1979).

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}, default None
        None is the F1 of class 1 with one output, and "macro" with several. "macro" is the mean
        over the classes (0 and 1 with one output) or labels, "weighted" their mean weighted
        by the true examples of each, "micro" one F1 of the sums of TP, FP and FN, which for
        classes is the accuracy.

    Notes
    -----
    Classes and labels that are neither true nor predicted are left out of the mean, as in
    scikit-learn with ``zero_division=np.nan``; if none remains, F1 is 0.
    """

    name = "f1"
    direction = "max"
    targets = CLASSES

    def __init__(self, average: str | None = None) -> None:
        self.average = average
        if average is not None:
            self.average = check_choice("average", average, ("micro", "macro", "weighted"))

    def sums(self, xp: Namespace, loss: Loss, y: Array, z: Array, w: Array) -> Array:
        """Compute TP of each class, then FP, then FN."""
        truth, predicted = of_each_class(xp, loss, y, z)
        if z.shape[1] == 1 and self.average is not None:
            truth, predicted = with_negatives(xp, truth), with_negatives(xp, predicted)
        both = xp.logical_and(truth, predicted)
        false = xp.logical_and(predicted, xp.logical_not(truth))
        missed = xp.logical_and(truth, xp.logical_not(predicted))
        return xp.concat([weight_of(xp, chosen, w) for chosen in (both, false, missed)])

    def result(self, sums: Any, total_weight: float) -> float:
        """Compute F1, or its mean."""
        counts = sums.reshape((3, -1))
        if self.average == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        scores, weights = [], []
        for true, false, missed in counts.T.tolist():
            if true + false + missed > 0.0:
                scores.append(2.0 * true / (2.0 * true + false + missed))
                weights.append(true + missed if self.average == "weighted" else 1.0)
        total = sum(weights)
        pairs = zip(scores, weights, strict=True)
        return sum(s * weight for s, weight in pairs) / total if total > 0.0 else 0.0


class LogLoss(MeanMetric):
    """The mean of -ln p of the true class; with several labels, their mean.

    From logits, so without clipping: exact for any confidence, and without the penalties
    that the network's loss may include.
    """

    name = "log_loss"
    direction = "min"

    def check(self, loss: Loss, n_outputs: int) -> None:
        """Refuse a loss whose logits are not those of a sigmoid or softmax."""
        if not isinstance(loss, BinaryCrossentropy | CategoricalCrossentropy):
            raise ValueError(
                f"metrics must suit the loss {loss.name!r} of the network; {self.name!r} needs "
                f"binary_crossentropy or categorical_crossentropy"
            )

    def values(self, xp: Namespace, loss: Loss, y: Array, z: Array) -> Array:
        """Compute the cross-entropy of each example."""
        binary = isinstance(loss, BinaryCrossentropy)
        name = "binary_crossentropy" if binary else "categorical_crossentropy"
        return LOSSES[name].value(xp, y, z)
