"""Figures over the epochs: the loss, and the gradients of each layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from bpnet._checks import check_choice
from bpnet.plot.style import Figures, axes_or_new, look

# The legend of more layers stands beside the picture.
LEGEND_LAYERS = 6


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
    ax = axes_or_new(ax)
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


def gradient_flow(history: Figures, ax: Axes | None = None, *, kind: str = "lines") -> Axes:
    """Draw how large each layer's gradients were over the epochs, on a logarithmic scale.

    Lines that lie decades below the last layer's, or a heat map that grows dark towards the
    first layer, are gradients that vanish.

    Parameters
    ----------
    history : History or mapping of str to sequence of float
        What ``fit`` returned with :class:`bpnet.GradientFlow` among its callbacks.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a new figure.
    kind : {"lines", "heatmap"}, default "lines"
        One line for each layer; or one row for each layer and a column for each epoch, which
        shows many layers at once. There a norm of 0 (or NaN) is hatched.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into. A heat map adds a colour bar beside it.

    Raises
    ------
    ValueError
        If the history has no gradient norms, or `kind` is unknown.
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
    check_choice("kind", kind, ("lines", "heatmap"))
    prefix = "gradient_norm/"
    numbers = sorted(
        int(name.removeprefix(prefix))
        for name in _check_figures(history)
        if name.startswith(prefix)
    )
    if not numbers or not history[f"{prefix}{numbers[0]}"]:
        raise ValueError(
            "history has no gradient norms; add bpnet.GradientFlow() to the callbacks of fit"
        )
    ax = axes_or_new(ax)
    curves = {f"layer {k}": history[f"{prefix}{k}"] for k in numbers}
    label = "gradient norm of the weights (2-norm of dL/dW)"
    if kind == "heatmap":
        _draw_heat_map(ax, curves, label)
        return ax
    _draw_curves(ax, curves)
    if any(norm > 0.0 for norms in curves.values() for norm in norms):
        ax.set_yscale("log", nonpositive="mask")  # a norm of 0 leaves a gap
    ax.set_ylabel(label)
    if len(numbers) <= LEGEND_LAYERS:
        ax.legend()
    else:  # beside, where it hides no line
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), ncols=-(-len(numbers) // 16))
    return ax


def _check_figures(history: Figures) -> Figures:
    if not isinstance(history, Mapping):
        raise TypeError(
            f"history must be what fit returned, or a mapping of names to figures; "
            f"got {type(history).__name__}"
        )
    return history


def _draw_curves(ax: Axes, curves: Figures) -> None:
    """Draw one line each over the epochs, told apart by more than their colour."""
    for k, (label, values) in enumerate(curves.items()):
        ax.plot(range(1, len(values) + 1), values, label=label, **look(k, len(values)))
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)


def _draw_heat_map(ax: Axes, curves: Figures, label: str) -> None:
    """Draw one row for each layer, the first on top; brighter is more."""
    norms = np.asarray(list(curves.values()), dtype=float)
    norms = np.ma.masked_where(~(np.isfinite(norms) & (norms > 0.0)), norms)
    layers, epochs = norms.shape
    ax.patch.set(facecolor="white", hatch="////", edgecolor="0.6")  # shows where nothing is
    scale = LogNorm(norms.min(), norms.max()) if norms.count() else None
    image = ax.imshow(
        norms, norm=scale, cmap="cividis", aspect="auto", interpolation="nearest",
        extent=(0.5, epochs + 0.5, layers + 0.5, 0.5),
    )  # fmt: skip
    if norms.count():
        ax.figure.colorbar(image, ax=ax, label=label)
    ax.set(xlabel="epoch", ylabel="layer (1 is next to the input)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
