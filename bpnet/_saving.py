"""A network as a document and tensors, and back; ``Network.save`` and :func:`bpnet.load`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bpnet import _modelfile
from bpnet._description import build, describe, short
from bpnet._modelfile import Tensors
from bpnet.backend.registry import get_backend
from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_flag, check_integer, check_path
from bpnet.errors import ModelFileError
from bpnet.layers import Dense, Layer
from bpnet.network import Network

if TYPE_CHECKING:
    from bpnet.backend import Backend

# The counters of a training are int64 on the device, and exact as float64.
_MOST = 2**53


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a file; see :meth:`Network.save`."""
    from bpnet import _resume  # it needs this module

    path = check_path("path", path)
    trained = network.trained
    if trained is not None and trained.can_go_on(network):
        content = _modelfile.encode(
            *_resume.snapshot(network, trained, _resume.agreed(trained))
        )
    else:
        content = _modelfile.encode({"network": document(network)}, weights(network))
    _modelfile.write(path, content)


def load(path: str | os.PathLike[str], backend: str | Backend | None = None) -> Network:
    """Read a network that :meth:`Network.save` or :class:`bpnet.Checkpoint` has written.

    A file holds names, numbers and weights; nothing in it is executed. Needs the package
    safetensors.

    Parameters
    ----------
    path : path
        The file.
    backend : str, Backend or None
        Where to put the weights, which may be another than the one they come from; None
        is the default backend.

    Returns
    -------
    Network
        Equal to the one that was saved, bit for bit.

    Raises
    ------
    bpnet.ModelFileError
        If it is no whole model file, or of a newer version.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> import bpnet
    >>> net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)],
    ...                     loss="mean_squared_error", seed=0).build(2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.safetensors")
    ...     net.save(path)
    ...     twin = bpnet.load(path)
    >>> bool((twin.predict([[1.0, 2.0]]) == net.predict([[1.0, 2.0]])).all())
    True
    """
    path, place = check_path("path", path), get_backend(backend)
    described, tensors = _modelfile.read(path)
    with file_errors(path):
        network = restored(described["network"], tensors)
        # a checkpoint has the state of its training, too
        allowed = ("training.",) if "training" in described else ()
        check_rest(tensors, allowed)
    return network.to(place)


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


def document(network: Network) -> dict[str, Any]:
    """Describe a network that has been built."""
    return {
        "n_inputs": network.placement and network.n_inputs,
        "steps_taken": network.steps_taken,
        "epochs_taken": network.epochs_taken,
        **architecture(network),
    }


def architecture(network: Network) -> dict[str, Any]:
    """Describe what two networks must have in common to train alike."""
    return {
        "layers": [describe(layer) for layer in network.layers],
        "loss": describe(network.loss),
        "dtype": network.dtype,
        "seed": network.seed,
        "shared_penalty": network.model.shared_penalty,
    }


def weights(network: Network) -> Tensors:
    """Give the parameters as named arrays of the host."""
    return named("layers", network.placement.parameters)


def named(prefix: str, parameters: Sequence[dict[str, Any]]) -> Tensors:
    """Name the arrays of all layers, as "layers.0.W"."""
    return {
        f"{prefix}.{number}.{name}": to_host(p)
        for number, layer in enumerate(parameters)
        for name, p in layer.items()
    }


def restored(described: dict[str, Any], tensors: Tensors) -> Network:
    """Make the network of a document; takes its weights out of the tensors, on the host."""
    network = Network(
        [build(layer, "layers") for layer in described["layers"]],
        build(described["loss"], "losses"),
        check_integer("seed", described["seed"], 0),
        described["dtype"],
    )
    shared = check_flag("shared_penalty", described["shared_penalty"])
    network.model = network.model._replace(shared_penalty=shared)
    network.n_inputs = check_integer("n_inputs", described["n_inputs"], 1)
    network.steps_taken = counter(described, "steps_taken")
    network.epochs_taken = counter(described, "epochs_taken")
    parameters = [
        {name: take(tensors, f"layers.{number}.{name}", shape, network.dtype)
         for name, shape in form.items()}
        for number, form in enumerate(forms(network))
    ]  # fmt: skip
    network.adopt(get_backend("numpy"), parameters)
    return network


def forms(network: Network) -> list[dict[str, tuple[int, ...]]]:
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
