"""Conversion of bpnet objects to and from the plain data of a model file.

Only the classes listed below can be created from a file, and each validates its parameters as
usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bpnet import activations, initializers, layers, losses, optimizers, schedules
from bpnet.common.checks import check_number
from bpnet.common.patience import Patience

_SHARED = ("learning_rate", "weight_decay", "clip_value", "clip_norm")
_MOMENTS = (*_SHARED, "beta1", "beta2", "epsilon")

# Each class with its parameters, which are also its attributes.
_CLASSES: dict[type, tuple[str, ...]] = {
    layers.Dense: ("units", "activation", "init", "bias_init", "l1", "l2"),
    layers.Dropout: ("rate",),
    **{type(activation): () for activation in activations.ACTIVATIONS.values()},
    activations.LeakyReLU: ("negative_slope",),
    activations.ELU: ("alpha",),
    **{type(loss): () for loss in losses.LOSSES.values()},
    losses.Huber: ("delta",),
    initializers.Constant: ("value",),
    initializers.Normal: ("std",),
    optimizers.SGD: (*_SHARED, "momentum", "nesterov"),
    optimizers.Adagrad: (*_SHARED, "epsilon"),
    optimizers.RMSprop: (*_SHARED, "rho", "epsilon"),
    optimizers.Adam: _MOMENTS,
    optimizers.AdamW: _MOMENTS,
    schedules.Constant: ("learning_rate",),
    schedules.Step: ("learning_rate", "every", "factor"),
    schedules.Exponential: ("learning_rate", "factor"),
    schedules.InverseScaling: ("learning_rate", "power", "decay"),
    schedules.Cosine: ("learning_rate", "epochs", "minimum"),
    schedules.WarmUp: ("schedule", "epochs", "start"),
    schedules.ReduceOnPlateau: (
        "learning_rate", "monitor", "factor", "minimum", "patience",
    ),
}  # fmt: skip
# The initializer functions by name; an alias maps to the name of the original.
_FUNCTIONS = {
    f"initializers.{f.__name__}": f
    for f in initializers.INITIALIZERS.values()
    if hasattr(f, "__name__")
}
# The module of parameters that are objects instead of numbers or strings.
_KINDS = {
    "activation": "activations",
    "init": "initializers",
    "bias_init": "initializers",
    "learning_rate": "schedules",
    "schedule": "schedules",
}

# Parameter names in older files.
_FORMER_KEYS = {("schedules.WarmUp", "then"): "schedule"}
# Stands for a learning rate that has decayed to 0, which the constructor rejects.
_TINY = 5e-324
_PATIENCE = ("patience", "min_delta", "mode", "best", "waited")


def _name(cls: type) -> str:
    return f"{cls.__module__.removeprefix('bpnet.')}.{cls.__name__}"


_BY_NAME = {_name(cls): cls for cls in _CLASSES}


def describe(value: Any) -> Any:
    """Return a bpnet object as a dict of its class and parameters; other values unchanged.

    Raises
    ------
    TypeError
        If the object or one of its parameters is not bpnet's own.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for name, function in _FUNCTIONS.items():
        if value is function:
            return {"class": name}
    if isinstance(value, Patience):
        held = {name: getattr(value, name) for name in _PATIENCE if name != "mode"}
        return held | {"mode": "max" if value.sign < 0.0 else "min"}
    cls, held = type(value), getattr(value, "__dict__", {})
    if set(held) != set(_CLASSES.get(cls, ("no class of bpnet",))):
        raise TypeError(
            f"a model file holds bpnet's own layers, activations, losses, initializers, "
            f"optimizers and schedules only, because it contains no code; got {value!r}. Save "
            f"net.parameters as arrays instead, rebuild the network in your program and assign "
            f"them to its parameters"
        )
    return {"class": _name(cls)} | {name: describe(v) for name, v in held.items()}


def build(description: Any, kind: str) -> Any:
    """Create the object of a description, whose class must be in the module `kind`.

    Raises
    ------
    ValueError, TypeError
        If the description is invalid.
    """
    name = description.get("class") if isinstance(description, dict) else description
    if not isinstance(name, str) or not name.startswith(f"{kind}."):
        raise ValueError(f"expected one of bpnet.{kind}, got {short(description)}")
    parameters = {key: value for key, value in description.items() if key != "class"}
    if name in _FUNCTIONS and not parameters:
        return _FUNCTIONS[name]
    parameters = {_FORMER_KEYS.get((name, key), key): v for key, v in parameters.items()}
    cls = _BY_NAME.get(name)
    if cls is None:
        raise ValueError(f"this version of bpnet has no {short(name)}")
    if set(parameters) != set(_CLASSES[cls]):
        raise ValueError(
            f"{name} has the parameters {', '.join(_CLASSES[cls]) or 'none'}; "
            f"got {short(sorted(parameters))}"
        )
    if cls is schedules.ReduceOnPlateau:
        return _plateau(parameters)
    return cls(**{key: _parameter(key, value) for key, value in parameters.items()})


def _parameter(name: str, value: Any) -> Any:
    if isinstance(value, dict) and name in _KINDS:
        return build(value, _KINDS[name])
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{name} must be a number or a string, got {short(value)}")


def _plateau(parameters: Mapping[str, Any]) -> schedules.ReduceOnPlateau:
    """Create a ReduceOnPlateau schedule with its state."""
    patience = parameters["patience"]
    if not isinstance(patience, dict) or set(patience) != set(_PATIENCE):
        raise ValueError(f"patience is malformed: {short(patience)}")
    patience = dict(patience)
    plain = {key: _parameter(key, v) for key, v in parameters.items() if key != "patience"}
    best, waited = patience.pop("best"), patience.pop("waited")
    rate = check_number("learning_rate", plain.pop("learning_rate"), 0.0)
    schedule = schedules.ReduceOnPlateau(rate or _TINY, **plain, **patience)
    schedule.learning_rate = rate
    schedule.patience.restore(best, waited)
    return schedule


def short(value: Any) -> str:
    """Return the repr of a value from a file, truncated to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
