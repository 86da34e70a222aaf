"""State dicts of PyTorch: the parameters of an ``nn.Sequential``, by its names for them.

PyTorch is not needed, as a state dict is a mapping of names to arrays. Its Linear computes
``a W^T + b``, so that its weight is W transposed, (n_out, n_in).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.activations import Identity
from bpnet.backend.transfer import to_host
from bpnet.common.checks import kind_of
from bpnet.data.validation import as_array
from bpnet.layers import (
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Frozen,
    Layer,
    LayerNorm,
    Residual,
)
from bpnet.network import Network, check_network

_AFFINE = {"weight": "gamma", "bias": "beta"}
# The names of our parameters by those of PyTorch.
_NAMES: dict[type[Layer], dict[str, str]] = {
    Dense: {"weight": "W", "bias": "b"},
    LayerNorm: _AFFINE,
    BatchNorm: _AFFINE | {"running_mean": "mean", "running_var": "variance"},
    Dropout: {},
}
# A number of batches, which only matters to PyTorch's BatchNorm without a momentum.
_IGNORED = "num_batches_tracked"


class _Module(NamedTuple):
    """A module of PyTorch with parameters.

    Attributes
    ----------
    place : str
        Its name in the nn.Sequential, such as "2", or "1.0" in a module.
    number : int
        That of our layer, from 0.
    names : dict of str to str
        The names of its parameters in our layer, by those in the module.
    is_transposed : bool
        Whether its weight is.
    """

    place: str
    number: int
    names: dict[str, str]
    is_transposed: bool


def to_torch_state_dict(net: Network) -> dict[str, Any]:
    """Return the parameters as the state dict of an equal ``torch.nn.Sequential``.

    Each layer is a module: a Dense a Linear and, unless it is linear, a module for its
    activation; BatchNorm, LayerNorm and Dropout those of PyTorch; Frozen what it holds;
    Residual a Sequential, which adds its input; Embedding a ModuleDict of an nn.Embedding for
    each of its tables, "E3" etc. The link function of the loss, such as a softmax, has no
    parameters.

    Parameters
    ----------
    net : Network
        A network with weights.

    Returns
    -------
    dict of str to numpy.ndarray
        Copies, of the dtype of the network, for
        ``module.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()})``.

    Raises
    ------
    ValueError
        If the network has no weights yet, or a layer that PyTorch does not have.

    Notes
    -----
    A state dict does not hold settings: `epsilon` of a BatchNorm or LayerNorm is PyTorch's
    `eps`, with the same default, and `momentum` of a BatchNorm is 1 minus PyTorch's.

    Examples
    --------
    >>> import bpnet
    >>> net = bpnet.Network([bpnet.Dense(8, "relu"), bpnet.Dense(3)], "cce", seed=0).build(2)
    >>> state = bpnet.interchange.to_torch_state_dict(net)
    >>> {name: array.shape for name, array in state.items()}
    {'0.weight': (8, 2), '0.bias': (8,), '2.weight': (3, 8), '2.bias': (3,)}
    """
    parameters = check_network(net).placement.parameters
    state = {}
    for module in _modules(net.layers):
        for theirs, ours in module.names.items():
            array = to_host(parameters[module.number][ours])
            turned = array.T if module.is_transposed and theirs == "weight" else array
            state[f"{module.place}.{theirs}"] = np.array(turned, order="C")
    return state


def from_torch_state_dict(net: Network, state: Mapping[str, Any]) -> Network:
    """Return a network with the parameters of a PyTorch module.

    They are found by the names that :func:`to_torch_state_dict` gives them; if the module has
    others, such as "hidden.weight", by their order, which must be that of the layers.

    Parameters
    ----------
    net : Network
        The architecture, built: ``bpnet.Network(layers, loss).build(n_inputs)``. It is left
        unchanged.
    state : mapping of str to array
        ``module.state_dict()``, or another mapping of such names to arrays of any library. A
        "bias" that is missing is 0.

    Returns
    -------
    Network
        A copy of `net`, of the same dtype and on the same backend, with these parameters.

    Raises
    ------
    ValueError, TypeError
        If the network is not built, or a parameter is missing, left over, of another shape or
        not finite.

    Examples
    --------
    >>> import bpnet
    >>> state = {"linear.weight": [[1.0, 2.0]], "linear.bias": [0.5]}
    >>> net = bpnet.Network([bpnet.Dense(1)], "mse", seed=0).build(2)
    >>> bpnet.interchange.from_torch_state_dict(net, state).predict([[1.0, 1.0]])
    array([3.5], dtype=float32)
    """
    due = check_network(net).placement.parameters
    if not isinstance(state, Mapping):
        raise TypeError(
            f"state must be a mapping of names to arrays, such as module.state_dict(); got "
            f"{kind_of(state)}"
        )
    modules = list(_modules(net.layers))
    found: list[dict[str, Any]] = [{} for _ in due]
    for module, own in zip(modules, _assigned(net, modules, state), strict=True):
        layer = f"layer {module.number + 1}, {net.layers[module.number]!r}"
        if own.keys() - {"bias"} != module.names.keys() - {"bias"}:
            raise ValueError(
                f"state must have {', '.join(module.names)} for {layer}; got "
                f"{', '.join(full for full, _ in own.values()) or 'nothing'}"
            )
        for theirs, ours in module.names.items():
            shape = tuple(due[module.number][ours].shape)
            is_turned = module.is_transposed and theirs == "weight"
            values = _checked(layer, own.get(theirs), shape[::-1] if is_turned else shape)
            found[module.number][ours] = values.T if is_turned else values
    new = copy.deepcopy(net)
    new.parameters = [layer for layer in found if layer]
    return new


def _modules(layers: Sequence[Layer]) -> Iterator[_Module]:
    """Yield the modules with parameters, in the order of an nn.Sequential."""
    for number, layer in enumerate(layers):
        for place, names, is_transposed in _of_layer(layer, f"layer {number + 1}, {layer!r}"):
            index = sum(map(_length, layers[:number]))
            yield _Module(f"{index}{place}", number, names, is_transposed)


def _of_layer(layer: Layer, where: str) -> Iterator[tuple[str, dict[str, str], bool]]:
    """Yield the places of a layer's modules in its own, with their names and if they turn W."""
    if isinstance(layer, Frozen):
        yield from _of_layer(layer.layer, where)
    elif isinstance(layer, Residual):
        for number, inner in enumerate(layer.layers):
            index = sum(map(_length, layer.layers[:number]))
            for place, names, is_transposed in _of_layer(inner, where):
                ours = {theirs: f"{number}.{name}" for theirs, name in names.items()}
                yield f".{index}{place}", ours, is_transposed
    elif isinstance(layer, Embedding):
        for column, _ in layer.sizes:
            yield f".E{column}", {"weight": f"E{column}"}, False
    elif type(layer) not in _NAMES:
        raise ValueError(f"{where} has no counterpart in torch.nn")
    elif isinstance(layer, Dense) and layer.parametrization != "standard":
        raise ValueError(
            f"{where} has no counterpart in torch.nn, because of its parametrization "
            f"{layer.parametrization!r}"
        )
    elif _NAMES[type(layer)]:
        yield "", _NAMES[type(layer)], isinstance(layer, Dense)


