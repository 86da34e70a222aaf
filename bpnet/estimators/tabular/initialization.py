"""Initial weights and biases that depend on the training examples.

As in RealMLP (Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs
and boosted trees on tabular data", NeurIPS 2024, section 3 and appendix A): layer by layer, and
without dropout, each unit's weights are divided by the standard deviation of its
pre-activations over the examples. Its bias is minus a random convex combination of the
pre-activations of five of them ("he+5", after Steinwart, "A sober look at neural network
initializations", 2019), so that the kinks of the activations lie where the examples are.
"""

from __future__ import annotations

from typing import Any

from bpnet import backprop
from bpnet.backend import get_backend
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.layers import Context, Dense, Layer
from bpnet.network import Network
from bpnet.random import generator

# Examples in a convex combination.
CORNERS = 5
# So many examples estimate a standard deviation to about 1 %.
ROWS = 8192


def adapt_to_examples(network: Network, X: Any) -> None:
    """Set the weights and biases of all dense layers by what their inputs are.

    They are computed on the host, and so are the same on every backend.

    Parameters
    ----------
    network : Network
        A network that is built, whose weights are drawn from N(0, 1).
    X : array (m, n)
        Inputs of the training examples, in a random order, on the host. The first 8,192 count.
    """
    backend = get_backend("numpy")
    parameters = network.placement.moved(backend).parameters
    layers = tuple(
        _Adapting(layer, network.seed, number) if isinstance(layer, Dense) else _Passing(layer)
        for number, layer in enumerate(network.layers)
    )
    model = network.spec._replace(layers=layers)
    _, adapted = backprop.forward(backend.xp, model, parameters, X[:ROWS])
    network.parameters = [layer for layer in adapted if layer]


class _Passing(Layer):
    """A layer whose cache is its parameters, as there is no backward pass."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        return self.layer.forward(xp, parameters, a_previous, context)[0], parameters

    def backward(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


class _Adapting(_Passing):
    """A dense layer that adapts its parameters to its input before it passes it on."""

    def __init__(self, layer: Dense, seed: int, number: int) -> None:
        super().__init__(layer)
        self.seed, self.number = seed, number

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        unbiased = parameters | {"b": xp.zeros_like(parameters["b"])}
        z = self.layer.forward(xp, unbiased, a_previous, context)[1][1]
        rng = generator(self.seed, "weights", self.number, 1)
        adapted = adapted_to(xp, z, parameters["W"], rng)
        return super().forward(xp, adapted, a_previous, context)


def adapted_to(xp: Namespace, z: Array, W: Array, rng: Any) -> LayerParameters:
    """Return weights and biases for pre-activations without bias, z = a_previous W.

    Parameters
    ----------
    xp : namespace
        NumPy's, as `rng` draws on the host.
    z : array (m, n)
        The pre-activations of the examples.
    W : array (n_previous, n)
        The weights.
    rng : numpy.random.Generator
        Chooses and weighs the examples.

    Returns
    -------
    dict
        "W", divided by the standard deviations of the units, where these are > 0, and "b".
    """
    z = xp.astype(z, xp.float64)
    deviations = xp.std(z, axis=0)
    factors = 1.0 / xp.where(deviations > 0.0, deviations, xp.ones_like(deviations))
    m, n = z.shape
    chosen = xp.asarray(rng.integers(0, m, (n, CORNERS)))
    places = chosen * n + xp.arange(n)[:, None]
    corners = xp.reshape(xp.take(xp.reshape(z, (-1,)), xp.reshape(places, (-1,))), (n, CORNERS))
    shares = xp.asarray(rng.dirichlet([1.0] * CORNERS, n))
    b = -factors * xp.sum(corners * shares, axis=1)
    return {"W": xp.astype(W * factors, W.dtype), "b": xp.astype(b, W.dtype)}
