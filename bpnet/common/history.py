"""The record of a training run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bpnet.common.checks import kind_of
from bpnet.common.history_table import history_table


class History(Mapping[str, list[float]]):
    """The metrics of each epoch, by name: ``history["loss"]`` has one number per epoch.

    Prints as a table of the first and the last epochs, without the metrics of single layers.

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

    Examples
    --------
    >>> import bpnet
    >>> X, y = bpnet.datasets.make_xor(50)
    >>> net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)],
    ...                     loss="binary_crossentropy", seed=0)
    >>> net.fit(X, y, epochs=20, callbacks=[bpnet.GradientFlow()])
    epoch   loss     learning_rate
    1       ...      0.001
    2       ...      0.001
    3       ...      0.001
    ...     ...      ...
    16      ...      0.001
    17      ...      0.001
    18      ...      0.001
    19      ...      0.001
    20      ...      0.001
    20 epochs in ... s, 19 more metrics in list(history)
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

    def _truncate(self, epochs: int) -> None:
        """Forget all but the first epochs."""
        for values in self.history.values():
            del values[epochs:]

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
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        facts = [f"{epochs} in {self.seconds:.2g} s" if self.seconds else epochs]
        if self.best_epoch is not None:
            facts.append(f"with the weights of epoch {self.best_epoch}")
        if self.stopped is not None:
            facts.append(f"stopped: {self.stopped}")
        return history_table(self.history, facts)


def check_history(history: Any) -> Mapping[str, Any]:
    """Return `history`, a History or another mapping, or that of an estimator.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If it is an estimator without a history.
    """
    found = history if isinstance(history, Mapping) else getattr(history, "history_", None)
    if isinstance(found, Mapping):
        return found
    if hasattr(history, "get_params"):
        raise ValueError(
            f"this {type(history).__name__} keeps no history: call its fit first, with a "
            f"solver that has epochs ('lbfgs' has none); of a pipeline or a search, pass the "
            f"estimator in it, such as pipeline[-1] or search.best_estimator_"
        )
    advice = "; history = net.fit(X, y) is one" if hasattr(history, "fit") else ""
    raise TypeError(
        f"history must be what fit returned, a mapping of names to lists of numbers, or a "
        f"fitted estimator; got {kind_of(history)}{advice}"
    )


def metric_values(history: Mapping[str, Any], name: str) -> list[float]:
    """Return the values of one metric as floats."""
    values = history[name]
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"history must hold numbers, one per epoch; for {name!r} got {values!r}"
        ) from error
