"""Checkpoints: training runs on disk, to resume after a crash."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bpnet.common.checks import check_file, check_flag, check_integer, check_number, check_text
from bpnet.common.keywords import explains_keywords
from bpnet.common.patience import Patience
from bpnet.serialization import safetensors_file
from bpnet.serialization.callback_state import settings_of
from bpnet.serialization.config import describe
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
        Output file; a relative path is one of the working directory now. An optional "{epoch}"
        in its name is replaced by the number of completed epochs; without it, each file
        replaces the previous one.
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
    path : str
        The absolute path.
    last : str or None
        The last file written.

    Raises
    ------
    OSError
        In ``fit``, before anything changes, if a file cannot be written there: the folder is
        missing or takes no files, the name is too long, or something else than a file is there.
        Later if writing fails, as on a full disk; the previous file is left unchanged.
    TypeError, ValueError
        In ``fit``, before anything changes, if parts of the network or optimizer cannot
        describe themselves, or another checkpoint of the same path would replace the best with
        the last.

    Notes
    -----
    Estimators are not supported, because files of networks cannot represent scikit-learn's
    losses. Save the fitted estimator, by its method `save`.

    If several processes train together, process 0 alone writes files. To resume, each of them
    reads the file, so it must be where all can read it; their number may differ.

    Files include the :meth:`bpnet.Callback.state` and the :meth:`bpnet.Callback.settings` of
    callbacks such as early stopping. Snapshots have none; they start over.

    ``resume_from`` refuses another network, optimizer, order, batch size, matmul precision,
    metrics, callbacks, or other examples, which are identified by a hash of all their values:
    BLAKE2b, computed once in a ``fit`` that writes or resumes a file. It takes 1 to 2 seconds
    per GB in memory, besides the transfer from a device. Files of older versions hold a hash of
    256 examples. Backend, `on_nonfinite` and a larger number of epochs may differ. What is
    unknown cannot be compared: the code of your own components, settings that your own
    callbacks do not declare, and examples of a file that :meth:`bpnet.Network.save` wrote,
    which no longer has them.

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
    main_only = True

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
        self.path = check_file("path", path)
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
        self._direction = mode
        self.last: str | None = None
        self._epochs: list[int] = []

    def setup(self, training: Training) -> None:
        """Check the monitor, and that everything can be described and written."""
        best_only = self.best_only
        self._direction = training.direction(self.monitor, self.mode) if best_only else None
        self._check_others(training.callbacks)
        architecture(training.network)
        describe(training.state.optimizer)
        if training.communicator.is_main:
            for epoch in (1, training.epochs):  # the shortest and the longest name
                safetensors_file.check_writable(self._name(epoch))

    def _check_others(self, callbacks: list[Callback]) -> None:
        """Refuse another checkpoint of the same file, unless both save all that is due."""
        for other in callbacks:
            if not isinstance(other, Checkpoint) or other is self or other.path != self.path:
                continue
            if self.best_only or other.best_only:
                raise ValueError(
                    f"path must differ from that of another Checkpoint, which would replace "
                    f"the best with the last; got {self.path!r} for both"
                )

    def on_train_begin(self, training: Training) -> None:
        """Describe the run, which hashes its examples."""
        for callback in training.callbacks:
            settings_of(callback)
        self._settings = settings(training)
        if self._direction is not None:
            self.patience.start(self._direction)
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

    def settings(self) -> dict[str, Any]:
        """Return with `best_only` the monitor and its direction; path and times may differ."""
        if not self.best_only:
            return {}
        return {"monitor": self.monitor, "mode": self._direction}

    def restore(self, training: Training, state: Mapping[str, Any]) -> None:
        """Restore the best value and the files of the previous run, to be removed in turn."""
        self.patience.restore(state["best"], self.patience.waited)
        self._epochs = [check_integer("epoch", epoch, 0) for epoch in state["epochs"]]
