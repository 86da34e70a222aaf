"""Cross-entropy: classes and independent labels."""

from __future__ import annotations

from bpnet.activations import sigmoid
from bpnet.backend.compat import device
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number
from bpnet.losses.base import Loss


class BinaryCrossentropy(Loss):
    """l = mean over outputs of -y ln p - (1 - y) ln(1 - p), with p = sigmoid(z).

    In logits, ``softplus(z) - y z``. Targets are 0, 1 or a probability; several outputs are
    independent labels (multi-label classification).

    Parameters
    ----------
    label_smoothing : float, default 0.0
        ε of label smoothing (Szegedy et al. 2016, section 7), 0 <= ε < 1: the loss, in training
        and evaluation, is that of the targets y (1 - ε) + ε / 2. Metrics see y itself.
    """

    name = "binary_crossentropy"
    targets = "probabilities"
    label_smoothing: float = 0.0  # in pickles of earlier versions

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = _check_smoothing(label_smoothing)

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute p = sigmoid(z)."""
        return sigmoid.f(xp, z)

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute the mean over outputs of softplus(z) - y z, without cancellation.

        For a confident correct prediction the linear part is 0.
        """
        y = self._smoothed(y)
        linear = xp.maximum(z, 0.0) - y * z
        return xp.mean(linear + xp.log1p(xp.exp(-xp.abs(z))), axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute (sigmoid(z) - y) / n_L."""
        y = self._smoothed(y)
        return (sigmoid.f(xp, z) - y) / z.shape[1]

    def _smoothed(self, y: Array) -> Array:
        return smoothed(y, self.label_smoothing, 2)


class CategoricalCrossentropy(Loss):
    """l = -sum_k y_k ln p_k, with p = softmax(z): one of n_L classes.

    Targets are integer labels 0 ... n_L - 1, shape (m,), or rows of probabilities (one-hot
    or soft), shape (m, n_L).

    Parameters
    ----------
    label_smoothing : float, default 0.0
        ε of label smoothing (Szegedy et al. 2016, section 7), 0 <= ε < 1: the loss, in training
        and evaluation, is that of the targets y (1 - ε) + ε / n_L. Metrics see y itself.
    """

    name = "categorical_crossentropy"
    targets = "labels"
    label_smoothing: float = 0.0  # in pickles of earlier versions

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = _check_smoothing(label_smoothing)

    def link(self, xp: Namespace, z: Array) -> Array:
        """Compute p = softmax(z), shifted by the largest logit to avoid overflow."""
        e = xp.exp(z - xp.max(z, axis=1, keepdims=True))
        return e / xp.sum(e, axis=1, keepdims=True)

    def value(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute -sum_k y_k ln p_k, with ln p = z - logsumexp(z)."""
        z = self._shifted(xp, z)
        log_p = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
        return -xp.sum(self._smoothed(xp, y, z) * log_p, axis=1)

    def error(self, xp: Namespace, y: Array, z: Array) -> Array:
        """Compute softmax(z) - y."""
        return self.link(xp, z) - self._smoothed(xp, y, z)

    def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Array, Array]:
        """Compute both from one exponential."""
        y, z = self._smoothed(xp, y, z), self._shifted(xp, z)
        e = xp.exp(z)
        total = xp.sum(e, axis=1, keepdims=True)
        return -xp.sum(y * (z - xp.log(total)), axis=1), e / total - y

    def _smoothed(self, xp: Namespace, y: Array, z: Array) -> Array:
        return smoothed(one_hot(xp, y, z), self.label_smoothing, z.shape[1])

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
