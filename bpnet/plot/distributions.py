"""Distributions of the activations of each layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bpnet.backend.memory import check_room
from bpnet.common.checks import check_integer
from bpnet.common.keywords import suggests_keywords
from bpnet.model.trace import layer_activations
from bpnet.network import Network, check_network
from bpnet.plot.style import COLORS, axes_or_new

_HEIGHT = 0.8  # of the highest bar, relative to the distance of rows
_MANY_ZEROS = 0.05


@suggests_keywords
def activations(net: Network, X: Any, ax: Axes | None = None, *, bins: int = 60) -> Axes:
    """Draw stacked histograms of the activations of each layer except the last.

    All share one axis, so a signal that fades or saturates is easy to see. Each histogram is
    scaled to its highest bar and annotated with mean, standard deviation and, from 5 %, the
    share of exact zeros.

    Parameters
    ----------
    net : Network
        The network; it is built if necessary, as by ``forward``.
    X : array (m, n_0)
        Examples; a few hundred are enough.
    ax : matplotlib.axes.Axes or None
        Axes to draw into; None makes a new figure.
    bins : int, default 60
        Number of bins over the whole range, >= 2.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into. Layer 1 is at the top.

    Raises
    ------
    ValueError, TypeError
        If X does not match the network, an activation is not finite, or `ax` is not an Axes.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(100)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(8, "relu"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0).build(2)
    >>> ax = bpnet.plot.activations(net, X)
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ["1  Dense(8, 'tanh')", "2  Dense(8, 'relu')"]
    """
    bins = check_integer("bins", bins, 2)
    check_room("bins", bins, 64 * bins)
    check_network(net)
    if ax is not None:
        axes_or_new(ax)
    layers = [(name, a.ravel().astype(float)) for name, a in layer_activations(net, X)]
    low = min(a.min() for _, a in layers)
    high = max(a.max() for _, a in layers)
    if not np.isfinite([low, high]).all():
        raise ValueError(
            "the network's activations are not finite; draw smaller weights, or train it "
            "with a smaller learning rate"
        )
    ax = axes_or_new(ax, height=max(4.8, 0.6 * len(layers)))
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    for row, (_, a) in enumerate(layers):
        counts, _ = np.histogram(a, edges)
        ax.stairs(
            row - _HEIGHT * counts / counts.max(), edges, baseline=row, fill=True,
            facecolor=COLORS[0], edgecolor="black", linewidth=0.6,
        )  # fmt: skip
        ax.text(1.02, row, _described(a), transform=ax.get_yaxis_transform(), va="bottom",
                fontsize="small")  # fmt: skip
    ax.set_yticks(range(len(layers)), [name for name, _ in layers])
    ax.set_ylim(len(layers) - 0.9, -0.95)
    ax.set(xlabel="activation a", ylabel="layer (height: share of the activations)")
    ax.grid(axis="x", alpha=0.3)
    return ax


def _described(a: Any) -> str:
    zeros = float(np.mean(a == 0.0))
    words = f"{a.mean():.2g} ± {a.std():.2g}"
    return f"{words}\n{100.0 * zeros:.0f} % are 0" if zeros >= _MANY_ZEROS else words
