"""The exercise on Adam's bias correction."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet.backend.typing import Array, Namespace
from bpnet.learn.exercise import Answer, Exercise
from bpnet.learn.grading import Mark, Quantity
from bpnet.learn.trials import IN, OUT, M, drawn, training_trial
from bpnet.optimizers import Adam

# The step in which the moments are corrected, and Adam's decay rates, for short numbers.
_T, _BETA1, _BETA2 = 3, 0.9, 0.95


class BiasCorrection(Exercise):
    """Adam's bias correction."""

    name = "adam-correction"
    function = "corrected"
    returns = ("m_hat", "v_hat")
    trial_name = "in training"
    text = '''"""Exercise: Adam's bias correction (Kingma and Ba 2015, section 3).

Adam keeps moving averages of the gradient g and of its square, which start at 0:

    m <- beta1 m + (1 - beta1) g
    v <- beta2 v + (1 - beta2) g^2

After one step m is (1 - beta1) g, after two steps with the same g it is (1 - beta1^2) g: too
small, until t is large. Correct both, so that they would be g and g^2 after any step t.
"""


def corrected(m, v, t, beta1, beta2):
    """Return m_hat and v_hat for step t = 1, 2, ...; m and v are arrays of the same shape."""
    m_hat = v_hat = ...  # <- the gap: write two lines
    return m_hat, v_hat
'''

    def quantities(self, answer: Answer) -> list[Quantity]:
        """Compare with the gradient of three equal steps, and with its square."""
        (g,) = drawn((IN, OUT))
        m, v = np.zeros_like(g), np.zeros_like(g)
        for _ in range(_T):
            _, m, v = Adam(beta1=_BETA1, beta2=_BETA2).rule(np, g, g, m, v, 0.0, 0.0, 1.0)
        got_m, got_v = self.results(answer, m, v, _T, _BETA1, _BETA2)
        return [
            Quantity("m_hat", got_m, g, g, _mistakes(m, _BETA1, _BETA2, "beta1"), M),
            Quantity("v_hat", got_v, g * g, g * g, {
                **_mistakes(v, _BETA2, _BETA1, "beta2"),
                "the root is taken later, in the step": np.sqrt(v / (1.0 - _BETA2**_T)),
            }, M),
        ]  # fmt: skip

    def trial(self, answer: Answer) -> Mark:
        """Train with it, and compare the weights with those of Adam."""

        class Answered(Adam):
            def scalars(self, xp: Namespace, learning_rate: Array, t: Array) -> Any:
                return (t,)

            def rule(self, xp: Namespace, p: Array, g: Array, *numbers: Array) -> Any:
                m, v, eta, t = numbers
                m = self.beta1 * m + (1.0 - self.beta1) * g
                v = self.beta2 * v + (1.0 - self.beta2) * g * g
                m_hat, v_hat = answer(m, v, t, self.beta1, self.beta2)
                step = np.asarray(m_hat) / (np.sqrt(np.asarray(v_hat)) + self.epsilon)
                return p - eta * step, m, v

        return training_trial(Answered(0.1), Adam(0.1))


def _mistakes(moment: Any, beta: float, other: float, name: str) -> dict[str, Any]:
    """Return the results of common mistakes with one of the moments."""
    return {
        "not corrected": moment,
        "divide by 1 - beta^t, do not multiply": moment * (1.0 - beta**_T),
        f"the correction changes with t: {name} to the power of t": moment / (1.0 - beta),
        f"{name} times t is not {name} to the power of t": moment / (1.0 - beta * _T),
        "divided by beta^t, not by 1 - beta^t": moment / beta**_T,
        f"made with the other beta: {name} belongs here": moment / (1.0 - other**_T),
        "t counts from 1: the power is t, not t - 1": moment / (1.0 - beta ** (_T - 1)),
        "t counts from 1: the power is t, not t + 1": moment / (1.0 - beta ** (_T + 1)),
    }
