"""Layers: the forward pass of activations and the backward pass of errors.

The layer interface
-------------------
A layer is a frozen :class:`bpnet.common.component.Component` and holds no arrays. Its
parameters are a dict of arrays that the caller keeps and passes in, so that a training step
stays a pure function.

``n_outputs(n_inputs)``
    the width of the output; raises if the width of the input does not fit;
``initial_parameters(rng, n_inputs)``
    the initial parameters as NumPy arrays in float64, {} if there are none;
``parameter_shapes(n_inputs)``
    their shapes, by default those of `initial_parameters`;
``forward(xp, parameters, a_previous, context)``
    returns ``(a, cache)``: the activations (m, n_out), and what the backward pass needs;
``backward(xp, parameters, cache, error, propagate)``
    takes ``error = dL/da`` (m, n_out) and returns ``(dL/da_previous, gradients)``, with
    gradients in the structure of the parameters; dL/da_previous may be None if `propagate`
    is false;
``penalty(xp, parameters)`` and ``penalty_gradients(xp, parameters)``
    the regularization term of the loss, or None, and its gradients, or {}.

All computations use Array API operations of the namespace `xp`, preserve dtype and device, and
do not modify their inputs. What a layer of your own returns is checked.

An attribute that is a :class:`bpnet.schedules.Schedule` changes during training: its value in
the current step is ``context.values[name]``, a 0-d array.
"""

from __future__ import annotations

import functools
import operator
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from bpnet import activations, initializers
from bpnet.activations import Activation
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import check_integer, check_number
from bpnet.common.component import Component, attributes
from bpnet.errors import ComponentError
from bpnet.random import generator, uniform_bits
from bpnet.schedules import Schedule

if TYPE_CHECKING:
    from numpy.random import Generator

    from bpnet.initializers import Initializer


class Context(NamedTuple):
    """What a layer knows about the current pass.

    Attributes
    ----------
    key : int or 0-d array of int64
        32-bit key of this layer's random masks.
    step : 0-d integer array or None
        Training step; None outside of training, where layers such as dropout do nothing.
    values : mapping of str to 0-d array
        The current values of the layer's schedules, by attribute; empty outside of training.
    """

    key: Array = 0
    step: Array | None = None
    values: Mapping[str, Array] = {}


class Layer(Component):
    """The interface above as a base class; the defaults suit a layer without parameters."""

    kind = "layers"

    def n_outputs(self, n_inputs: int) -> int:
        """Return the width of the output."""
        return n_inputs

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Draw the initial parameters on the host."""
        return {}

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order; {} if there are none.

        Saving, loading, memory estimates and the summary use them. By default the parameters
        are drawn to see their shapes; a layer with many should override this.
        """
        drawn = self.initial_parameters(generator(0, "weights"), n_inputs)
        return {name: initializers.shape_of(values) for name, values in drawn.items()}

    def schedules(self) -> dict[str, Schedule]:
        """Return the attributes that are schedules, by name."""
        return {n: s for n, s in attributes(self).items() if isinstance(s, Schedule)}

    def check_value(self, name: str, value: float) -> float:
        """Return a value of the schedule `name`, or raise ValueError if it is out of range."""
        return check_number(name, value, 0.0)

    @abstractmethod
    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Return the activations and the cache."""

    @abstractmethod
    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Return the error of the previous layer and the gradients of the parameters."""

    def penalty(self, xp: Namespace, parameters: LayerParameters) -> Array | None:
        """Return the regularization term of the loss, a 0-d array, or None."""
        return None

    def penalty_gradients(self, xp: Namespace, parameters: LayerParameters) -> LayerParameters:
        """Return the gradients of the penalty, for the penalized parameters only."""
        return {}


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
        uses the activation's default: He-normal for relu, leaky_relu, elu, gelu, softplus and
        silu; LeCun-normal for selu; Glorot-uniform for identity, sigmoid, tanh, softsign
        and hard_sigmoid.
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


class Dropout(Layer):
    """Inverted dropout: in training, set each activation to 0 with probability `rate`.

    The others are divided by 1 - rate, which preserves the expectation, so that prediction
    needs no rescaling. Srivastava et al., "Dropout: a simple way to prevent neural networks
    from overfitting", JMLR 15 (2014), section 10.

    The mask is hashed from the network's seed, the layer, the training step and the position
    in the batch (:func:`bpnet.random.uniform_bits`), so it is the same on every backend.

    Parameters
    ----------
    rate : float or Schedule
        Fraction of activations to drop; 0 <= rate < 1. A schedule from :mod:`bpnet.schedules`
        changes it during training, at any time to its current value.

    Examples
    --------
    >>> from bpnet import Dropout
    >>> Dropout(0.5)
    Dropout(0.5)
    """

    def __init__(self, rate: float | Schedule) -> None:
        self.rate = rate if isinstance(rate, Schedule) else self.check_value("rate", rate)

    def check_value(self, name: str, value: float) -> float:
        """Return a rate, which must be >= 0 and < 1."""
        return check_number(name, value, 0.0, 1.0, below=True)

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Multiply by a mask of 0 and 1 / (1 - rate) in training; do nothing otherwise."""
        if context.step is None or self.rate == 0.0:
            return a_previous, None
        bits = uniform_bits(xp, a_previous.shape, context.key, context.step)
        if isinstance(self.rate, Schedule):
            if "rate" not in context.values:
                raise ComponentError(
                    f"{self!r} needs context.values['rate'], the value of its schedule; a "
                    f"layer that contains it must return that from its own schedules(), and "
                    f"pass on its context"
                )
            rate = context.values["rate"]
            limit = xp.astype(xp.round(rate * 2.0**32), xp.int64)
        else:
            rate, limit = self.rate, round(self.rate * 2**32)
        mask = xp.astype(bits >= limit, a_previous.dtype) * (1.0 / (1.0 - rate))
        return a_previous * mask, mask

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Multiply the error by the same mask."""
        return error if cache is None else error * cache, {}

    def __repr__(self) -> str:
        return (
            f"Dropout({self.rate:g})"
            if isinstance(self.rate, float)
            else f"Dropout({self.rate!r})"
        )
