"""What a training has recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bpnet.common.checks import kind_of


class History(Mapping[str, list[float]]):
    """The figures of each epoch, by name.

    ``history["loss"]`` is a list with one number per epoch; a callback may add figures.

    Attributes
    ----------
    history : dict of str to list of float
        All figures: "loss" (mean over the epoch's examples, while it ran, penalties
        included), "learning_rate" (at the epoch's end), with validation data "val_loss" and
        for classification "val_accuracy", and what callbacks add.
    stopped : str or None
        Why training was ended: "interrupted" by Ctrl-C, or what a callback said; None if
        nothing ended it before its last epoch.
    best_epoch : int or None
        The epoch (from 1) whose weights early stopping restored.
    seconds : float
        How long training took.
    facts : DataProfile or None
        What data and network were like before the first step, noted for
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
        """Number of epochs that were completed."""
        return len(self.history.get("loss", ()))

    def append(self, logs: Mapping[str, float]) -> None:
        """Add the figures of one epoch."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        return self.history[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def __len__(self) -> int:
        return len(self.history)

    def __repr__(self) -> str:
        return f"History({self.epochs} epochs: {', '.join(self.history) or 'no figures'})"


def check_history(history: Any) -> Mapping[str, Any]:
    """Give `history`, which must be one, or a mapping that stands for one."""
    if not isinstance(history, Mapping):
        raise TypeError(
            f"history must be what fit returned, or a mapping of names to figures; "
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
            f"history must hold numbers, one for each epoch; for {name!r} got {values!r}"
        ) from error
