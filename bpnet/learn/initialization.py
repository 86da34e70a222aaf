"""Initialization: how the variance of signals changes from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bpnet.common.checks import check_integer, check_sequence
from bpnet.common.keywords import suggests_keywords
from bpnet.initializers import Normal
from bpnet.layers import Dense
from bpnet.learn._arguments import check_activation, check_width
from bpnet.learn.lesson import Lesson, factor_per_layer, plain, times
from bpnet.network import Network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bpnet.initializers import Initializer

INITS: dict[str, str | Initializer] = {
    "zeros": "zeros",
    "N(0, 1)": Normal(1.0),
    "Xavier": "xavier_normal",
    "He": "he_normal",
}


@suggests_keywords
def initialization(
    *,
    depth: int = 8,
    width: int = 100,
    activations: Sequence[str] = ("tanh", "relu"),
    seed: int = 0,
) -> Lesson:
    """Measure the variance of activations and gradients by layer, before training.

    Compares four initializers: zeros, N(0, 1), Xavier's N(0, 2 / (n_in + n_out)) (Glorot and
    Bengio 2010) and He's N(0, 2 / n_in) (He et al. 2015), for standard normal features and
    random classes, on the current backend in float64.

    Parameters
    ----------
    depth : int, default 8
        Number of hidden layers, >= 2.
    width : int, default 100
        Number of features, and units per hidden layer.
    activations : sequence of str
        Names of activations.
    seed : int, default 0
        Seed of data and weights.

    Returns
    -------
    Lesson
        Its numbers: "activation" and "gradient", {(activation, init): variances of a_l or
        delta_l in layers 1 to `depth`}; "factor", {(activation, init): (mean factor per layer
        of the variance of activations, and of gradients backward)}, NaN where a variance is 0.
    """
    depth = check_integer("depth", depth, 2)
    width = check_width(width)
    activations = check_sequence("activations", activations, check_activation)
    seed = check_integer("seed", seed, 0)
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(200, width)), rng.integers(0, 2, 200)
    forward: dict[tuple[str, str], list[float]] = {}
    backward: dict[tuple[str, str], list[float]] = {}
    for name in activations:
        for label, init in INITS.items():
            hidden = [Dense(width, name, init=init) for _ in range(depth)]
            layers = [*hidden, Dense(1, init=init)]
            trace = Network(layers, "binary_crossentropy", seed=seed, dtype="float64").trace(
                X, y
            )
            numbers = range(1, depth + 1)
            forward[name, label] = [float(np.var(trace[f"a{k}"])) for k in numbers]
            backward[name, label] = [float(np.var(trace[f"delta{k}"])) for k in numbers]
    factor = {
        key: (factor_per_layer(forward[key]), factor_per_layer(backward[key][::-1]))
        for key in forward
    }
    head = ("activation", "weights", "var a, layer 1", f"layer {depth}", "factor per layer",
            f"var delta, layer {depth}", "layer 1", "factor per layer")  # fmt: skip
    rows = [
        (*key, f"{a[0]:.2g}", f"{a[-1]:.2g}", _written(factor[key][0]),
         f"{d[-1]:.2g}", f"{d[0]:.2g}", _written(factor[key][1]))
        for key, a, d in zip(forward, forward.values(), backward.values(), strict=True)
    ]  # fmt: skip
    return Lesson(
        f"Variance of activations on the way forward and of gradients on the way back "
        f"({depth} hidden layers of {width} units)",
        [head, *rows],
        _reading(activations, factor, forward),
        {"activation": forward, "gradient": backward, "factor": factor},
        lambda figure: _paint(figure, activations, forward, backward),
        (10.0, 7.4),
    )


def _written(factor: float) -> str:
    return "-" if math.isnan(factor) else f"{factor:.2g}"


def _drift(factors: tuple[float, float]) -> float:
    """Return the drift of variances per layer, in either direction; infinite if they are 0."""
    return max(math.inf if math.isnan(f) else abs(math.log(f)) for f in factors)


def _reading(
    activations: Sequence[str],
    factor: dict[tuple[str, str], tuple[float, float]],
    forward: dict[tuple[str, str], list[float]],
) -> str:
    """Report the best initializer for each activation, and the largest drift."""
    parts = []
    for name in activations:
        best = min((_drift(factor[name, label]), label) for label in INITS)[1]
        a, d = factor[name, best]
        parts.append(f"{name} with {best} ({_ways(a, d)})")
    drifting = [key for key in factor if math.isfinite(_drift(factor[key]))]
    worst = max(drifting, key=lambda key: _drift(factor[key]))
    dead = sorted({label for (_, label), values in forward.items() if max(values) == 0.0})
    silent = f" With {' and '.join(dead)}, no signal gets through at all." if dead else ""
    depth = len(forward[worst])
    whole = times(math.exp(_drift(factor[worst]) * (depth - 1)))
    return (
        f"Layer by layer, the variances change least for {' and for '.join(parts)}, and most "
        f"for {worst[0]} with {worst[1]} ({_ways(*factor[worst])}): {whole} over the {depth} "
        f"layers.{silent}"
    )


def _ways(forward: float, backward: float) -> str:
    """Return both factors of a layer in words."""
    return f"times {plain(forward)} forward and times {plain(backward)} back"


def _paint(
    figure: Figure,
    activations: Sequence[str],
    forward: dict[tuple[str, str], list[float]],
    backward: dict[tuple[str, str], list[float]],
) -> None:
    from bpnet.plot.style import look

    grid = figure.subplots(2, len(activations), sharex=True, squeeze=False)
    for column, name in enumerate(activations):
        for ax, variances, what in (
            (grid[0, column], forward, "activations a"),
            (grid[1, column], backward, "gradients delta"),
        ):
            for k, label in enumerate(INITS):
                values = variances[name, label]
                if max(values) == 0.0:  # not on a log scale
                    ax.plot([], [], label=f"{label}: all 0", **look(k))
                else:
                    ax.plot(range(1, len(values) + 1), values, label=label, **look(k))
            ax.set(yscale="log", ylabel=f"variance of {what}", title=f"{name}: {what}")
            ax.grid(alpha=0.3)
            ax.legend()
        grid[1, column].set_xlabel("layer (1 is next to the input)")
