"""What one training hands to the next, so that ten epochs and ten more equal twenty."""

from __future__ import annotations

import copy
from typing import Any

from bpnet._step import State
from bpnet.backend import Backend
from bpnet.backend.transfer import to_device, to_host
from bpnet.backend.typing import Parameters
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
        How many this optimiser has taken: its rule's and its schedule's time.
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
        self.slots: Slots | None = None
        self.step = self.epoch = 0
        self.steps_before, self.epochs_before = steps_before, epochs_before

    def inherit(self, past: Continuation) -> None:
        """Go on from another optimiser: its time, and its slots if they mean the same."""
        self.epoch, self.epochs_before = past.epoch, past.epochs_before
        old, new = past.optimizer, self.optimizer
        if type(old) is type(new) and old.n_slots == new.n_slots:
            self.slots, self.step, self.steps_before = past.slots, past.step, past.steps_before
        else:
            self.steps_before = past.steps_taken

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

    def slots_on(self, place: Backend, parameters: Parameters) -> Slots:
        """Give the slots on a backend, as copies, for a step overwrites its state."""
        if self.slots is None:
            return self.optimizer.init(place.xp, parameters)
        return [
            {
                k: tuple(to_device(s, place, copy=True) for s in slots)
                for k, slots in layer.items()
            }
            for layer in self.slots
        ]

    def keep(self, state: State) -> None:
        """Take over what a training has gathered."""
        self.slots, self.step = state["slots"], int(state["t"])

    def __getstate__(self) -> dict[str, Any]:
        """Travel with arrays of the host."""
        slots = self.slots and [
            {name: tuple(map(to_host, s)) for name, s in layer.items()} for layer in self.slots
        ]
        return vars(self) | {"slots": slots}
