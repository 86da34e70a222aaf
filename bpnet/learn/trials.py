"""What exercises try answers on: small arrays, and a whole network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bpnet import datasets
from bpnet.activations import Activation
from bpnet.layers import Dense
from bpnet.learn.differences import numerical_gradient
from bpnet.learn.exercise import Exercise
from bpnet.learn.grading import Mark, Quantity
from bpnet.losses import Loss, output_error
from bpnet.network import Network
from bpnet.optimizers import Optimizer
from bpnet.testing.gradcheck import check_gradients

# Examples and units of two layers, all different so that no wrong shape fits by chance.
M, IN, OUT = 7, 3, 2


def drawn(*shapes: tuple[int, ...]) -> list[Any]:
    """Return standard normal arrays of these shapes, the same each time."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


def output_error_quantity(
    loss: Loss, z: Any, y: Any, got: Any, mistakes: Mapping[str, Any]
) -> Quantity:
    """Return an answer's delta_L, to compare with finite differences of the mean loss."""
    numerical = numerical_gradient(lambda z: float(np.mean(loss.value(np, y, z))), z)
    want = output_error(np, loss.error(np, y, z), None)
    return Quantity("delta_L", got, want, numerical, mistakes, M)


def gradient_trial(
    activation: str | Activation,
    layer: type[Dense],
    loss: str | Loss,
    classes: int = 2,
) -> Mark:
    """Check the gradients of a network with hidden layers of 4 and 3 units, and the answer."""
    X, y = datasets.make_spiral(M, classes, seed=0)
    last = Dense(1 if classes == 2 else classes)
    layers = [layer(4, activation), layer(3, activation), last]
    net = Network(layers, loss, seed=0, dtype="float64")
    report = check_gradients(net, X, y)
    bad = [
        name for name, error in report.per_parameter.items() if not error <= report.tolerance
    ]
    hint = f"the gradient check fails for {', '.join(bad)}" if bad else None
    return Mark(Exercise.trial_name, report.max_relative_error, hint)


def training_trial(answered: Optimizer, right: Optimizer) -> Mark:
    """Train with an optimizer that contains the answer, and compare the weights."""
    X, y = datasets.make_moons(40, seed=0)
    weights = []
    for optimizer in (answered, right):
        layers = [Dense(4, "tanh"), Dense(1)]
        net = Network(layers, "binary_crossentropy", seed=0, dtype="float64")
        net.fit(X, y, optimizer=optimizer, epochs=5)
        weights.append(
            np.concatenate([p.ravel() for layer in net.parameters for p in layer.values()])
        )
    error = float(np.abs(weights[0] - weights[1]).max() / np.abs(weights[1]).max())
    name = type(right).__name__
    # Another order of the same operations rounds differently.
    hint = None if error <= 1e-6 else f"it learns other weights than bpnet.{name}"
    return Mark("in training", error, hint)
