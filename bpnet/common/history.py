"""The record of a training run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bpnet.common.checks import kind_of


class History(Mapping[str, list[float]]):
    """The metrics of each epoch, by name: ``history["loss"]`` has one number per epoch.

    Attributes
    ----------
    history : dict of str to list of float
        One float per epoch: "loss" (mean over the examples during the epoch, including
        penalties), "learning_rate" (at the end of the epoch), with validation data "val_loss"
        and ``"val_..."`` of each metric ("val_accuracy" for classification), and those added by
        callbacks, NaN in epochs without.
    stopped : str or None
        Why training stopped early: "interrupted" by Ctrl-C, or the reason given by a
        callback; None if all epochs were run.
    best_epoch : int or None
        The epoch (from 1) whose weights early stopping restored.
    seconds : float
        Duration of training.
    facts : DataProfile or None
        Properties of the data and network before the first step, recorded for
        :func:`bpnet.diagnose` by :class:`bpnet.GradientFlow` or :class:`bpnet.Doctor`.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.stopped: str | None = None
        self.best_epoch: int | None = None
        self.seconds = 0.0
        self.facts: Any = None

    @property
    def epochs(self) -> int:
        """Number of completed epochs."""
        return len(self.history.get("loss", ()))

    def append(self, logs: Mapping[str, float]) -> None:
        """Append the metrics of one epoch; what is missing in some epochs is NaN there."""
        before = max(map(len, self.history.values()), default=0)
        for name in logs:
            self.history.setdefault(name, [math.nan] * before)
        for name, values in self.history.items():
            values.append(logs.get(name, math.nan))

    def last(self) -> dict[str, float]:
        """Return the metrics of the last epoch."""
        return {name: values[-1] for name, values in self.history.items() if values}

    def __getitem__(self, name: str) -> list[float]:
        return self.history[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def __len__(self) -> int:
        return len(self.history)

    def __repr__(self) -> str:
        return f"History({self.epochs} epochs: {', '.join(self.history) or 'no metrics'})"


def check_history(history: Any) -> Mapping[str, Any]:
    """Return `history`, which must be a History or another mapping."""
    if not isinstance(history, Mapping):
        raise TypeError(
            f"history must be what fit returned, or a mapping of names to lists of numbers; "
            f"got {kind_of(history)}"
        )
    return history


def metric_values(history: Mapping[str, Any], name: str) -> list[float]:
    """Return the values of one metric as floats."""
    values = history[name]
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"history must hold numbers, one per epoch; for {name!r} got {values!r}"
        ) from error
