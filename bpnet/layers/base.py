"""The interface of a layer, and what a layer knows about the current pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from bpnet import initializers
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.attributes import OF_LAYERS, missing
from bpnet.common.checks import check_number
from bpnet.common.component import Component, attributes
from bpnet.layers.factors import Factors, check_factors
from bpnet.random import generator
from bpnet.schedules import Schedule

if TYPE_CHECKING:
    from numpy.random import Generator

Value = TypeVar("Value")


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
    first_row : int or None
        The number of the first row in the batch, if several processes share the batch and
        others have the rows before; None is 0, which JAX must not trace. Random masks depend
        on it.
    """

    key: Array = 0
    step: Array | None = None
    values: Mapping[str, Array] = {}
    first_row: int | None = None


class Layer(Component):
    """The base class of layers; its defaults suit one without parameters.

    A layer implements :meth:`forward` and :meth:`backward`, and with parameters also
    :meth:`parameter_shapes` and :meth:`initial_parameters`, by Array API operations.
    """

    kind = "layers"
    learning_rate_factors: Factors = ()
    weight_decay_factors: Factors = ()
    bias_names: tuple[str, ...] = ("b",)  # which a weight decay may spare

    if not TYPE_CHECKING:  # mypy would accept any attribute

        def __getattr__(self, name: str) -> Any:
            """Say where arrays are that layers of other libraries hold."""
            raise missing(self, name, OF_LAYERS)

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

    def _set_factors(
        self,
        names: tuple[str, ...],
        learning_rate_factors: Mapping[str, float] | None,
        weight_decay_factors: Mapping[str, float] | None,
    ) -> None:
        """Check and store the factors of the parameters of these names, in a constructor."""
        self.learning_rate_factors = check_factors(
            "learning_rate_factors", learning_rate_factors, names
        )
        self.weight_decay_factors = check_factors(
            "weight_decay_factors", weight_decay_factors, names
        )

    def factors(self, name: str) -> tuple[float, float]:
        """Return the factors of learning rate and weight decay of a parameter, 1.0 by default.

        A learning rate of factor 0 leaves the parameter as it is.
        """
        rates, decays = dict(self.learning_rate_factors), dict(self.weight_decay_factors)
        return rates.get(name, 1.0), decays.get(name, 1.0)

    def is_trained(self, name: str) -> bool:
        """Return whether a parameter is trained by gradients; by default all are.

        Any other, such as a running statistic, is changed by :meth:`updated` only.
        """
        return True

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
        """Return the error of the previous layer and the gradients of what is trained."""

    def updated(
        self, xp: Namespace, parameters: LayerParameters, cache: Any
    ) -> LayerParameters:
        """Return the new values of parameters that are not trained, after a step of training.

        From the cache of the step's forward pass; what is left out stays as it is.
        """
        return {}

    def penalty(self, xp: Namespace, parameters: LayerParameters) -> Array | None:
        """Return the regularization term of the loss, a 0-d array, or None."""
        return None

    def penalty_gradients(self, xp: Namespace, parameters: LayerParameters) -> LayerParameters:
        """Return the gradients of the penalty, for the penalized parameters only."""
        return {}


def trained_parameters(
    layers: Sequence[Layer], values: Sequence[dict[str, Value]]
) -> list[dict[str, Value]]:
    """Return what is given for all parameters, by layer and name, for the trained ones only."""
    return [
        {name: value for name, value in of_layer.items() if layer.is_trained(name)}
        for layer, of_layer in zip(layers, values, strict=True)
    ]
