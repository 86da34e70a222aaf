"""Optimizers: pure elementwise rules that update a parameter p from its gradient g.

A rule takes a parameter, its gradient, the optimizer state (named arrays like the parameter,
initially 0), the learning rate and other scalars of the step as 0-d arrays, and returns the new
parameter and state. Being elementwise, it can be run by a backend in blocks or as one fused
kernel (``Backend.fuse``).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Hashable
from typing import Any

from bpnet import schedules
from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.common.checks import check_flag, check_number, described, instance_hint, kind_of
from bpnet.common.component import Component, structure
from bpnet.common.state_names import StateNames
from bpnet.common.suggestions import unknown_name
from bpnet.errors import ComponentError
from bpnet.schedules import Schedule

# For each layer and parameter, the state arrays by name.
OptimizerState = list[dict[str, dict[str, Array]]]


class Optimizer(StateNames, Component):
    """Base class: learning rate, decoupled weight decay and gradient clipping.

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size eta > 0, or a schedule from :mod:`bpnet.schedules`.
    weight_decay : float or Schedule, default 0.0
        Before each step, ``p *= 1 - eta * weight_decay``, for weights and biases: decoupled
        from the gradient (Loshchilov and Hutter 2019, algorithm 2). For a penalty in the loss
        use ``Dense(l2=...)``. Only a schedule can change during training.
    clip_value : float or None
        Clip each element of the gradients to [-clip_value, clip_value].
    clip_norm : float or None
        Scale all gradients so that their global 2-norm is at most this (Pascanu, Mikolov and
        Bengio 2013, algorithm 1), after `clip_value` if both are set.
    """

    kind = "optimizers"

    def __init__(
        self,
        learning_rate: float | Schedule,
        *,
        weight_decay: float | Schedule = 0.0,
        clip_value: float | None = None,
        clip_norm: float | None = None,
    ) -> None:
        self.learning_rate = schedules.get(learning_rate)
        self.weight_decay = schedules.check_value("weight_decay", weight_decay, 0.0)
        self.clip_value = _positive_or_none("clip_value", clip_value)
        self.clip_norm = _positive_or_none("clip_norm", clip_norm)

    @abstractmethod
    def rule(self, xp: Namespace, p: Array, g: Array, *numbers: Array) -> tuple[Array, ...]:
        """Return the new (p, *state) from p, g, *state, learning_rate, *scalars."""

    def scalars(self, xp: Namespace, learning_rate: Array, t: Array) -> tuple[Array, ...]:
        """Compute the rule's other scalars in step t = 1, 2, ... (a 0-d float array)."""
        return ()

    @property
    def settings(self) -> Hashable:
        """What the rule depends on, as the key of a compiled step.

        Excludes the learning rate and other schedules, which are arguments of each step.
        """
        return structure(self, Schedule)

    def init(self, xp: Namespace, parameters: Parameters) -> OptimizerState:
        """Return the initial state of all parameters: zeros."""
        return [
            {
                name: {state: xp.zeros_like(p) for state in self.state_names}
                for name, p in layer.items()
            }
            for layer in parameters
        ]

    def decayed_rule(
        self, xp: Namespace, p: Array, g: Array, *rest: Array
    ) -> tuple[Array, ...]:
        """Apply the weight decay, then the rule; a scheduled decay is the last argument."""
        weight_decay = self.weight_decay
        if isinstance(weight_decay, Schedule):
            *rest, weight_decay = rest  # type: ignore[assignment]
        if not isinstance(weight_decay, float) or weight_decay:
            learning_rate = rest[self.n_state]
            p = p * (1.0 - learning_rate * weight_decay)
        result: Any = self.rule(xp, p, g, *rest)
        due = 1 + self.n_state
        if not isinstance(result, tuple | list) or len(result) != due:
            is_tuple = isinstance(result, tuple | list)
            raise ComponentError(
                f"the optimizer {self!r}: rule must return a tuple of {due}, the new parameter "
                f"and its {self.n_state} state arrays {self.state_names}; got "
                f"{f'{len(result)} values' if is_tuple else kind_of(result)}"
            )
        return tuple(result)

    def update(
        self,
        xp: Namespace,
        rule: Callable[..., Any],
        parameters: Parameters,
        gradients: Parameters,
        state: OptimizerState,
        learning_rate: Array,
        t: Array,
        weight_decay: Array | None = None,
    ) -> tuple[Parameters, OptimizerState]:
        """Apply `rule`, :meth:`decayed_rule` as fused by the backend, to all parameters.

        `learning_rate`, `t`, the number of this step from 1, and `weight_decay`, if that is a
        schedule, are 0-d float arrays.
        """
        scalars: Any = self.scalars(xp, learning_rate, t)
        if not isinstance(scalars, tuple | list):
            raise ComponentError(
                f"the optimizer {self!r}: scalars must return a tuple; got {kind_of(scalars)}"
            )
        numbers = (learning_rate, *scalars)
        if weight_decay is not None:
            numbers = (*numbers, weight_decay)
        names = self.state_names
        new_parameters: Parameters = []
        new_state: OptimizerState = []
        for layer, g, s in zip(parameters, self._clip(xp, gradients), state, strict=True):
            results = {
                name: rule(xp, p, g[name], *(s[name][n] for n in names), *numbers)
                for name, p in layer.items()
            }
            new_parameters.append({name: result[0] for name, result in results.items()})
            new_state.append(
                {
                    name: dict(zip(names, result[1:], strict=True))
                    for name, result in results.items()
                }
            )
        return new_parameters, new_state

    def _clip(self, xp: Namespace, gradients: Parameters) -> Parameters:
        if self.clip_value is not None:
            c = self.clip_value
            gradients = [
                {k: xp.clip(g, min=-c, max=c) for k, g in layer.items()} for layer in gradients
            ]
        if self.clip_norm is not None:
            norm = global_norm(xp, gradients)
            scale = self.clip_norm / xp.maximum(norm, self.clip_norm)
            gradients = [{k: g * scale for k, g in layer.items()} for layer in gradients]
        return gradients

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.learning_rate!r})"


