"""The loss around a network, and the path of its training."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import LogLocator, MaxNLocator

from bpnet.callbacks.snapshots import Snapshots
from bpnet.common.checks import check_integer, check_number
from bpnet.common.keywords import suggests_keywords
from bpnet.network import Network, check_network
from bpnet.plot.boundary import check_resolution
from bpnet.plot.plane import losses_at, path_plane, random_plane
from bpnet.plot.style import COLORS, axes_or_new, needs_log_scale, with_margin

_MARGIN = 0.25  # around the path, as a share of its extent
_LEVELS = 18


@suggests_keywords
def loss_landscape(
    net: Network,
    X: Any,
    y: Any,
    ax: Axes | None = None,
    *,
    snapshots: Snapshots | None = None,
    span: float = 1.0,
    resolution: int = 41,
    seed: int = 0,
) -> Axes:
    """Draw the loss in a plane through the weights of a network, as a contour plot.

    With snapshots the plane is the one in which most of the path of training lies: its axes are
    the first two principal components of the weights minus the final ones, and the path is
    drawn in it. Without, the axes are two random directions in which the weights of each unit
    are as large as those of the network ("filter normalization"), so that the sharpness of
    minima can be compared between networks. Both are those of Li, Xu, Taylor, Studer and
    Goldstein, "Visualizing the loss landscape of neural nets", NeurIPS 2018, sections 4 and 7.

    The plane goes through the final weights. Earlier snapshots lie beside it, so the loss at
    their places in the plane is not quite theirs.

    Parameters
    ----------
    net : Network
        A trained network; it is not changed. Parameters that no gradient trains, such as
        running means, are those of the network everywhere.
    X, y : arrays
        The examples whose loss is drawn, as for ``net.evaluate``; dropout is inactive.
    ax : matplotlib.axes.Axes or None
        Axes to draw into; None makes a new figure. A color bar is added beside it.
    snapshots : Snapshots or None, default None
        The callback that was passed to ``fit``, with three snapshots or more.
    span : float, default 1.0
        How far to go in each random direction, > 0: by 1, each unit's weights change by their
        own size. With snapshots, the path decides.
    resolution : int, default 41
        Points per side at which the loss is computed, >= 2.
    seed : int, default 0
        Seed of the random directions.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into.

    Raises
    ------
    ValueError, TypeError
        If the network has no weights yet, there are fewer than three snapshots or those of
        another network, or an argument is invalid.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(100, seed=0)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> snapshots = bpnet.Snapshots()
    >>> _ = net.fit(X, y, epochs=10, callbacks=[snapshots])
    >>> ax = bpnet.plot.loss_landscape(net, X, y, snapshots=snapshots, resolution=11)
    >>> [line.get_label() for line in ax.get_lines()]
    ['path of training', 'start', 'end']
    """
    span = check_number("span", span, 0.0, above=True)
    resolution = check_resolution(resolution)
    seed = check_integer("seed", seed, 0)
    data = check_network(net).check_data(X, y, None)
    if not net.is_built:
        raise ValueError("the network has no parameters yet; fit it first")
    if snapshots is None:
        plane = random_plane(net, seed)
        u = v = np.linspace(-span, span, resolution)
    else:
        plane = path_plane(net, snapshots)
        u, v = (np.linspace(*_limits(plane.path[:, k]), resolution) for k in range(2))
    ax = axes_or_new(ax)
    losses = np.array([losses_at(net, data, plane, [(a, b) for a in u]) for b in v])
    _draw(ax, u, v, losses)
    if snapshots is not None:
        _draw_path(ax, plane.path)
    else:
        ax.plot([0.0], [0.0], "*", color="white", markersize=14, markeredgecolor="black",
                linestyle="", label="the network")  # fmt: skip
    ax.set(xlabel=plane.labels[0], ylabel=plane.labels[1])
    ax.legend(framealpha=0.9)
    return ax


def _limits(values: Any) -> tuple[float, float]:
    """Return the range of a path and of its end at 0, with a margin on both sides."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return with_margin(low, high, _MARGIN)


def _draw(ax: Axes, u: Any, v: Any, losses: Any) -> None:
    """Draw filled contours, on a logarithmic scale if the losses span a factor of ten."""
    losses = np.ma.masked_invalid(losses)
    if losses.mask.all():
        raise ValueError(
            "the loss is not finite anywhere in the plane; train with a smaller learning rate, "
            "or pass a smaller span"
        )
    low, high = float(losses.min()), float(losses.max())
    is_log = needs_log_scale(low, high)
    if is_log:
        levels, norm = np.geomspace(low, high, _LEVELS), LogNorm(low, high)
    else:
        spread = high - low or max(abs(low), 1.0)  # a constant loss needs levels, too
        levels, norm = np.linspace(low, low + spread, _LEVELS), None
    filled = ax.contourf(u, v, losses, levels=levels, norm=norm, cmap="cividis")
    lines = ax.contour(u, v, losses, levels=levels, norm=norm, colors="white", linewidths=0.5)
    lines.set_alpha(0.5)
    bar = ax.figure.colorbar(filled, ax=ax, label="loss (mean per example)")
    ticks = LogLocator(subs=(1.0, 2.0, 5.0)) if is_log else MaxNLocator(6)
    bar.ax.yaxis.set_major_locator(ticks)
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.ax.minorticks_off()


def _draw_path(ax: Axes, path: Any) -> None:
    """Draw the snapshots, joined by a line, with its start and its end."""
    ax.plot(*path.T, color=COLORS[4], marker="o", markersize=3.5, linewidth=1.5,
            markeredgecolor="white", markeredgewidth=0.5, label="path of training")  # fmt: skip
    for place, marker, size, label in (
        (path[:1], "s", 9, "start"),
        (path[-1:], "*", 15, "end"),
    ):
        ax.plot(*place.T, marker, color="white", markersize=size, markeredgecolor="black",
                label=label)  # fmt: skip
