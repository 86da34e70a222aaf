"""The exercises: a derivative, output errors, a backward pass, an update rule, a correction."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.activations import Tanh, tanh
from bpnet.backend.typing import Array, LayerParameters, Namespace
from bpnet.layers import Dense
from bpnet.learn.adam_exercise import BiasCorrection
from bpnet.learn.differences import numerical_gradient
from bpnet.learn.exercise import Answer, Exercise
from bpnet.learn.grading import Mark, Quantity
from bpnet.learn.softmax_exercise import SoftmaxError
from bpnet.learn.trials import (
    IN,
    OUT,
    M,
    drawn,
    gradient_trial,
    output_error_quantity,
    training_trial,
)
from bpnet.losses import BinaryCrossentropy, Loss
from bpnet.optimizers import SGD


class Derivative(Exercise):
    """The derivative of tanh."""

    name = "derivative"
    function = "derivative"
    returns = ("f'(z)",)
    text = '''"""Exercise: the derivative of tanh.

A hidden layer computes a = tanh(z), element by element. The backward pass needs da/dz.
Write it in terms of a, which is already computed: it is one short expression.
"""

import numpy as np


def derivative(z, a):
    """Return da/dz for a = np.tanh(z); z, a and the result have the same shape."""
    return ...  # <- the gap
'''

    def quantities(self, answer: Answer) -> list[Quantity]:
        """Compare with finite differences of tanh, one element at a time."""
        (z,) = drawn((M, IN))
        a = np.tanh(z)
        (got,) = self.results(answer, z, a)
        mistakes = {
            "forgot the derivative: a itself is f(z)": a,
            "forgot the derivative: it is 1 only for a linear layer": np.ones_like(z),
            "the square is missing": 1.0 - a,
            "that is the square of z; take that of a": 1.0 - z * z,
            "the derivative is taken at a; a is tanh(z) already": 1.0 - np.tanh(a) ** 2,
            "the square must be subtracted, not added": 1.0 + a * a,
            "a (1 - a) is the derivative of the sigmoid": a * (1.0 - a),
        }
        numerical = numerical_gradient(lambda z: float(np.tanh(z).sum()), z)
        return [Quantity("f'(z)", got, tanh.df(np, z, a), numerical, mistakes, M)]

    def trial(self, answer: Answer) -> Mark:
        """Use it as the derivative of an activation."""

        class Answered(Tanh):
            def df(self, xp: Namespace, z: Array, a: Array) -> Array:
                return np.asarray(answer(z, a))

        return gradient_trial(Answered(), Dense, "binary_crossentropy")


class OutputError(Exercise):
    """The output error of binary cross-entropy."""

    name = "output-error"
    function = "output_error"
    returns = ("delta_L",)
    text = '''"""Exercise: the output error of binary cross-entropy.

The last layer outputs logits z; the prediction is p = sigmoid(z). With targets y of 0 or 1 the
loss is the mean over m examples

    L = 1/m * sum of ( -y ln(p) - (1 - y) ln(1 - p) )

Backpropagation starts with delta_L = dL/dz. Mind the 1/m: it enters here, and only here.
"""

import numpy as np


def output_error(z, y):
    """Return dL/dz; z, y and the result have shape (m, 1)."""
    m = z.shape[0]
    p = 1.0 / (1.0 + np.exp(-z))
    return ...  # <- the gap
'''

    def quantities(self, answer: Answer) -> list[Quantity]:
        """Compare with finite differences of the mean loss."""
        (z,) = drawn((M, 1))
        y = (np.arange(M) % 2.0)[:, None]
        loss = BinaryCrossentropy()
        p = loss.link(np, z)
        (got,) = self.results(answer, z, y)
        mistakes = {
            "forgot the target y": p / M,
            "forgot the sigmoid: compare y with p, not with z": (z - y) / M,
            "that is dL/dp; for dL/dz, multiply by dp/dz = p (1 - p)": (
                ((1 - y) / (1 - p) - y / p) / M
            ),
            "p (1 - p) belongs to squared error; here it cancels": (p - y) * p * (1 - p) / M,
            "that is the loss, not its derivative": loss.value(np, y, z)[:, None] / M,
            "that is the sum of all examples; each has its own": np.sum(p - y) / M * p**0,
        }
        return [output_error_quantity(loss, z, y, got, mistakes)]

    def trial(self, answer: Answer) -> Mark:
        """Use it as the error of a loss."""

        class Answered(BinaryCrossentropy):
            def error(self, xp: Namespace, y: Array, z: Array) -> Array:
                return np.asarray(answer(z, y)) * z.shape[0]  # bpnet divides by m itself

        loss: Loss = Answered()
        return gradient_trial("tanh", Dense, loss)


class DenseBackward(Exercise):
    """The backward pass of a Dense layer."""

    name = "dense-backward"
    function = "backward"
    returns = ("delta", "dW", "db", "error_previous")
    text = '''"""Exercise: the backward pass of a fully connected layer.

