"""The hooks of callbacks: their arguments, their names, and which callbacks define them."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Iterable
from typing import Any

from bpnet.common.checks import fits
from bpnet.common.component import is_own
from bpnet.errors import ComponentError

# How alike two names must be, from 0 to 1, for one to be a misspelling of the other.
ALIKE = 0.85

# Hooks of Keras and PyTorch Lightning, and those that are called at the same time here.
_ELSEWHERE = {
    "on_epoch_start": "on_epoch_begin",
    "on_fit_begin": "on_train_begin",
    "on_fit_end": "on_train_end",
    "on_fit_start": "on_train_begin",
    "on_train_batch_end": "on_batch_end",
    "on_train_epoch_end": "on_epoch_end",
    "on_train_epoch_start": "on_epoch_begin",
    "on_train_start": "on_train_begin",
    "on_training_end": "on_train_end",
    "on_training_epoch_end": "on_epoch_end",
    "on_training_start": "on_train_begin",
    "on_validation_end": "on_epoch_end",
    "on_test_end": "on_epoch_end",
}


# The hooks that see the network between two epochs, or set something for the next.
BETWEEN = ("on_epoch_begin", "on_batch_end", "on_epoch_end", "on_epoch_recorded")
HOOKS = ("on_train_begin", *BETWEEN, "on_train_end", "teardown")


def check_hooks(callback: Any, base: type) -> None:
    """Check the hooks that a callback overrides, before anything changes.

    Raises
    ------
    ComponentError
        If one cannot be called with the training.

    Warns
    -----
    UserWarning
        If a method is named like a hook, but is none, so that it is never called.
    """
    if is_own_callback(callback):
        return
    hooks = [name for name in vars(base) if name.startswith("on_") and name != "on_close"]
    for hook in ("setup", "teardown", *hooks):
        method = getattr(callback, hook)
        if not fits(method, callback):
            raise ComponentError(
                f"the callback {type(callback).__name__}: {hook} is called with the training "
                f"alone, so it must be {hook}(self, training); it takes "
                f"{inspect.signature(method)}"
            )
    for name in dir(callback):
        if (
            name.startswith("on_")
            and not hasattr(base, name)
            and (meant := _meant(name, hooks))
        ):
            warnings.warn(
                f"the callback {type(callback).__name__}: {name} is never called; did you mean "
                f"{meant!r}? The hooks are {', '.join(hooks)}",
                stacklevel=5,  # the caller of Network.fit
            )


def _meant(name: str, hooks: list[str]) -> str:
    """Return the hook that a name stands for in another library or is like, or ""."""
    close = difflib.get_close_matches(name, hooks, 1, ALIKE)
    return _ELSEWHERE.get(name) or next(iter(close), "")


def due_at_hooks(callbacks: Iterable[Any], base: type) -> dict[str, list[Any]]:
    """Return the callbacks that define each hook, at the end first those that restore."""
    due = {hook: [c for c in callbacks if defines(c, hook, base)] for hook in HOOKS}
    due["on_train_end"].sort(key=lambda callback: not callback.restores)
    return due


def is_own_callback(callback: Any) -> bool:
    """Whether all hooks of a callback are bpnet's, not set on the object by the user."""
    return is_own(callback) and vars(callback).keys().isdisjoint(HOOKS)


def defines(callback: Any, hook: str, base: type) -> bool:
    """Whether a callback overrides a hook that does nothing by default."""
    inherited = getattr(type(callback), hook) is getattr(base, hook)
    return hook == "teardown" or not inherited or hook in vars(callback)


def as_callbacks(callbacks: Any, base: type) -> list[Any]:
    """Return callbacks as a list; a single callback becomes a one-element list."""
    if isinstance(callbacks, base) or not isinstance(callbacks, Iterable):
        callbacks = [callbacks]
    found = list(callbacks)
    for callback in found:
        if not isinstance(callback, base):
            raise TypeError(f"callbacks must be bpnet callbacks, got {callback!r}")
    return found
