"""What one training run hands to the next, so that ten epochs and ten more equal twenty."""

from __future__ import annotations

import copy
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.transfer import to_device, to_host
from bpnet.backend.typing import Parameters
from bpnet.optimizers import Optimizer, OptimizerState
from bpnet.training.step import StepState


class TrainingState:
    """The optimizer with all that it has gathered: what warm starts and checkpoints keep.

    Between runs it owns the optimizer's arrays. During a run the
    :class:`bpnet.training.runner.Runner` owns them, and :meth:`store` takes them over for a
    checkpoint and in the end.

    Attributes
    ----------
    optimizer : Optimizer
        The update rule.
    schedule : Schedule
        Its learning rate: a copy, as a schedule may change with what it observes.
    optimizer_state : list of dict or None
        The optimizer's arrays, in the structure of the layers; None before the first step.
    step, epoch : int
        How many this optimizer has taken: its rule's and its schedule's time.
    steps_before, epochs_before : int
        How many the network had taken before: masks and orders are drawn for all of them.
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
        """Go on from another optimizer: its time, and its arrays if they mean the same."""
        self.epoch, self.epochs_before = previous.epoch, previous.epochs_before
        old, new = previous.optimizer, self.optimizer
        if type(old) is type(new) and old.n_state == new.n_state:
            self.optimizer_state, self.step = previous.optimizer_state, previous.step
            self.steps_before = previous.steps_before
        else:
            self.steps_before = previous.steps_taken

    @property
    def steps_taken(self) -> int:
        """All steps of the network."""
        return self.steps_before + self.step

    @property
    def epochs_taken(self) -> int:
        """All epochs of the network."""
        return self.epochs_before + self.epoch

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next epoch."""
        return self.schedule(float(self.epoch))

    def optimizer_state_on(self, backend: Backend, parameters: Parameters) -> OptimizerState:
        """Return the optimizer's arrays on a backend, as copies that a step may overwrite."""
        if self.optimizer_state is None:
            return self.optimizer.init(backend.xp, parameters)
        return [
            {name: tuple(to_device(s, backend, copy=True) for s in arrays)
             for name, arrays in layer.items()}
            for layer in self.optimizer_state
        ]  # fmt: skip

    def store(self, arrays: StepState) -> None:
        """Take over what a run has gathered; waits for the device."""
        self.optimizer_state, self.step = arrays["optimizer_state"], int(arrays["t"])

    def __getstate__(self) -> dict[str, Any]:
        """Pickle host (NumPy) arrays."""
        host = self.optimizer_state and [
            {name: tuple(map(to_host, s)) for name, s in layer.items()}
            for layer in self.optimizer_state
        ]
        return vars(self) | {"optimizer_state": host}
