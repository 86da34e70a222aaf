"""Trackers: the metrics of each epoch, and once the hyperparameters, written elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from bpnet.common.version import __version__
from bpnet.data.dataset import Dataset
from bpnet.training.loop import Callback, Training


class Tracker(Callback):
    """Base class of callbacks that write the metrics of each epoch of the history elsewhere.

    They change nothing in training, and a run that continues another by ``resume_from`` writes
    each epoch once, even if the other had gone on after its last checkpoint.
    """

    adds: Mapping[str, str | None] = {}
    main_only = True
    _written: int | None = None  # epochs; None before the first begins

    @abstractmethod
    def begin(self, training: Training) -> int:
        """Prepare, before the first epoch; return how many epochs need not be written."""

    @abstractmethod
    def write(self, epoch: int, metrics: dict[str, float]) -> None:
        """Write the metrics of an epoch, from 1; NaN is one that it lacks."""

    def end(self, training: Training, is_complete: bool) -> None:
        """Finish, at the end of the run; `is_complete` is False after an error."""

    def on_train_begin(self, training: Training) -> None:
        """Forget the previous run."""
        self._written, self._is_complete = None, False

    def on_epoch_begin(self, training: Training) -> None:
        """Begin, once the states of a resumed run are restored."""
        if self._written is None:
            self._written = self.begin(training)

    def on_epoch_recorded(self, training: Training) -> None:
        """Write the epoch."""
        self._write_new(training)

    def on_train_end(self, training: Training) -> None:
        """Note that no error ended training."""
        self._is_complete = True

    def teardown(self, training: Training) -> None:
        """Write an epoch that was not finite, and finish."""
        super().teardown(training)
        if self._written is not None:
            self._write_new(training)
            self.end(training, self._is_complete)
            self._written = None

    def _write_new(self, training: Training) -> None:
        history = training.history
        assert self._written is not None
        for k in range(self._written, history.epochs):
            self.write(k + 1, {name: values[k] for name, values in history.items()})
            self._written = k + 1


def hyperparameters(training: Training) -> dict[str, Any]:
    """Return what a run is configured by: numbers, bools, strings and lists of strings.

    Schedules and other components are written as their `repr`.
    """
    network, data, optimizer = training.network, training.data, training.state.optimizer
    return {
        "bpnet": __version__,
        "layers": [repr(layer) for layer in network.layers],
        "loss": network.loss.name,
        "seed": network.seed,
        "dtype": network.dtype,
        "parameters": network.n_parameters,
        "optimizer": type(optimizer).__name__,
        **{f"optimizer.{name}": _plain(value) for name, value in optimizer.config().items()},
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "shuffle": training.shuffle,
        "examples": data.n_rows,
        "validation_examples": 0 if training.validation is None else training.validation.n_rows,
        "loader": "arrays" if isinstance(data, Dataset) else type(data).__name__,
        "backend": training.backend.spec,
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else repr(value)
