"""Gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from bpnet.backend.typing import Array, Namespace
from bpnet.common.checks import check_flag, check_number
from bpnet.optimizers.base import Optimizer
from bpnet.schedules import Schedule


class SGD(Optimizer):
    """Gradient descent: plain, with momentum (Polyak 1964) or Nesterov momentum (1983).

    Plain: ``p <- p - eta g``. Momentum: ``v <- mu v - eta g; p <- p + v``. Nesterov, as written
    by Sutskever et al. 2013: ``p <- p + mu v - eta g`` with the new v. As in Keras and
    scikit-learn, eta is inside v; PyTorch has it outside, which is equivalent for constant eta.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
        Step size eta.
    momentum : float, default 0.0
        mu, 0 <= mu < 1.
    nesterov : bool, default False
        Use Nesterov momentum; requires momentum > 0.
    **shared
        `weight_decay`, `clip_value`, `clip_norm` of :class:`Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.momentum = check_number("momentum", momentum, 0.0, 1.0, below=True)
        self.nesterov = check_flag("nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True needs momentum > 0, got 0.0")

    @property
    def _names(self) -> tuple[str, ...]:
        """The velocity, with momentum."""
        return ("velocity",) if self.momentum else ()

    def rule(self, xp: Namespace, p: Array, g: Array, *numbers: Array) -> tuple[Array, ...]:
        """Take one step."""
        if not self.momentum:
            (learning_rate,) = numbers
            return (p - learning_rate * g,)
        v, learning_rate = numbers
        step = learning_rate * g
        v = self.momentum * v - step
        return (p + self.momentum * v - step if self.nesterov else p + v), v
