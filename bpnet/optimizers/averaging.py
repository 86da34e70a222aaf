"""Averages of the weights along the steps of an optimizer."""

from __future__ import annotations

from collections.abc import Hashable

from bpnet.backend.typing import Array, Namespace, Parameters
from bpnet.common.checks import check_number
from bpnet.optimizers.adam import one_minus_power
from bpnet.optimizers.base import Optimizer, OptimizerState
from bpnet.optimizers.table import get

WEIGHTS = "weights"


class MovingAverage(Optimizer):
    """Take the steps of another optimizer; the network gets the moving average of the weights.

    ``a_t <- (1 - c) a_(t-1) + c w_t`` after step t, with ``c = (1 - decay) / (1 - decay^t)``:
    the exponential moving average of the weights w_1 ... w_t, with the bias correction of Adam,
    so that the initial weights have no part in it. Averages have less of the noise of single
    steps (Polyak and Juditsky 1992).

    The gradients are those at w_t, which is part of the optimizer state. The parameters of the
    network are the averages, during training and after it: validation, early stopping and
    checkpoints see what ``fit`` will leave. The training loss is that of w_t. Setting the
    parameters, as early stopping does to restore the best, sets w_t too.

    Parameters
    ----------
    optimizer : str or Optimizer
        What takes the steps, with its schedules, clipping and weight decay.
    decay : float, default 0.999
        0 <= decay < 1; about the last ``1 / (1 - decay)`` steps count. 0.0 has no effect.

    Raises
    ------
    TypeError, ValueError
        If `optimizer` is none, is a MovingAverage itself, or has its own ``update``, whose
        steps are no elementwise rule.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(100, seed=0)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> history = net.fit(X, y, optimizer=MovingAverage(bpnet.Adam(0.1), 0.9), epochs=5)
    >>> net.evaluate(X, y)["loss"] < history["loss"][-1]
    True
    """

    def __init__(self, optimizer: str | Optimizer, decay: float = 0.999) -> None:
        self.optimizer = inner = get(optimizer)
        self.decay = check_number("decay", decay, 0.0, 1.0, below=True)
        if WEIGHTS in inner.state_names or type(inner).update is not Optimizer.update:
            raise ValueError(
                f"optimizer must be one with a rule for each step and no state of the name "
                f"{WEIGHTS!r}, which MovingAverage adds; got {inner!r}"
            )
        super().__init__(
            inner.learning_rate,
            weight_decay=inner.weight_decay,
            clip_value=inner.clip_value,
            clip_norm=inner.clip_norm,
            decay_biases=inner.decay_biases,
        )

    @property
    def _names(self) -> tuple[str, ...]:
        """The weights of the steps, and the state of the optimizer."""
        return (WEIGHTS, *self.optimizer.state_names)

    @property
    def settings(self) -> Hashable:
        """What the rule depends on, without schedules."""
        return type(self), self.decay, self.optimizer.settings

    def init(self, xp: Namespace, parameters: Parameters) -> OptimizerState:
        """Return copies of the parameters, and the initial state of the optimizer."""
        return _with_weights(xp, parameters, self.optimizer.init(xp, parameters))

    def point(self, parameters: Parameters, state: OptimizerState) -> Parameters:
        """Return the weights of the last step."""
        return [{name: s[WEIGHTS] for name, s in layer.items()} for layer in state]

    def restarted(
        self, xp: Namespace, parameters: Parameters, state: OptimizerState
    ) -> OptimizerState:
        """Return the state with copies of these parameters as the weights."""
        return _with_weights(xp, parameters, self.optimizer.restarted(xp, parameters, state))

    def scalars(self, xp: Namespace, learning_rate: Array, t: Array) -> tuple[Array, ...]:
        """Compute c, and the scalars of the optimizer."""
        share = (1.0 - self.decay) / one_minus_power(xp, self.decay, t)
        return share, *self.optimizer.scalars(xp, learning_rate, t)

    def rule(self, xp: Namespace, p: Array, g: Array, *numbers: Array) -> tuple[Array, ...]:
        """Take one step from the weights, decay included, and add them to the average p."""
        return self.decayed_rule(xp, p, g, *numbers)

    def decayed_rule(
        self, xp: Namespace, p: Array, g: Array, *rest: Array, decay_factor: float = 1.0
    ) -> tuple[Array, ...]:
        """Take one step; the weights decay, and not their average."""
        weights, *numbers = rest
        share = numbers.pop(self.optimizer.n_state + 1)
        inner = self.optimizer.decayed_rule
        weights, *state = inner(xp, weights, g, *numbers, decay_factor=decay_factor)
        return (1.0 - share) * p + share * weights, weights, *state

    def __repr__(self) -> str:
        return f"MovingAverage({self.optimizer!r}, {self.decay:g})"


def _with_weights(
    xp: Namespace, parameters: Parameters, state: OptimizerState
) -> OptimizerState:
    """Return a state with copies of the parameters as its weights."""
    return [
        {name: old | {WEIGHTS: xp.asarray(layer[name], copy=True)} for name, old in s.items()}
        for layer, s in zip(parameters, state, strict=True)
    ]
