"""Checks of an optimizer of the user's own: its description, its state and its updates.

bpnet's own optimizers are not checked.
"""

from __future__ import annotations

from collections.abc import Hashable
from numbers import Real
from typing import Any

from bpnet.backend.compat import is_array
from bpnet.backend.typing import Parameters
from bpnet.common.checks import described, kind_of
from bpnet.common.component import is_own, nested
from bpnet.errors import ComponentError
from bpnet.model.checked import library
from bpnet.optimizers import Optimizer
from bpnet.schedules import Schedule


def check_description(optimizer: Optimizer) -> None:
    """Check the attributes of an optimizer, before anything is computed."""
    if is_own_optimizer(optimizer):
        return
    kind = type(optimizer).__name__
    if not hasattr(optimizer, "learning_rate"):
        raise ComponentError(
            f"the optimizer {kind} has no learning_rate; its __init__ must call "
            f"super().__init__(learning_rate)"
        )

    def check(name: str, is_right: bool, due: str) -> None:
        if not is_right:
            got = described(getattr(optimizer, name))
            raise ComponentError(f"{name} of the optimizer {kind} must be {due}; got {got}")

    rate, decay = optimizer.learning_rate, optimizer.weight_decay
    check("learning_rate", isinstance(rate, Schedule), "the schedule that super() has set")
    check("weight_decay", isinstance(decay, Schedule | Real), "a number or a schedule")
    names: Any = optimizer.state_names
    are_names = isinstance(names, tuple | list) and all(isinstance(n, str) for n in names)
    distinct = are_names and len(set(names)) == len(names)
    check("state_names", distinct, "a tuple of different names, one for each state array")
    check("n_state", type(optimizer.n_state) is int and optimizer.n_state == len(names),
          "an integer >= 0, the number of state_names")  # fmt: skip
    check("settings", isinstance(optimizer.settings, Hashable), "hashable, such as a tuple")


def check_state(optimizer: Optimizer, parameters: Parameters, state: Any) -> None:
    """Check that the initial state has arrays like the parameters."""
    if is_own_optimizer(optimizer):
        return
    names = optimizer.state_names
    due = [{k: dict.fromkeys(names, p) for k, p in layer.items()} for layer in parameters]
    where = f"the optimizer {optimizer!r}: init must return a state like the parameters"
    _compare(where, due, state)


def check_update(optimizer: Optimizer, before: Any, after: Any) -> None:
    """Check that an update keeps structure, shapes and dtypes."""
    if is_own_optimizer(optimizer):
        return
    method = "rule" if type(optimizer).update is Optimizer.update else "update"
    where = (
        f"the optimizer {optimizer!r}: {method} must return arrays like the parameters and its "
        f"state, (parameters, state)"
    )
    _compare(where, before, after)


def is_own_optimizer(optimizer: Optimizer) -> bool:
    """Whether it is bpnet's own, and with it what it may wrap."""
    return all(is_own(part) for part in nested(optimizer) if isinstance(part, Optimizer))


def _compare(where: str, before: Any, after: Any) -> None:
    """Compare library, shape and dtype of the arrays in nested containers."""
    due, got = _leaves("", before), _leaves("", after)
    for place in (*due, *got):
        if due.get(place) != got.get(place):
            raise ComponentError(
                f"{where}: {place} must be {due.get(place, 'absent')}; "
                f"got {got.get(place, 'nothing')}"
            )


def _leaves(place: str, tree: Any) -> dict[str, str]:
    """Return library, shape and dtype of each array in nested containers, by its place."""
    if isinstance(tree, dict | list | tuple):
        parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
        found: dict[str, str] = {}
        for key, part in parts:
            found |= _leaves(f"{place}[{key!r}]", part)
        return found
    if not is_array(tree):
        return {place or "the result": kind_of(tree)}
    return {place: f"{library(tree)} array of shape {tuple(tree.shape)} and dtype {tree.dtype}"}