Forward it computes z = a_previous W + b and a = tanh(z). Backward it receives the error
dL/da, and computes four quantities with the chain rule:

    delta             dL/dz             (m, n_out)
    dW                dL/dW             (n_in, n_out)
    db                dL/db             (n_out,)
    error_previous    dL/da_previous    (m, n_in)

Do not divide by m: the error already includes 1/m.
"""

import numpy as np


def backward(a_previous, W, z, error):
    """Return delta, dW, db and error_previous.

    a_previous has shape (m, n_in), W (n_in, n_out), z and error (m, n_out).
    """
    a = np.tanh(z)
    delta = dW = db = error_previous = ...  # <- the gap: write four lines
    return delta, dW, db, error_previous
'''

    def quantities(self, answer: Answer) -> list[Quantity]:
        """Compare with finite differences of sum(error * a), for which dL/da is the error."""
        a_previous, W, b, error = drawn((M, IN), (IN, OUT), (OUT,), (M, OUT))

        def loss(a_previous: Any, W: Any, b: Any, z_moved: Any = 0.0) -> float:
            return float(np.sum(error * np.tanh(a_previous @ W + b + z_moved)))

        numerical = {
            "delta": numerical_gradient(
                lambda moved: loss(a_previous, W, b, moved), np.zeros((M, OUT))
            ),
            "dW": numerical_gradient(lambda W: loss(a_previous, W, b), W),
            "db": numerical_gradient(lambda b: loss(a_previous, W, b), b),
            "error_previous": numerical_gradient(lambda a: loss(a, W, b), a_previous),
        }
        z = a_previous @ W + b
        a = np.tanh(z)
        layer = Dense(OUT, "tanh")
        delta = layer.delta(np, z, a, error)
        back, gradients = layer.backward(np, {"W": W, "b": b}, (a_previous, z, a), error)
        right = (delta, gradients["W"], gradients["b"], back)
        got = self.results(answer, a_previous, W, z, error)
        mistakes = self._mistakes(a_previous, W, z, error, _like(got[0], delta))
        return [
            Quantity(name, mine, want, numerical[name], mistakes[name], M)
            for name, mine, want in zip(self.returns, got, right, strict=True)
        ]

    @staticmethod
    def _mistakes(
        a_previous: Any, W: Any, z: Any, error: Any, mine: Any
    ) -> dict[str, dict[str, Any]]:
        """Return the results of common mistakes; `mine` is the learner's delta."""
        a = np.tanh(z)
        delta = error * (1.0 - a * a)
        mistakes = {
            "delta": {
                "forgot the activation's derivative: delta is error * f'(z)": error,
                "multiplied by f(z) instead of f'(z)": error * a,
                "forgot the error: that is f'(z) alone": 1.0 - a * a,
                "f' is taken of z itself; tanh' is 1 - a^2": error * (1.0 - z * z),
            }
        }
        after_mine, after_error = (
            {"dW": a_previous.T @ d, "db": d.sum(axis=0), "error_previous": d @ W.T}
            for d in (mine, error)
        )
        for name in after_mine:
            mistakes[name] = {
                "follows from your delta, which is wrong": after_mine[name],
                "made with error instead of delta: forgot the activation's derivative": (
                    after_error[name]
                ),
            }
        mistakes["db"] |= {
            "not summed over the examples": delta,
            "summed over the units instead of the examples": delta.sum(axis=1),
        }
        return mistakes

    def trial(self, answer: Answer) -> Mark:
        """Use it as the backward pass of the hidden layers."""

        class Answered(Dense):
            def backward(
                self,
                xp: Namespace,
                parameters: LayerParameters,
                cache: Any,
                error: Array,
                propagate: bool = True,
            ) -> tuple[Array | None, LayerParameters]:
                a_previous, z, _ = cache
                _, dW, db, back = answer(a_previous, parameters["W"], z, error)
                return np.asarray(back), {"W": np.asarray(dW), "b": np.asarray(db)}

        return gradient_trial("tanh", Answered, "binary_crossentropy")


