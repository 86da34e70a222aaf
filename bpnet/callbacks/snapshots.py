"""Snapshots of the parameters during training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bpnet.backend.typing import Parameters
from bpnet.common.checks import check_integer
from bpnet.common.keywords import explains_keywords
from bpnet.training.loop import Callback, Training


class Snapshot(NamedTuple):
    """The network at one point of training.

    Attributes
    ----------
    epoch : int
        Number of completed epochs; 0 before the first.
    loss : float or None
        The loss of that epoch; None before the first.
    parameters : list of dict of str to numpy.ndarray
        Structured like ``Network.parameters``, on the host.
    """

    epoch: int
    loss: float | None
    parameters: Parameters


class Snapshots(Callback):
    """Keep copies of the parameters, on the host, before training and every few epochs.

    ``bpnet.plot.animate`` animates them.

    Parameters
    ----------
    every : int, default 1
        Number of epochs between snapshots, >= 1.

    Attributes
    ----------
    taken : list of Snapshot
        The snapshots of the last training run, oldest first.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(50)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> snapshots = bpnet.Snapshots(every=5)
    >>> _ = net.fit(X, y, epochs=12, callbacks=[snapshots])
    >>> [snapshot.epoch for snapshot in snapshots.taken]
    [0, 5, 10]
    """

    adds: Mapping[str, str | None] = {}

    @explains_keywords
    def __init__(self, every: int = 1) -> None:
        self.every = check_integer("every", every, 1)
        self.taken: list[Snapshot] = []

    def on_train_begin(self, training: Training) -> None:
        """Reset, and keep the initial parameters."""
        self.taken = []
        self._take(training, None)

    def on_epoch_end(self, training: Training) -> None:
        """Keep this epoch if due."""
        if training.epoch % self.every == 0:
            self._take(training, training.logs["loss"])

    def _take(self, training: Training, loss: float | None) -> None:
        backend = training.backend
        parameters: list[dict[str, Any]] = [
            {name: np.array(backend.to_numpy(p)) for name, p in layer.items()}
            for layer in training.parameters
            if layer
        ]
        self.taken.append(Snapshot(training.epoch, loss, parameters))
