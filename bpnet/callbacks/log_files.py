"""Files of the metrics of each epoch, that other programs read while training runs."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from abc import abstractmethod
from typing import Any

from bpnet.callbacks.tracking import Tracker, hyperparameters
from bpnet.common.checks import check_file
from bpnet.common.keywords import explains_keywords
from bpnet.serialization.safetensors_file import check_writable
from bpnet.serialization.safetensors_file import write as replace
from bpnet.training.loop import Training


class LogFile(Tracker):
    """A file of a few lines at the top, and one for each epoch.

    It is written anew when a run begins, with the epochs of the history so far, so that it
    never has an epoch twice, or half of a line that a crash cut off.
    """

    @explains_keywords
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = check_file("path", path)

    @abstractmethod
    def head(self, training: Training) -> str:
        """Return the lines at the top."""

    @abstractmethod
    def line(self, epoch: int, metrics: dict[str, float]) -> str:
        """Return the line of an epoch."""

    def setup(self, training: Training) -> None:
        """Check that the file can be written."""
        if training.communicator.is_main:
            check_writable(self.path)

    def begin(self, training: Training) -> int:
        """Replace the file by one without epochs."""
        replace(self.path, (self.head(training).encode(),))
        return 0

    def write(self, epoch: int, metrics: dict[str, float]) -> None:
        """Append the line of an epoch, for everyone to see."""
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(self.line(epoch, metrics))


class JSONLLogger(LogFile):
    """Write the metrics of each epoch to a file of JSON lines, while training runs.

    The first line is ``{"hyperparameters": {...}}``, each other one an epoch, such as
    ``{"epoch": 1, "loss": 0.69, "learning_rate": 0.001}``, with the names of the history. What
    is NaN or infinite is null, as JSON has no other word for it.

    A new run replaces the file; one that continues another by ``resume_from`` has all epochs in
    it, each once.

    Parameters
    ----------
    path : path
        Output file; a relative path is one of the working directory now.

    Attributes
    ----------
    path : str
        The absolute path.

    Raises
    ------
    OSError
        In ``fit``, before anything changes, if a file cannot be written there.

    Examples
    --------
    >>> import json, tempfile
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(50)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "bce", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = folder + "/run.jsonl"
    ...     history = net.fit(X, y, epochs=2, callbacks=[bpnet.JSONLLogger(path)])
    ...     with open(path) as file:
    ...         head, *epochs = [json.loads(line) for line in file]
    >>> head["hyperparameters"]["optimizer"], [epoch["epoch"] for epoch in epochs]
    ('Adam', [1, 2])
    >>> epochs[1]["loss"] == history["loss"][1]
    True
    """

    def head(self, training: Training) -> str:
        """Return the line of the hyperparameters."""
        return _json_line({"hyperparameters": hyperparameters(training)})

    def line(self, epoch: int, metrics: dict[str, float]) -> str:
        """Return the line of an epoch."""
        finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
        return _json_line({"epoch": epoch} | finite)


class CSVLogger(LogFile):
    """Write the metrics of each epoch to a CSV table, while training runs.

    The first line has the names: "epoch" and those of the history; each other one is an epoch.
    A metric that a callback adds later gets a column, which is nan in the epochs before. As
    every line is a row, there is no place for hyperparameters; see :class:`JSONLLogger`.

    A new run replaces the file; one that continues another by ``resume_from`` has all epochs in
    it, each once.

    Parameters
    ----------
    path : path
        Output file; a relative path is one of the working directory now.

    Attributes
    ----------
    path : str
        The absolute path.

    Raises
    ------
    OSError
        In ``fit``, before anything changes, if a file cannot be written there.

    Examples
    --------
    >>> import tempfile
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(50)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "bce", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = folder + "/run.csv"
    ...     _ = net.fit(X, y, epochs=2, callbacks=[bpnet.CSVLogger(path)])
    ...     with open(path) as file:
    ...         lines = file.read().splitlines()
    >>> lines[0], len(lines)
    ('epoch,loss,learning_rate', 3)
    """

    def head(self, training: Training) -> str:
        """Return nothing: the names are known at the end of the first epoch."""
        self._columns: list[str] = []
        return ""

    def write(self, epoch: int, metrics: dict[str, float]) -> None:
        """Append the line of an epoch, after another header if it has other columns."""
        columns = ["epoch", *metrics]
        if columns != self._columns:
            with open(self.path, encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            table = io.StringIO()
            writer = csv.DictWriter(table, columns, restval=math.nan, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            replace(self.path, (table.getvalue().encode(),))
            self._columns = columns
        super().write(epoch, metrics)

    def line(self, epoch: int, metrics: dict[str, float]) -> str:
        """Return the line of an epoch."""
        return ",".join(map(repr, (epoch, *metrics.values()))) + "\n"


def _json_line(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False) + "\n"
