"""Conversion of components to and from the plain data of a model file.

A component describes itself by its :meth:`~bpnet.common.component.Component.config`, under its
kind and declared name: ``{"class": "layers.Dense", "units": 3, ...}``. From a file only classes
of bpnet's own modules are created, and those that the reader passes as `custom`; each validates
its parameters as usual.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from bpnet import activations, initializers, layers, losses, metrics, optimizers, schedules
from bpnet.common.component import Component, constructor_parameters, nested

# Where bpnet's own components are, by kind.
_MODULES: dict[str, ModuleType] = {
    "layers": layers,
    "activations": activations,
    "losses": losses,
    "initializers": initializers,
    "optimizers": optimizers,
    "schedules": schedules,
    "metrics": metrics,
}

# A user's own classes and functions by name.
Custom = Mapping[str, Any]


# --- writing ------------------------------------------------------------------------------


def describe(value: Any) -> Any:
    """Return a component as a dict of its name and parameters; plain values unchanged.

    Raises
    ------
    TypeError
        If it cannot be built again from such a description.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [describe(part) for part in value]
    if isinstance(value, tuple):
        return {"tuple": [describe(part) for part in value]}
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise TypeError(
                f"a dict in a model file has strings as keys; got the key {wrong[0]!r}"
            )
        return {"dict": {key: describe(part) for key, part in value.items()}}
    if isinstance(value, Component):
        return _described(value)
    if callable(value) and not isinstance(value, type):
        return {"class": _function_name(value)}
    raise TypeError(
        f"a model file holds numbers, strings and components that describe themselves, because "
        f"it contains no code; got {value!r} ({type(value).__name__})"
    )


def _described(component: Component) -> dict[str, Any]:
    cls, config = type(component), component.config()
    _check_name(cls, component.kind, cls.component_name)
    try:
        plain = _plain(config)
    except TypeError as error:
        raise TypeError(f"{component!r} cannot be saved: {error}") from error
    rebuilt = cls.from_config(config)
    again = rebuilt.config()  # described anew only if it differs: parts may be nested deeply
    if not _equal(again, config) and _plain(again) != plain:
        raise TypeError(
            f"{component!r} cannot be saved: from_config(config()) builds another one, "
            f"{rebuilt!r}. Store each argument of {cls.__name__} unchanged under its name, or "
            f"override config()"
        )
    return {"class": f"{component.kind}.{cls.component_name}"} | plain


