"""Frozen: a layer that is not trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import described
from bpnet.layers.base import Context, Layer

if TYPE_CHECKING:
    from numpy.random import Generator


class Frozen(Layer):
    """A layer whose parameters are not trained, for transfer learning.

    It computes in training what it computes in prediction: Dropout in it is inactive, and a
    BatchNorm uses its running statistics and leaves them as they are. Its penalties, which
    would be constant, are left out of the loss. There are no gradients and no optimizer state
    of its parameters, which keep names and shapes. Errors pass through it to layers before.

    Parameters
    ----------
    layer : Layer
        The layer.

    Raises
    ------
    TypeError
        If `layer` is not a layer.

    References
    ----------
    Yosinski, Clune, Bengio and Lipson, "How transferable are features in deep neural
    networks?", NeurIPS 2014, section 2.

    Examples
    --------
    Keep all layers of a trained network but the last, and train a new last one for 3 classes.
    For a network in a file, start from ``trained = bpnet.load(path)``:

    >>> import bpnet
    >>> X, y = bpnet.datasets.make_spiral(100, seed=0)
    >>> trained = bpnet.Network([bpnet.Dense(16, "tanh"), bpnet.Dense(1)],
    ...                         "binary_crossentropy", seed=0)
    >>> history = trained.fit(X, y, epochs=2)
    >>> body = [bpnet.Frozen(layer) for layer in trained.layers[:-1]]
    >>> net = bpnet.Network([*body, bpnet.Dense(3)], "categorical_crossentropy", seed=0)
    >>> net = net.build(trained.n_inputs)
    >>> net.parameters = [*trained.parameters[:-1], net.parameters[-1]]
    >>> history = net.fit(*bpnet.datasets.make_spiral(100, classes=3, seed=1), epochs=2)
    >>> bool((net.parameters[0]["W"] == trained.parameters[0]["W"]).all())
    True
    """

    def __init__(self, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(
                f"layer must be a bpnet layer such as bpnet.Dense(8); got {described(layer)}"
            )
        self.layer = layer

    def n_outputs(self, n_inputs: int) -> int:
        """Return the width of the layer's output."""
        return self.layer.n_outputs(n_inputs)

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the layer's parameters."""
        return self.layer.parameter_shapes(n_inputs)

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Draw the layer's parameters."""
        return self.layer.initial_parameters(rng, n_inputs)

    def is_trained(self, name: str) -> bool:
        """Return False: no parameter is trained."""
        return False

    def factors(self, name: str) -> tuple[float, float]:
        """Return 0 for the learning rate and the weight decay."""
        return 0.0, 0.0

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Compute what the layer computes in prediction."""
        return self.layer.forward(xp, parameters, a_previous, Context())

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Compute the error of the previous layer, and no gradients."""
        if not propagate:
            return None, {}
        previous, _ = self.layer.backward(xp, parameters, cache, error)
        return previous, {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.layer!r})"
