"""Documents that earlier versions of bpnet wrote.

Version 1 was written before components described themselves. Version 2 was written before
plateaus were relative and their learning rate had a floor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bpnet.serialization.config import build
from bpnet.serialization.safetensors_file import Tensors

Document = dict[str, Any]
_PLATEAU = "schedules.ReduceOnPlateau"


def upgraded(document: Document, tensors: Tensors) -> tuple[Document, Tensors]:
    """Return a document and its tensors in the current form, whatever version wrote them."""
    if document["version"] == 1:
        document, tensors = _from_version_1(document, tensors)
    if document["version"] < 3:
        document = _each(document, _absolute_plateau)
    return document, tensors


def with_former_defaults(description: Any, version: int) -> Any:
    """Return the description of a component with the defaults of an earlier version."""

    def change(parts: dict[str, Any]) -> dict[str, Any]:
        if parts.get("class") == _PLATEAU and version < 3:
            parts["relative"] = False
            parts["minimum"] = 0.0 if parts["minimum"] is None else parts["minimum"]
            if version == 1 and parts["mode"] is None:
                parts["mode"] = "min"
        return parts

    return _each(description, change)


def _each(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return plain data with every dict in it changed, the innermost first."""
    if isinstance(value, list):
        return [_each(part, change) for part in value]
    if not isinstance(value, dict):
        return value
    return change({key: _each(part, change) for key, part in value.items()})


def _absolute_plateau(parts: dict[str, Any]) -> dict[str, Any]:
    """Give a ReduceOnPlateau the argument that it lacks."""
    return {"relative": False} | parts if parts.get("class") == _PLATEAU else parts


def _from_version_1(document: Document, tensors: Tensors) -> tuple[Document, Tensors]:
    network = _each(document["network"], _renamed)
    network["average_penalty"] = network.pop("shared_penalty")
    document = document | {"network": network}
    if "training" not in document:
        return document, tensors
    training = dict(document["training"])
    current = training.pop("schedule")
    settings = dict(training["settings"])
    first = settings["optimizer"]["learning_rate"]
    settings = _each(settings, _renamed)
    settings["loss_weighting"] = settings.pop("shares")
    training["schedules"] = {"learning_rate": _memory(first, current)}
    document["training"] = training | {"settings": settings}
    names = build(settings["optimizer"], "optimizers").state_names
    return document, {_tensor_name(name, names): t for name, t in tensors.items()}


def _renamed(parts: dict[str, Any]) -> dict[str, Any]:
    """Rename the parameters of a component."""
    if parts.get("class") == "schedules.WarmUp" and "then" in parts:
        parts["schedule"] = parts.pop("then")
    if parts.get("class") == _PLATEAU:
        patience = parts.pop("patience")
        parts |= {name: patience[name] for name in ("patience", "min_delta", "mode")}
    return parts


def _memory(first: Any, current: Any) -> dict[str, Any]:
    """Return what the current schedule remembers; before, it was itself changed by it."""
    if current["class"] != first["class"]:
        raise ValueError("its schedule does not match its optimizer")
    if current["class"] == "schedules.WarmUp":
        key = "then" if "then" in current else "schedule"
        return _memory(first[key], current[key])
    if current["class"] == _PLATEAU:
        patience = current["patience"]
        state = {
            "rate": current["learning_rate"],
            "best": patience["best"],
            "waited": patience["waited"],
        }
        return {"state": {"dict": state}, "fixed": None}
    changed = current["class"] == "schedules.Constant" and current != first
    return {"state": {"dict": {}}, "fixed": current["learning_rate"] if changed else None}


def _tensor_name(name: str, states: tuple[str, ...]) -> str:
    """Name the optimizer state, which was numbered."""
    prefix = "training.slots."
    if not name.startswith(prefix):
        return name
    number, _, rest = name.removeprefix(prefix).partition(".")
    return f"training.optimizer.{states[int(number)]}.{rest}"