def _equal(config: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two configs have the very same values, or equal components and numbers."""
    return config.keys() == other.keys() and all(
        value is other[name] or (isinstance(value, Component) and value == other[name])
        for name, value in config.items()
    )


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    return {name: describe(value) for name, value in config.items()}


def _check_name(value: Any, kind: str, name: str) -> None:
    """Refuse a class or function of the user's own that has the name of one of bpnet's."""
    if kind not in _MODULES:
        raise TypeError(
            f"{value!r} must derive from a base class of bpnet, such as bpnet.Layer"
        )
    if (own := _own(kind, name)) is not None and own is not value:
        raise TypeError(
            f"{value!r} has the name of bpnet's own {kind}.{name}, as which it would be "
            f"loaded; give it another name"
            + ("" if kind == "initializers" else ", or set its attribute component_name")
        )


def check_names(components: Iterable[Component]) -> None:
    """Refuse two classes or functions of the same name, which could not be told apart.

    Raises
    ------
    TypeError
        If there are such among the components and what they are made of.
    """
    seen: dict[tuple[str, str], Any] = {}
    for component in (part for whole in components for part in nested(whole)):
        named: list[tuple[str, str, Any]] = [
            (component.kind, component.component_name, type(component)),
            *(
                ("initializers", value.__name__, value)
                for value in component.config().values()
                if inspect.isfunction(value)
            ),
        ]
        for kind, name, value in named:
            if seen.setdefault((kind, name), value) is not value:
                raise TypeError(
                    f"two different {kind} have the name {name!r} in the file, {value!r} and "
                    f"{seen[kind, name]!r}; give one another name"
                )


def _function_name(function: Any) -> str:
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise TypeError(
            f"an initializer in a model file is a function with a name, to be passed to "
            f"bpnet.load as custom={{name: function}}; got {function!r}"
        )
    _check_name(function, "initializers", name)
    return f"initializers.{name}"


# --- reading ------------------------------------------------------------------------------


def build(description: Any, kind: str, custom: Custom | None = None) -> Any:
    """Create the component of a description, which must be of this kind.

    Raises
    ------
    ValueError, TypeError
        If the description is invalid.
    """
    full = description.get("class") if isinstance(description, dict) else description
    if not isinstance(full, str) or not full.startswith(f"{kind}."):
        raise ValueError(f"expected one of bpnet.{kind}, got {short(description)}")
    found = _find(kind, full.removeprefix(f"{kind}."), custom or {})
    config = {name: value for name, value in description.items() if name != "class"}
    if not isinstance(found, type):
        return found
    if found not in (custom or {}).values():
        unknown = config.keys() - constructor_parameters(found)
        if unknown:
            raise ValueError(f"{full} has no parameter {short(min(unknown))}")
    arguments = {name: argument(value, custom) for name, value in config.items()}
    component = found.from_config(arguments)  # type: ignore[attr-defined]
    if not isinstance(component, Component) or component.kind != kind:
        raise ValueError(f"{full} is not one of bpnet.{kind}")
    return component


def _find(kind: str, name: str, custom: Custom) -> Any:
    """Return the class or function of a name."""
    if (own := _own(kind, name)) is not None:
        return own
    for key in (f"{kind}.{name}", name):
        if key in custom:
            return custom[key]
    raise ValueError(
        f"it has the component {short(f'{kind}.{name}')}, which this version of bpnet does not "
        f"have; if it is your own, pass custom={{{short(name)}: {name[:40]}}} to bpnet.load "
        f"(or the optimizer to fit)"
    )


def _own(kind: str, name: str) -> Any:
    """Return bpnet's own class or function of a name, or None."""
    own = vars(_MODULES[kind]).get(name)
    is_component = isinstance(own, type) and issubclass(own, Component) and own.kind == kind
    is_function = kind == "initializers" and own in initializers.INITIALIZERS.values()
    return own if (is_component and not inspect.isabstract(own)) or is_function else None


def argument(value: Any, custom: Custom | None = None) -> Any:
    """Return a value from its :func:`describe`, such as an argument of a component."""
    if isinstance(value, list):
        return [argument(part, custom) for part in value]
    if isinstance(value, dict) and "class" in value:
        kind = str(value["class"]).partition(".")[0]
        if kind not in _MODULES:
            raise ValueError(f"there is no component {short(value['class'])}")
        return build(value, kind, custom)
    if isinstance(value, dict):
        ((key, content),) = value.items()
        if key == "tuple":
            return tuple(argument(part, custom) for part in content)
        if key == "dict":
            return {k: argument(part, custom) for k, part in content.items()}
        raise ValueError(f"a parameter is malformed: {short(value)}")
    return value


def check_custom(custom: Any) -> Custom:
    """Return the argument `custom` of ``bpnet.load``: classes and functions by name."""
    if custom is None:
        return {}
    if not isinstance(custom, Mapping):
        raise TypeError(
            f"custom must be a dict of names and classes such as "
            f"{{'RMSNorm': RMSNorm}}, got {custom!r}"
        )
    for name, value in custom.items():
        if not isinstance(name, str) or not callable(value) or isinstance(value, Component):
            raise TypeError(
                f"custom must map names to classes of components or to functions that "
                f"initialize weights; got {name!r}: {value!r}"
            )
    return custom


def short(value: Any) -> str:
    """Return the repr of a value from a file, truncated to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
