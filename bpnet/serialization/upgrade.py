"""Documents of version 1, written by bpnet before components described themselves."""

from __future__ import annotations

from typing import Any

from bpnet.serialization.config import build
from bpnet.serialization.safetensors_file import Tensors

Document = dict[str, Any]


def upgraded(document: Document, tensors: Tensors) -> tuple[Document, Tensors]:
    """Return a document and its tensors in the current form, whatever version wrote them."""
    if document["version"] > 1:
        return document, tensors
    network = _components(document["network"])
    network["average_penalty"] = network.pop("shared_penalty")
    document = document | {"network": network}
    if "training" not in document:
        return document, tensors
    training = dict(document["training"])
    current = training.pop("schedule")
    settings = dict(training["settings"])
    first = settings["optimizer"]["learning_rate"]
    settings = _components(settings)
    settings["loss_weighting"] = settings.pop("shares")
    training["schedules"] = {"learning_rate": _memory(first, current)}
    document["training"] = training | {"settings": settings}
    names = build(settings["optimizer"], "optimizers").state_names
    return document, {_tensor_name(name, names): t for name, t in tensors.items()}


def with_former_defaults(description: Any) -> Any:
    """Return the description of a component with the defaults of version 1."""
    if not isinstance(description, dict):
        return description
    parts = {name: with_former_defaults(part) for name, part in description.items()}
    if parts.get("class") == "schedules.ReduceOnPlateau" and parts["mode"] is None:
        parts["mode"] = "min"
    return parts


def _components(value: Any) -> Any:
    """Rename the parameters of components."""
    if isinstance(value, list):
        return [_components(part) for part in value]
    if not isinstance(value, dict):
        return value
    parts = {key: _components(part) for key, part in value.items()}
    if parts.get("class") == "schedules.WarmUp" and "then" in parts:
        parts["schedule"] = parts.pop("then")
    if parts.get("class") == "schedules.ReduceOnPlateau":
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
    if current["class"] == "schedules.ReduceOnPlateau":
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
