"""TensorBoard: the metrics of each epoch as curves."""

from __future__ import annotations

import os
import time
from typing import Any

from bpnet.callbacks.tracking import Tracker, hyperparameters
from bpnet.common.checks import check_path
from bpnet.common.keywords import explains_keywords
from bpnet.training.loop import Training


class TensorBoardLogger(Tracker):
    """Write the metrics of each epoch for TensorBoard, and once the hyperparameters.

    ``tensorboard --logdir runs`` shows the runs in all folders within "runs" as curves over
    epochs, "loss" and "val_loss" etc., and the hyperparameters in its tab "HParams". It is
    TensorBoard's own writer, which needs neither TensorFlow nor PyTorch.

    A new run in the same folder takes the place of the one before; one that continues another
    by ``resume_from`` of the epochs after its checkpoint.

    Parameters
    ----------
    directory : path
        The folder of one run, such as "runs/first"; created if it does not exist. A relative
        path is one of the working directory now.

    Attributes
    ----------
    directory : str
        The absolute path.

    Raises
    ------
    ImportError
        If TensorBoard is not installed.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(50)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "bce", seed=0)
    >>> logger = bpnet.TensorBoardLogger("runs/first")  # doctest: +SKIP
    >>> history = net.fit(X, y, epochs=2, callbacks=[logger])  # doctest: +SKIP
    """

    @explains_keywords
    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.path.abspath(check_path("directory", directory))
        _import()
        self._writer: Any = None

    def begin(self, training: Training) -> int:
        """Open a file, and let it take the place of what is there of these epochs."""
        event_pb2, _, writer, hparams_pb = _import()
        done = training.epoch
        self._writer = writer.EventFileWriter(self.directory)
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(step=done + 1, session_log=start)
        if not done:
            given = hyperparameters(training)
            given["layers"] = ", ".join(given["layers"])
            self._add(step=0, summary=hparams_pb(given))
        return done

    def write(self, epoch: int, metrics: dict[str, float]) -> None:
        """Write the metrics of an epoch, and flush the file."""
        summary_pb2 = _import()[1]
        values = [
            summary_pb2.Summary.Value(tag=name, simple_value=value)
            for name, value in metrics.items()
        ]
        self._add(step=epoch, summary=summary_pb2.Summary(value=values))
        self._writer.flush()

    def end(self, training: Training, is_complete: bool) -> None:
        """Close the file."""
        self._writer.close()
        self._writer = None

    def _add(self, **content: Any) -> None:
        self._writer.add_event(_import()[0].Event(wall_time=time.time(), **content))


def _import() -> tuple[Any, Any, Any, Any]:
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer import event_file_writer
    except ImportError as error:
        raise ImportError(
            "TensorBoardLogger needs tensorboard; install it with: pip install tensorboard"
        ) from error
    return event_pb2, summary_pb2, event_file_writer, hparams_pb
