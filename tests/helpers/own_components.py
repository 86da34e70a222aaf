"""Components as users write them: a layer, a loss, an activation, an optimizer, a schedule."""

from __future__ import annotations

import numpy as np

import bpnet
from bpnet import schedules


class RowNorm(bpnet.layers.Layer):
    """Normalizes each row, then scales and shifts the features."""

    def __init__(self, epsilon=1e-3, scale_penalty=0.0):
        self.epsilon, self.scale_penalty = epsilon, scale_penalty

    def initial_parameters(self, rng, n_inputs):
        return {"scale": np.ones(n_inputs), "shift": np.zeros(n_inputs)}

    def parameter_shapes(self, n_inputs):
        return {"scale": (n_inputs,), "shift": (n_inputs,)}

    def forward(self, xp, parameters, a_previous, context):
        centered = a_previous - xp.mean(a_previous, axis=1, keepdims=True)
        variance = xp.mean(centered * centered, axis=1, keepdims=True)
        deviation = xp.sqrt(variance + self.epsilon)
        x = centered / deviation
        return x * parameters["scale"] + parameters["shift"], (x, deviation)

    def backward(self, xp, parameters, cache, error, propagate=True):
        x, deviation = cache
        gradients = {"scale": xp.sum(error * x, axis=0), "shift": xp.sum(error, axis=0)}
        e = error * parameters["scale"]
        e = e - xp.mean(e, axis=1, keepdims=True) - x * xp.mean(e * x, axis=1, keepdims=True)
        return e / deviation, gradients

    def penalty(self, xp, parameters):
        if not self.scale_penalty:
            return None
        return 0.5 * self.scale_penalty * xp.sum(parameters["scale"] * parameters["scale"])

    def penalty_gradients(self, xp, parameters):
        return {"scale": self.scale_penalty * parameters["scale"]} if self.scale_penalty else {}


class Noise(bpnet.layers.Layer):
    """Scales its input in training by a rate that may be a schedule."""

    def __init__(self, rate):
        self.rate = rate

    def forward(self, xp, parameters, a_previous, context):
        rate = context.values["rate"] if context.values else 0.0
        return a_previous * (1.0 + rate), 1.0 + rate

    def backward(self, xp, parameters, cache, error, propagate=True):
        return error * cache, {}


class Cubic(bpnet.activations.Activation):
    """z + factor * z^3."""

    name = "cubic"

    def __init__(self, factor=0.1):
        self.factor = factor

    def f(self, xp, z):
        return z + self.factor * z * z * z

    def df(self, xp, z, a):
        return 1.0 + 3.0 * self.factor * z * z


class LogCosh(bpnet.losses.Loss):
    """The mean over outputs of ln cosh(z - y)."""

    name = "log_cosh"
    targets = "real"
    identity_link = True

    def link(self, xp, z):
        return z

    def value(self, xp, y, z):
        return xp.mean(xp.log(xp.cosh(z - y)), axis=1)

    def error(self, xp, y, z):
        return xp.tanh(z - y) / z.shape[1]


class Sign(bpnet.optimizers.Optimizer):
    """Steps by the sign of a moving average of the gradient (Chen et al. 2023, "Lion")."""

    state_names = ("average",)

    def __init__(self, learning_rate=0.01, beta=0.9, **shared):
        super().__init__(learning_rate, **shared)
        self.beta = beta

    def rule(self, xp, p, g, *numbers):
        average, learning_rate = numbers
        average = self.beta * average + (1.0 - self.beta) * g
        return p - learning_rate * xp.sign(average), average


class Halving(schedules.Schedule):
    """Halves the value after each epoch whose loss is not the lowest so far."""

    def __init__(self, first):
        self.first = first

    def __call__(self, epoch):
        return self.first

    def initial_state(self):
        return {"value": self.first, "least": None, "seen": []}

    def value(self, epoch, state):
        return state["value"]

    def observe(self, state, logs):
        loss, least = logs["loss"], state["least"]
        better = least is None or loss < 0.97 * least
        return {
            "value": state["value"] * (1.0 if better else 0.5),
            "least": loss if better else least,
            "seen": [*state["seen"][-2:], loss],
        }


CUSTOM = {cls.__name__: cls for cls in (RowNorm, Noise, Cubic, LogCosh, Sign, Halving)}


def own_network(seed=0, dtype="float32", rate=0.2):
    """A network that is made of them."""
    layers = [
        bpnet.Dense(5, Cubic(0.2), l2=0.01),
        RowNorm(scale_penalty=0.01),
        Noise(rate if isinstance(rate, schedules.Schedule) else Halving(rate)),
        bpnet.Dropout(Halving(0.4)),
        bpnet.Dense(1),
    ]
    return bpnet.Network(layers, LogCosh(), seed=seed, dtype=dtype)
