"""Scale: a learned factor for each unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import check_number
from bpnet.initializers import Constant
from bpnet.layers.base import Context, Layer

if TYPE_CHECKING:
    from numpy.random import Generator


class Scale(Layer):
    r"""A learned factor for each unit: multiplication by a diagonal matrix.

    .. math::
        a_l &= a_{l-1} \odot s_l \\
        ds_l &= \sum_{rows} \frac{\partial L}{\partial a_l} \odot a_{l-1}, \quad
        \frac{\partial L}{\partial a_{l-1}} = \frac{\partial L}{\partial a_l} \odot s_l

    Shapes: a_{l-1} and a_l (m, n), s_l (n,). As the first layer, with a large learning rate, it
    lets the network weigh its features against each other: a soft selection of features.

    Parameters
    ----------
    init : float, default 1.0
        The initial value of each factor.
    learning_rate_factors, weight_decay_factors : dict of str to float or None, default None
        Factors >= 0 of the optimizer's learning rate and weight decay, by parameter: "s".

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of range or of the wrong type.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted
    trees on tabular data", NeurIPS 2024, section 3: the "scaling layer" of RealMLP.

    Examples
    --------
    >>> from bpnet import Scale
    >>> Scale(learning_rate_factors={"s": 6.0}).factors("s")
    (6.0, 1.0)
    """

    def __init__(
        self,
        init: float = 1.0,
        *,
        learning_rate_factors: Mapping[str, float] | None = None,
        weight_decay_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.init = check_number("init", init)
        self._set_factors(("s",), learning_rate_factors, weight_decay_factors)

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of s (n_inputs,)."""
        return {"s": (n_inputs,)}

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Return s (n_inputs,), filled with the initial value."""
        return {"s": Constant(self.init)(rng, 1, n_inputs)[0]}

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Compute a = a_previous * s."""
        return a_previous * parameters["s"], a_previous

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Compute ds and the error of the previous layer."""
        gradients = {"s": xp.sum(error * cache, axis=0)}
        return error * parameters["s"] if propagate else None, gradients

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.init:g})"
