"""The exercise on softmax with cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.backend.typing import Array, Namespace
from bpnet.layers import Dense
from bpnet.learn.exercise import Answer, Exercise
from bpnet.learn.grading import Mark, Quantity
from bpnet.learn.trials import M, drawn, gradient_trial, output_error_quantity
from bpnet.losses import CategoricalCrossentropy, one_hot

_K = 3  # classes


class SoftmaxError(Exercise):
    """The output error of softmax with cross-entropy."""

    name = "softmax-error"
    function = "output_error"
    returns = ("delta_L",)
    text = '''"""Exercise: the output error of softmax with cross-entropy.

The last layer outputs K logits z for each example. The prediction is p = softmax(z):
p_k = exp(z_k) / (sum over j of exp(z_j)). The targets y are one-hot rows, and the loss is the
mean over m examples

    L = 1/m * sum over examples of ( - sum over k of y_k ln(p_k) )

Backpropagation starts with delta_L = dL/dz. Every p_k depends on every z_j, and yet what
remains is short. Mind the 1/m.
"""

import numpy as np


def output_error(z, y):
    """Return dL/dz; z, y and the result have shape (m, K)."""
    m = z.shape[0]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return ...  # <- the gap
'''

    def quantities(self, answer: Answer) -> list[Quantity]:
        """Compare with finite differences of the mean loss."""
        (z,) = drawn((M, _K))
        y = np.eye(_K)[np.arange(M) % _K]
        loss = CategoricalCrossentropy()
        p = loss.link(np, z)
        (got,) = self.results(answer, z, y)
        mistakes = {
            "forgot the target y": p / M,
            "forgot the softmax: compare y with p, not with z": (z - y) / M,
            "that is dL/dp; each p_k depends on every z_j": -y / p / M,
            "only the true class, but raising any other logit lowers its p": y * (p - 1.0) / M,
            "p (1 - p) belongs to the sigmoid and squared error": (p - y) * p * (1.0 - p) / M,
            "the mean is over the examples, not over the classes": (p - y) / (M * _K),
            "that is the loss, not its derivative": -y * np.log(p) / M,
            "that is the sum over the classes, which is 0; each has its own": np.zeros_like(z),
        }
        return [output_error_quantity(loss, z, y, got, mistakes)]

    def trial(self, answer: Answer) -> Mark:
        """Use it as the error of a loss."""

        class Answered(CategoricalCrossentropy):
            def error(self, xp: Namespace, y: Array, z: Array) -> Array:
                m = z.shape[0]  # bpnet divides by it itself
                return np.asarray(answer(z, one_hot(xp, y, z))) * m

            def value_and_error(self, xp: Namespace, y: Array, z: Array) -> tuple[Any, Any]:
                return self.value(xp, y, z), self.error(xp, y, z)

        return gradient_trial("tanh", Dense, Answered(), _K)
