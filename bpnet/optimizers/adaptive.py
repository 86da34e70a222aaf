"""Rules that divide by the root of squared gradients."""

from __future__ import annotations

from typing import Any

from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_number
from bpnet.optimizers.base import Optimizer
from bpnet.schedules import Schedule


class Adagrad(Optimizer):
    """Divide by the root of the sum of squared gradients (Duchi et al. 2011).

    ``s <- s + g^2; p <- p - eta g / (sqrt(s) + epsilon)``

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
        Step size eta.
    epsilon : float, default 1e-10
        Added to the divisor; the default is PyTorch's.
    **shared
        `weight_decay`, `clip_value`, `clip_norm` of :class:`Optimizer`.
    """

    _names = ("sum",)

    def __init__(
        self, learning_rate: float | Schedule = 0.01, epsilon: float = 1e-10, **shared: Any
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.epsilon = check_number("epsilon", epsilon, 0.0, above=True)

    def rule(self, xp: Namespace, p: Array, g: Array, *numbers: Array) -> tuple[Array, ...]:
        """Take one step."""
        s, learning_rate = numbers
        s = s + g * g
        return p - learning_rate * g / (xp.sqrt(s) + self.epsilon), s


class RMSprop(Optimizer):
    """Divide by the root of a moving average of squared gradients (Hinton 2012, lecture 6e).

    ``v <- rho v + (1 - rho) g^2; p <- p - eta g / (sqrt(v) + epsilon)``

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step size eta.
    rho : float, default 0.9
        Decay rate of the average, 0 <= rho < 1; the default is Hinton's and Keras'.
    epsilon : float, default 1e-8
        Added to the divisor; the default is PyTorch's.
    **shared
        `weight_decay`, `clip_value`, `clip_norm` of :class:`Optimizer`.
    """

    _names = ("v",)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.9,
        epsilon: float = 1e-8,
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.rho = check_number("rho", rho, 0.0, 1.0, below=True)
        self.epsilon = check_number("epsilon", epsilon, 0.0, above=True)

    def rule(self, xp: Namespace, p: Array, g: Array, *numbers: Array) -> tuple[Array, ...]:
        """Take one step."""
        v, learning_rate = numbers
        v = self.rho * v + (1.0 - self.rho) * (g * g)
        return p - learning_rate * g / (xp.sqrt(v) + self.epsilon), v
