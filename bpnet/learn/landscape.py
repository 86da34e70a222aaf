"""The loss landscape: the path of training, and the straight line between its ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bpnet import datasets
from bpnet.callbacks.snapshots import Snapshots
from bpnet.common.checks import check_integer
from bpnet.common.keywords import suggests_keywords
from bpnet.layers import Dense
from bpnet.learn.lesson import Lesson
from bpnet.network import Network
from bpnet.optimizers import SGD, Adam
from bpnet.training.interrupt import uninterrupted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bpnet.optimizers import Optimizer

OPTIMIZERS: dict[str, Optimizer] = {"SGD": SGD(0.3), "momentum": SGD(0.1, momentum=0.9),
                                    "Adam": Adam(0.01)}  # fmt: skip
_STEPS = 21  # on the straight line


class Path(NamedTuple):
    """The path of one optimizer through the space of the weights.

    Attributes
    ----------
    start, end : float
        The loss of all examples before and after training.
    length : float
        The length of the path, from epoch to epoch, in units of the weights.
    distance : float
        The length of the straight line from its start to its end.
    share : float
        How much of the path lies in the plane drawn, 0 to 1.
    line : tuple of float
        The loss along the straight line.
    """

    start: float
    end: float
    length: float
    distance: float
    share: float
    line: tuple[float, ...]


@suggests_keywords
def loss_landscape(*, epochs: int = 60, resolution: int = 25, seed: int = 0) -> Lesson:
    """Follow the paths of three optimizers through the loss landscape.

    They start from the same weights of a 2-32-32-1 tanh network, on a spiral of 300 examples,
    on the current backend. The plot shows the plane in which most of each path lies (Li et al.
    2018); the loss on the straight line from start to end was first looked at by Goodfellow,
    Vinyals and Saxe, "Qualitatively characterizing neural network optimization problems", ICLR
    2015.

    Parameters
    ----------
    epochs : int, default 60
        Passes over the examples, >= 2, in batches of 32.
    resolution : int, default 25
        Points per side of the plot.
    seed : int, default 0
        Seed of data, weights and batches.

    Returns
    -------
    Lesson
        Its numbers: "paths", {optimizer: Path}.
    """
    epochs = check_integer("epochs", epochs, 2)
    resolution = check_integer("resolution", resolution, 2)
    seed = check_integer("seed", seed, 0)
    X, y = datasets.make_spiral(300, seed=seed)
    layers = [Dense(32, "tanh"), Dense(32, "tanh"), Dense(1)]
    paths, trained = {}, {}
    for name, optimizer in OPTIMIZERS.items():
        net, snapshots = Network(layers, "binary_crossentropy", seed=seed), Snapshots()
        uninterrupted(net.fit(X, y, optimizer=optimizer, epochs=epochs, callbacks=[snapshots]))
        paths[name], trained[name] = _path(net, snapshots, X, y), (net, snapshots)
    head = ("optimizer", "loss before", "after", "length of the path", "straight distance",
            "in the plane", "highest on the line")  # fmt: skip
    rows = [
        (name, f"{p.start:.3f}", f"{p.end:.4f}", f"{p.length:.1f}", f"{p.distance:.1f}",
         f"{100.0 * p.share:.1f} %", f"{max(p.line):.3f}")
        for name, p in paths.items()
    ]  # fmt: skip
    return Lesson(
        f"Paths of training through the {net.n_parameters:,} dimensions of the weights",
        [head, *rows],
        _reading(paths),
        {"paths": paths},
        lambda figure: _paint(figure, trained, X, y, resolution),
        (14.0, 4.4),
    )


def _path(net: Network, snapshots: Snapshots, X: Any, y: Any) -> Path:
    from bpnet.plot.plane import Plane, flat, losses_at, path_plane

    plane = path_plane(net, snapshots)
    points = np.stack([flat(net, snapshot.parameters) for snapshot in snapshots.taken])
    data = net.check_data(X, y, None)
    way = points[0] - plane.origin
    line = Plane(plane.origin, np.stack([way, way]), plane.labels, plane.path)
    losses = losses_at(net, data, line, [(t, 0.0) for t in np.linspace(1.0, 0.0, _STEPS)])
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    distance = float(np.linalg.norm(way))
    return Path(losses[0], losses[-1], length, distance, plane.share, tuple(losses))


def _reading(paths: Mapping[str, Path]) -> str:
    """Report the most winding path, how flat all are, and the straight lines."""
    winding = {name: path.length / path.distance for name, path in paths.items()}
    most, least = max(winding, key=winding.__getitem__), min(winding, key=winding.__getitem__)
    share = min(path.share for path in paths.values())
    higher = [name for name, path in paths.items() if max(path.line) > 1.01 * path.start]
    line = (
        "On the straight line, no loss rises above that of the start: there is no barrier to "
        "go around, but each step sees only the slope where it is"
    )
    if higher:
        line = f"On the straight line, the loss of {' and '.join(higher)} rises before it falls"
    return (
        f"The path of {most} is {winding[most]:.2g} times as long as the straight line from "
        f"its start to its end, that of {least} {winding[least]:.2g} times; yet each lies "
        f"almost in a plane, by {100.0 * share:.0f} % or more. {line}."
    )


def _paint(figure: Figure, trained: Mapping[str, Any], X: Any, y: Any, resolution: int) -> None:
    from bpnet.plot.landscape import loss_landscape

    for ax, (name, (net, snapshots)) in zip(
        figure.subplots(1, len(trained)), trained.items(), strict=True
    ):
        loss_landscape(net, X, y, ax, snapshots=snapshots, resolution=resolution)
        ax.set_title(name)
