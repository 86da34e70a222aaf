"""The state carried between training runs, so that ten epochs and ten more equal twenty."""

from __future__ import annotations

import copy
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.transfer import to_device, to_host
from bpnet.backend.typing import Parameters
from bpnet.optimizers import Optimizer, OptimizerState
from bpnet.training.step import StepState


class TrainingState:
    """The optimizer with its state and counters: what warm starts and checkpoints keep.

    Between runs it owns the optimizer state. During a run
    :class:`bpnet.training.runner.Runner` does, and :meth:`store` takes it over for each
    checkpoint and at the end.

    Attributes
    ----------
    optimizer : Optimizer
        The update rule.
    schedule : Schedule
        A copy of its learning rate schedule, which may change with the metrics it observes.
    optimizer_state : list of dict or None
        The optimizer's arrays, structured like the layers; None before the first step.
    step, epoch : int
        Steps and epochs of this optimizer: the time of its update rule and its schedule.
    steps_before, epochs_before : int
        Those of the network before; dropout masks and shuffling are seeded by the totals.
    """

    def __init__(
        self, optimizer: Optimizer, steps_before: int = 0, epochs_before: int = 0
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"optimizer must be a bpnet optimizer such as bpnet.Adam(0.001), "
                f"got {optimizer!r}"
            )
        self.optimizer = optimizer
        self.schedule = copy.deepcopy(optimizer.learning_rate)
        self.optimizer_state: OptimizerState | None = None
        self.step = self.epoch = 0
        self.steps_before, self.epochs_before = steps_before, epochs_before

    def warm_start(self, previous: TrainingState) -> None:
        """Continue from another optimizer: its time, and its arrays if of the same kind."""
        self.epoch, self.epochs_before = previous.epoch, previous.epochs_before
        old, new = previous.optimizer, self.optimizer
        if type(old) is type(new) and old.n_state == new.n_state:
            self.optimizer_state, self.step = previous.optimizer_state, previous.step
            self.steps_before = previous.steps_before
        else:
            self.steps_before = previous.steps_taken

    @property
    def steps_taken(self) -> int:
        """Total steps of the network."""
        return self.steps_before + self.step

    @property
    def epochs_taken(self) -> int:
        """Total epochs of the network."""
        return self.epochs_before + self.epoch

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next epoch."""
        return self.schedule(float(self.epoch))

    def optimizer_state_on(self, backend: Backend, parameters: Parameters) -> OptimizerState:
        """Return the optimizer state on a backend, as copies that a step may overwrite."""
        if self.optimizer_state is None:
            return self.optimizer.init(backend.xp, parameters)
        return [
            {name: tuple(to_device(s, backend, copy=True) for s in arrays)
             for name, arrays in layer.items()}
            for layer in self.optimizer_state
        ]  # fmt: skip

    def store(self, arrays: StepState) -> None:
        """Store the optimizer state of a run; synchronizes with the device."""
        self.optimizer_state, self.step = arrays["optimizer_state"], int(arrays["t"])

    def __getstate__(self) -> dict[str, Any]:
        """Pickle host (NumPy) arrays."""
        host = self.optimizer_state and [
            {name: tuple(map(to_host, s)) for name, s in layer.items()}
            for layer in self.optimizer_state
        ]
        return vars(self) | {"optimizer_state": host}
