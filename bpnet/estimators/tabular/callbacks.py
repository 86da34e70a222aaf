"""Callbacks: the best epoch, the end of the time, and what is printed."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bpnet.backend.typing import Parameters
from bpnet.training.loop import Callback, Training

# Why a run ends with the time.
SPENT = "time_budget is spent"


class BestEpoch(Callback):
    """Restore the weights of the best epoch at the end, of several the last.

    :class:`bpnet.EarlyStopping` takes the first of several, and stops training. Of equals, the
    later weights are those of a lower learning rate.

    Parameters
    ----------
    monitor : str
        The metric to monitor.
    stops : bool
        Whether to stop at the first epoch after 20 + 2 times the best one, as in pytabkit.
    """

    adds: Mapping[str, str | None] = {}
    restores = True

    def __init__(self, monitor: str, stops: bool) -> None:
        self.monitor, self.stops = monitor, stops

    def on_train_begin(self, training: Training) -> None:
        """Start with the initial weights as the best, because every value may be NaN."""
        self._sign = 1.0 if training.direction(self.monitor) == "min" else -1.0
        self._best, self._epoch = float("inf"), 0
        self._parameters: Parameters | None = None

    def on_epoch_end(self, training: Training) -> None:
        """Keep the weights if none were better."""
        value = self._sign * training.logs[self.monitor]
        if value <= self._best:
            self._best, self._epoch = value, training.epoch
            self._parameters = training.copy_parameters()
        elif self.stops and training.epoch > 20 + 2 * self._epoch:
            training.stop(f"{self.monitor} has not improved since epoch {self._epoch}")

    def on_train_end(self, training: Training) -> None:
        """Restore the best weights."""
        if self._parameters is not None:
            training.parameters = self._parameters
            training.history.best_epoch = self._epoch
            self._parameters = None


class Deadline(Callback):
    """Stop training at the end of the first epoch after a time.

    Parameters
    ----------
    when : float
        The time, of :func:`time.perf_counter`.

    Attributes
    ----------
    seconds : list of float
        The duration of each epoch of the last run.
    """

    adds: Mapping[str, str | None] = {}

    def __init__(self, when: float) -> None:
        self.when = when
        self.seconds: list[float] = []

    @property
    def left(self) -> float:
        """The seconds until then."""
        return self.when - time.perf_counter()

    def on_train_begin(self, training: Training) -> None:
        """Start the clock."""
        self.seconds, self._last = [], time.perf_counter()

    def on_epoch_end(self, training: Training) -> None:
        """Stop if it is time."""
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now
        if now >= self.when:
            training.stop(SPENT)


class Report(Callback):
    """Print the metrics of each epoch.

    Parameters
    ----------
    label : str
        What they are of.
    """

    adds: Mapping[str, str | None] = {}

    def __init__(self, label: str) -> None:
        self.label = f", of {label}" if label else ""

    def on_epoch_end(self, training: Training) -> None:
        """Print them."""
        shown = ", ".join(f"{name} = {value:.6g}" for name, value in training.logs.items())
        print(f"Epoch {training.epoch}/{training.epochs}: {shown}{self.label}")
