"""The line that shows how training goes, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bpnet.common.streams import complain
from bpnet.training.loop import Callback, Training

# Seconds between two lines where stderr is no terminal.
_PAUSE = 10.0


class ProgressLine(Callback):
    """Epoch, loss, validation metric, rows per second and time left.

    On a terminal it is one line that changes; elsewhere a line now and then. It begins before
    training, with what an estimator does first: preprocessing, and trial epochs that tell how
    many there is time for.

    Parameters
    ----------
    limit : float
        Seconds that training may take; 0 is no limit.

    Attributes
    ----------
    units : str
        What the loss and the metric are of, "" by default.
    """

    adds: Mapping[str, str | None] = {}
    main_only = True

    def __init__(self, limit: float = 0.0) -> None:
        self.limit, self.units = limit, ""
        self._progress: Any = None
        self._said = 0.0

    def __enter__(self) -> Self:
        """Show the line."""
        self._said = time.perf_counter()
        if sys.stderr is not None and sys.stderr.isatty():
            self._progress = Progress(
                TextColumn("{task.fields[epoch]}"),
                BarColumn(20),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            epoch = f"preparing, of {self.limit:g} s" if self.limit else "preparing"
            self._task = self._progress.add_task("", total=None, epoch=epoch)
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove it."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def read(self, rows: int, total: int) -> None:
        """Show how many rows have been read, before training."""
        text = f"read {rows:,} of {total:,} rows"
        if self._progress is not None:
            self._progress.update(self._task, completed=rows, total=total, epoch=text)
        elif time.perf_counter() - self._said >= _PAUSE:
            self._said = time.perf_counter()
            complain(text)

    def on_train_begin(self, training: Training) -> None:
        """Count epochs from now on."""
        self._start = self._said = time.perf_counter()
        if self._progress is not None:
            self._progress.reset(
                self._task, total=training.epochs, epoch=f"epoch 0/{training.epochs}"
            )

    def on_epoch_end(self, training: Training) -> None:
        """Update it."""
        now = time.perf_counter()
        text = described(training, now - self._start, self.units)
        if self._progress is not None:
            epoch = f"epoch {training.epoch}/{training.epochs}"
            self._progress.update(self._task, advance=1, description=text, epoch=epoch)
        elif now - self._said >= _PAUSE:
            self._said = now
            left = (now - self._start) / training.epoch * (training.epochs - training.epoch)
            complain(f"epoch {training.epoch}/{training.epochs}: {text}, {left:.0f} s left")


def described(training: Training, seconds: float, units: str = "") -> str:
    """Return the loss, the metrics of the validation rows, their units and the speed."""
    shown = {
        name: value
        for name, value in training.logs.items()
        if name == "loss" or (name.startswith("val_") and name != "val_loss")
    }
    words = [f"{name} {value:.4g}" for name, value in shown.items()]
    speed = training.data.n_rows * training.epoch / max(seconds, 1e-9)
    of = f" of {units}" if units else ""
    return ", ".join([", ".join(words) + of, f"{speed:,.0f} rows/s"])
