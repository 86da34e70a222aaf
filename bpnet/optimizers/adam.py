"""Adaptive moment estimation."""

from __future__ import annotations

import math
from typing import Any

from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number
from bpnet.optimizers.base import Optimizer
from bpnet.schedules import Schedule


class Adam(Optimizer):
    """Adaptive moment estimation (Kingma and Ba 2015, algorithm 1).

    ``m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2``,
    ``p <- p - eta m^ / (sqrt(v^) + epsilon)`` with ``m^ = m / (1 - beta1^t)`` and
    ``v^ = v / (1 - beta2^t)``, computed in the order given at the end of section 2, which
    applies the bias corrections to scalars instead of arrays.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step size eta.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay rates of the two moments, 0 <= beta < 1.
    epsilon : float, default 1e-8
        Added to the divisor.
    **shared
        `weight_decay`, `clip_value`, `clip_norm` of :class:`Optimizer`.
    """

    _names = ("m", "v")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.beta1 = check_number("beta1", beta1, 0.0, 1.0, below=True)
        self.beta2 = check_number("beta2", beta2, 0.0, 1.0, below=True)
        self.epsilon = check_number("epsilon", epsilon, 0.0, above=True)

    def scalars(self, xp: Namespace, learning_rate: Array, t: Array) -> tuple[Array, ...]:
        """Compute eta sqrt(c2) / c1 and epsilon sqrt(c2), with c = 1 - beta^t."""
        root = xp.sqrt(one_minus_power(xp, self.beta2, t))
        corrected = learning_rate * root / one_minus_power(xp, self.beta1, t)
        return corrected, self.epsilon * root

    def rule(self, xp: Namespace, p: Array, g: Array, *numbers: Array) -> tuple[Array, ...]:
        """Take one step."""
        m, v, _, corrected, epsilon = numbers
        m = self.beta1 * m + (1.0 - self.beta1) * g
        v = self.beta2 * v + (1.0 - self.beta2) * (g * g)
        return p - corrected * m / (xp.sqrt(v) + epsilon), m, v


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step size eta.
    weight_decay : float, default 0.01
        Before each step, ``p *= 1 - eta * weight_decay``; the default is PyTorch's.
    **adam
        The other parameters of :class:`Adam`.
    """

    def __init__(
        self, learning_rate: float | Schedule = 0.001, weight_decay: float = 0.01, **adam: Any
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **adam)


def one_minus_power(xp: Namespace, base: float, t: Array) -> Array:
    """Compute 1 - base^t as -expm1(t ln base), which avoids cancellation for small t."""
    return xp.ones_like(t) if base == 0.0 else -xp.expm1(t * math.log(base))
