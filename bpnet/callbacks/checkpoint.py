"""Checkpoints: training runs on disk, to resume after a crash."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bpnet.common.checks import check_flag, check_integer, check_number, check_path, check_text
from bpnet.common.keywords import explains_keywords
from bpnet.common.patience import Patience
from bpnet.serialization import safetensors_file
from bpnet.serialization.model_state import architecture
from bpnet.serialization.training_state import contents, settings
from bpnet.training.loop import Callback, Training


class Checkpoint(Callback):
    """Save the network and the training state to a file at regular intervals.

    ``fit(resume_from=path)`` with the same other arguments continues as if training had never
    stopped, bit for bit; :func:`bpnet.load` loads only the network. Files are written
    atomically (:meth:`bpnet.Network.save`). Requires safetensors.

    Parameters
    ----------
    path : path
        Output file. An optional "{epoch}" in its name is replaced by the number of completed
        epochs; without it, each file replaces the previous one.
    every : int or None
        Save every this many epochs, and after the last. None is 1, or never if `minutes` is
        given.
    minutes : float or None
        Save after the first epoch that ends this long after the last save, and after the last.
    best_only : bool, default False
        Save only if `monitor` is better than in all earlier saves.
    monitor : str, default "val_loss"
        The metric to compare; one of the history's names. With `best_only`, one that neither
        ``fit`` nor a callback records is refused, as by :class:`bpnet.EarlyStopping`.
    mode : {"min", "max"} or None, default None
        Whether lower or higher is better. None is what the metric says: "max" for an accuracy,
        "min" for a loss.
    keep_last : int or None
        Keep this many files and remove older ones; needs "{epoch}" in `path`. None keeps all.

    Attributes
    ----------
    last : str or None
        The last file written.

    Raises
    ------
    OSError
        In ``fit``, if a file cannot be written; the previous one is left unchanged.
    TypeError
        At the start of ``fit``, if parts of the network or optimizer cannot describe
        themselves.

    Notes
    -----
    Estimators are not supported, because files cannot represent scikit-learn's losses. Pickle
    the estimator, or save a network with its weights.

    Files include the :meth:`bpnet.Callback.state` of callbacks such as early stopping.
    Snapshots have none; they start over.

    Examples
    --------
    >>> import tempfile
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(50)
    >>> def network():
    ...     return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)],
    ...                          loss="binary_crossentropy", seed=0)
    >>> whole = network().fit(X, y, epochs=6)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = folder + "/xor.safetensors"
    ...     _ = network().fit(X, y, epochs=4, callbacks=[bpnet.Checkpoint(path)])
    ...     resumed = network().fit(X, y, epochs=6, resume_from=path)
    >>> resumed["loss"] == whole["loss"]
    True
    """

    adds: Mapping[str, str | None] = {}

    @explains_keywords
    def __init__(
        self,
        path: str | os.PathLike[str],
        every: int | None = None,
        *,
        minutes: float | None = None,
        best_only: bool = False,
        monitor: str = "val_loss",
        mode: str | None = None,
        keep_last: int | None = None,
    ) -> None:
        self.path = check_path("path", path)
        self.minutes = minutes
        if minutes is not None:
            self.minutes = check_number("minutes", minutes, 0.0, above=True)
        self.every = None if every is None else check_integer("every", every, 1)
        if minutes is None and every is None:
            self.every = 1
        self.best_only = check_flag("best_only", best_only)
        self.monitor = check_text("monitor", monitor)
        self.mode, self.patience = mode, Patience(0, 0.0, mode)
        self.keep_last = keep_last
        if keep_last is not None:
            self.keep_last = check_integer("keep_last", keep_last, 1)
            if "{epoch}" not in os.path.basename(self.path):
                raise ValueError(
                    f"keep_last needs '{{epoch}}' in the name of the file, as in "
                    f"'run-{{epoch}}.safetensors'; got {self.path!r}"
                )
        self.last: str | None = None
        self._epochs: list[int] = []

    def setup(self, training: Training) -> None:
        """Check that the monitored metric will be recorded, and that its direction is known."""
        if self.best_only:
            training.direction(self.monitor, self.mode)

    def on_train_begin(self, training: Training) -> None:
        """Check that the folder exists and that everything can be saved."""
        folder = Path(self.path).absolute().parent
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder for checkpoints", str(folder))
        architecture(training.network)
        self._settings = settings(training)
        if self.best_only:
            self.patience.start(training.direction(self.monitor, self.mode))
        self.last, self._epochs, self._written = None, [], time.monotonic()

    def on_epoch_recorded(self, training: Training) -> None:
        """Save if due."""
        if not self._is_due(training):
            return
        logs = {name: values[-1] for name, values in training.history.items()}
        if self.best_only and not self.patience.observe(self.monitor, logs):
            return
        self._epochs.append(training.epoch)
        path = self._name(training.epoch)
        state = training.state
        state.store(training.runner.arrays)
        safetensors_file.write(
            path, safetensors_file.encode(*contents(training.network, state, self._settings))
        )
        self.last, self._written = path, time.monotonic()
        if self.keep_last is not None:
            while len(self._epochs) > self.keep_last:
                Path(self._name(self._epochs.pop(0))).unlink(missing_ok=True)

    def _is_due(self, training: Training) -> bool:
        if training.epoch == training.epochs or training.history.stopped:
            return True
        if self.every is not None and training.epoch % self.every == 0:
            return True
        waited = time.monotonic() - self._written
        return waited >= (math.inf if self.minutes is None else 60.0 * self.minutes)

    def _name(self, epoch: int) -> str:
        folder, name = os.path.split(self.path)
        return os.path.join(folder, name.replace("{epoch}", str(epoch)))

    def state(self) -> dict[str, Any]:
        """Return the best value and the epochs of the remaining files."""
        return {"best": float(self.patience.best), "epochs": list(self._epochs)}

    def restore(self, training: Training, state: Mapping[str, Any]) -> None:
        """Restore the best value and the files of the previous run, to be removed in turn."""
        self.patience.restore(state["best"], self.patience.waited)
        self._epochs = [check_integer("epoch", epoch, 0) for epoch in state["epochs"]]
