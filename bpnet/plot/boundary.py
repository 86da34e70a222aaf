"""The decision boundary of a classifier of two features."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from bpnet.backend.memory import check_room
from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_integer
from bpnet.common.keywords import suggests_keywords
from bpnet.network import Network
from bpnet.plot.examples import examples_in_plane, like
from bpnet.plot.style import COLORS, MARKERS, axes_or_new, with_margin

LEGEND_CLASSES = 12  # a larger legend would hide the plot


@suggests_keywords
def decision_boundary(
    net: Network | Any, X: Any, y: Any, ax: Axes | None = None, *, resolution: int = 300
) -> Axes:
    """Draw the decisions of a classifier in the plane of two features, with examples on top.

    Each point has the mean color of the classes, weighted by their probabilities. Lines
    separate the regions of the most probable class. There is a legend for up to 12 classes.

    Parameters
    ----------
    net : Network or fitted classifier
        A trained network of two features, of any number of classes; or an estimator with
        ``predict_proba`` and ``classes_``, such as :class:`bpnet.MLPClassifier` or a pipeline
        of scikit-learn.
    X : array (m, 2)
        Features of the examples, which also set the axis limits.
    y : array (m,) or (m, n_classes)
        Their classes 0, 1, ..., or rows of probabilities, of which the largest counts; of an
        estimator, labels of any kind.
    ax : matplotlib.axes.Axes or None
        Axes to draw into; None makes a new figure.
    resolution : int, default 300
        Grid points per side at which the network is evaluated, >= 2.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into.

    Raises
    ------
    ValueError, TypeError
        If `net` is untrained or not a classifier of two features, X or y do not match, or `ax`
        is not an Axes.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(100)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> _ = net.fit(X, y, epochs=2)
    >>> ax = bpnet.plot.decision_boundary(net, X, y)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['class 0', 'class 1', 'boundary']
    """
    resolution = check_resolution(resolution)
    points, labels, names, axes = examples_in_plane(net, X, y)
    ax = axes_or_new(ax)
    u, v = (np.linspace(*_limits(points[:, k]), resolution) for k in range(2))
    grid = np.stack(np.meshgrid(u, v), axis=-1)
    p = to_host(net.predict_proba(like(X, grid.reshape(-1, 2)))).astype(float)
    if not np.isfinite(p).all():
        raise ValueError(
            "the probabilities are not finite; train the network with a smaller learning rate"
        )
    _shade(ax, u, v, p.reshape(resolution, resolution, -1))
    for k in range(p.shape[1]):
        ax.plot(
            *points[labels == k].T, MARKERS[k % len(MARKERS)],
            color=COLORS[k % len(COLORS)], markersize=5,
            markeredgecolor="white", markeredgewidth=0.6, label=f"class {names[k]}",
        )  # fmt: skip
    ax.plot([], [], color="black", label="boundary")
    ax.set(xlim=u[[0, -1]], ylim=v[[0, -1]], xlabel=axes[0], ylabel=axes[1])
    if p.shape[1] <= LEGEND_CLASSES:
        ax.legend(framealpha=0.9)
    return ax


def check_resolution(resolution: Any) -> int:
    """Return the number of grid points per side, after checking that they fit in memory."""
    points: int = check_integer("resolution", resolution, 2)
    check_room("resolution", points, 64 * points * points)
    return points


def _limits(values: Any) -> tuple[float, float]:
    """Return the range of values with a margin on both sides."""
    return with_margin(float(values.min()), float(values.max()), 0.08)


def _shade(ax: Axes, u: Any, v: Any, p: Any) -> None:
    """Mix the class colors by their probabilities (v, u, class), and draw the borders."""
    classes = p.shape[-1]
    colors = np.array([to_rgb(COLORS[k % len(COLORS)]) for k in range(classes)])
    pale = 0.6 + 0.4 * np.clip(p @ colors, 0.0, 1.0)  # makes the examples stand out
    extent = (u[0], u[-1], v[0], v[-1])
    ax.imshow(pale, extent=extent, origin="lower", aspect="auto", interpolation="bilinear")
    for k in range(1, classes):  # the borders of class 0 are among theirs
        lead = p[..., k] - np.delete(p, k, axis=-1).max(axis=-1)
        if lead.min() < 0.0 < lead.max():
            ax.contour(u, v, lead, levels=[0.0], colors="black", linewidths=1.2)
