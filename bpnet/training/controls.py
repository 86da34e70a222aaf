"""What callbacks may do in a training run: read and set parameters and rates, stop it."""

from __future__ import annotations

from typing import Any

from bpnet.backend import Backend
from bpnet.backend.precision import wanted_precision
from bpnet.backend.transfer import copy_parameters
from bpnet.backend.typing import Parameters
from bpnet.common.checks import check_integer
from bpnet.common.history import History
from bpnet.data.dataset import Dataset
from bpnet.model.model import Model
from bpnet.training import monitors
from bpnet.training.runner import Runner
from bpnet.training.scheduled import LEARNING_RATE, WEIGHT_DECAY
from bpnet.training.state import TrainingState


class Controls:
    """The methods of :class:`bpnet.training.Training` for callbacks."""

    network: Model
    state: TrainingState
    history: History
    backend: Backend
    batch_size: int
    shuffle: bool
    loss_weighting: str
    directions: dict[str, str | None]
    _is_complete: bool
    _runner: Runner | None

    @property
    def runner(self) -> Runner:
        """The runner, which owns the arrays from the first hook on."""
        if self._runner is None:
            raise RuntimeError("training has no arrays before it begins")
        return self._runner

    @property
    def parameters(self) -> Parameters:
        """The current parameters of all layers; copy arrays that you store.

        Training continues with a copy of what is assigned.
        """
        return self.runner.parameters

    @parameters.setter
    def parameters(self, values: Parameters) -> None:
        self.runner.set_parameters(values)

    @property
    def settings(self) -> dict[str, Any]:
        """What a run that resumes this one must have in common, besides data and optimizer."""
        return {
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "loss_weighting": self.loss_weighting,
            "precision": wanted_precision(),
        }

    def records(self, name: str) -> bool:
        """Return whether this run or a callback may record such a name in the history."""
        return not self._is_complete or monitors.matching(name, self.directions) is not None

    @property
    def n_batches(self) -> int:
        """Number of steps in an epoch."""
        return self.runner.loader.n_batches

    def copy_parameters(self) -> Parameters:
        """Return a copy of the parameters of all layers on their device."""
        return copy_parameters(self.parameters, self.backend)

    def set_learning_rate(self, value: float | None) -> None:
        """Use a learning rate >= 0 instead of the optimizer's, from the next step on.

        None returns to the optimizer's schedule. No step is compiled anew.
        """
        self._set({LEARNING_RATE}, value, "learning_rate=bpnet.schedules.Constant(...)")

    def set_weight_decay(self, value: float | None) -> None:
        """Use a weight decay >= 0, from the next step on; None returns to the schedule.

        Raises
        ------
        ValueError
            If the optimizer's weight decay is a number, which is compiled into the step.
        """
        self._set(
            {WEIGHT_DECAY} & self.state.values.keys(),
            value,
            "weight_decay=bpnet.schedules.Constant(...)",
        )

    def set_dropout_rate(self, value: float | None, layer: int | None = None) -> None:
        """Use a dropout rate from the next step on; None returns to the schedule.

        Parameters
        ----------
        value : float or None
            0 <= value < 1.
        layer : int or None
            The layer, numbered from 1 as in ``Network.summary``; None sets all that have a
            schedule.

        Raises
        ------
        ValueError
            If the rate of the layer is a number, which is compiled into the step.
        """
        depth = len(self.network.layers)
        if layer is not None and check_integer("layer", layer, 1) > depth:
            raise ValueError(f"layer must be <= {depth}, the number of layers; got {layer}")
        layers = range(depth) if layer is None else [layer - 1]
        places = tuple(f"layers.{number}." for number in layers)  # also of a nested Dropout
        names = {
            name
            for name in self.state.values
            if name.startswith(places) and name.endswith(".rate")
        }
        self._set(names, value, "Dropout(bpnet.schedules.Constant(...))")

    def _set(self, names: set[str], value: float | None, schedule: str) -> None:
        """Set some scheduled values; if there are none, the error shows how to give one."""
        if not names:
            raise ValueError(
                f"only what is given as a schedule can change during training; pass {schedule}"
            )
        chosen = [self.state.values[name] for name in names]
        if value is not None:
            for scheduled in chosen:  # before any is set
                scheduled.check(value)
        for scheduled in chosen:
            scheduled.fix(value)
        if self._runner is not None:
            self._runner.refresh_values()

    def stop(self, reason: str) -> None:
        """Stop training after this epoch; the history keeps the first reason."""
        self.history.stopped = self.history.stopped or reason

    def sample(self, rows: int) -> Dataset:
        """Return training examples on the device, the same in each call; random from arrays."""
        return Dataset(*self.runner.loader.sample(rows)).to_device(self.backend)
