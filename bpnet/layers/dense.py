"""The fully connected layer: the equations of backpropagation."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from bpnet import activations, initializers
from bpnet.activations import Activation
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import check_choice, check_integer, check_number
from bpnet.common.component import label
from bpnet.layers.base import Context, Layer

if TYPE_CHECKING:
    from numpy.random import Generator

    from bpnet.initializers import Initializer


class Dense(Layer):
    r"""A fully connected layer: the four equations of backpropagation.

    .. math::
        z_l &= a_{l-1} W_l + b_l, \quad a_l = f_l(z_l) \\
        \delta_l &= \frac{\partial L}{\partial a_l} \odot f_l'(z_l) \\
        dW_l &= a_{l-1}^T \delta_l, \quad db_l = \sum_{rows} \delta_l \\
        \frac{\partial L}{\partial a_{l-1}} &= \delta_l W_l^T

    Shapes: a_{l-1} (m, n_{l-1}), W_l (n_{l-1}, n_l), b_l (n_l,), z_l, a_l and delta_l (m, n_l).

    In the neural tangent parametrization ("ntk"), W_l / sqrt(n_{l-1}) takes the place of W_l:

    .. math::
        z_l &= \frac{a_{l-1} W_l}{\sqrt{n_{l-1}}} + b_l, \quad
        dW_l = \frac{a_{l-1}^T \delta_l}{\sqrt{n_{l-1}}}, \quad
        \frac{\partial L}{\partial a_{l-1}} = \frac{\delta_l W_l^T}{\sqrt{n_{l-1}}}

    so that the weights are of order 1 in layers of any width.

    Parameters
    ----------
    units : int
        Number of units n_l, >= 1.
    activation : str or Activation, default "identity"
        A name from :mod:`bpnet.activations`, or an instance such as ``LeakyReLU(0.2)``.
    init : str or callable or None, default None
        A name from :mod:`bpnet.initializers`, or a function ``(rng, n_in, n_out)``. None
        uses the activation's default: He-normal for relu, leaky_relu, elu, gelu, softplus,
        silu and mish; LeCun-normal for selu; Glorot-uniform for identity, sigmoid, tanh,
        softsign and hard_sigmoid. With "ntk" it is standard normal for every activation.
    bias_init : str or callable, default "zeros"
        The same for the biases, which are drawn as weights (1, n_l).
    l1, l2 : float, default 0.0
        Strengths of the penalty ``l1 * sum(abs(W)) + l2 / 2 * sum(W^2)`` added to the loss.
        Biases are not penalized.
    parametrization : {"standard", "ntk"}, default "standard"
        How the weights enter z, as above.
    learning_rate_factors, weight_decay_factors : dict of str to float or None, default None
        Factors >= 0 of the optimizer's learning rate and weight decay, by parameter: "W", "b".
        None is 1 for both.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or of the wrong type.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
    Nature 323 (1986), 533-536.

    Jacot, Gabriel and Hongler, "Neural tangent kernel: convergence and generalization in neural
    networks", NeurIPS 2018, section 2; Lee et al., "Wide neural networks of any depth evolve as
    linear models under gradient descent", NeurIPS 2019, equation 1.

    Examples
    --------
    >>> from bpnet import Dense
    >>> Dense(64, "tanh").activation.name
    'tanh'
    """

    def __init__(
        self,
        units: int,
        activation: str | Activation = "identity",
        *,
        init: str | Initializer | None = None,
        bias_init: str | Initializer = "zeros",
        l1: float = 0.0,
        l2: float = 0.0,
        parametrization: str = "standard",
        learning_rate_factors: Mapping[str, float] | None = None,
        weight_decay_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.units = check_integer("units", units, 1)
        self.activation = activations.get(activation)
        self.parametrization = check_choice(
            "parametrization", parametrization, ("standard", "ntk")
        )
        self.init = self._default_init if init is None else initializers.get(init)
        self.bias_init = initializers.get(bias_init, "bias_init")
        self.l1 = check_number("l1", l1, 0.0)
        self.l2 = check_number("l2", l2, 0.0)
        names = ("W", "b")
        self._set_factors(names, learning_rate_factors, weight_decay_factors)

    @property
    def _default_init(self) -> Initializer:
        is_ntk = self.parametrization == "ntk"
        return initializers.get("standard_normal" if is_ntk else self.activation.default_init)

    @property
    def keeps_z(self) -> bool:
        """Whether the cache is as :meth:`Dense.forward` returns it: what W multiplies, z, a."""
        return type(self).forward is Dense.forward

    def n_outputs(self, n_inputs: int) -> int:
        """Return the number of units."""
        return self.units

    def replace(self, **changes: Any) -> Self:
        """Return a layer that differs in these arguments.

        If the weights are initialized by the default of the activation and parametrization,
        they still are by that of others.
        """
        is_default = self.init == self._default_init
        if is_default and changes.keys() & {"activation", "parametrization"}:
            changes = {"init": None} | changes
        return super().replace(**changes)

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of W (n_inputs, units) and b (units,)."""
        return {"W": (n_inputs, self.units), "b": (self.units,)}

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Draw W (n_inputs, units) and b (units,)."""
        return {
            "W": initializers.draw("init", self.init, rng, n_inputs, self.units),
            "b": initializers.draw("bias_init", self.bias_init, rng, 1, self.units)[0],
        }

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Compute z = a_previous W + b and a = f(z)."""
        a_previous = self._scaled(a_previous)
        z = xp.matmul(a_previous, parameters["W"])
        z += parameters["b"]
        a = self.activation.f(xp, z)
        return a, (a_previous, z, a)

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Compute delta, then dW, db and the error of the previous layer."""
        a_previous, z, a = cache
        delta = self.delta(xp, z, a, error)
        gradients = {"W": xp.matmul(a_previous.T, delta), "b": xp.sum(delta, axis=0)}
        if not propagate:
            return None, gradients
        return self._scaled(xp.matmul(delta, parameters["W"].T)), gradients

    def _scaled(self, a: Array) -> Array:
        """Return a (m, n_in), with "ntk" divided by sqrt(n_in)."""
        return a * (1.0 / math.sqrt(a.shape[1])) if self.parametrization == "ntk" else a

    def delta(self, xp: Namespace, z: Array, a: Array, error: Array) -> Array:
        """Compute delta = error * f'(z), the error itself for a linear layer."""
        if isinstance(self.activation, activations.Identity):
            return error
        return error * self.activation.df(xp, z, a)

    def penalty(self, xp: Namespace, parameters: LayerParameters) -> Array | None:
        """Compute l1 sum(abs(W)) + l2/2 sum(W^2)."""
        W, parts = parameters["W"], []
        if self.l1:
            parts.append(self.l1 * xp.sum(xp.abs(W)))
        if self.l2:
            parts.append(0.5 * self.l2 * xp.sum(W * W))
        return functools.reduce(operator.add, parts) if parts else None

    def penalty_gradients(self, xp: Namespace, parameters: LayerParameters) -> LayerParameters:
        """Compute l1 sign(W) + l2 W; the slope of abs at 0 is taken as 0."""
        W, parts = parameters["W"], []
        if self.l1:
            parts.append(self.l1 * xp.sign(W))
        if self.l2:
            parts.append(self.l2 * W)
        return {"W": functools.reduce(operator.add, parts)} if parts else {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.units}, {label(self.activation)!r})"
