"""The names in the history of a training run, and whether lower or higher is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bpnet.common.checks import check_choice, kind_of
from bpnet.common.patience import VALIDATE, unknown_monitor
from bpnet.errors import ComponentError

Directions = Mapping[str, str | None]


def recorded(
    metrics: Mapping[str, Any], validation: bool, training_metrics: bool
) -> dict[str, str | None]:
    """Return the names that a training run records itself, with their directions."""
    own = {name: str(metric.direction) for name, metric in metrics.items()}
    found: dict[str, str | None] = {"loss": "min", "learning_rate": None}
    found |= own if training_metrics else {}
    if validation:
        found |= {f"val_{name}": value for name, value in ({"loss": "min"} | own).items()}
    return found


def known(
    own: Directions, callbacks: Iterable[Any], base: type
) -> tuple[dict[str, str | None], bool]:
    """Return the names of a run and its callbacks, and whether there can be no others."""
    parts = [added(callback, base) for callback in callbacks]
    names: dict[str, str | None] = {}
    for part in (*(part for part, _ in parts), own):
        names |= part
    return names, all(are_all for _, are_all in parts)


def added(callback: Any, base: type) -> tuple[Directions, bool]:
    """Return the names that a callback adds to the logs, and whether those are all.

    They are all if the callback does not override ``on_epoch_end`` of the `base` class, or if
    it declares `adds` where it does, or in a subclass of that.
    """
    hook = _owner(callback, "on_epoch_end", base)
    declares = _owner(callback, "adds", base)
    lineage = [callback, *type(callback).__mro__]
    are_all = hook is base or (
        callback.adds is not None and lineage.index(declares) <= lineage.index(hook)
    )
    return _checked(callback), are_all


def _owner(callback: Any, name: str, base: type) -> Any:
    """Return where an attribute of a callback is set: the object or one of its classes."""
    for owner in (callback, *type(callback).__mro__):
        if name in vars(owner):
            return owner
    return base


def _checked(callback: Any) -> Directions:
    """Return the declared names, {} if none are."""
    adds, allowed = callback.adds, ("min", "max", None)
    found: dict[str, str | None] = {}
    if adds is None:
        return found
    is_mapping = isinstance(adds, Mapping)
    if not is_mapping or not all(isinstance(n, str) and d in allowed for n, d in adds.items()):
        raise ComponentError(
            f"adds of {type(callback).__name__} must map each name that it adds to the logs to "
            f"'min', 'max' or None, for unknown; got {adds!r}"
        )
    return found | dict(adds)


def as_numbers(logs: Any, before: Iterable[str], callback: Any) -> dict[str, float]:
    """Return the metrics of an epoch as floats, after a callback has seen them.

    Raises
    ------
    ComponentError
        If the callback has added something else, or removed one of the names `before`.
    """
    who = f"the callback {type(callback).__name__}"
    if not isinstance(logs, dict):
        raise ComponentError(
            f"{who} must leave training.logs a dict of numbers; got {kind_of(logs)}"
        )
    if missing := set(before) - logs.keys():
        raise ComponentError(
            f"{who} must not remove {', '.join(sorted(missing))} from training.logs"
        )
    return {name: _as_number(who, name, value) for name, value in logs.items()}


def _as_number(who: str, name: Any, value: Any) -> float:
    """Return a number, or an array of one, of any library, as a float."""
    if value is None:  # nothing was measured in this epoch
        return math.nan
    number = value
    try:
        if hasattr(value, "item"):
            number = value.item()
        if isinstance(name, str) and not isinstance(number, str | bytes):
            return float(number)
        reason = ""
    except Exception as error:  # of any library
        reason = f": {error}"
    raise ComponentError(
        f"{who} must add numbers to training.logs, under names that are strings; got "
        f"{kind_of(value)} for {name!r}{reason}"
    )


def direction(monitor: str, mode: str | None, directions: Directions, complete: bool) -> str:
    """Return whether the "min" or the "max" of a monitored metric is best.

    Parameters
    ----------
    monitor : str
        The name of the metric.
    mode : {"min", "max"} or None
        What the user chose; None takes the direction of the metric.
    directions : mapping of str to str or None
        The known names; one that ends in "*" stands for all that begin so.
    complete : bool
        Whether no other names can be recorded.

    Raises
    ------
    ValueError
        If the name is not and cannot become known, or the direction is not and `mode` is None.
    """
    name = matching(monitor, directions)
    if name is None and complete:
        raise unknown_monitor(monitor, directions)
    if mode is not None:
        return check_choice("mode", mode, ("min", "max"))
    if name is None or directions[name] is None:
        hint = ""
        if name is None and monitor.startswith("val_") and "val_loss" not in directions:
            hint = f"; for a metric of validation data {VALIDATE}"
        raise ValueError(
            f"mode must be 'min' or 'max' for the monitor {monitor!r}, as nothing tells if a "
            f"lower or a higher value is better; got None{hint}"
        )
    return str(directions[name])


def matching(monitor: str, names: Iterable[str]) -> str | None:
    """Return the known name that a monitor has, if any."""
    for name in names:
        if monitor == name or (name.endswith("*") and monitor.startswith(name[:-1])):
            return name
    return None
