"""Metrics by name."""

from __future__ import annotations

from collections.abc import Iterable

from bpnet.common.checks import instance_hint, kind_of
from bpnet.common.suggestions import unknown_name
from bpnet.losses import Loss
from bpnet.metrics.base import Metric
from bpnet.metrics.classification import (
    CLASSES,
    F1,
    Accuracy,
    BalancedAccuracy,
    LogLoss,
    TopKAccuracy,
)
from bpnet.metrics.ranking import ROCAUC
from bpnet.metrics.regression import (
    R2,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
)

METRICS: dict[str, Metric] = {
    "accuracy": Accuracy(),
    "balanced_accuracy": BalancedAccuracy(),
    "top_k_accuracy": TopKAccuracy(),
    "f1": F1(),
    "roc_auc": ROCAUC(),
    "log_loss": LogLoss(),
    "mse": MeanSquaredError(),
    "mean_squared_error": MeanSquaredError(),
    "rmse": RootMeanSquaredError(),
    "root_mean_squared_error": RootMeanSquaredError(),
    "mae": MeanAbsoluteError(),
    "mean_absolute_error": MeanAbsoluteError(),
    "r2": R2(),
}
# What else has a name in the history.
_TAKEN = ("loss", "learning_rate")


def get(metrics: str | Metric | Iterable[str | Metric]) -> dict[str, Metric]:
    """Look up metrics by their names in the history.

    Parameters
    ----------
    metrics : str, Metric, or iterable of both
        Names of the table ``METRICS``, under which the history then has the metric, and
        metrics, which have a name of their own.

    Returns
    -------
    dict of str to Metric
        In the given order.

    Raises
    ------
    ValueError
        If a name is unknown, given twice, or stands for something else in the history.
    TypeError
        If something else is passed, such as the class of a metric.

    Examples
    --------
    >>> import bpnet
    >>> bpnet.metrics.get(["accuracy", bpnet.metrics.TopKAccuracy(k=3)])
    {'accuracy': Accuracy(), 'top_3_accuracy': TopKAccuracy(k=3)}
    """
    if isinstance(metrics, str | Metric) or not isinstance(metrics, Iterable):
        metrics = [metrics]
    found: dict[str, Metric] = {}
    for named in metrics:
        name, metric = _named(named)
        if name in found:
            raise ValueError(f"metrics must have different names; got {name!r} twice")
        found[name] = metric
    return found


def suited(
    metrics: str | Metric | Iterable[str | Metric] | None, loss: Loss, n_outputs: int
) -> dict[str, Metric]:
    """Look up metrics for a network; None is the accuracy, if its targets are classes.

    Raises ValueError if one does not suit the loss or the number of outputs.
    """
    if metrics is None:
        return {"accuracy": METRICS["accuracy"]} if loss.targets in CLASSES else {}
    found = get(metrics)
    if found and loss.n_targets(n_outputs) != n_outputs:
        raise ValueError(
            f"metrics must be None or [] for the loss {loss!r}, which has several outputs for "
            f"each target; got {', '.join(found)}"
        )
    for metric in found.values():
        metric.check(loss.unmasked, n_outputs)
    return found


def _named(metric: str | Metric) -> tuple[str, Metric]:
    """Return a metric with its name."""
    if isinstance(metric, str):
        if metric not in METRICS:
            raise unknown_name("metrics", metric, METRICS)
        return metric, METRICS[metric]
    if not isinstance(metric, Metric):
        raise TypeError(
            f"metrics must be names or bpnet metrics (bpnet.metrics.Metric), got "
            f"{kind_of(metric)}{instance_hint(metric, Metric)}"
        )
    _check_description(metric)
    return metric.name, metric


def _check_description(metric: Metric) -> None:
    """Check the name and the direction of a metric."""
    kind, name = type(metric).__name__, metric.name
    if not isinstance(name, str) or not name:
        raise TypeError(f"metrics must have a name, a str; that of {kind} is {name!r}")
    if name in _TAKEN or name.startswith("val_"):
        raise ValueError(
            f"metrics must not be called {', '.join(_TAKEN)} or val_..., which the history "
            f"needs itself; got {name!r}, the name of {kind}"
        )
    direction = getattr(metric, "direction", None)
    if direction not in ("min", "max"):
        raise ValueError(
            f"metrics must have a direction, 'min' or 'max': whether a lower or a higher value "
            f"is better; that of {kind} is {direction!r}"
        )
