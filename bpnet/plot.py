"""Pictures of a training and of what was learnt, drawn with matplotlib.

Each function draws into the Axes it is given, or into a new figure of its own, and returns
the Axes; none shows or saves anything: ``ax.figure.savefig("loss.png")`` does. Figures are
made without pyplot, so no window system is needed. The colours are those of Okabe and Ito
(2008), which colour-blind readers can tell apart; line styles and markers do the same in grey.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bpnet._checks import check_integer
from bpnet._placement import to_host

try:
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise ImportError(
        f"bpnet.plot needs matplotlib ({error}); install it with: pip install matplotlib"
    ) from error

if TYPE_CHECKING:
    from bpnet.network import Network

# Okabe and Ito (2008), those that differ most in grey first; yellow is too pale for a line.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
# Four or five of each, against seven colours: a combination recurs only after 28 or 35.
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "^", "s", "D", "v")
# A legend of more classes would hide what it explains.
LEGEND_CLASSES = 12

Figures = Mapping[str, Sequence[float]]


def history(history: Figures, ax: Axes | None = None) -> Axes:
    """Draw the loss over the epochs, and the validation loss where there is one.

    The scale is logarithmic if the losses, all positive, span more than a power of ten. The
    epoch whose weights early stopping restored is marked.

    Parameters
    ----------
    history : History or mapping of str to sequence of float
        What ``fit`` returned, or figures by name; "loss" is needed, "val_loss" is drawn too.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into.

    Raises
    ------
    ValueError
        If there is no epoch to draw.
    TypeError
        If `history` is no mapping, or `ax` no Axes.

    Examples
    --------
    >>> import bpnet
    >>> ax = bpnet.plot.history({"loss": [0.7, 0.4, 0.2], "val_loss": [0.7, 0.5, 0.4]})
    >>> ax.get_xlabel(), [line.get_label() for line in ax.get_lines()]
    ('epoch', ['training', 'validation'])
    """
    if not _check_figures(history).get("loss"):
        raise ValueError(
            "history has no epoch to draw: its 'loss' is empty or missing; pass what fit "
            "returned after at least one epoch"
        )
    curves = {"training": history["loss"]}
    if history.get("val_loss"):
        curves["validation"] = history["val_loss"]
    ax = _axes(ax)
    _draw_curves(ax, curves)
    losses = [loss for values in curves.values() for loss in values if math.isfinite(loss)]
    if losses and 0.0 < 10.0 * min(losses) < max(losses):
        ax.set_yscale("log")
    best = getattr(history, "best_epoch", None)
    if best is not None:
        ax.axvline(best, color="0.4", linestyle=":", label=f"best epoch ({best})")
    ax.set_ylabel("loss (mean per example)")
    ax.legend()
    return ax


def gradient_flow(history: Figures, ax: Axes | None = None) -> Axes:
    """Draw how large each layer's gradients were over the epochs, on a logarithmic scale.

    Lines that lie decades below the last layer's are gradients that vanish.

    Parameters
    ----------
    history : History or mapping of str to sequence of float
        What ``fit`` returned with :class:`bpnet.GradientFlow` among its callbacks.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into.

    Raises
    ------
    ValueError
        If the history has no gradient norms.
    TypeError
        If `history` is no mapping, or `ax` no Axes.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(50)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> history = net.fit(X, y, epochs=2, callbacks=[bpnet.GradientFlow()])
    >>> [line.get_label() for line in bpnet.plot.gradient_flow(history).get_lines()]
    ['layer 1', 'layer 2']
    """
    prefix = "gradient_norm/"
    numbers = sorted(
        int(name.removeprefix(prefix))
        for name in _check_figures(history)
        if name.startswith(prefix)
    )
    if not numbers:
        raise ValueError(
            "history has no gradient norms; add bpnet.GradientFlow() to the callbacks of fit"
        )
    ax = _axes(ax)
    curves = {f"layer {k}": history[f"{prefix}{k}"] for k in numbers}
    _draw_curves(ax, curves)
    if any(norm > 0.0 for norms in curves.values() for norm in norms):
        ax.set_yscale("log", nonpositive="mask")  # a norm of 0 leaves a gap
    ax.set_ylabel("gradient norm of the weights (2-norm of dL/dW)")
    ax.legend()
    return ax


def decision_boundary(
    net: Network, X: Any, y: Any, ax: Axes | None = None, *, resolution: int = 300
) -> Axes:
    """Draw what a network decides in the plane of two features, with examples on top.

    Each point has the mean of the classes' colours, weighted by their probabilities. Lines
    part the regions in which one class is the most probable. Up to 12 classes get a legend.

    Parameters
    ----------
    net : Network
        A trained classifier of two features, of any number of classes.
    X : array (m, 2)
        Features of the examples; they also set the limits of the picture.
    y : array (m,) or (m, n_classes)
        Their classes 0, 1, ..., or rows of probabilities, of which the largest counts.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a new figure.
    resolution : int, default 300
        Points along each side at which the network is computed, >= 2.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into.

    Raises
    ------
    ValueError
        If the network is untrained or no classifier of two features, or if X or y do not
        fit it.
    TypeError
        If `ax` is no Axes.

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
    resolution = check_integer("resolution", resolution, 2)
    points, labels = _check_examples(net, X, y)
    u, v = (np.linspace(*_limits(points[:, k]), resolution) for k in range(2))
    grid = np.stack(np.meshgrid(u, v), axis=-1)
    p = np.asarray(net.predict_proba(grid.reshape(-1, 2)), dtype=float)
    if not np.isfinite(p).all():
        raise ValueError(
            "the network's probabilities are not finite; train it with a smaller learning rate"
        )
    ax = _axes(ax)
    _shade(ax, u, v, p.reshape(resolution, resolution, -1))
    for k in range(p.shape[1]):
        ax.plot(
            *points[labels == k].T, MARKERS[k % len(MARKERS)],
            color=COLORS[k % len(COLORS)], markersize=5,
            markeredgecolor="white", markeredgewidth=0.6, label=f"class {k}",
        )  # fmt: skip
    ax.plot([], [], color="black", label="boundary")
    ax.set(xlim=u[[0, -1]], ylim=v[[0, -1]], xlabel="feature 1", ylabel="feature 2")
    if p.shape[1] <= LEGEND_CLASSES:
        ax.legend(framealpha=0.9)
    return ax


