"""LayerNorm: each example normalized over its units."""

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


class LayerNorm(Layer):
    r"""Layer normalization: each example gets mean 0 and variance 1 over its units.

    With the mean mu and the biased variance v of each row of a_{l-1},

    .. math::
        n_l &= \frac{a_{l-1} - \mu}{\sqrt{v + \epsilon}}, \quad
        a_l = \gamma_l \odot n_l + \beta_l \\
        d\gamma_l &= \sum_{rows} \frac{\partial L}{\partial a_l} \odot n_l, \quad
        d\beta_l = \sum_{rows} \frac{\partial L}{\partial a_l}, \quad
        g = \frac{\partial L}{\partial a_l} \odot \gamma_l \\
        \frac{\partial L}{\partial a_{l-1}} &= \frac{1}{\sqrt{v + \epsilon}} \odot
            (g - \mathrm{mean}(g) - n_l \odot \mathrm{mean}(g \odot n_l))

    Shapes: a_{l-1}, n_l, a_l and g (m, n), mu, v and the means (m, 1), gamma_l and beta_l (n,),
    initially 1 and 0. The same in training and prediction, and independent of the other rows.

    Parameters
    ----------
    epsilon : float, default 1e-5
        Number > 0 added to the variance.
    learning_rate_factors, weight_decay_factors : dict of str to float or None, default None
        Factors >= 0 of the optimizer's learning rate and weight decay, by parameter: "gamma",
        "beta".

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or of the wrong type.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", 2016, equation 3.

    Examples
    --------
    >>> from bpnet import LayerNorm
    >>> LayerNorm().parameter_shapes(64)
    {'gamma': (64,), 'beta': (64,)}
    """

    bias_names = ("beta",)

    def __init__(
        self,
        epsilon: float = 1e-5,
        *,
        learning_rate_factors: Mapping[str, float] | None = None,
        weight_decay_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.epsilon = check_number("epsilon", epsilon, 0.0, above=True)
        names = ("gamma", "beta")
        self._set_factors(names, learning_rate_factors, weight_decay_factors)

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of gamma and beta (n_inputs,)."""
        return {"gamma": (n_inputs,), "beta": (n_inputs,)}

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Return gamma (n_inputs,), filled with 1, and beta (n_inputs,), filled with 0."""
        return {
            "gamma": Constant(1.0)(rng, 1, n_inputs)[0],
            "beta": Constant(0.0)(rng, 1, n_inputs)[0],
        }

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Compute n, and a = gamma n + beta."""
        normal, scale, _, _ = normalized(xp, a_previous, 1, self.epsilon)
        return parameters["gamma"] * normal + parameters["beta"], (normal, scale)

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Compute dgamma, dbeta and the error of the previous layer."""
        normal, scale = cache
        gradients = {"gamma": xp.sum(error * normal, axis=0), "beta": xp.sum(error, axis=0)}
        if not propagate:
            return None, gradients
        return error_before(xp, normal, scale, error * parameters["gamma"], 1), gradients

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.epsilon:g})"