def global_norm(xp: Namespace, gradients: Parameters) -> Array:
    """Compute the 2-norm of all gradients as one vector, a 0-d array."""
    return xp.sqrt(sum(xp.sum(g * g) for layer in gradients for g in layer.values()))


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
        root = xp.sqrt(_one_minus_power(xp, self.beta2, t))
        corrected = learning_rate * root / _one_minus_power(xp, self.beta1, t)
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


def _one_minus_power(xp: Namespace, base: float, t: Array) -> Array:
    """Compute 1 - base^t as -expm1(t ln base), which avoids cancellation for small t."""
    return xp.ones_like(t) if base == 0.0 else -xp.expm1(t * math.log(base))


def _positive_or_none(name: str, value: float | None) -> float | None:
    return None if value is None else check_number(name, value, 0.0, above=True)


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(), "adagrad": Adagrad(), "rmsprop": RMSprop(), "adam": Adam(), "adamw": AdamW(),
}  # fmt: skip

# How to get what a name alone does not say.
_HINTS = {
    "momentum": "; pass bpnet.SGD(0.01, momentum=0.9)",
    "nesterov": "; pass bpnet.SGD(0.01, momentum=0.9, nesterov=True)",
    "lbfgs": "; it is a solver of bpnet.MLPClassifier and bpnet.MLPRegressor",
}


def get(optimizer: str | Optimizer) -> Optimizer:
    """Look up an optimizer with its default settings; an Optimizer is returned unchanged.

    An unknown name raises ValueError, any other type TypeError.

    Examples
    --------
    >>> get("adam")
    Adam(0.001)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(
            f"optimizer must be a name or a bpnet optimizer such as bpnet.Adam(0.001), "
            f"got {described(optimizer)}{instance_hint(optimizer, Optimizer, '0.001')}"
        )
    if optimizer not in OPTIMIZERS:
        error = unknown_name("optimizer", optimizer, OPTIMIZERS)
        raise ValueError(f"{error}{_HINTS.get(optimizer.lower().replace('-', ''), '')}")
    return OPTIMIZERS[optimizer]
