"""Cross-entropy: classes and independent labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bpnet.activations import sigmoid
from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number, check_sequence
from bpnet.losses.base import Loss, check_length, check_weights, constants


class BinaryCrossentropy(Loss):
    """l = mean over outputs of -y ln p - (1 - y) ln(1 - p), with p = sigmoid(z).

    In logits, ``softplus(z) - y z``. Targets are 0, 1 or a probability; several outputs are
    independent labels (multi-label classification).

    Parameters
    ----------
    label_smoothing : float, default 0.0
        ε of label smoothing (Szegedy et al. 2016, section 7), 0 <= ε < 1: the loss, in training
        and evaluation, is that of the targets y (1 - ε) + ε / 2. Metrics see y itself.
    positive_weight : float or sequence of float or None, default None
        A factor c > 0 of -y ln p, for all outputs or for each, as `pos_weight` in PyTorch: c
        above 1 counts missed positives as worse than false ones. None is 1. The mean over
        the examples is not divided by it.
    """

    name = "binary_crossentropy"
    targets = "probabilities"
    label_smoothing: float = 0.0  # in pickles of earlier versions
    positive_weight: float | tuple[float, ...] | None = None

    def __init__(
        self,
        label_smoothing: float = 0.0,
        positive_weight: float | Sequence[float] | None = None,
    ) -> None:
        self.label_smoothing = _check_smoothing(label_smoothing)
        if isinstance(positive_weight, Iterable):
            weights = check_sequence("positive_weight", positive_weight, _check_positive)
            self.positive_weight = tuple(weights)
        elif positive_weight is not None:
            self.positive_weight = _check_positive("positive_weight", positive_weight)

    @property
    def elementwise(self) -> bool:
        """Whether all outputs have the same factor."""
        return not isinstance(self.positive_weight, tuple)

    def n_targets(self, n_outputs: int) -> int:
        """Return the number of outputs."""
        if isinstance(self.positive_weight, tuple):
            check_length("positive_weight", self.positive_weight, n_outputs)
        return n_outputs

    def best_predictions(self, xp: Namespace, y: Array) -> Array:
        """Return y, or with a factor c y / (1 - y + c y), smoothed."""
        y = self._smoothed(y)
        return (
            y if self.positive_weight is None else self._factor(xp, y) * y / self._mass(xp, y)
        )

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute p = sigmoid(z)."""
        return sigmoid.f(xp, z)

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of softplus(z) - y z, without cancellation.

        For a confident correct prediction the linear part is 0.
        """
        y = self._smoothed(y)
        if self.positive_weight is not None:
            return self._weighted_value(xp, y, z)
        linear = xp.maximum(z, 0.0) - y * z
        return xp.mean(linear + xp.log1p(xp.exp(-xp.abs(z))), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute (sigmoid(z) - y) / n_L."""
        y = self._smoothed(y)
        if self.positive_weight is not None:
            return self._weighted_error(xp, y, z)
        return (sigmoid.f(xp, z) - y) / z.shape[1]

    def _weighted_value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of (1 - y) z + (1 - y + c y) softplus(-z)."""
        softplus = xp.maximum(-z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))  # of -z
        return xp.mean((1.0 - y) * z + self._mass(xp, y) * softplus, axis=1)

    def _weighted_error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute ((1 - y) sigmoid(z) - c y sigmoid(-z)) / n_L."""
        false = (1.0 - y) * sigmoid.f(xp, z)
        return (false - self._factor(xp, y) * y * sigmoid.f(xp, -z)) / z.shape[1]

    def _smoothed(self, y: Array) -> Array:
        return smoothed(y, self.label_smoothing, 2)

    def _factor(self, xp: Namespace, y: Array) -> Array | float:
        """Return c, (n_L,) if it differs by output."""
        c = self.positive_weight
        return constants(xp, c, y) if isinstance(c, tuple) else c or 1.0

    def _mass(self, xp: Namespace, y: Array) -> Array:
        """Compute 1 - y + c y."""
        return 1.0 - y + self._factor(xp, y) * y


