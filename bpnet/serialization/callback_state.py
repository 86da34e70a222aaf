"""The states and settings of callbacks in a file, and giving them to those of a resumed run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from bpnet.errors import ComponentError
from bpnet.serialization.config import short
from bpnet.serialization.model_state import file_errors
from bpnet.serialization.safetensors_file import Tensors
from bpnet.training.loop import Callback, Training


class Kept(NamedTuple):
    """What a file holds of a callback; its settings are None if the file is older than they."""

    name: str
    state: Any
    settings: dict[str, Any] | None


def settings_of(callback: Callback) -> dict[str, Any]:
    """Return the settings of a callback as a file holds them."""
    hook: Any = callback.settings
    given = hook() if callable(hook) else {}  # else an attribute of the user's own
    try:
        kept = json.loads(json.dumps(given, allow_nan=False))
    except (TypeError, ValueError) as error:
        kept, reason = None, f": {error}"
    else:
        reason = ""
    if not isinstance(kept, dict):
        raise ComponentError(
            f"settings() of {type(callback).__name__} must return a dict that JSON can store, "
            f"such as {{'patience': 3}}; got {given!r}{reason}"
        )
    return kept


def described(callbacks: Iterable[Callback], tensors: Tensors) -> list[Any]:
    """Describe callbacks that have a state or settings; move their arrays to the tensors."""
    found = []
    for callback in callbacks:
        state, settings = callback.state(), settings_of(callback)
        if state or settings:
            found.append([type(callback).__name__, _pack(state, tensors), settings])
    return found


def kept(entries: Any, tensors: Tensors) -> list[Kept]:
    """Return what a file holds of callbacks, taking their arrays from the tensors."""
    found = []
    for name, state, *rest in entries:
        settings = rest[0] if rest else None
        if not isinstance(name, str) or len(rest) > 1 or not isinstance(settings, dict | None):
            raise ValueError(f"the callback {short(name)} is malformed")
        found.append(Kept(name, _unpack(state, tensors), settings))
    return found


class RestoreCallbacks(Callback):
    """Restores the states of the other callbacks after they have been reset.

    Raises
    ------
    ValueError
        If the callbacks have other settings than those of the file, or are not as many.
    """

    def __init__(
        self, path: str | os.PathLike[str], held: list[Kept], callbacks: Iterable[Callback]
    ) -> None:
        self.path, self.held = path, list(held)
        self.pairs: list[tuple[Callback, Any]] = []
        is_older = bool(held) and all(one.settings is None for one in held)
        new = []
        for callback in callbacks:
            name, ours = type(callback).__name__, settings_of(callback)
            if (found := self._take(name, ours)) is not None:
                self.pairs.append((callback, found.state))
            elif ours and _is_checkpoint(callback):
                new.append(ours)
            elif ours and not is_older:
                raise ValueError(
                    f"{os.fsdecode(path)} holds no state of such a callback {name}: the "
                    f"training run had none, or fewer. Resume with the same callbacks; for "
                    f"another run, load the network with bpnet.load and fit it"
                )
        for one in self.held:
            if one.name != "Checkpoint":
                raise ValueError(
                    f"{os.fsdecode(path)} holds the state of the callback {_name(one.name)}, "
                    f"without which training would continue differently; pass one in callbacks"
                )
            if new and one.settings:
                self._refuse_setting(one, new[0])

    def _take(self, name: str, ours: dict[str, Any]) -> Kept | None:
        """Take the next state of such a callback, whose settings must be ours.

        Checkpoints do not change the training, so that any of the same settings is meant.
        """
        alike = [one for one in self.held if one.name == name]
        if name == "Checkpoint":
            alike = [one for one in alike if one.settings in (None, ours)]
        if not alike:
            return None
        if alike[0].settings not in (None, ours):
            self._refuse_setting(alike[0], ours)
        self.held = [one for one in self.held if one is not alike[0]]
        return alike[0]

    def on_train_begin(self, training: Training) -> None:
        """Restore the states, or raise a ModelFileError if one is malformed."""
        with file_errors(self.path):
            for callback, state in self.pairs:
                callback.restore(training, state)

    def _refuse_setting(self, held: Kept, ours: dict[str, Any]) -> NoReturn:
        theirs = held.settings or {}
        key = next(key for key in ours | theirs if ours.get(key) != theirs.get(key))
        raise ValueError(
            f"cannot resume {os.fsdecode(self.path)}: {_name(key)} of the callback "
            f"{_name(held.name)} must be the same as in the training run that it holds, "
            f"{short(theirs.get(key))}; got {short(ours.get(key))}"
        )


def _is_checkpoint(callback: Callback) -> bool:
    """Whether a callback only writes files; its module imports this one."""
    return any(base.__name__ == "Checkpoint" for base in type(callback).__mro__)


def _name(text: str) -> str:
    """Return a name from a file as it is shown in an error."""
    return text if text.isidentifier() and len(text) <= 80 else short(text)


def _pack(value: Any, tensors: Tensors) -> Any:
    """Move arrays to the tensors, replacing them with references."""
    if isinstance(value, np.ndarray):
        name = f"training.callbacks.{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": {key: _pack(v, tensors) for key, v in value.items()}}
    if isinstance(value, list | tuple):
        return [_pack(v, tensors) for v in value]
    return value


def _unpack(value: Any, tensors: Tensors) -> Any:
    if isinstance(value, dict):
        ((kind, content),) = value.items()
        if kind == "tensor":
            return tensors.pop(content)
        return {key: _unpack(v, tensors) for key, v in content.items()}
    if isinstance(value, list):
        return [_unpack(v, tensors) for v in value]
    return value
