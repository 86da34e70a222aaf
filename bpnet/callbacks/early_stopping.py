"""Early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bpnet.backend.transfer import to_host
from bpnet.backend.typing import Parameters
from bpnet.common.checks import check_flag, check_integer, check_text
from bpnet.common.keywords import explains_keywords
from bpnet.common.patience import Patience
from bpnet.common.plurals import number_of
from bpnet.model.parameters import form_of, parameters_like
from bpnet.training.loop import Callback, Training


class EarlyStopping(Callback):
    """Stop training when a metric no longer improves, and restore the best weights.

    Prechelt, "Early stopping - but when?", 1998.

    Parameters
    ----------
    monitor : str, default "val_loss"
        The metric to monitor; one of the history's names.
    patience : int, default 10
        Epochs with no improvement that are tolerated.
    min_delta : float, default 0.0
        A change must be larger than this to count as an improvement.
    mode : {"min", "max"} or None, default None
        Whether lower or higher is better. None is what the metric says: "max" for an accuracy,
        "min" for a loss.
    restore_best : bool, default True
        Restore the weights of the best epoch at the end, however training ended.
    relative : bool, default True
        Whether `min_delta` is a fraction of the best value's magnitude, < 1, so that the unit
        of the metric does not matter. False: it is in units of the metric.

    Attributes
    ----------
    best : float
        The best value.
    best_epoch : int or None
        Its epoch, from 1.

    Raises
    ------
    ValueError
        In ``fit``, before the first epoch: if neither ``fit`` nor a callback records the
        metric, or its direction is unknown and `mode` is None. Next to a callback that does not
        declare what it adds (:attr:`bpnet.Callback.adds`), a missing metric is found at the end
        of the first epoch.

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_moons(100, seed=0)
    >>> net = bpnet.Network([bpnet.Dense(8, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> history = net.fit(X, y, epochs=50, validation_split=0.3, metrics=["f1"],
    ...                   callbacks=[bpnet.EarlyStopping("val_f1", patience=5)])
    >>> history["val_f1"][history.best_epoch - 1] == max(history["val_f1"])
    True
    """

    adds: Mapping[str, str | None] = {}
    restores = True

    @explains_keywords
    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        *,
        min_delta: float = 0.0,
        mode: str | None = None,
        restore_best: bool = True,
        relative: bool = True,
    ) -> None:
        self.monitor = check_text("monitor", monitor)
        self.mode, self.patience = mode, Patience(patience, min_delta, mode, relative)
        self.restore_best = check_flag("restore_best", restore_best)
        self._direction = mode
        self.best = math.nan
        self.best_epoch: int | None = None
        self._best_parameters: Parameters | None = None

    def setup(self, training: Training) -> None:
        """Check that the metric will be recorded, and that its direction is known."""
        self._direction = training.direction(self.monitor, self.mode)

    def on_train_begin(self, training: Training) -> None:
        """Forget the previous run."""
        self.patience.start(training.direction(self.monitor, self.mode))
        self.best, self.best_epoch, self._best_parameters = math.nan, None, None

    def on_epoch_end(self, training: Training) -> None:
        """Keep the best weights, or stop if patience is exhausted."""
        if self.patience.observe(self.monitor, training.logs):
            self.best, self.best_epoch = self.patience.best, training.epoch
            if self.restore_best:
                self._best_parameters = training.copy_parameters()
        elif self.patience.exhausted:
            since = f" since epoch {self.best_epoch}" if self.best_epoch else ""
            training.stop(
                f"{self.monitor} has not improved for "
                f"{number_of(self.patience.waited, 'epoch')}{since}"
            )

    def on_train_end(self, training: Training) -> None:
        """Restore the best weights."""
        if self._best_parameters is not None:
            training.parameters = self._best_parameters
            training.history.best_epoch = self.best_epoch
            self._best_parameters = None

    def state(self) -> dict[str, Any]:
        """Return the best value, its epoch and weights, and the epochs since then."""
        return {
            "best": float(self.patience.best),
            "waited": self.patience.waited,
            "best_epoch": self.best_epoch,
            "parameters": [
                {name: to_host(p) for name, p in layer.items()}
                for layer in self._best_parameters or ()
            ],
        }

    def settings(self) -> dict[str, Any]:
        """Return the arguments, with the direction that the mode stands for."""
        return {
            "monitor": self.monitor,
            "patience": self.patience.patience,
            "min_delta": self.patience.min_delta,
            "mode": self._direction,
            "restore_best": self.restore_best,
            "relative": self.patience.relative,
        }

    def restore(self, training: Training, state: Mapping[str, Any]) -> None:
        """Continue waiting where the previous run stopped."""
        self.patience.restore(state["best"], state["waited"])
        if state["best_epoch"] is not None:
            self.best = state["best"]
            self.best_epoch = check_integer("best_epoch", state["best_epoch"], 1)
        if state["parameters"]:
            due = form_of(training.network.placement.parameters)
            self._best_parameters = parameters_like(due, state["parameters"])