def _length(layer: Layer) -> int:
    """Return the number of modules in an nn.Sequential that a layer takes."""
    inner = layer.layer if isinstance(layer, Frozen) else layer
    return 1 + (isinstance(inner, Dense) and not isinstance(inner.activation, Identity))


def _assigned(
    net: Network, modules: Sequence[_Module], state: Mapping[str, Any]
) -> list[dict[str, tuple[str, Any]]]:
    """Return for each module the full name and the array of each of its parameters."""
    groups: dict[str, dict[str, tuple[str, Any]]] = {}
    for full, array in state.items():
        place, _, name = str(full).rpartition(".")
        if name != _IGNORED:
            groups.setdefault(place, {})[name] = (str(full), array)
    if groups.keys() == {module.place for module in modules}:
        return [groups[module.place] for module in modules]
    if len(groups) != len(modules):
        raise ValueError(
            f"state must have the parameters of {len(modules)} modules, those of {net!r}; got "
            f"{len(groups)}: {', '.join(map(repr, groups)) or 'none'}"
        )
    return list(groups.values())


def _checked(layer: str, given: tuple[str, Any] | None, shape: tuple[int, ...]) -> Any:
    """Return an array on the host, of a shape as PyTorch has it; zeros if there is none."""
    if given is None:
        return np.zeros(shape)
    full, array = given
    values = to_host(as_array(f"state[{full!r}]", array))
    if values.shape != shape:
        raise ValueError(
            f"state[{full!r}] must have shape {shape} for {layer}; got {values.shape}. Linear "
            f"has weights (n_out, n_in)"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"state[{full!r}] must be finite; got NaN or infinity")
    return values