class CategoricalCrossentropy(Loss):
    """l = -sum_k y_k ln p_k, with p = softmax(z): one of n_L classes.

    Targets are integer labels 0 ... n_L - 1, shape (m,), or rows of probabilities (one-hot
    or soft), shape (m, n_L).

    Parameters
    ----------
    label_smoothing : float, default 0.0
        ε of label smoothing (Szegedy et al. 2016, section 7), 0 <= ε < 1: the loss, in training
        and evaluation, is that of the targets y (1 - ε) + ε / n_L. Metrics see y itself.
    class_weights : sequence of float or None, default None
        A factor c_k >= 0 for each class, not all 0: l = -sum_k c_k y_k ln p_k, as `weight` in
        PyTorch with reduction="none". None is 1.

    Notes
    -----
    The mean over the examples is not divided by the class weights, as in Keras, so it is the
    same for batches of any classes, and metrics do not see them. Weights m / (n_L m_k), with
    m_k examples of class k ("balanced" in scikit-learn), keep the size of the loss. To have
    weights that are part of the mean, pass ``sample_weight=weights[y]``.
    """

    name = "categorical_crossentropy"
    targets = "labels"
    label_smoothing: float = 0.0  # in pickles of earlier versions
    class_weights: tuple[float, ...] | None = None

    def __init__(
        self, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
    ) -> None:
        self.label_smoothing = _check_smoothing(label_smoothing)
        self.class_weights = check_weights("class_weights", class_weights)

    def n_targets(self, n_outputs: int) -> int:
        """Return the number of classes."""
        check_length("class_weights", self.class_weights, n_outputs)
        return n_outputs

    def best_predictions(self, xp: Namespace, y: Array) -> Array:
        """Return y, smoothed, in proportion to the class weights."""
        y = self._weighted(xp, smoothed(y, self.label_smoothing, y.shape[-1]))
        return y if self.class_weights is None else y / xp.sum(y, axis=-1, keepdims=True)

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute p = softmax(z), shifted by the largest logit to avoid overflow."""
        e = xp.exp(z - xp.max(z, axis=1, keepdims=True))
        return e / xp.sum(e, axis=1, keepdims=True)

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute -sum_k y_k ln p_k, with ln p = z - logsumexp(z)."""
        z = self._shifted(xp, z)
        log_p = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
        return -xp.sum(self._encoded(xp, y, z) * log_p, axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute softmax(z) - y; with class weights, softmax(z) sum_k y_k - y."""
        y = self._encoded(xp, y, z)
        return self._of_all(xp, self.link(xp, z), y) - y

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Compute both from one exponential."""
        y, z = self._encoded(xp, y, z), self._shifted(xp, z)
        e = xp.exp(z)
        total = xp.sum(e, axis=1, keepdims=True)
        value = -xp.sum(y * (z - xp.log(total)), axis=1)
        return value, self._of_all(xp, e / total, y) - y

    def _encoded(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the one-hot encoded, smoothed targets, times the class weights."""
        return self._weighted(xp, smoothed(one_hot(xp, y, z), self.label_smoothing, z.shape[1]))

    def _weighted(self, xp: Namespace, y: Array) -> Array:
        weights = self.class_weights
        return y if weights is None else y * constants(xp, weights, y)

    def _of_all(self, xp: Namespace, p: Array, y: Array) -> Array:
        """Compute p sum_k y_k, where that sum may differ from 1."""
        return p if self.class_weights is None else p * xp.sum(y, axis=1, keepdims=True)

    @staticmethod
    def _shifted(xp: Namespace, z: Array) -> Array:
        """Compute z - max z, kept finite, as 0 times infinity would be NaN."""
        lowest = float(xp.finfo(z.dtype).min)
        return xp.maximum(z - xp.max(z, axis=1, keepdims=True), lowest)


def one_hot(xp: Namespace, y: Array, z: Array) -> Array:
    """One-hot encode integer labels (m,) like the logits z; 2-D targets are unchanged."""
    if y.ndim == 2:
        return y
    classes = xp.arange(z.shape[1], dtype=y.dtype, device=device(y))
    return xp.astype(y[:, None] == classes[None, :], z.dtype)


def smoothed(y: Array, epsilon: float, n_classes: int) -> Array:
    """Compute y (1 - ε) + ε / K, the label smoothing of probabilities of K classes."""
    return y * (1.0 - epsilon) + epsilon / n_classes if epsilon else y


def _check_smoothing(value: float) -> float:
    return check_number("label_smoothing", value, 0.0, 1.0, below=True)


def _check_positive(name: str, value: float) -> float:
    return check_number(name, value, 0.0, above=True)
