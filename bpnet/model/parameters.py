"""The parameters of all layers: placement, initialization and memory size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.transfer import copy_parameters, to_device
from bpnet.backend.typing import Array, LayerParameters, Parameters
from bpnet.common.checks import check_integer, kind_of
from bpnet.common.component import is_own
from bpnet.data.validation import as_parameter
from bpnet.errors import ComponentError
from bpnet.initializers import name_of
from bpnet.layers import Dense, Layer
from bpnet.random import generator

ITEMSIZE = {"float32": 4, "float64": 8}


class Placement(NamedTuple):
    """The parameters of all layers and their backend."""

    backend: Backend
    parameters: Parameters

    def moved(self, backend: Backend) -> Placement:
        """Return the parameters on a backend, copied only if it is another one."""
        if backend is self.backend or backend == self.backend:
            return self
        return Placement(
            backend,
            [
                {name: to_device(p, backend) for name, p in layer.items()}
                for layer in self.parameters
            ],
        )

    def in_dtype(self, dtype: str) -> Placement:
        """Return a copy of the parameters in a dtype."""
        xp = self.backend.xp
        with self.backend.activate():
            return self._replace(
                parameters=[
                    {name: xp.astype(p, getattr(xp, dtype), copy=True)
                     for name, p in layer.items()}
                    for layer in self.parameters
                ]
            )  # fmt: skip

    def copied(self) -> Placement:
        """Return a copy on the same backend."""
        return Placement(self.backend, copy_parameters(self.parameters, self.backend))

    def replaced(self, values: Sequence[dict[str, Any]], dtype: str) -> Placement:
        """Return a placement with new values, after checking structure, shapes and values."""
        layers = [layer for layer in self.parameters if layer]
        if not isinstance(values, list | tuple):
            raise TypeError(
                f"parameters must be a list of {len(layers)} dicts, one for each layer with "
                f"parameters; got {kind_of(values)}"
            )
        if len(values) != len(layers):
            raise ValueError(
                f"parameters must have {len(layers)} dicts, one for each layer with "
                f"parameters; got {len(values)}"
            )
        checked = (
            self._checked(number, layer, value, dtype)
            for number, (layer, value) in enumerate(zip(layers, values, strict=True))
        )
        return Placement(
            self.backend, [next(checked) if layer else {} for layer in self.parameters]
        )

    def _checked(
        self, number: int, layer: dict[str, Array], value: dict[str, Any], dtype: str
    ) -> dict[str, Array]:
        keys = ", ".join(sorted(layer))
        if not isinstance(value, Mapping):
            raise TypeError(
                f"parameters[{number}] must be a dict with the keys {keys}; "
                f"got {kind_of(value)}"
            )
        if set(value) != set(layer):
            raise ValueError(
                f"parameters[{number}] must have the keys {keys}; "
                f"got {', '.join(sorted(map(str, value)))}"
            )
        return {
            name: to_device(
                as_parameter(f"parameters[{number}][{name!r}]", value[name], p.shape, dtype),
                self.backend,
                copy=True,
            )
            for name, p in layer.items()
        }


def draw_weights(
    layers: Sequence[Layer], n_inputs: int, seed: int, dtype: str, backend: Backend
) -> Placement:
    """Draw the initial parameters of all layers on the host and move them to a backend."""
    parameters: Parameters = []
    for number, layer in enumerate(layers):
        where, n_outputs = _place(number, layer), _width(number, layer, n_inputs)
        drawn = _drawn(where, layer, generator(seed, "weights", number), n_inputs)
        initial = _on_host(where, drawn, dtype)
        got = {name: values.shape for name, values in initial.items()}
        if got != (due := layer.parameter_shapes(n_inputs)):
            raise ComponentError(
                f"{where}: initial_parameters must return arrays of the shapes that "
                f"parameter_shapes declares, {due}; got {got}"
            )
        for name, values in initial.items():
            if not np.all(np.isfinite(values)):
                raise ValueError(
                    f"{where}: {_source(layer, name)} returned NaN or infinite values for "
                    f"{name}, in {dtype}"
                )
        parameters.append({name: backend.asarray(values) for name, values in initial.items()})
        n_inputs = n_outputs
    return Placement(backend, parameters)


def _drawn(where: str, layer: Layer, rng: Any, n_inputs: int) -> Any:
    """Return the initial parameters of a layer; errors of a Dense name the place."""
    try:
        return layer.initial_parameters(rng, n_inputs)
    except (TypeError, ValueError) as error:
        if not is_own(layer) or type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(f"{where}: {error}") from error


def _source(layer: Layer, name: str) -> str:
    """Return what has drawn a parameter."""
    argument = {"W": "init", "b": "bias_init"}.get(name)
    if not isinstance(layer, Dense) or argument is None:
        return "initial_parameters"
    return f"{argument} {name_of(getattr(layer, argument))}"


def _place(number: int, layer: Layer) -> str:
    return f"layer {number + 1}, {layer!r}"


def _width(number: int, layer: Layer, n_inputs: int) -> int:
    """Return the width of a layer's output, which must be an int >= 1."""
    n_outputs: Any = layer.n_outputs(n_inputs)
    try:
        return check_integer("n_outputs", n_outputs, 1)
    except (TypeError, ValueError) as error:
        raise ComponentError(
            f"{_place(number, layer)}: n_outputs must return an integer >= 1; got {n_outputs!r}"
        ) from error


