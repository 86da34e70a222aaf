"""The parameters of all layers: placement, initialization and memory size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.transfer import copy_parameters, to_device, to_host
from bpnet.backend.typing import Array, Parameters
from bpnet.data.validation import as_parameter
from bpnet.layers import Layer
from bpnet.random import generator

ITEMSIZE = {"float32": 4, "float64": 8}


class Placement(NamedTuple):
    """The parameters of all layers and their backend."""

    backend: Backend
    parameters: Parameters

    def moved(self, backend: Backend) -> Placement:
        """Return the parameters on a backend, copied only if it is another one."""
        if backend == self.backend:
            return self
        return Placement(
            backend,
            [
                {name: to_device(p, backend) for name, p in layer.items()}
                for layer in self.parameters
            ],
        )

    def copied(self) -> Placement:
        """Return a copy on the same backend."""
        return Placement(self.backend, copy_parameters(self.parameters, self.backend))

    def replaced(self, values: Sequence[dict[str, Any]], dtype: str) -> Placement:
        """Return a placement with new values, after checking structure, shapes and values."""
        layers = [layer for layer in self.parameters if layer]
        if not isinstance(values, list | tuple):
            raise TypeError(
                f"parameters must be a list of {len(layers)} dicts, one for each layer with "
                f"parameters; got {type(values).__name__}"
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
                f"got {type(value).__name__}"
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
        rng = generator(seed, "weights", number)
        n_outputs = layer.n_outputs(n_inputs)
        with np.errstate(over="ignore"):  # an overflow shows as an infinity below
            initial = {
                name: np.array(values, dtype, order="C")
                for name, values in layer.initial_parameters(rng, n_inputs).items()
            }
        for name, values in initial.items():
            if not np.all(np.isfinite(values)):
                raise ValueError(
                    f"init of {layer!r} returned NaN or infinite values for {name}, in {dtype}"
                )
        parameters.append({name: backend.asarray(values) for name, values in initial.items()})
        n_inputs = n_outputs
    return Placement(backend, parameters)


def check_like(expected: Parameters, got: Any) -> None:
    """Raise ValueError if parameters differ in structure, shapes or dtype."""

    def form(parameters: Any) -> list[dict[str, tuple[Any, ...]]]:
        return [
            {name: (*p.shape, to_host(p).dtype) for name, p in layer.items()}
            for layer in parameters
        ]

    if form(expected) != form(got):
        raise ValueError(f"parameters must be {form(expected)}")


def parameter_bytes(layers: Sequence[Layer], n_inputs: int, dtype: str) -> int:
    """Return the size in bytes of the weights and biases of layers with units."""
    widths = _widths(layers, n_inputs)
    pairs = zip(layers, widths, widths[1:], strict=False)
    count = sum((n + 1) * units for layer, n, units in pairs if hasattr(layer, "units"))
    return ITEMSIZE[dtype] * count


def activation_bytes(layers: Sequence[Layer], n_inputs: int, rows: int, dtype: str) -> int:
    """Return the size in bytes of z and a of all layers for some rows."""
    return ITEMSIZE[dtype] * rows * 2 * sum(_widths(layers, n_inputs)[1:])


def _widths(layers: Sequence[Layer], n_inputs: int) -> list[int]:
    widths = [n_inputs]
    for layer in layers:
        widths.append(layer.n_outputs(widths[-1]))
    return widths
