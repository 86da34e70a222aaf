"""scikit-learn's stochastic solvers as bpnet optimizers and schedules."""

from __future__ import annotations

from collections.abc import Mapping

from bpnet import optimizers
from bpnet.backend.typing import Array, Namespace
from bpnet.estimators._parameters import MLPParameters
from bpnet.optimizers import Optimizer
from bpnet.schedules import Constant, Schedule, ScheduleState


class Adam(optimizers.Adam):
    """Adam with the "epsilon hat" of the paper's section 2, which has no bias correction."""

    def scalars(self, xp: Namespace, learning_rate: Array, t: Array) -> tuple[Array, ...]:
        """Return eta sqrt(1 - beta2^t) / (1 - beta1^t), and epsilon uncorrected."""
        corrected, epsilon = super().scalars(xp, learning_rate, t)
        return corrected, self.epsilon * xp.ones_like(epsilon)


class SGD(optimizers.SGD):
    """Gradient descent that allows momentum 1, as scikit-learn does."""

    def __init__(
        self, learning_rate: float | Schedule, momentum: float, nesterov: bool,
        clip_norm: float | None,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, clip_norm=clip_norm)
        self.momentum, self.nesterov = float(momentum), bool(nesterov)


class InverseScaling(Schedule):
    """eta_0 / (t + 1)^power, where t is increased by `rows` examples after each epoch."""

    def __init__(self, learning_rate: float, power: float) -> None:
        self.learning_rate, self.power = float(learning_rate), power

    def __call__(self, epoch: float) -> float:
        """Return the initial learning rate."""
        return self.learning_rate

    def initial_state(self) -> ScheduleState:
        """Return the rate, the examples of an epoch and those seen."""
        return {"rate": self.learning_rate, "rows": 0, "seen": 0}

    def value(self, epoch: float, state: ScheduleState) -> float:
        """Return the current learning rate."""
        return float(state["rate"])

    def observe(self, state: ScheduleState, logs: Mapping[str, float]) -> ScheduleState:
        """Add the epoch's examples."""
        seen = state["seen"] + state["rows"]
        rate = self.learning_rate / (seen + 1) ** self.power
        return state | {"rate": rate, "seen": seen}


def optimizer_of(estimator: MLPParameters) -> Optimizer:
    """Return the optimizer for an estimator's parameters."""
    if estimator.optimizer is not None:
        return estimator.optimizer
    rate = estimator.schedule or _schedule(estimator)
    if estimator.solver == "adam":
        return Adam(
            rate, estimator.beta_1, estimator.beta_2, estimator.epsilon,
            clip_norm=estimator.clip_norm,
        )  # fmt: skip
    momentum = estimator.momentum
    nesterov = estimator.nesterovs_momentum and momentum > 0
    return SGD(rate, momentum, nesterov, estimator.clip_norm)


def _schedule(estimator: MLPParameters) -> Schedule:
    """Return scikit-learn's schedule; "adaptive" is a constant that stopping divides."""
    if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
        return InverseScaling(estimator.learning_rate_init, estimator.power_t)
    return Constant(estimator.learning_rate_init)
