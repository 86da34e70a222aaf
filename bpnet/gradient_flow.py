"""How large the gradients are, layer by layer, while a network trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpnet._checks import check_integer
from bpnet._placement import bring_all
from bpnet._typing import Array, Namespace, Parameters
from bpnet.backprop import Model, loss_and_gradients
from bpnet.callbacks import Callback

if TYPE_CHECKING:
    from bpnet.training import Training


class GradientFlow(Callback):
    """Record the gradient norm of each layer's weights at the end of each epoch.

    The history gets ``"gradient_norm/1"`` for the first layer with weights, and so on: the
    2-norm of dL/dW on a fixed sample of the training data. Where the first layers' norms
    are many times smaller than the last's, gradients vanish (Hochreiter 1991; Glorot and
    Bengio 2010).

    Parameters
    ----------
    rows : int, default 256
        Size of the sample, which bounds the cost.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(50)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> history = net.fit(X, y, epochs=2, callbacks=[bpnet.GradientFlow()])
    >>> sorted(history)
    ['gradient_norm/1', 'gradient_norm/2', 'learning_rate', 'loss']
    """

    def __init__(self, rows: int = 256) -> None:
        self.rows = check_integer("rows", rows, 1)
        self._sample: Any = None

    def on_train_begin(self, training: Training) -> None:
        """Put the sample on the device."""
        self._sample = bring_all(training.sample(self.rows), training.backend)

    def on_epoch_end(self, training: Training) -> None:
        """Measure, and read all norms at once."""
        compute = training.network.compiled(training.backend, gradient_norms)
        norms = training.backend.to_numpy(compute(training.parameters, *self._sample))
        for number, norm in enumerate(norms.tolist(), start=1):
            training.logs[f"gradient_norm/{number}"] = norm

    def on_train_end(self, training: Training) -> None:
        """Free the sample."""
        self._sample = None


def gradient_norms(
    xp: Namespace, model: Model, parameters: Parameters, X: Array, y: Array, w: Array | None
) -> Array:
    """Compute the 2-norm of dL/dW of each layer that has weights, as one 1-D array."""
    _, gradients = loss_and_gradients(xp, model, parameters, X, y, w)
    return xp.stack(
        [xp.sqrt(xp.sum(layer["W"] * layer["W"])) for layer in gradients if "W" in layer]
    )
