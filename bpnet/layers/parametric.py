"""A parametric activation: a learned mixture of an activation and the identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bpnet import activations
from bpnet.activations import Activation
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.component import label
from bpnet.initializers import Constant
from bpnet.layers.base import Context, Layer

if TYPE_CHECKING:
    from numpy.random import Generator


class ParametricActivation(Layer):
    r"""A learned mixture of an activation and the identity, one for each unit.

    .. math::
        a_l &= z_l + \alpha_l \odot (f(z_l) - z_l) \\
        d\alpha_l &= \sum_{rows} \frac{\partial L}{\partial a_l} \odot (f(z_l) - z_l) \\
        \frac{\partial L}{\partial z_l} &= \frac{\partial L}{\partial a_l}
            \odot (1 + \alpha_l \odot (f'(z_l) - 1))

    Shapes: z_l and a_l (m, n), alpha_l (n,), initially 1: the activation itself. z_l is the
    output of the layer before, such as a linear Dense. With relu it is PReLU with the slopes
    1 - alpha_l on the left (He et al., "Delving deep into rectifiers", ICCV 2015, equation 1).

    Parameters
    ----------
    activation : str or Activation
        The function f: a name from :mod:`bpnet.activations`, or an instance.
    learning_rate_factors, weight_decay_factors : dict of str to float or None, default None
        Factors >= 0 of the optimizer's learning rate and weight decay, by parameter: "alpha".

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or of the wrong type.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted
    trees on tabular data", NeurIPS 2024, section 3.

    Examples
    --------
    >>> from bpnet import ParametricActivation
    >>> ParametricActivation("selu").parameter_shapes(64)
    {'alpha': (64,)}
    """

    def __init__(
        self,
        activation: str | Activation,
        *,
        learning_rate_factors: Mapping[str, float] | None = None,
        weight_decay_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.activation = activations.get(activation)
        self._set_factors(("alpha",), learning_rate_factors, weight_decay_factors)

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of alpha (n_inputs,)."""
        return {"alpha": (n_inputs,)}

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Return alpha (n_inputs,), filled with 1."""
        return {"alpha": Constant(1.0)(rng, 1, n_inputs)[0]}

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Compute a = z + alpha (f(z) - z), where z is a_previous."""
        f = self.activation.f(xp, a_previous)
        bend = f - a_previous
        return a_previous + parameters["alpha"] * bend, (a_previous, f, bend)

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Compute dalpha and the error of the previous layer."""
        z, f, bend = cache
        gradients = {"alpha": xp.sum(error * bend, axis=0)}
        if not propagate:
            return None, gradients
        slope = 1.0 + parameters["alpha"] * (self.activation.df(xp, z, f) - 1.0)
        return error * slope, gradients

    def __repr__(self) -> str:
        return f"{type(self).__name__}({label(self.activation)!r})"
