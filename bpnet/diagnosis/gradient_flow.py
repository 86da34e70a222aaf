"""Metrics of each layer during training: signals, gradients and steps.

Metrics of layer k, numbered from 1 among the layers with trained weights, by name in the
history:

==================== =====================================================================
gradient_norm/k      2-norm of dL/dW
gradient_rms/k       root mean square of dL/dW, comparable between layer sizes
weight_norm/k        2-norm of W
update_ratio/k       2-norm of the next step's change of W, relative to weight_norm/k
activation_mean/k    mean of the activations a
activation_std/k     their standard deviation
dead/k               share of units whose slope f'(z) is 0 on every example: they cannot learn
saturated/k          share of activations in a flat region of a bounded f
spread/k             norm of W minus the mean of its columns, relative to weight_norm/k:
                     0 if all units are copies of each other; 1 for a single unit
==================== =====================================================================

``data_loss``, the mean loss without penalties, is recorded too. All metrics are measured on one
sample of the training data, with dropout inactive. The "next step" is the one that the
optimizer would take on the sample, with its current state and learning rate: the quantity of
CS231n's rule of thumb, "about 1e-3", without inspecting each batch. A flat region has a slope
below 5 % of the steepest, on both sides of a bounded activation (sigmoid, tanh, softsign,
hard_sigmoid). "Slope 0" means below 0.1 % of the steepest, for activations that are flat on one
side only (relu, elu, gelu, softplus, ...; not leaky_relu). Otherwise both shares are 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bpnet.activations import Activation
from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.backprop import ModelSpec, add_penalties, data_loss_and_gradients
from bpnet.common.checks import check_integer
from bpnet.common.keywords import explains_keywords
from bpnet.layers import Dense, trained_parameters
from bpnet.losses import sum_of_weights
from bpnet.model.parameters import has_weights
from bpnet.model.recorder import recording
from bpnet.optimizers import Optimizer, OptimizerState, special_rules
from bpnet.training.loop import Callback, Training
from bpnet.training.scheduled import WEIGHT_DECAY
from bpnet.training.step import point

METRICS = (
    "gradient_norm", "gradient_rms", "weight_norm", "update_ratio",
    "activation_mean", "activation_std", "dead", "saturated", "spread",
)  # fmt: skip
# Slopes relative to the steepest: tanh is saturated beyond abs(a) = 0.975, sigmoid below 0.013
# and above 0.987; leaky_relu's 0.01 is not dead.
SATURATED_SLOPE = 0.05
DEAD_SLOPE = 1e-3
# Cost of a measurement as a share of the training time between two of them, as estimated;
# measured together with storing the metrics of each epoch it is 5 to 8 %.
COST = 0.02


class GradientFlow(Callback):
    """Record gradients, weights, steps and activations of each layer, epoch by epoch.

    Adds the metrics listed in :mod:`bpnet.diagnosis.gradient_flow`, such as
    ``"gradient_norm/1"``, to the history, and sets ``history.facts``, a profile of data and
    network before the first step. :func:`bpnet.diagnose` reads both. Gradients vanish if those
    of the first layers are many times smaller than the last layer's (Hochreiter 1991; Glorot
    and Bengio 2010).

    Parameters
    ----------
    rows : int, default 128
        Size of the sample, which bounds the cost.
    every : int or None, default None
        Measure in the first epoch, the last, and every `every` epochs; epochs in between repeat
        the last values. None chooses a period for which measuring takes about 5 to 8 % of the
        training time: 1 if an epoch has 346 or more steps of 32 examples.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(50)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> history = net.fit(X, y, epochs=2, callbacks=[bpnet.GradientFlow()])
    >>> [name for name in history if name.endswith("/2")]
    ['gradient_norm/2', 'gradient_rms/2', 'weight_norm/2', 'update_ratio/2',
     'activation_mean/2', 'activation_std/2', 'dead/2', 'saturated/2', 'spread/2']
    """

    adds: Mapping[str, str | None] = {"data_loss": "min"} | {f"{n}/*": None for n in METRICS}

    @explains_keywords
    def __init__(self, rows: int = 128, every: int | None = None) -> None:
        self.rows = check_integer("rows", rows, 1)
        self.every = None if every is None else check_integer("every", every, 1)
        self._meter: Meter | None = None

    def on_train_begin(self, training: Training) -> None:
        """Put the sample on the device, and profile data and network before the first step."""
        from bpnet.diagnosis.data_profile import facts

        self._meter = Meter(training, self.rows)
        self._period = self.every or _affordable(training, self.rows)
        self._start = self._meter.read(training, training.state.learning_rate)
        training.history.facts = facts(training, self._start)

    def on_epoch_end(self, training: Training) -> None:
        """Measure if due, and add the metrics to the logs."""
        if self.due(training):
            assert self._meter is not None
            self._metrics = self._meter.read(training, training.logs["learning_rate"])
        training.logs |= self._metrics

    def on_train_end(self, training: Training) -> None:
        """Measure what the network reaches, for :func:`bpnet.diagnose`."""
        from bpnet.diagnosis.outcome import outcome

        facts = training.history.facts
        measured = facts is not None and training.history.epochs > 0
        if (
            measured
            and training.nonfinite is None
            and math.isfinite(self._metrics["data_loss"])
        ):
            training.history.facts = facts._replace(outcome=outcome(training, facts))

    def teardown(self, training: Training) -> None:
        """Free the sample."""
        super().teardown(training)
        self._meter = None

    def state(self) -> dict[str, Any]:
        """Return the metrics measured last, and those before the first step."""
        return {"figures": self._metrics, "start": self._start}

    def settings(self) -> dict[str, Any]:
        """Return the arguments, on which the metrics depend."""
        return {"rows": self.rows, "every": self.every}

    def restore(self, training: Training, state: Mapping[str, Any]) -> None:
        """Restore the metrics of the checkpointed run."""
        self._metrics, self._start = (_checked(state[key]) for key in ("figures", "start"))
        if training.history.facts is not None:  # set in on_train_begin
            training.history.facts = training.history.facts._replace(start=self._start)

    def due(self, training: Training) -> bool:
        """Return whether to measure in this epoch."""
        return (
            training.epoch in (1, training.epochs)
            or training.epoch % self._period == 0
            or training.history.stopped is not None
        )


def _checked(values: Any) -> dict[str, float]:
    if not isinstance(values, dict) or not all(isinstance(v, float) for v in values.values()):
        raise TypeError("metrics must be a dict of numbers")
    return values


def _affordable(training: Training, rows: int) -> int:
    """Return the smallest period that keeps measurements within the budget.

    In a small net the overhead of a pass equals 220 rows, and a measurement costs five steps on
    as many rows; both are less in a large net (benchmarks/gradient_flow.py).
    """
    epoch = training.n_batches * (220 + training.batch_size)
    measurement = 5.0 * (220 + min(rows, training.data.n_rows))
    return math.ceil(measurement / (COST * epoch))


class Meter:
    """The compiled measurement and its sample."""

    def __init__(self, training: Training, rows: int) -> None:
        network, backend = training.network, training.backend
        trained = trained_parameters(network.layers, training.parameters)
        depth = sum(map(has_weights, trained))
        layers = (f"{name}/{k}" for k in range(1, depth + 1) for name in METRICS)
        self.names = ["data_loss", *layers]
        self.sample = training.sample(rows).arrays_on(backend)
        flats = tuple(
            flatness(layer.activation) if isinstance(layer, Dense) and layer.keeps_z else None
            for layer in network.layers
        )
        optimizer = training.state.optimizer
        self.compute = network.compiled(
            backend, measure, optimizer, flats, key=optimizer.settings
        )

    def read(self, training: Training, rate: float) -> dict[str, float]:
        """Measure the current network at a learning rate; return the metrics by name."""
        backend, arrays = training.backend, training.runner.arrays
        rate = backend.asarray(rate, training.network.dtype)
        decays = [v for name, v in training.state.values.items() if name == WEIGHT_DECAY]
        metrics = self.compute(
            arrays["parameters"], arrays["optimizer_state"], *self.sample, rate, arrays["t"],
            *(backend.asarray(v.at(training.epoch), training.network.dtype) for v in decays),
        )  # fmt: skip
        return dict(zip(self.names, backend.to_numpy(metrics).tolist(), strict=True))


def measure(
    xp: Namespace,
    model: ModelSpec,
    optimizer: Optimizer,
    flats: tuple[Flatness | None, ...],
    parameters: Parameters,
    optimizer_state: OptimizerState,
    X: Array,
    y: Array,
    w: Array | None,
    rate: Array,
    step: Array,
    *decay: Array,
) -> Array:
    """Return the loss without penalties and, layer by layer, `METRICS`, as one 1-D array."""
    recorders, recorded = recording(model)
    weights = point(optimizer, model, parameters, optimizer_state)
    data_loss, gradients = data_loss_and_gradients(xp, recorded, weights, X, y, w)
    _, gradients = add_penalties(
        xp, model, weights, data_loss, gradients, sum_of_weights(xp, X, w)
    )
    t = xp.astype(step + 1, X.dtype)
    trained = trained_parameters(model.layers, parameters)
    updated = optimizer.update(
        xp, optimizer.decayed_rule, trained, gradients, optimizer_state, rate, t, *decay,
        **special_rules(optimizer, model.layers, [list(layer) for layer in trained]),
    )  # fmt: skip
    moved = optimizer.point(*updated)
    metrics = [data_loss]
    for number, layer in enumerate(trained_parameters(model.layers, weights)):
        if has_weights(layer):
            W = layer["W"]
            metrics += weight_metrics(xp, W, gradients[number]["W"], moved[number]["W"])
            metrics += activation_metrics(xp, W, recorders[number].cache, flats[number])
            metrics.append(spread(xp, W))
    return xp.stack(metrics)


def weight_metrics(xp: Namespace, W: Array, gradient: Array, moved: Array) -> list[Array]:
    """Return the norm and RMS of the gradient, the norm of W and its relative change."""
    gradient_norm, weight_norm = norm(xp, gradient), norm(xp, W)
    return [
        gradient_norm,
        gradient_norm / math.sqrt(math.prod(W.shape)),
        weight_norm,
        _relative(xp, norm(xp, moved - W), weight_norm),
    ]


def activation_metrics(
    xp: Namespace, W: Array, cache: Any, flat: Flatness | None
) -> list[Array]:
    """Return mean and deviation of a, and the shares of dead and saturated units."""
    none = xp.zeros_like(W[0, 0])
    if flat is None:
        return [none, none, none, none]
    _, z, a = cache
    dead, saturated = none, none
    if flat.left or flat.right:
        slope = xp.abs(flat.activation.df(xp, z, a))
        if flat.left and flat.right:
            ends = slope < SATURATED_SLOPE * flat.steepest
            saturated = xp.mean(xp.astype(ends, a.dtype))
        else:
            largest = xp.max(slope, axis=0)
            dead = xp.mean(xp.astype(largest <= DEAD_SLOPE * flat.steepest, a.dtype))
    return [xp.mean(a), xp.std(a), dead, saturated]


def spread(xp: Namespace, W: Array) -> Array:
    """Return how far the units' weights lie from their mean, relative to their norm."""
    if W.shape[1] == 1:
        return xp.ones_like(W[0, 0])
    return _relative(xp, norm(xp, W - xp.mean(W, axis=1, keepdims=True)), norm(xp, W))


def norm(xp: Namespace, array: Array) -> Array:
    """Return the 2-norm of all elements, a 0-d array."""
    return xp.sqrt(xp.sum(array * array))


def _relative(xp: Namespace, part: Array, whole: Array) -> Array:
    """Return part / whole, or 0 where the whole is 0."""
    positive = whole > 0.0
    divisor = xp.where(positive, whole, xp.ones_like(whole))
    return part / divisor * xp.astype(positive, whole.dtype)


class Flatness(NamedTuple):
    """The sides on which an activation is flat, and its steepest slope."""

    activation: Activation
    left: bool
    right: bool
    steepest: float


def flatness(activation: Activation) -> Flatness:
    """Probe the derivative of any activation, custom ones included, on the host."""
    slope = np.abs(activation.derivative(np.linspace(-100.0, 100.0, 401)))
    steepest = float(np.max(slope))
    left, right = (bool(slope[end] < DEAD_SLOPE * steepest) for end in (0, -1))
    return Flatness(activation, left, right, steepest)
