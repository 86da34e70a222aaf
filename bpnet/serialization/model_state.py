"""A model as a document and tensors, and back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from bpnet.backend.registry import get_backend
from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_flag, check_integer
from bpnet.errors import ModelFileError
from bpnet.layers import Dense, Layer
from bpnet.model.model import Model
from bpnet.serialization.config import build, describe, short
from bpnet.serialization.safetensors_file import Tensors

Kind = TypeVar("Kind", bound=Model)

# The counters of a training are int64 on the device, and exact as float64.
_MOST = 2**53


@contextmanager
def file_errors(path: Any) -> Iterator[None]:
    """Name the file in the error of what it describes, if that cannot be."""
    try:
        yield
    except KeyError as error:
        raise ModelFileError(f"{os.fsdecode(path)} lacks {short(error.args[0])}") from error
    except (
        ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError,
    ) as error:  # fmt: skip
        reason = str(error)[:300]  # it may show what the file holds
        raise ModelFileError(
            f"{os.fsdecode(path)} holds no network or training of bpnet: {reason}"
        ) from error


def document(network: Model) -> dict[str, Any]:
    """Describe a network that has been built."""
    return {
        "n_inputs": network.placement and network.n_inputs,
        "steps_taken": network.steps_taken,
        "epochs_taken": network.epochs_taken,
        **architecture(network),
    }


def architecture(network: Model) -> dict[str, Any]:
    """Describe what two networks must have in common to train alike."""
    return {
        "layers": [describe(layer) for layer in network.layers],
        "loss": describe(network.loss),
        "dtype": network.dtype,
        "seed": network.seed,
        "shared_penalty": network.spec.average_penalty,
    }


def weights(network: Model) -> Tensors:
    """Give the parameters as named arrays of the host."""
    return named("layers", network.placement.parameters)


def named(prefix: str, parameters: Sequence[dict[str, Any]]) -> Tensors:
    """Name the arrays of all layers, as "layers.0.W"."""
    return {
        f"{prefix}.{number}.{name}": to_host(p)
        for number, layer in enumerate(parameters)
        for name, p in layer.items()
    }


def restored(described: dict[str, Any], tensors: Tensors, kind: type[Kind]) -> Kind:
    """Make the model of a document; take its weights out of the tensors, on the host."""
    network = kind(
        [build(layer, "layers") for layer in described["layers"]],
        build(described["loss"], "losses"),
        check_integer("seed", described["seed"], 0),
        described["dtype"],
    )
    shared = check_flag("shared_penalty", described["shared_penalty"])
    network.spec = network.spec._replace(average_penalty=shared)
    network.n_inputs = check_integer("n_inputs", described["n_inputs"], 1)
    network.steps_taken = counter(described, "steps_taken")
    network.epochs_taken = counter(described, "epochs_taken")
    parameters = [
        {name: take(tensors, f"layers.{number}.{name}", shape, network.dtype)
         for name, shape in form.items()}
        for number, form in enumerate(forms(network))
    ]  # fmt: skip
    network.set_parameters(get_backend("numpy"), parameters)
    return network


def forms(network: Model) -> list[dict[str, tuple[int, ...]]]:
    """Give the shapes of all parameters, layer by layer, without making any."""
    assert network.n_inputs is not None
    found, width = [], network.n_inputs
    for layer in network.layers:
        found.append(_form(layer, width))
        width = layer.n_outputs(width)
    return found


def _form(layer: Layer, n_inputs: int) -> dict[str, tuple[int, ...]]:
    if isinstance(layer, Dense):
        return {"W": (n_inputs, layer.units), "b": (layer.units,)}
    return {}


def counter(described: dict[str, Any], name: str) -> int:
    """Give a number that counts, as large as a training can make it."""
    value = check_integer(name, described[name], 0)
    if value >= _MOST:
        raise ValueError(f"{name} is too large")
    return value


def take(tensors: Tensors, name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Take a tensor out, which must be there with this shape and dtype."""
    tensor = tensors.pop(name)
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ValueError(
            f"tensor {name} must have shape {short(shape)} in {dtype}, "
            f"got {short(tensor.shape)} in {tensor.dtype}"
        )
    return tensor


def check_rest(tensors: Tensors, allowed: tuple[str, ...] = ()) -> None:
    """Refuse tensors that nothing has asked for."""
    rest = [name for name in tensors if not name.startswith(allowed)]
    if rest:
        raise ValueError(f"nothing in it needs the tensor {short(rest[0])}")
