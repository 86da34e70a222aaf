"""What one training hands to the next, so that ten epochs and ten more equal twenty."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from bpnet._placement import bring, host
from bpnet._step import State, make_step
from bpnet._typing import Parameters
from bpnet.backend import Backend
from bpnet.backprop import Model
from bpnet.optimizers import Optimizer, Slots


class Continuation:
    """The optimiser with all that it has gathered.

    Attributes
    ----------
    optimizer : Optimizer
        The update rule.
    schedule : Schedule
        Its learning rate: a copy, as a schedule may change with what it observes.
    slots : list of dict or None
        The optimiser's slots, in the structure of the layers; None before the first step.
    step, epoch : int
        How many were taken, the schedule's time and the orders' number.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"optimizer must be a bpnet optimizer such as bpnet.Adam(0.001), "
                f"got {optimizer!r}"
            )
        self.optimizer = optimizer
        self.schedule = copy.deepcopy(optimizer.learning_rate)
        self.slots: Slots | None = None
        self.step = 0
        self.epoch = 0
        self._steps: dict[tuple[Any, ...], Callable[..., State]] = {}

    def inherit(self, past: Continuation) -> None:
        """Go on from another optimiser: its time, and its slots if they mean the same."""
        self.epoch, old, new = past.epoch, past.optimizer, self.optimizer
        if type(old) is type(new) and old.n_slots == new.n_slots:
            self.slots, self.step = past.slots, past.step

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next epoch."""
        return self.schedule(float(self.epoch))

    def slots_on(self, place: Backend, parameters: Parameters) -> Slots:
        """Give the slots on a backend, as copies, for a step overwrites its state."""
        if self.slots is None:
            return self.optimizer.init(place.xp, parameters)
        return [
            {k: tuple(bring(s, place, copy=True) for s in slots) for k, slots in layer.items()}
            for layer in self.slots
        ]

    def step_for(
        self, place: Backend, model: Model, batch_size: int, rows: int, by_weight: bool
    ) -> Callable[..., State]:
        """Give the compiled step for a batch, the same one in each training that continues."""
        key = (place, model, batch_size, rows, by_weight)
        if key not in self._steps:
            self._steps[key] = make_step(
                place, model, self.optimizer, batch_size, rows, by_weight
            )
        return self._steps[key]

    def keep(self, state: State) -> None:
        """Take over what a training has gathered."""
        self.slots, self.step = state["slots"], int(state["step"])

    def __getstate__(self) -> dict[str, Any]:
        """Travel without the compiled steps, and with arrays of the host."""
        slots = self.slots and [
            {name: tuple(map(host, s)) for name, s in layer.items()} for layer in self.slots
        ]
        return vars(self) | {"_steps": {}, "slots": slots}
