"""The state of a training run: all that is needed to continue it.

Warm starts, checkpoints and saved networks keep this one object, so that ten epochs and ten
more equal twenty.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from bpnet.backend import Backend
from bpnet.backend.transfer import to_device, to_host
from bpnet.backend.typing import Parameters
from bpnet.common.history import History
from bpnet.layers import Layer
from bpnet.optimizers import Optimizer, OptimizerState
from bpnet.schedules import Directions, Schedule, ScheduleState
from bpnet.training.own_optimizer import check_description, check_state
from bpnet.training.scheduled import (
    LEARNING_RATE,
    prepared,
    prepared_schedule,
    scheduled_values,
)
from bpnet.training.step import StepState


class TrainingState:
    """Optimizer, schedules, counters and history of a training run.

    Between runs it owns the optimizer state. During a run
    :class:`bpnet.training.runner.Runner` does, and :meth:`store` takes it over for each
    checkpoint and at the end.

    Parameters
    ----------
    optimizer : Optimizer
        The update rule.
    steps_before, epochs_before : int
        Steps and epochs of the network before; dropout masks and shuffling are seeded by the
        totals.
    layers : sequence of Layer
        The layers, which may have schedules.

    Attributes
    ----------
    given : Optimizer
        The update rule before its schedules were prepared.
    values : dict of str to ScheduledValue
        The schedules with their memory: "learning_rate", perhaps "weight_decay" and rates of
        layers such as "layers.1.rate".
    optimizer_state : list of dict or None
        The optimizer's arrays by layer, parameter and name; None before the first step.
    step, epoch : int
        Steps and epochs of this optimizer: the time of its update rule and its schedules.
    history : History
        The metrics of the run's epochs.
    settings : dict
        What a run that resumes this one must have in common with it.
    place : dict
        Where the next epoch of a :class:`bpnet.Loader` begins; {} if its number says it.
    callbacks : sequence of Callback
        The callbacks, whose state is part of a file.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        steps_before: int = 0,
        epochs_before: int = 0,
        layers: Sequence[Layer] = (),
    ) -> None:
        check_description(optimizer)
        self.optimizer = self.given = optimizer
        self.values = scheduled_values(optimizer, layers)
        self.optimizer_state: OptimizerState | None = None
        self.step = self.epoch = 0
        self.steps_before, self.epochs_before = steps_before, epochs_before
        self.history = History()
        self.settings: dict[str, Any] = {}
        self.place: dict[str, Any] = {}
        self.callbacks: Sequence[Any] = ()

    def copy(self) -> TrainingState:
        """Return a state for another run, which leaves this one as it is.

        The arrays are shared, as a run begins with copies of them.
        """
        other = copy.copy(self)
        other.values = {name: copy.copy(value) for name, value in self.values.items()}
        return other

    def warm_start(self, previous: TrainingState) -> None:
        """Continue from another optimizer: its time, and its arrays if of the same kind."""
        self.epoch, self.epochs_before = previous.epoch, previous.epochs_before
        old, new = previous.optimizer, self.optimizer
        if type(old) is type(new) and old.state_names == new.state_names:
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

    # --- schedules ------------------------------------------------------------------------

    @property
    def schedule(self) -> Schedule:
        """The schedule of the learning rate."""
        return self.values[LEARNING_RATE].schedule

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next epoch."""
        return self.values[LEARNING_RATE].at(float(self.epoch))

    def prepare(self, direction: Directions) -> None:
        """Prepare the schedules for a run, whose metrics have these directions."""
        for value in self.values.values():
            value.schedule = prepared_schedule(value.name, value.schedule, direction)
        self.optimizer = prepared(self.optimizer, direction)

    @property
    def observes(self) -> bool:
        """Whether the values of an epoch may depend on the metrics of the one before."""
        return any(
            type(value.schedule).observe is not Schedule.observe
            for value in self.values.values()
        )

    def observe(self, logs: Mapping[str, float]) -> None:
        """Pass the metrics of an epoch to the schedules."""
        for value in self.values.values():
            value.observe(logs)

    @property
    def memory(self) -> dict[str, ScheduleState]:
        """The memory of each schedule."""
        return {name: value.state for name, value in self.values.items()}

    @memory.setter
    def memory(self, memory: Mapping[str, ScheduleState]) -> None:
        for name, value in self.values.items():
            value.state = memory[name]

    # --- arrays ---------------------------------------------------------------------------

    def optimizer_state_on(self, backend: Backend, trained: Parameters) -> OptimizerState:
        """Return the optimizer state on a backend, as copies that a step may overwrite.

        `trained` are the parameters that are trained by gradients.
        """
        if self.optimizer_state is None:
            state = self.optimizer.init(backend.xp, trained)
            check_state(self.optimizer, trained, state)
            return state
        return [
            {name: {n: to_device(s, backend, copy=True) for n, s in arrays.items()}
             for name, arrays in layer.items()}
            for layer in self.optimizer_state
        ]  # fmt: skip

    def store(self, arrays: StepState) -> None:
        """Store the optimizer state of a run; synchronizes with the device."""
        self.optimizer_state, self.step = arrays["optimizer_state"], int(arrays["t"])

    def __getstate__(self) -> dict[str, Any]:
        """Pickle host (NumPy) arrays, without the callbacks."""
        host = self.optimizer_state and [
            {name: {n: to_host(s) for n, s in arrays.items()} for name, arrays in layer.items()}
            for layer in self.optimizer_state
        ]
        return vars(self) | {"optimizer_state": host, "callbacks": ()}
