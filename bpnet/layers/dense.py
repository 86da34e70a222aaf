"""The fully connected layer: the equations of backpropagation."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, Self

from bpnet import activations, initializers
from bpnet.activations import Activation
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import check_integer, check_number
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
        softsign and hard_sigmoid.
    bias_init : str or callable, default "zeros"
        The same for the biases, which are drawn as weights (1, n_l).
    l1, l2 : float, default 0.0
        Strengths of the penalty ``l1 * sum(abs(W)) + l2 / 2 * sum(W^2)`` added to the loss.
        Biases are not penalized.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or of the wrong type.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
    Nature 323 (1986), 533-536.

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
    ) -> None:
        self.units = check_integer("units", units, 1)
        self.activation = activations.get(activation)
        self.init = initializers.get(self.activation.default_init if init is None else init)
        self.bias_init = initializers.get(bias_init, "bias_init")
        self.l1 = check_number("l1", l1, 0.0)
        self.l2 = check_number("l2", l2, 0.0)

    @property
    def keeps_z(self) -> bool:
        """Whether the cache is (a_previous, z, a), as :meth:`Dense.forward` returns it."""
        return type(self).forward is Dense.forward

    def n_outputs(self, n_inputs: int) -> int:
        """Return the number of units."""
        return self.units

    def replace(self, **changes: Any) -> Self:
        """Return a layer that differs in these arguments.

        If the weights are initialized by the default of the activation, they still are by that
        of another activation.
        """
        is_default = self.init == initializers.get(self.activation.default_init)
        if is_default and "activation" in changes:
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
        return xp.matmul(delta, parameters["W"].T) if propagate else None, gradients

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
        return f"Dense({self.units}, {self.activation.name!r})"
