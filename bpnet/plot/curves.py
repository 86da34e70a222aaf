"""Metrics over the epochs: the loss, and the gradients of each layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from bpnet.common.checks import check_choice
from bpnet.common.history import check_history, metric_values
from bpnet.common.keywords import suggests_keywords
from bpnet.plot.style import Metrics, axes_or_new, look, needs_log_scale

LEGEND_LAYERS = 6  # a larger legend is placed outside the plot

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


@suggests_keywords
def history(history: Metrics | Any, ax: Axes | None = None) -> Axes:
    """Plot the training loss, and the validation loss if there is one, by epoch.

    The scale is logarithmic if all losses are positive and span more than a factor of ten. The
    epoch whose weights early stopping restored is marked.

    Parameters
    ----------
    history : History, mapping of str to sequence of float, or fitted estimator
        Returned by ``fit``, or metrics by name: "loss", and optionally "val_loss". Of an
        estimator, its ``history_``.
    ax : matplotlib.axes.Axes or None
        Axes to draw into; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into.

    Raises
    ------
    ValueError, TypeError
        If `history` has no epoch or is neither of these, or `ax` is not an Axes.

    Examples
    --------
    >>> import bpnet
    >>> ax = bpnet.plot.history({"loss": [0.7, 0.4, 0.2], "val_loss": [0.7, 0.5, 0.4]})
    >>> ax.get_xlabel(), [line.get_label() for line in ax.get_lines()]
    ('epoch', ['training', 'validation'])
    """
    history = check_history(history)
    if not history.get("loss"):
        raise ValueError(
            "history has no epoch to draw: its 'loss' is empty or missing; pass what fit "
            "returned after at least one epoch"
        )
    curves = {"training": metric_values(history, "loss")}
    if history.get("val_loss"):
        curves["validation"] = metric_values(history, "val_loss")
    ax = axes_or_new(ax)
    _draw_curves(ax, curves)
    losses = [loss for values in curves.values() for loss in values if math.isfinite(loss)]
    if losses and needs_log_scale(min(losses), max(losses)):
        ax.set_yscale("log")
    best = getattr(history, "best_epoch", None)
    if best is not None:
        ax.axvline(best, color="0.4", linestyle=":", label=f"best epoch ({best})")
    ax.set_ylabel("loss (mean per example)")
    ax.legend()
    return ax


@suggests_keywords
def gradient_flow(
    history: Metrics | Any,
    ax: Axes | None = None,
    *,
    kind: str = "lines",
    figure: str = "gradient_norm",
) -> Axes:
    """Plot the gradient norm of each layer by epoch, on a logarithmic scale.

    Lines that lie decades below the last layer's, or a heat map that darkens towards the first
    layer, show vanishing gradients. The other metrics of :class:`bpnet.GradientFlow` can be
    plotted too.

    Parameters
    ----------
    history : History, mapping of str to sequence of float, or fitted estimator
        Returned by ``fit`` with :class:`bpnet.GradientFlow` among its callbacks; or an
        estimator with it among its `callbacks`.
    ax : matplotlib.axes.Axes or None
        Axes to draw into; None makes a new figure.
    kind : {"lines", "heatmap"}, default "lines"
        One line per layer; or one row per layer and one column per epoch, which suits many
        layers. The heat map hatches NaN and, on a logarithmic scale, 0.
    figure : str, default "gradient_norm"
        The metric: "gradient_norm", "gradient_rms", "weight_norm", "update_ratio",
        "activation_std" on a logarithmic scale, "activation_mean", "dead", "saturated",
        "spread" on a linear one. See :mod:`bpnet.diagnosis.gradient_flow`.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn into. A heat map adds a color bar beside it.

    Raises
    ------
    ValueError, TypeError
        If `history` lacks the metric or is neither of these, `kind` or `figure` is unknown, or
        `ax` is not an Axes.

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
    history, prefix = check_history(history), f"{figure}/"
    layers = [name.removeprefix(prefix) for name in history if str(name).startswith(prefix)]
    if not all(layer.isdecimal() for layer in layers):
        raise ValueError(
            f"history must number the layers, as in {prefix}1; got {prefix}{', '.join(layers)}"
        )
    numbers = sorted(map(int, layers))
    if not numbers or not history[f"{prefix}{numbers[0]}"]:
        raise ValueError(
            f"history has no {figure.replace('_', ' ')}s; add bpnet.GradientFlow() to the "
            f"callbacks of fit, or to the parameter callbacks of an estimator"
        )
    ax = axes_or_new(ax)
    curves = {f"layer {k}": metric_values(history, f"{prefix}{k}") for k in numbers}
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
    else:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), ncols=-(-len(numbers) // 16))
    return ax


def _draw_curves(ax: Axes, curves: Metrics) -> None:
    """Draw one line per curve, with different colors, styles and markers."""
    for k, (label, values) in enumerate(curves.items()):
        ax.plot(range(1, len(values) + 1), values, label=label, **look(k, len(values)))
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)


def _draw_heat_map(ax: Axes, curves: Metrics, label: str, log: bool) -> None:
    """Draw one row per layer, the first on top; brighter is larger."""
    values = np.asarray(list(curves.values()), dtype=float)
    shown = np.isfinite(values) & ((values > 0.0) | (not log))
    values = np.ma.masked_where(~shown, values)
    layers, epochs = values.shape
    ax.patch.set(
        facecolor="white", hatch="////", edgecolor="0.6"
    )  # visible where values are masked
    image = ax.imshow(
        values, norm=LogNorm() if log else None, cmap="cividis", aspect="auto",
        interpolation="nearest", extent=(0.5, epochs + 0.5, layers + 0.5, 0.5),
    )  # fmt: skip
    if shown.any():
        ax.figure.colorbar(image, ax=ax, label=label)
    ax.set(xlabel="epoch", ylabel="layer (1 is next to the input)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
