"""Planes through the weights of a network, and the loss in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend.transfer import to_host
from bpnet.backend.typing import Parameters
from bpnet.callbacks.snapshots import Snapshots
from bpnet.common.checks import kind_of
from bpnet.data.dataset import Dataset
from bpnet.layers import trained_parameters
from bpnet.network import Network


class Plane(NamedTuple):
    """A plane through the weights of a network, which all lie in one long vector.

    Attributes
    ----------
    origin : array (p,)
        The weights of the network.
    directions : array (2, p)
        What one unit along each axis adds to them.
    labels : tuple of str
        What the axes are called.
    path : array (n, 2)
        Where the snapshots lie, nearest in the plane; with n = 1, the origin alone.
    share : float
        How much of the path lies in the plane: of the sum of squared distances of its points
        to the origin, 0 to 1.
    """

    origin: Any
    directions: Any
    labels: tuple[str, str]
    path: Any
    share: float = 1.0


def path_plane(net: Network, snapshots: Snapshots) -> Plane:
    """Return the plane of the first two principal components of a path to the network."""
    if not isinstance(snapshots, Snapshots):
        raise TypeError(
            f"snapshots must be the bpnet.Snapshots that was among the callbacks of fit, "
            f"got {kind_of(snapshots)}"
        )
    if len(snapshots.taken) < 3:
        raise ValueError(
            f"a plane needs three snapshots or more, got {len(snapshots.taken)}; add "
            f"bpnet.Snapshots() to the callbacks of fit, and train for more epochs"
        )
    if any(_shapes(taken.parameters) != _shapes(net.parameters) for taken in snapshots.taken):
        raise ValueError("snapshots must be those of this network; these have other weights")
    origin = flat(net, net.parameters)
    moves = np.stack([flat(net, taken.parameters) for taken in snapshots.taken]) - origin
    _, sizes, axes = np.linalg.svd(moves, full_matrices=False)
    shares = sizes**2 / (float(np.sum(sizes**2)) or 1.0)
    labels = [
        f"principal component {k + 1} ({100.0 * share:.1f} % of the path)"
        for k, share in enumerate(shares[:2])
    ]
    path = moves @ axes[:2].T
    return Plane(origin, axes[:2], (labels[0], labels[1]), path, float(sum(shares[:2])))


def losses_at(net: Network, data: Dataset, plane: Plane, places: Sequence[Any]) -> list[float]:
    """Return the loss of the network moved to places in a plane."""
    backend = net.backend
    losses = []
    for place in places:
        weights = plane.origin + np.asarray(place) @ plane.directions
        with backend.activate():
            moved = _structured(net, weights)
        losses.append(net.evaluate_data(backend, moved, data, {})["loss"])
    return losses


def random_plane(net: Network, seed: int) -> Plane:
    """Return two random directions, in which each unit's weights have the size of its own."""
    rng = np.random.default_rng(seed)
    directions = [
        np.concatenate([_like(rng, p) for p in _trained(net, net.parameters)]) for _ in range(2)
    ]
    labels = tuple(f"random direction {k} (filter-normalized)" for k in (1, 2))
    path = np.zeros((1, 2))
    return Plane(flat(net, net.parameters), np.stack(directions), (labels[0], labels[1]), path)


def _like(rng: np.random.Generator, p: Any) -> Any:
    """Return a random direction of a parameter, flat: 0 for biases and other vectors."""
    if p.ndim < 2:
        return np.zeros(p.size)
    direction = rng.normal(size=p.shape)
    norms = np.linalg.norm(direction, axis=0)
    return (direction * np.linalg.norm(p, axis=0) / norms).ravel()


def _trained(net: Network, parameters: Parameters) -> list[Any]:
    """Return the host arrays that gradients train, of the layers that have parameters."""
    layers = [layer for layer, p in zip(net.layers, net.placement.parameters, strict=True) if p]
    chosen = trained_parameters(layers, parameters)
    return [to_host(p) for layer in chosen for p in layer.values()]


def _shapes(parameters: Parameters) -> list[Any]:
    return [{name: tuple(p.shape) for name, p in layer.items()} for layer in parameters]


def flat(net: Network, parameters: Parameters) -> Any:
    """Return the trained parameters as one float64 vector."""
    arrays = _trained(net, parameters)
    return np.concatenate([np.asarray(p, dtype=float).ravel() for p in arrays])


def _structured(net: Network, vector: Any) -> Parameters:
    """Return the parameters of the network, those that gradients train from a vector."""
    trained = trained_parameters(net.layers, net.placement.parameters)
    moved, start = [], 0
    for layer, chosen in zip(net.placement.parameters, trained, strict=True):
        new = dict(layer)
        for name, p in chosen.items():
            size = int(np.prod(p.shape))
            part = vector[start : start + size].reshape(p.shape)
            new[name], start = net.backend.asarray(part, net.dtype), start + size
        moved.append(new)
    return moved