def _on_host(where: str, drawn: Any, dtype: str = "float64") -> dict[str, Any]:
    """Return what a layer's initial_parameters returned, in a dtype."""
    where = f"{where}: initial_parameters"
    if not isinstance(drawn, dict) or not all(isinstance(name, str) for name in drawn):
        got = f"the keys {list(drawn)}" if isinstance(drawn, dict) else kind_of(drawn)
        raise ComponentError(
            f"{where} must return a dict of names and arrays, {{}} if there are none; got {got}"
        )
    initial = {}
    for name, values in drawn.items():
        try:
            given = np.asarray(values)
            if given.dtype.kind not in "biuf":
                raise TypeError(f"they are of {given.dtype}")
            with np.errstate(over="ignore"):  # an overflow shows as an infinity later
                initial[name] = np.array(given, dtype, order="C")
        except (TypeError, ValueError) as error:
            raise ComponentError(
                f"{where} must return arrays of real numbers; got {kind_of(values)} for "
                f"{name}: {error}"
            ) from error
    return initial


def has_weights(parameters: LayerParameters) -> bool:
    """Whether a layer has a weight matrix, and not a vector of that name."""
    return "W" in parameters and parameters["W"].ndim == 2


Form = list[dict[str, tuple[tuple[int, ...], str]]]


def form_of(parameters: Parameters) -> Form:
    """Return the shape and the dtype of each parameter."""
    return [
        {name: (tuple(p.shape), _dtype_name(p)) for name, p in layer.items()}
        for layer in parameters
    ]


def parameters_like(due: Form, parameters: Any) -> Parameters:
    """Return parameters of all layers, which must have this form."""
    try:
        got: Any = form_of(parameters)
    except (AttributeError, TypeError):
        got = kind_of(parameters)
    if got != due:
        raise ComponentError(
            f"the parameters must keep their layers, names, shapes and dtypes, {_words(due)}; "
            f"got {got if isinstance(got, str) else _words(got)}"
        )
    return list(parameters)


def _dtype_name(array: Array) -> str:
    return str(array.dtype).rpartition(".")[2]


def _words(form: Form) -> str:
    layers = (
        ", ".join(f"{name} {shape} {dtype}" for name, (shape, dtype) in layer.items()) or "none"
        for layer in form
    )
    return f"[{'; '.join(layers)}]"


def parameter_shapes(
    layers: Sequence[Layer], n_inputs: int
) -> list[dict[str, tuple[int, ...]]]:
    """Return the shapes of all parameters, layer by layer."""
    widths = _widths(layers, n_inputs)
    return [_shapes(k, layer, widths[k]) for k, layer in enumerate(layers)]


def _shapes(number: int, layer: Layer, n_inputs: int) -> dict[str, tuple[int, ...]]:
    if type(layer).parameter_shapes is not Layer.parameter_shapes:
        shapes: Any = layer.parameter_shapes(n_inputs)
        if not isinstance(shapes, dict) or not all(
            isinstance(s, tuple) for s in shapes.values()
        ):
            raise ComponentError(
                f"{_place(number, layer)}: parameter_shapes must return a dict of names and "
                f"shapes such as {{'W': (3, 4), 'b': (4,)}}, or {{}}; got {shapes!r}"
            )
        return shapes
    drawn = layer.initial_parameters(generator(0, "weights"), n_inputs)  # as by default
    return {name: p.shape for name, p in _on_host(_place(number, layer), drawn).items()}


def parameter_bytes(layers: Sequence[Layer], n_inputs: int, dtype: str) -> int:
    """Return the size of all parameters in bytes."""
    shapes = parameter_shapes(layers, n_inputs)
    return ITEMSIZE[dtype] * sum(math.prod(s) for layer in shapes for s in layer.values())


def activation_bytes(layers: Sequence[Layer], n_inputs: int, rows: int, dtype: str) -> int:
    """Return the size in bytes of z and a of all layers for some rows."""
    return ITEMSIZE[dtype] * rows * 2 * sum(_widths(layers, n_inputs)[1:])


def _widths(layers: Sequence[Layer], n_inputs: int) -> list[int]:
    widths = [n_inputs]
    for number, layer in enumerate(layers):
        widths.append(_width(number, layer, widths[-1]))
    return widths
