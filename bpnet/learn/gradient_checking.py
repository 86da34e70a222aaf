"""Gradient checking: how well finite differences agree with backpropagation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bpnet import datasets
from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_integer, check_sequence
from bpnet.common.keywords import suggests_keywords
from bpnet.layers import Dense
from bpnet.learn._arguments import check_positive
from bpnet.learn.differences import STEP, numerical_gradients
from bpnet.learn.lesson import Lesson
from bpnet.network import Network
from bpnet.testing.gradcheck import check_gradients

if TYPE_CHECKING:
    from matplotlib.figure import Figure


STEPS = tuple(float(f"1e{k}") for k in range(-12, 0))


class ForgetfulDense(Dense):
    """A Dense with a bug: it omits the activation's derivative."""

    def delta(self, xp: Namespace, z: Array, a: Array, error: Array) -> Array:
        """Return the error unchanged, without f'(z)."""
        return error


@suggests_keywords
def gradient_check(*, steps: Sequence[float] = STEPS, seed: int = 0) -> Lesson:
    """Compare backpropagation with central differences for a range of steps h.

    The truncation error of central differences is proportional to ``h^2``, the rounding error
    to ``1 / h``, so the best h is near ``eps^(1/3)``. The reported error is the largest
    difference over the largest gradient, for all parameters of a 2-8-1 tanh network on 20
    examples, on the current backend in float64 and float32.

    Parameters
    ----------
    steps : sequence of float
        Steps h, increasing.
    seed : int, default 0
        Seed of data and weights.

    Returns
    -------
    Lesson
        Its numbers: "error", {dtype: {h: error}}; "right" and "wrong", the
        :class:`bpnet.GradientReport` of the network, and of one whose backward pass omits the
        activation's derivative.
    """
    steps = check_sequence("steps", steps, check_positive, rising=True)
    seed = check_integer("seed", seed, 0)
    X, y = datasets.make_moons(20, seed=seed)
    error = {
        dtype: _errors(_network(Dense, seed, dtype), X, y, steps)
        for dtype in ("float64", "float32")
    }
    right = check_gradients(_network(Dense, seed, "float64"), X, y)
    wrong = check_gradients(_network(ForgetfulDense, seed, "float64"), X, y)
    rows = [
        (f"{h:.0e}", f"{error['float64'][h]:.1e}", f"{error['float32'][h]:.1e}") for h in steps
    ]
    return Lesson(
        "Relative error of finite differences against backpropagation (2-8-1, tanh)",
        [("step h", "in float64", "in float32"), *rows],
        _reading(error, right.max_relative_error, wrong.max_relative_error),
        {"error": error, "right": right, "wrong": wrong},
        lambda figure: _paint(figure, error, wrong.max_relative_error),
        (7.0, 4.6),
    )


def _network(layer: type[Dense], seed: int, dtype: str) -> Network:
    net = Network([layer(8, "tanh"), Dense(1)], "binary_crossentropy", seed=seed, dtype=dtype)
    return net.build(2)


def _errors(net: Network, X: Any, y: Any, steps: Sequence[float]) -> dict[float, float]:
    _, exact = net.loss_and_gradients(X, y)
    scale = max(float(np.abs(g).max()) for layer in exact for g in layer.values())
    errors = {}
    for h in steps:
        numerical = numerical_gradients(net, X, y, h)
        errors[h] = max(
            float(np.abs(layer[name] - gradients[name]).max()) / scale
            for layer, gradients in zip(numerical, exact, strict=True)
            for name in layer
        )
    return errors


def _reading(error: dict[str, dict[float, float]], right: float, wrong: float) -> str:
    """Report the best step in both precisions, and what the check says about the bug."""
    best = {dtype: min(errors, key=lambda h: errors[h]) for dtype, errors in error.items()}
    double, single = best["float64"], best["float32"]
    return (
        f"In float64 the two agree best at h = {double:g}, near eps^(1/3) = {STEP:.0e}: they "
        f"differ by {error['float64'][double]:.0e}. In float32 the best is h = {single:g}, and "
        f"they differ by {error['float32'][single]:.0e}. For this network, "
        f"bpnet.check_gradients reports an error of {right:.0e}, and {wrong:.2g} for one that "
        f"forgets f'(z) on the way back."
    )


def _paint(figure: Figure, error: dict[str, dict[float, float]], wrong: float) -> None:
    from bpnet.plot.style import look

    ax = figure.add_subplot()
    for k, (dtype, errors) in enumerate(error.items()):
        drawn = {h: e for h, e in errors.items() if e > 0.0}
        ax.plot(list(drawn), list(drawn.values()), label=dtype, **look(k))
    ax.axhline(wrong, color="0.3", linestyle=":", label="backward without f'(z)")
    ax.axvline(STEP, color="0.6", linestyle="--", label="eps^(1/3) of float64")
    ax.set(xscale="log", yscale="log", xlabel="step h (in units of the parameter)",
           ylabel="largest relative error")  # fmt: skip
    ax.grid(alpha=0.3)
    ax.legend()