def _like(got: Any, want: Any) -> Any:
    """Return the learner's array, or the right one if the shapes differ."""
    try:
        array = np.asarray(got, dtype=float)
    except (TypeError, ValueError):
        return want
    return array if array.shape == want.shape else want


class UpdateRule(Exercise):
    """Gradient descent with momentum."""

    name = "update-rule"
    function = "update"
    returns = ("p", "v")
    trial_name = "in training"
    text = '''"""Exercise: gradient descent with momentum (Polyak 1964).

The velocity v remembers earlier steps: each step keeps mu times the old velocity and adds
a push down the gradient g, scaled by eta. Then the parameter p moves by the new v.
"""


def update(p, g, v, eta, mu):
    """Return new p and new v; p, g and v have the same shape, eta and mu are numbers."""
    new_v = ...  # <- the gap
    new_p = ...
    return new_p, new_v
'''

    def quantities(self, answer: Answer) -> list[Quantity]:
        """Compare one step with that of SGD."""
        p, g, v = drawn((IN, OUT), (IN, OUT), (IN, OUT))
        eta, mu = 0.05, 0.9  # so that eta is not 1 - mu, too
        want_p, want_v = SGD(eta, momentum=mu).rule(np, p, g, v, eta)
        got_p, got_v = self.results(answer, p, g, v, eta, mu)
        mine = _like(got_v, want_v)
        return [
            Quantity("v", got_v, want_v, want_v, {
                "the sign of the push is wrong: it climbs the gradient": mu * v + eta * g,
                "forgot the momentum": -eta * g,
                "forgot the learning rate": mu * v - g,
                "kept all of the old velocity, not mu times it": v - eta * g,
                "the push is not scaled by 1 - mu here": mu * v - (1.0 - mu) * eta * g,
                "the push is eta g: (1 - mu) g, without eta, is that of a mean": (
                    mu * v - (1.0 - mu) * g
                ),
                "that is a mean of the gradients, as Adam has; here the push is -eta g": (
                    mu * v + (1.0 - mu) * g
                ),
            }, M),
            Quantity("p", got_p, want_p, want_p, {
                "forgot the momentum: that is plain gradient descent": p - eta * g,
                "moved by the old velocity": p + v,
                "the velocity must be added, not subtracted": p - want_v,
                "forgot the old p": want_v,
                "the step is v itself: eta is in it already": p - eta * want_v,
                "follows from your v, which is wrong": p + mine,
                "follows from your v, which is a mean; here the step is v itself": (
                    p - eta * mine
                ),
            }, M),
        ]  # fmt: skip

    def trial(self, answer: Answer) -> Mark:
        """Train with it, and compare the weights with those of SGD."""

        class Answered(SGD):
            def rule(self, xp: Namespace, p: Array, g: Array, *numbers: Array) -> Any:
                v, eta = numbers
                return tuple(map(np.asarray, answer(p, g, v, eta, self.momentum)))

        return training_trial(Answered(0.05, momentum=0.9), SGD(0.05, momentum=0.9))


EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for exercise in (
        Derivative(), OutputError(), SoftmaxError(), DenseBackward(), UpdateRule(),
        BiasCorrection(),
    )
}  # fmt: skip
