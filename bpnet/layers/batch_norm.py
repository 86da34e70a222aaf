"""BatchNorm: each unit normalized over the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import check_number
from bpnet.initializers import Constant
from bpnet.layers.base import Context, Layer
from bpnet.layers.normalization import error_before, normalized

if TYPE_CHECKING:
    from numpy.random import Generator

_STATISTICS = ("mean", "variance")


class BatchNorm(Layer):
    r"""Batch normalization: in training, each unit gets mean 0 and variance 1 over the batch.

    With the mean mu and the biased variance v of each column of a_{l-1},

    .. math::
        n_l &= \frac{a_{l-1} - \mu}{\sqrt{v + \epsilon}}, \quad
        a_l = \gamma_l \odot n_l + \beta_l \\
        d\gamma_l &= \sum_{rows} \frac{\partial L}{\partial a_l} \odot n_l, \quad
        d\beta_l = \sum_{rows} \frac{\partial L}{\partial a_l}, \quad
        g = \frac{\partial L}{\partial a_l} \odot \gamma_l \\
        \frac{\partial L}{\partial a_{l-1}} &= \frac{1}{\sqrt{v + \epsilon}} \odot
            (g - \mathrm{mean}(g) - n_l \odot \mathrm{mean}(g \odot n_l))

    Each step of training moves the running statistics, which are not trained by gradients,
    towards those of its batch of m rows:

    .. math::
        \bar\mu &\leftarrow \alpha \bar\mu + (1 - \alpha) \mu, \quad
        \bar v \leftarrow \alpha \bar v + (1 - \alpha) \frac{m}{m - 1} v

    with the momentum alpha. Outside of training they take the place of mu and v, and the error
    of the previous layer is :math:`g / \sqrt{\bar v + \epsilon}`.

    Shapes: a_{l-1}, n_l, a_l and g (m, n); gamma_l and beta_l, the running mean and variance
    (n,), initially 1, 0, 0 and 1: the parameters "gamma", "beta", "mean", "variance".

    Parameters
    ----------
    momentum : float, default 0.9
        The share 0 <= momentum < 1 of the running statistics that a step keeps, as in Keras;
        PyTorch's `momentum` is 1 - momentum.
    epsilon : float, default 1e-5
        Number > 0 added to the variance.
    learning_rate_factors, weight_decay_factors : dict of str to float or None, default None
        Factors >= 0 of the optimizer's learning rate and weight decay, by parameter: "gamma",
        "beta".

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or of the wrong type.

    Notes
    -----
    A single row has no variance. A training batch of one row, such as the last of an epoch, is
    therefore normalized by the running statistics, which it leaves as they are. (PyTorch raises
    an error; Keras returns beta for any such row.)

    If several processes share a batch (:mod:`bpnet.distributed`), each normalizes its part by
    the mean and variance of that part, as PyTorch's DistributedDataParallel does by default.
    The running statistics are means of those of the processes, weighted by their numbers of
    rows, so that they are the same in all.

    As in PyTorch, the running variance is that of unbiased estimates (the paper's algorithm 2);
    Keras' is that of the biased ones. Sample weights do not enter the statistics.

    The mean takes out the bias of a linear layer directly before, whose gradient is therefore
    rounding noise around 0. That bias changes no output, but differs between backends, which
    :func:`bpnet.parity` shows, most of all with Adam, whose steps do not depend on its size.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", ICML 2015, algorithms 1 and 2.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_spiral(100, seed=0)
    >>> layers = [bpnet.Dense(8), bpnet.BatchNorm(), bpnet.ParametricActivation("relu")]
    >>> net = bpnet.Network([*layers, bpnet.Dense(1)], "binary_crossentropy", seed=0)
    >>> history = net.fit(X, y, epochs=2)
    >>> list(net.parameters[1])
    ['gamma', 'beta', 'mean', 'variance']
    """

    bias_names = ("beta",)

    def __init__(
        self,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        *,
        learning_rate_factors: Mapping[str, float] | None = None,
        weight_decay_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.momentum = check_number("momentum", momentum, 0.0, 1.0, below=True)
        self.epsilon = check_number("epsilon", epsilon, 0.0, above=True)
        names = ("gamma", "beta")
        self._set_factors(names, learning_rate_factors, weight_decay_factors)

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of gamma, beta, mean and variance (n_inputs,)."""
        return dict.fromkeys(("gamma", "beta", *_STATISTICS), (n_inputs,))

    def is_trained(self, name: str) -> bool:
        """Return whether a parameter is trained by gradients: gamma and beta are."""
        return name not in _STATISTICS

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Return gamma and variance, filled with 1, and beta and mean, filled with 0."""
        start = {"gamma": 1.0, "beta": 0.0, "mean": 0.0, "variance": 1.0}
        return {name: Constant(x)(rng, 1, n_inputs)[0] for name, x in start.items()}

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Compute n, with the batch's or the running statistics, and a = gamma n + beta."""
        if context.step is None or a_previous.shape[0] == 1:
            statistics, scale = None, 1.0 / xp.sqrt(parameters["variance"] + self.epsilon)
            normal = (a_previous - parameters["mean"]) * scale
        else:
            normal, scale, *statistics = normalized(xp, a_previous, 0, self.epsilon)
        return parameters["gamma"] * normal + parameters["beta"], (normal, scale, statistics)

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Compute dgamma, dbeta and the error of the previous layer."""
        normal, scale, statistics = cache
        gradients = {"gamma": xp.sum(error * normal, axis=0), "beta": xp.sum(error, axis=0)}
        if not propagate:
            return None, gradients
        g = error * parameters["gamma"]
        if statistics is None:
            return g * scale, gradients
        return error_before(xp, normal, scale, g, 0), gradients

    def updated(
        self, xp: Namespace, parameters: LayerParameters, cache: Any
    ) -> LayerParameters:
        """Compute the running mean and variance after a step."""
        normal, _, statistics = cache
        if statistics is None:
            return {}
        m, (mean, variance) = normal.shape[0], statistics
        of_batch = {"mean": mean[0, :], "variance": variance[0, :] * (m / (m - 1.0))}
        return {
            name: self.momentum * parameters[name] + (1.0 - self.momentum) * of_batch[name]
            for name in _STATISTICS
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.momentum:g}, {self.epsilon:g})"
