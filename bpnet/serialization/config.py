"""Objects of bpnet as names and numbers, and back: what a model file says of them.

The table is closed: a file can ask for the classes below and for nothing else, and each
checks its parameters as it does for users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bpnet import activations, initializers, layers, losses, optimizers, schedules
from bpnet.common.checks import check_number
from bpnet.common.patience import Patience

_SHARED = ("learning_rate", "weight_decay", "clip_value", "clip_norm")
_MOMENTS = (*_SHARED, "beta1", "beta2", "epsilon")

# Each class with its parameters, which are its attributes too.
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
# The functions among the initialisers, by their names; an alias has the name it stands for.
_FUNCTIONS = {
    f"initializers.{f.__name__}": f
    for f in initializers.INITIALIZERS.values()
    if hasattr(f, "__name__")
}
# What kind of object a parameter may be, where it is no number or word.
_KINDS = {
    "activation": "activations",
    "init": "initializers",
    "bias_init": "initializers",
    "learning_rate": "schedules",
    "schedule": "schedules",
}


# What files written before call a parameter.
_FORMER_KEYS = {("schedules.WarmUp", "then"): "schedule"}

# A learning rate may fall to 0, though it cannot start there.
_TINY = 5e-324
_PATIENCE = ("patience", "min_delta", "mode", "best", "waited")


def _name(cls: type) -> str:
    return f"{cls.__module__.removeprefix('bpnet.')}.{cls.__name__}"


_BY_NAME = {_name(cls): cls for cls in _CLASSES}


def describe(value: Any) -> Any:
    """Write an object of bpnet as a dict of its class and parameters; a number as itself.

    Raises
    ------
    TypeError
        If it, or what it holds, is none of bpnet's own.
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
            f"a model file holds bpnet's own layers, activations, losses, initialisers, "
            f"optimizers and schedules only, as it holds no code; got {value!r}. Save "
            f"net.parameters as arrays instead, build the network anew in your program and "
            f"assign them to its parameters"
        )
    return {"class": _name(cls)} | {name: describe(v) for name, v in held.items()}


def build(description: Any, kind: str) -> Any:
    """Make the object of a description; `kind` is the module its class must be of.

    Raises
    ------
    ValueError, TypeError
        If it describes nothing that bpnet has.
    """
    name = description.get("class") if isinstance(description, dict) else description
    if not isinstance(name, str) or not name.startswith(f"{kind}."):
        raise ValueError(f"one of bpnet.{kind} is needed, got {short(description)}")
    parameters = {key: value for key, value in description.items() if key != "class"}
    if name in _FUNCTIONS and not parameters:
        return _FUNCTIONS[name]
    parameters = {_FORMER_KEYS.get((name, key), key): v for key, v in parameters.items()}
    cls = _BY_NAME.get(name)
    if cls is None:
        raise ValueError(f"this bpnet has no {short(name)}")
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
    raise ValueError(f"{name} must be a number or a word, got {short(value)}")


def _plateau(parameters: Mapping[str, Any]) -> schedules.ReduceOnPlateau:
    """Make the schedule that waits for progress, with what it has seen."""
    waiting = parameters["patience"]
    if not isinstance(waiting, dict) or set(waiting) != set(_PATIENCE):
        raise ValueError(f"patience is malformed: {short(waiting)}")
    waiting = dict(waiting)
    plain = {key: _parameter(key, v) for key, v in parameters.items() if key != "patience"}
    best, waited = waiting.pop("best"), waiting.pop("waited")
    rate = check_number("learning_rate", plain.pop("learning_rate"), 0.0)
    schedule = schedules.ReduceOnPlateau(rate or _TINY, **plain, **waiting)
    schedule.learning_rate = rate
    schedule.patience.restore(best, waited)
    return schedule


def short(value: Any) -> str:
    """Show the beginning of what a file holds: it may be long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
