"""One example, forward and backward through a tiny network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bpnet.common.checks import check_integer
from bpnet.common.keywords import suggests_keywords
from bpnet.layers import Dense
from bpnet.learn.differences import numerical_gradients
from bpnet.learn.lesson import Lesson
from bpnet.model.trace import Trace, short
from bpnet.network import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_X, _Y = (0.5, -1.0), 1


@suggests_keywords
def backprop(*, seed: int = 0) -> Lesson:
    """Trace one example through a 2-2-1 tanh network, and check every gradient.

    Every z, a, delta, dW and db is printed with its equation; the trace itself, too, with the
    line of bpnet that computes it. dW, db and delta (for one example dL/dz equals dL/db) are
    checked against central differences of the loss. It runs on the current backend in float64.

    Parameters
    ----------
    seed : int, default 0
        Seed of the weights.

    Returns
    -------
    Lesson
        Its numbers: "trace", the :class:`bpnet.model.trace.Trace`; "differences", {name: finite
        differences}; "error", the largest difference between the two; "flow", the
        :class:`bpnet.plot.ExampleFlow` of the example.
    """
    from bpnet.plot.flow import example_flow

    seed = check_integer("seed", seed, 0)
    layers = [Dense(2, "tanh"), Dense(1)]
    net = Network(layers, "binary_crossentropy", seed=seed, dtype="float64").build(2)
    trace = net.trace(_X, _Y)
    differences: dict[str, Any] = {}
    for k, layer in enumerate(numerical_gradients(net, [_X], [_Y]), start=1):
        differences |= {f"dW{k}": layer["W"], f"db{k}": layer["b"], f"delta{k}": layer["b"]}
    error = max(
        float(np.abs(np.ravel(trace[name]) - values.ravel()).max())
        for name, values in differences.items()
    )
    head = ("quantity", "value", "by finite differences")
    pairs = [(entry.value, differences.get(entry.name, np.empty(0))) for entry in trace.entries]
    rows = [
        (entry.equation, *(short(value, 27, digits=3) for value in pair))
        for entry, pair in zip(trace.entries, pairs, strict=True)
    ]
    parameters = [
        {name: net.backend.to_numpy(p) for name, p in layer.items()} for layer in net.parameters
    ]
    return Lesson(
        f"One example, x = {short(np.array(_X))} and y = {_Y}, forward and back through a "
        f"2-2-1 network",
        [head, *rows],
        _reading(trace, differences, error),
        {
            "trace": trace,
            "differences": differences,
            "error": error,
            "flow": example_flow(net, _X, _Y),
        },
        lambda figure: _paint(figure.add_subplot(), trace, parameters),
        (9.0, 5.2),
    )


def _reading(trace: Trace, differences: dict[str, Any], error: float) -> str:
    p, delta = float(np.ravel(trace["p"])[0]), float(np.ravel(trace["delta2"])[0])
    way = "up" if delta < 0.0 else "down"
    return (
        f"The network gives P(1) = {p:.3f} where the class is {_Y}, so delta2 = {delta:.3f}: "
        f"the loss falls when z2 goes {way}. All {len(differences)} gradients agree with "
        f"finite differences; the largest difference is {error:.0e}."
    )


def _paint(ax: Axes, trace: Trace, parameters: list[dict[str, Any]]) -> None:
    """Draw units as circles and weights as lines, with values above gradients."""
    from bpnet.plot.style import COLORS

    centered: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9}
    columns = [np.asarray(_X), np.ravel(trace["a1"]), np.ravel(trace["a2"])]
    heights = [[1.0, -1.0], [1.0, -1.0], [0.0]]
    for k, layer in enumerate(parameters):
        gradient = trace[f"dW{k + 1}"]
        for i, above in enumerate(heights[k]):
            for j, below in enumerate(heights[k + 1]):
                ax.plot([k, k + 1], [above, below], color="0.6", zorder=1)
                # Off center, so that the labels of crossing lines do not overlap.
                x, y = k + 0.32, above + 0.32 * (below - above)
                _write(ax, x, y, f"W = {layer['W'][i, j]:.3g}", f"dW = {gradient[i, j]:.3g}")
    for k, (values, positions) in enumerate(zip(columns, heights, strict=True)):
        for j, (value, y) in enumerate(zip(values, positions, strict=True)):
            ax.plot([k], [y], "o", markersize=50, color="white", markeredgecolor="black")
            ax.text(k, y, f"{'a' if k else 'x'}\n{value:.3g}", color=COLORS[0], **centered)
            if k:
                delta, b = np.ravel(trace[f"delta{k}"])[j], parameters[k - 1]["b"][j]
                ax.text(k, y - 0.38, f"b = {b:.3g}", color=COLORS[0], **centered)
                ax.text(k, y - 0.54, f"delta = {delta:.3g}", color=COLORS[4], **centered)
    p = float(np.ravel(trace["p"])[0])
    ax.text(2, 0.46, f"p = {p:.3g}, y = {_Y}\nloss = {float(trace['loss']):.3g}",
            color=COLORS[0], **centered)  # fmt: skip
    ax.set(xlim=(-0.3, 2.4), ylim=(-1.75, 1.45))
    ax.set_title("Forward in blue (x, W, b, a, p), backward in orange (dW, delta)")
    ax.axis("off")


def _write(ax: Axes, x: float, y: float, value: str, gradient: str) -> None:
    """Write the weight above the line and its gradient below."""
    from bpnet.plot.style import COLORS

    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}
    ax.text(x, y + 0.02, value, ha="center", va="bottom", fontsize=8, color=COLORS[0],
            bbox=box)  # fmt: skip
    ax.text(x, y - 0.02, gradient, ha="center", va="top", fontsize=8, color=COLORS[4],
            bbox=box)  # fmt: skip
