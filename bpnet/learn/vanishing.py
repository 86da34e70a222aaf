"""Vanishing gradients: how much of the gradient reaches the first layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bpnet import datasets
from bpnet.common.checks import check_integer, check_sequence
from bpnet.common.keywords import suggests_keywords
from bpnet.layers import Dense
from bpnet.learn._arguments import at_least, check_activation, check_width
from bpnet.learn.lesson import Lesson, compared, times
from bpnet.network import Network

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@suggests_keywords
def vanishing_gradients(
    *,
    depths: Sequence[int] = (2, 4, 8, 16, 32),
    activations: Sequence[str] = ("sigmoid", "tanh", "relu"),
    width: int = 32,
    networks: int = 5,
    seed: int = 0,
) -> Lesson:
    """Compare the gradient norms of the first and the last layer, before training.

    Each delta is the next one times ``W^T`` and ``f'(z)``, so the size of f' enters to the
    power of the depth (Hochreiter 1991; Glorot and Bengio 2010). Weights use the default
    initializer of each activation. It runs on the current backend in float64, as norms
    underflow in float32.

    Parameters
    ----------
    depths : sequence of int
        At least two numbers of hidden layers, increasing.
    activations : sequence of str
        Names of activations to compare.
    width : int, default 32
        Units per hidden layer.
    networks : int, default 5
        Number of networks, with different weights, for the geometric mean.
    seed : int, default 0
        Seed of data and of the first network.

    Returns
    -------
    Lesson
        Its numbers: "ratio", {activation: {depth: ratio of first to last norm}}; "factor",
        {activation: mean factor of the ratio per layer}; "norms", {activation: norms by layer
        of the first of the deepest networks}.
    """
    depths = check_sequence("depths", depths, at_least(1), 2, rising=True)
    activations = check_sequence("activations", activations, check_activation)
    width = check_width(width)
    networks = check_integer("networks", networks, 1)
    seed = check_integer("seed", seed, 0)
    X, y = datasets.make_spiral(200, seed=seed)
    seeds = range(seed, seed + networks)
    norms = {
        (name, depth): _norms(name, depth, width, seeds, X, y)
        for name in activations
        for depth in depths
    }
    ratio = {
        name: {
            depth: _geometric_mean([layers[0] / layers[-1] for layers in norms[name, depth]])
            for depth in depths
        }
        for name in activations
    }
    span = depths[-1] - depths[0]
    factor = {
        name: (ratios[depths[-1]] / ratios[depths[0]]) ** (1.0 / span)
        for name, ratios in ratio.items()
    }
    head = ("activation", *(f"{depth} layers" for depth in depths), "factor per layer")
    rows = [
        (name, *(f"{r:.1e}" for r in ratio[name].values()), f"{factor[name]:.3f}")
        for name in activations
    ]
    numbers: dict[str, Any] = {
        "ratio": ratio,
        "factor": factor,
        "norms": {name: norms[name, depths[-1]][0] for name in activations},
    }
    return Lesson(
        f"Gradient norm of the first layer over that of the last ({width} units a layer, "
        f"mean of {networks} networks)",
        [head, *rows],
        _reading(ratio, factor, depths[-1]),
        numbers,
        lambda figure: _paint(figure, numbers),
    )


def _norms(
    name: str, depth: int, width: int, seeds: Sequence[int], X: Any, y: Any
) -> list[list[float]]:
    """Return the 2-norm of dL/dW of each layer, for the weights of each seed."""
    layers = [*(Dense(width, name) for _ in range(depth)), Dense(1)]
    net = Network(layers, "binary_crossentropy", seed=seeds[0], dtype="float64").build(2)
    norms = []
    for seed in seeds:  # reuse one network, which compiles once
        drawn = Network(layers, net.loss, seed=seed, dtype="float64").build(2)
        net.parameters = drawn.parameters
        _, gradients = net.loss_and_gradients(X, y)
        norms.append([float(np.linalg.norm(layer["W"])) for layer in gradients])
    return norms


def _geometric_mean(values: Sequence[float]) -> float:
    tiny = np.finfo(float).tiny
    return math.exp(sum(math.log(max(value, tiny)) for value in values) / len(values))


def _reading(ratio: dict[str, dict[int, float]], factor: dict[str, float], deepest: int) -> str:
    """Report the activations that lose and keep most of the gradient at the largest depth."""
    by_loss = sorted(ratio, key=lambda name: abs(math.log(ratio[name][deepest])))
    best, worst = by_loss[0], by_loss[-1]
    at_worst, at_best = ratio[worst][deepest], ratio[best][deepest]
    first = (
        f"With {deepest} hidden layers of {worst}, the gradient of the first layer is "
        f"{compared(at_worst)} that of the last: each additional layer multiplies it by "
        f"{factor[worst]:.3g}."
    )
    if best == worst:
        return f"{first} No other activation was compared."
    apart = times(max(at_best / at_worst, at_worst / at_best))
    return (
        f"{first} With {best} it is {compared(at_best)} that of the last, as each layer "
        f"multiplies it by {factor[best]:.3g}: {apart} "
        f"{'more' if at_best > at_worst else 'less'} of the gradient reaches the first layer."
    )


def _paint(figure: Figure, numbers: dict[str, Any]) -> None:
    from bpnet.plot.style import look

    left, right = figure.subplots(1, 2)
    for k, (name, ratios) in enumerate(numbers["ratio"].items()):
        left.plot(list(ratios), list(ratios.values()), label=name, **look(k))
        norms = numbers["norms"][name]
        right.plot(range(1, len(norms) + 1), norms, label=name, **look(k, len(norms)))
    left.set(yscale="log", xlabel="hidden layers", title="What reaches the first layer",
             ylabel="gradient norm, first / last layer")  # fmt: skip
    depth = max(next(iter(numbers["ratio"].values())))
    right.set(yscale="log", xlabel="layer (1 is next to the input)",
              ylabel="gradient norm (2-norm of dL/dW)",
              title=f"Layer by layer, {depth} hidden layers")  # fmt: skip
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.legend()
