"""Figures over the epochs: the loss, and the gradients of each layer."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from bpnet.common.checks import check_choice
from bpnet.common.history import check_history, figures
from bpnet.plot.style import Figures, axes_or_new, look

# The legend of more layers stands beside the picture.
LEGEND_LAYERS = 6

LABELS = {
    "gradient_norm": "gradient norm (2-norm of dL/dW)",
    "gradient_rms": "gradient RMS (of the elements of dL/dW)",
    "weight_norm": "weight norm (2-norm of W)",
    "update_ratio": "step over weights (2-norms)",
    "activation_mean": "mean activation",
    "activation_std": "standard deviation of the activations",
    "dead": "dead units (share)",
    "saturated": "saturated activations (share)",
    "spread": "spread of the units' weights (share of the norm)",
}
LINEAR = ("activation_mean", "dead", "saturated", "spread")


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
    if not check_history(history).get("loss"):
        raise ValueError(
            "history has no epoch to draw: its 'loss' is empty or missing; pass what fit "
            "returned after at least one epoch"
        )
    curves = {"training": figures(history, "loss")}
    if history.get("val_loss"):
        curves["validation"] = figures(history, "val_loss")
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


def gradient_flow(
    history: Figures,
    ax: Axes | None = None,
    *,
    kind: str = "lines",
    figure: str = "gradient_norm",
) -> Axes:
    """Draw how large each layer's gradients were over the epochs, on a logarithmic scale.

    Lines that lie decades below the last layer's, or a heat map that grows dark towards the
    first layer, are gradients that vanish. The other figures that
    :class:`bpnet.GradientFlow` records can be drawn in the same way.

    Parameters
    ----------
    history : History or mapping of str to sequence of float
        What ``fit`` returned with :class:`bpnet.GradientFlow` among its callbacks.
    ax : matplotlib.axes.Axes or None
        Where to draw; None makes a new figure.
    kind : {"lines", "heatmap"}, default "lines"
        One line for each layer; or one row for each layer and a column for each epoch, which
        shows many layers at once. On a logarithmic scale 0 (or NaN) is hatched there.
    figure : str, default "gradient_norm"
        What to draw: "gradient_norm", "gradient_rms", "weight_norm", "update_ratio",
        "activation_std" on a logarithmic scale, "activation_mean", "dead", "saturated",
        "spread" on a linear one. :mod:`bpnet.diagnosis.gradient_flow` says what they are.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into. A heat map adds a colour bar beside it.

    Raises
    ------
    ValueError
        If the history has no such figures, or `kind` or `figure` is unknown.
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
    check_choice("figure", figure, tuple(LABELS))
    prefix = f"{figure}/"
    layers = [
        name.removeprefix(prefix)
        for name in check_history(history)
        if str(name).startswith(prefix)
    ]
    if not all(layer.isdecimal() for layer in layers):
        raise ValueError(
            f"history must number the layers, as in {prefix}1; got {prefix}{', '.join(layers)}"
        )
    numbers = sorted(map(int, layers))
    if not numbers or not history[f"{prefix}{numbers[0]}"]:
        raise ValueError(
            f"history has no {figure.replace('_', ' ')}s; add bpnet.GradientFlow() to the "
            f"callbacks of fit"
        )
    ax = axes_or_new(ax)
    curves = {f"layer {k}": figures(history, f"{prefix}{k}") for k in numbers}
    positive = any(value > 0.0 for values in curves.values() for value in values)
    log = positive and figure not in LINEAR
    if kind == "heatmap":
        _draw_heat_map(ax, curves, LABELS[figure], log)
        return ax
    _draw_curves(ax, curves)
    if log:
        ax.set_yscale("log", nonpositive="mask")  # a norm of 0 leaves a gap
    ax.set_ylabel(LABELS[figure])
    if len(numbers) <= LEGEND_LAYERS:
        ax.legend()
    else:  # beside, where it hides no line
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), ncols=-(-len(numbers) // 16))
    return ax


def _draw_curves(ax: Axes, curves: Figures) -> None:
    """Draw one line each over the epochs, told apart by more than their colour."""
    for k, (label, values) in enumerate(curves.items()):
        ax.plot(range(1, len(values) + 1), values, label=label, **look(k, len(values)))
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)


def _draw_heat_map(ax: Axes, curves: Figures, label: str, log: bool) -> None:
    """Draw one row for each layer, the first on top; brighter is more."""
    values = np.asarray(list(curves.values()), dtype=float)
    shown = np.isfinite(values) & ((values > 0.0) | (not log))
    values = np.ma.masked_where(~shown, values)
    layers, epochs = values.shape
    ax.patch.set(facecolor="white", hatch="////", edgecolor="0.6")  # shows where nothing is
    image = ax.imshow(
        values, norm=LogNorm() if log else None, cmap="cividis", aspect="auto",
        interpolation="nearest", extent=(0.5, epochs + 0.5, layers + 0.5, 0.5),
    )  # fmt: skip
    if shown.any():
        ax.figure.colorbar(image, ax=ax, label=label)
    ax.set(xlabel="epoch", ylabel="layer (1 is next to the input)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
