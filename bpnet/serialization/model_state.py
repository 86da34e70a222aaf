"""Conversion of a model to and from a JSON document and tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from bpnet.backend.registry import get_backend
from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_flag, check_integer
from bpnet.errors import ModelFileError
from bpnet.model.model import Model
from bpnet.model.parameters import parameter_shapes
from bpnet.serialization.config import Custom, build, check_names, describe, short
from bpnet.serialization.safetensors_file import Tensors

Kind = TypeVar("Kind", bound=Model)

# Layers in a file: no real network has more, and more would take long to load.
LAYER_LIMIT = 5_000
# Counters must be exact as float64.
_COUNTER_LIMIT = 2**53


@contextmanager
def file_errors(path: Any) -> Iterator[None]:
    """Convert errors about the contents of a file to a ModelFileError that names the file."""
    try:
        yield
    except KeyError as error:
        missing = short(error.args[0])
        raise ModelFileError(f"{os.fsdecode(path)} lacks {missing}") from error
    except (
        ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError,
    ) as error:  # fmt: skip
        reason = printable(str(error)[:300])  # which may quote the file
        raise ModelFileError(
            f"{os.fsdecode(path)} does not hold a valid network, estimator or training run of "
            f"bpnet: {reason}"
        ) from error


def printable(text: str) -> str:
    """Return a text with lone surrogates escaped, which no stream could print."""
    return text.encode(errors="backslashreplace").decode()


def document(network: Model) -> dict[str, Any]:
    """Describe a built network."""
    names = network.feature_names
    return ({} if names is None else {"feature_names": list(names)}) | {
        "n_inputs": network.placement and network.n_inputs,
        "steps_taken": network.steps_taken,
        "epochs_taken": network.epochs_taken,
        **architecture(network),
    }


def architecture(network: Model) -> dict[str, Any]:
    """Describe what two networks must have in common to train identically.

    Raises
    ------
    TypeError, ValueError
        If a component cannot describe itself, or there are more than `LAYER_LIMIT` layers.
    """
    _check_number(len(network.layers))
    check_names([network.loss, *network.layers])
    return {
        "layers": [describe(layer) for layer in network.layers],
        "loss": describe(network.loss),
        "dtype": network.dtype,
        "seed": network.seed,
        "average_penalty": network.spec.average_penalty,
    }


def _check_number(layers: int) -> None:
    if layers > LAYER_LIMIT:
        raise ValueError(f"a file holds at most {LAYER_LIMIT:,} layers; got {layers:,}")


def weights(network: Model) -> Tensors:
    """Return the parameters as named host arrays."""
    return named("layers", network.placement.parameters)


def named(prefix: str, parameters: Sequence[dict[str, Any]]) -> Tensors:
    """Return host copies of the arrays of all layers, named like "layers.0.W"."""
    return {
        f"{prefix}.{number}.{name}": to_host(p)
        for number, layer in enumerate(parameters)
        for name, p in layer.items()
    }


def restored(
    described: dict[str, Any], tensors: Tensors, kind: type[Kind], custom: Custom | None = None
) -> Kind:
    """Create the model of a document on the host; remove its weights from the tensors."""
    _check_number(len(described["layers"]))
    network = kind(
        [build(layer, "layers", custom) for layer in described["layers"]],
        build(described["loss"], "losses", custom),
        check_integer("seed", described["seed"], 0),
        described["dtype"],
    )
    average = check_flag("average_penalty", described["average_penalty"])
    network.set_average_penalty(average)
    network.n_inputs = check_integer("n_inputs", described["n_inputs"], 1)
    network.remember_names(_feature_names(described, network.n_inputs))
    network.steps_taken = counter(described, "steps_taken")
    network.epochs_taken = counter(described, "epochs_taken")
    parameters = [
        {name: take(tensors, f"layers.{number}.{name}", shape, network.dtype)
         for name, shape in shapes.items()}
        for number, shapes in enumerate(parameter_shapes(network.layers, network.n_inputs))
    ]  # fmt: skip
    network.set_parameters(get_backend("numpy"), parameters)
    return network


def _feature_names(described: dict[str, Any], n_inputs: int) -> tuple[str, ...] | None:
    """Return the names of the features, which a file may lack."""
    names = described.get("feature_names")
    if names is None:
        return None
    if (
        not isinstance(names, list)
        or len(names) != n_inputs
        or not all(isinstance(name, str) for name in names)
    ):
        raise ValueError(f"feature_names must be {n_inputs} names, got {short(names)}")
    return tuple(names)


def counter(described: dict[str, Any], name: str) -> int:
    """Return a counter, which must be >= 0 and not too large to train on."""
    value = check_integer(name, described[name], 0)
    if value >= _COUNTER_LIMIT:
        raise ValueError(f"{name} is too large")
    return value


def take(tensors: Tensors, name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Remove and return a tensor, which must have this shape and dtype."""
    tensor = tensors.pop(name)
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ValueError(
            f"tensor {name} must have shape {short(shape)} in {dtype}, "
            f"got {short(tensor.shape)} in {tensor.dtype}"
        )
    return tensor


def check_rest(tensors: Tensors, allowed: tuple[str, ...] = ()) -> None:
    """Raise ValueError if unused tensors are left."""
    rest = [name for name in tensors if not name.startswith(allowed)]
    if rest:
        raise ValueError(f"it holds an unexpected tensor {short(rest[0])}")
