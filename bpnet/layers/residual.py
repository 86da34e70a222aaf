"""Residual: a shortcut around a sequence of layers."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.common.checks import described
from bpnet.layers import sequence
from bpnet.layers.base import Context, Layer
from bpnet.random import nested_key
from bpnet.schedules import Schedule

if TYPE_CHECKING:
    from numpy.random import Generator

Value = TypeVar("Value")


class Residual(Layer):
    r"""A residual block: the input, plus what a sequence of layers F makes of it.

    .. math::
        a_l = a_{l-1} + F(a_{l-1}), \quad
        \frac{\partial L}{\partial a_{l-1}} = \frac{\partial L}{\partial a_l}
            + \left(\frac{\partial F}{\partial a_{l-1}}\right)^T
              \frac{\partial L}{\partial a_l}

    The second term of the error is that of backpropagation through F. Shapes: a_{l-1}, F and
    a_l (m, n); within F the width may differ.

    The parameters of the layers of F have their place, from 0, before their name, such as
    "0.W"; so do their schedules, such as "1.rate" of a Dropout. Each Dropout in F has masks of
    its own.

    Parameters
    ----------
    layers : sequence of Layer
        The layers of F, from its input to its output. Kept as a tuple.

    Raises
    ------
    TypeError
        If `layers` is no sequence of layers.
    ValueError
        If there are none; when the network is built, if the output of F is not as wide as its
        input.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016,
    equation 1, without the activation after the sum, as in their "Identity mappings in deep
    residual networks", ECCV 2016, equations 3 and 5.

    Examples
    --------
    >>> from bpnet import Dense, Residual
    >>> block = Residual([Dense(8, "relu"), Dense(4)])
    >>> block.parameter_shapes(4)
    {'0.W': (4, 8), '0.b': (8,), '1.W': (8, 4), '1.b': (4,)}
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = _check_layers(layers)
        names = (dict.fromkeys(layer.bias_names) for layer in self.layers)
        self.bias_names = tuple(_joined(list(names)))

    def n_outputs(self, n_inputs: int) -> int:
        """Return the width of the input, which must be that of the output of F."""
        width = self._widths(n_inputs)[-1]
        if width != n_inputs:
            raise ValueError(
                f"the layers of a Residual must return as many units as they are given; "
                f"{self!r} is given {n_inputs} and returns {width}. Let its last layer have "
                f"{n_inputs} units, or put a Dense({width}) before the Residual"
            )
        return n_inputs

    def _widths(self, n_inputs: int) -> list[int]:
        """Return the width before each layer of F, and after the last."""
        widths = [n_inputs]
        for layer in self.layers:
            widths.append(layer.n_outputs(widths[-1]))
        return widths

    def parameter_shapes(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters of all layers, by names such as "0.W"."""
        pairs = zip(self.layers, self._widths(n_inputs)[:-1], strict=True)
        return _joined([layer.parameter_shapes(width) for layer, width in pairs])

    def initial_parameters(self, rng: Generator, n_inputs: int) -> dict[str, Any]:
        """Draw the parameters of all layers, in their order."""
        pairs = zip(self.layers, self._widths(n_inputs)[:-1], strict=True)
        return _joined([layer.initial_parameters(rng, width) for layer, width in pairs])

    def is_trained(self, name: str) -> bool:
        """Return whether a parameter of a layer of F is trained by gradients."""
        layer, inner = self._found(name)
        return layer.is_trained(inner)

    def factors(self, name: str) -> tuple[float, float]:
        """Return the factors of a parameter of a layer of F."""
        layer, inner = self._found(name)
        return layer.factors(inner)

    def schedules(self) -> dict[str, Schedule]:
        """Return the schedules of the layers of F, by names such as "1.rate"."""
        return _joined([layer.schedules() for layer in self.layers])

    def check_value(self, name: str, value: float) -> float:
        """Return a value of a schedule of a layer of F, or raise ValueError."""
        layer, inner = self._found(name)
        return layer.check_value(inner, value)

    def _found(self, name: str) -> tuple[Layer, str]:
        """Return the layer of F of a name such as "0.W", and the name there."""
        number, _, inner = name.partition(".")
        return self.layers[int(number)], inner

    def forward(
        self, xp: Namespace, parameters: LayerParameters, a_previous: Array, context: Context
    ) -> tuple[Array, Any]:
        """Compute a = a_previous + F(a_previous)."""
        parts = self._split(parameters)
        F, caches = sequence.forward(
            xp, self.layers, parts, a_previous, self._contexts(context)
        )
        return a_previous + F, caches

    def _contexts(self, context: Context) -> list[Context]:
        """Return what the layers of F know about the pass."""
        if context.step is None:
            return [context] * len(self.layers)
        return [
            context._replace(key=nested_key(context.key, number), values=values)
            for number, values in enumerate(self._split(context.values))
        ]

    def backward(
        self,
        xp: Namespace,
        parameters: LayerParameters,
        cache: Any,
        error: Array,
        propagate: bool = True,
    ) -> tuple[Array | None, LayerParameters]:
        """Compute the gradients in F, and the error dL/da + that through F."""
        parts = self._split(parameters)
        through, gradients = sequence.backward(xp, self.layers, parts, cache, error, propagate)
        return error + through if propagate else None, _joined(gradients)

    def updated(
        self, xp: Namespace, parameters: LayerParameters, cache: Any
    ) -> LayerParameters:
        """Return the new values of what is not trained by gradients in F."""
        parts = zip(self.layers, self._split(parameters), cache, strict=True)
        return _joined([layer.updated(xp, p, c) for layer, p, c in parts])

    def penalty(self, xp: Namespace, parameters: LayerParameters) -> Array | None:
        """Sum the penalties of the layers of F."""
        pairs = zip(self.layers, self._split(parameters), strict=True)
        found = [layer.penalty(xp, p) for layer, p in pairs]
        parts = [part for part in found if part is not None]
        return functools.reduce(operator.add, parts) if parts else None

    def penalty_gradients(self, xp: Namespace, parameters: LayerParameters) -> LayerParameters:
        """Return the gradients of the penalties of the layers of F."""
        pairs = zip(self.layers, self._split(parameters), strict=True)
        return _joined([layer.penalty_gradients(xp, p) for layer, p in pairs])

    def _split(self, values: Mapping[str, Value]) -> list[dict[str, Value]]:
        """Return values by names such as "0.W" for each layer of F, by its own names."""
        return [
            {
                name.removeprefix(place): v
                for name, v in values.items()
                if name.startswith(place)
            }
            for place in (f"{number}." for number in range(len(self.layers)))
        ]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.layers)!r})"


def _joined(parts: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return the values of all layers in one dict, by names such as "0.W"."""
    return {
        f"{number}.{name}": value
        for number, part in enumerate(parts)
        for name, value in part.items()
    }


def _check_layers(layers: Any) -> tuple[Layer, ...]:
    example = "a list of bpnet layers such as [bpnet.Dense(8, 'relu'), bpnet.Dense(8)]"
    if not isinstance(layers, Iterable):
        raise TypeError(f"layers must be {example}; got {described(layers)}")
    found = tuple(layers)
    for layer in found:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must be {example}; got {described(layer)} in it")
    if not found:
        raise ValueError(f"layers must be {example}; got none")
    return found
