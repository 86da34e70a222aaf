"""The interface of an optimizer: weight decay, clipping, and the update of all parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable
from typing import Any

from bpnet import schedules
from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.common.checks import check_flag, check_number, kind_of
from bpnet.common.component import Component, structure
from bpnet.common.state_names import StateNames
from bpnet.errors import ComponentError
from bpnet.schedules import Schedule

# For each layer and parameter, the state arrays by name.
OptimizerState = list[dict[str, dict[str, Array]]]
# For each layer, the factor of the learning rate and the rule of some parameters, by name.
SpecialRules = list[dict[str, tuple[float, Callable[..., Any]]]]


class Optimizer(StateNames, Component):
    """Base class: learning rate, decoupled weight decay and gradient clipping.

    Parameters
    ----------
    learning_rate : float or Schedule
        Step size eta > 0, or a schedule from :mod:`bpnet.schedules`.
    weight_decay : float or Schedule, default 0.0
        Before each step, ``p *= 1 - eta * weight_decay``, decoupled from the gradient
        (Loshchilov and Hutter 2019, algorithm 2). For a penalty in the loss use
        ``Dense(l2=...)``. Only a schedule can change during training.
    clip_value : float or None
        Clip each element of the gradients to [-clip_value, clip_value].
    clip_norm : float or None
        Scale all gradients so that their global 2-norm is at most this (Pascanu, Mikolov and
        Bengio 2013, algorithm 1), after `clip_value` if both are set.
    decay_biases : bool, default True
        Whether the weight decay applies to biases, too; False spares what a layer calls so
        (``Layer.bias_names``).
    """

    kind = "optimizers"
    decay_biases: bool = True  # in pickles of earlier versions

    def __init__(
        self,
        learning_rate: float | Schedule,
        *,
        weight_decay: float | Schedule = 0.0,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        decay_biases: bool = True,
    ) -> None:
        self.learning_rate = schedules.get(learning_rate)
        self.weight_decay = schedules.check_value("weight_decay", weight_decay, 0.0)
        self.clip_value = _positive_or_none("clip_value", clip_value)
        self.clip_norm = _positive_or_none("clip_norm", clip_norm)
        self.decay_biases = check_flag("decay_biases", decay_biases)

    @abstractmethod
    def rule(self, xp: Namespace, p: Array, g: Array, *numbers: Array) -> tuple[Array, ...]:
        """Return ``(p, *state)`` from ``p, g, *state, learning_rate, *scalars``."""

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

    def point(self, parameters: Parameters, state: OptimizerState) -> Parameters:
        """Return the weights at which the gradient is computed: by default the parameters."""
        return parameters

    def restarted(
        self, xp: Namespace, parameters: Parameters, state: OptimizerState
    ) -> OptimizerState:
        """Return the state after the parameters were set, by default unchanged."""
        return state

    def decayed_rule(
        self, xp: Namespace, p: Array, g: Array, *rest: Array, decay_factor: float = 1.0
    ) -> tuple[Array, ...]:
        """Apply the weight decay, then the rule; a scheduled decay is the last argument."""
        weight_decay = self.weight_decay
        if isinstance(weight_decay, Schedule):
            *rest, weight_decay = rest  # type: ignore[assignment]
        if decay_factor != 1.0:
            weight_decay = weight_decay * decay_factor if decay_factor else 0.0
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
        special: SpecialRules | None = None,
    ) -> tuple[Parameters, OptimizerState]:
        """Apply `rule`, :meth:`decayed_rule` as fused by the backend, to all parameters.

        `learning_rate`, `t`, the number of this step from 1, and `weight_decay`, if that is a
        schedule, are 0-d float arrays. `special` has the factor of the learning rate and the
        rule of some parameters (:func:`bpnet.optimizers.factors.special_rules`); those of
        factor 0 stay as they are.
        """
        numbers = {1.0: self._numbers(xp, learning_rate, t, weight_decay)}
        names = self.state_names
        new_parameters: Parameters = []
        new_state: OptimizerState = []
        special = special or [{} for _ in parameters]
        for layer, g, s, own in zip(
            parameters, self._clip(xp, gradients), state, special, strict=True
        ):
            results = {}
            for name, p in layer.items():
                factor, own_rule = own.get(name, (1.0, rule))
                if factor not in numbers:
                    rate = learning_rate * factor
                    numbers[factor] = self._numbers(xp, rate, t, weight_decay)
                arrays = (s[name][n] for n in names)
                results[name] = (
                    own_rule(xp, p, g[name], *arrays, *numbers[factor])
                    if factor
                    else (p, *arrays)
                )
            new_parameters.append({name: result[0] for name, result in results.items()})
            new_state.append(
                {
                    name: dict(zip(names, result[1:], strict=True))
                    for name, result in results.items()
                }
            )
        return new_parameters, new_state

    def _numbers(
        self, xp: Namespace, learning_rate: Array, t: Array, weight_decay: Array | None
    ) -> tuple[Array, ...]:
        """Return the last arguments of a rule, at a learning rate."""
        scalars: Any = self.scalars(xp, learning_rate, t)
        if not isinstance(scalars, tuple | list):
            raise ComponentError(
                f"the optimizer {self!r}: scalars must return a tuple; got {kind_of(scalars)}"
            )
        scheduled = () if weight_decay is None else (weight_decay,)
        return (learning_rate, *scalars, *scheduled)

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


def _positive_or_none(name: str, value: float | None) -> float | None:
    return None if value is None else check_number(name, value, 0.0, above=True)