def _check_figures(history: Figures) -> Figures:
    if not isinstance(history, Mapping):
        raise TypeError(
            f"history must be what fit returned, or a mapping of names to figures; "
            f"got {type(history).__name__}"
        )
    return history


def _axes(ax: Axes | None) -> Axes:
    """Give the Axes, or those of a new figure."""
    if ax is None:
        return Figure(figsize=(6.4, 4.8), layout="constrained").add_subplot()
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes, got {type(ax).__name__}")
    return ax


def _draw_curves(ax: Axes, curves: Figures) -> None:
    """Draw one line each over the epochs, told apart by more than their colour."""
    for k, (label, values) in enumerate(curves.items()):
        ax.plot(
            range(1, len(values) + 1), values, linestyle=STYLES[k % len(STYLES)],
            color=COLORS[k % len(COLORS)], marker=MARKERS[k % len(MARKERS)], markersize=5,
            markevery=max(1, len(values) // 12), label=label,
        )  # fmt: skip
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)


def _check_examples(net: Network, X: Any, y: Any) -> tuple[Any, Any]:
    """Give points (m, 2) and classes (m,) on the host, for a network that can be drawn."""
    if not net.is_built:
        raise ValueError("the network has no parameters yet; fit it to data first")
    if not net.is_classifier:
        raise ValueError(
            f"decision_boundary needs a classifier; this network's loss is {net.loss.name!r}"
        )
    if net.loss.targets == "probabilities" and net.n_outputs > 1:
        raise ValueError(
            f"decision_boundary needs classes that exclude each other; this network decides "
            f"{net.n_outputs} labels one by one"
        )
    shape = np.shape(X)
    if len(shape) != 2 or shape[1] != 2:
        raise ValueError(
            f"X must have shape (m, 2) to be drawn in a plane, got {tuple(shape)}; "
            f"train a network on two of the features"
        )
    data = to_host(net.check_data(X, y, None))
    if data.y.ndim == 1:
        return data.X, data.y
    return data.X, data.y[:, 0] > 0.5 if net.n_outputs == 1 else data.y.argmax(axis=1)


def _limits(values: Any) -> tuple[float, float]:
    """Leave a margin on both sides."""
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _shade(ax: Axes, u: Any, v: Any, p: Any) -> None:
    """Mix the classes' colours by their probabilities (v, u, class), and draw the borders."""
    classes = p.shape[-1]
    colors = np.array([to_rgb(COLORS[k % len(COLORS)]) for k in range(classes)])
    pale = 0.6 + 0.4 * np.clip(p @ colors, 0.0, 1.0)  # so that examples stand out
    extent = (u[0], u[-1], v[0], v[-1])
    ax.imshow(pale, extent=extent, origin="lower", aspect="auto", interpolation="bilinear")
    for k in range(1, classes):  # the last border of class 0 is that of the others
        lead = p[..., k] - np.delete(p, k, axis=-1).max(axis=-1)
        if lead.min() < 0.0 < lead.max():
            ax.contour(u, v, lead, levels=[0.0], colors="black", linewidths=1.2)
