"""Components: layers, activations, losses, optimizers and so on, as frozen descriptions.

A component says what is computed and holds no state. It cannot change after its constructor
returns, so no compiled step, repr or saved file disagrees with it. It describes itself by the
arguments of its constructor, which it stores under attributes of the same names.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
from abc import ABCMeta
from collections.abc import Hashable, Iterator
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import numpy as np

from bpnet.common import keywords

Kind = TypeVar("Kind")


class ComponentMeta(ABCMeta):
    """Freezes each component after its outermost constructor."""

    def __call__(cls: type[Kind], *args: Any, **kwargs: Any) -> Kind:
        """Construct a component and freeze it."""
        try:
            component: Kind = super().__call__(*args, **kwargs)  # type: ignore[misc]
        except TypeError as error:
            _explain(cls, kwargs, error)
            raise
        if isinstance(component, Component):
            component._freeze()
        return component

    @property
    def __signature__(cls) -> inspect.Signature:
        """The constructor's, which help and editors show."""
        constructor: Any = cls.__init__  # type: ignore[misc]
        if constructor is object.__init__:
            return inspect.Signature()
        _, *parameters = inspect.signature(constructor).parameters.values()
        return inspect.Signature(parameters)


def _explain(cls: type, kwargs: dict[str, Any], error: TypeError) -> None:
    """Raise the TypeError for a keyword that a class does not have, if that is the error."""
    if kwargs and re.search("unexpected keyword|takes no arguments", str(error)):
        try:
            known = constructor_parameters(cls)
        except TypeError:  # *args have no names
            return
        if (name := keywords.unknown(kwargs, known)) is not None:
            raise keywords.refusal(cls.__name__, name, known) from None


class Component(metaclass=ComponentMeta):
    """A frozen description, equal to any other of its class with equal attributes.

    Attributes should be immutable: numbers, strings, tuples, functions, other components. A
    component with any other, such as a list, is equal to one with the very same object only.

    Attributes
    ----------
    kind : str
        What it is, set by the base classes: "layers", "activations", "losses", "optimizers",
        "schedules", "initializers" or "metrics".
    component_name : str
        The name of the class in model files. By default the name in its ``class`` statement;
        set it to keep reading older files after renaming the class.
    """

    kind: ClassVar[str] = ""
    component_name: ClassVar[str] = ""
    _key: Hashable = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Declare the name of the class, unless it sets one itself."""
        super().__init_subclass__(**options)
        if "component_name" not in vars(cls):
            cls.component_name = cls.__name__
        if getattr(cls, "name", None) == "" and "name" not in vars(cls):
            setattr(cls, "name", cls.__name__)  # noqa: B010, losses and activations have one

    # --- description ----------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Return the constructor arguments that build an equal component.

        By default the attributes named like the parameters of ``__init__``, including those of
        the base class if it takes ``**kwargs``. Values are numbers, strings, None, components,
        functions that initialize weights, and lists, tuples or dicts of these.

        Raises
        ------
        TypeError
            If a parameter is not stored under its name; store it, or override this method.
        """
        names = constructor_parameters(type(self))
        for name in names:
            if not hasattr(self, name):
                raise TypeError(
                    f"{type(self).__name__} takes the parameter {name!r} but has no attribute "
                    f"of that name, so it cannot describe itself; store the argument as "
                    f"self.{name}, or override config()"
                )
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build a component from a :meth:`config`."""
        return cls(**config)

    def replace(self, **changes: Any) -> Self:
        """Return a component that differs in these constructor arguments.

        Raises
        ------
        TypeError
            If the class has no parameter of that name.

        Examples
        --------
        >>> import bpnet
        >>> bpnet.Dropout(0.2).replace(rate=0.5)
        Dropout(0.5)
        """
        config = self.config()
        if unknown := changes.keys() - config.keys():
            raise TypeError(
                f"{type(self).__name__} has the parameters {', '.join(config) or 'none'}; "
                f"got {', '.join(sorted(unknown))}"
            )
        return type(self).from_config(config | changes)

    def __repr__(self) -> str:
        values = {n: v for n, v in attributes(self).items() if not n.startswith("_")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in values.items())})"

    # --- identity -------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        same = isinstance(other, Component) and self._key is not None
        return same and self._key == other._key  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return object.__hash__(self) if self._key is None else hash(self._key)

    # --- freezing -------------------------------------------------------------------------

    def _freeze(self) -> None:
        values = sorted((name, _exact(value)) for name, value in attributes(self).items())
        object.__setattr__(self, "_key", (type(self), *values))

    def __setattr__(self, name: str, value: Any) -> None:
        if "_key" in self.__dict__:
            self._refuse(name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if "_key" in self.__dict__:
            self._refuse(name)
        object.__delattr__(self, name)

    def _refuse(self, name: str) -> NoReturn:
        try:
            change = f"{name}=..." if name in constructor_parameters(type(self)) else "..."
        except TypeError:  # *args have no names
            change = "..."
        raise AttributeError(
            f"{self!r} is frozen, as compiled steps and saved files rely on it: instead of "
            f"assigning {name!r}, build another, for example with .replace({change}). What "
            f"changes during training is given as a schedule from bpnet.schedules, or set by a "
            f"callback with training.set_learning_rate(value)"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and copy the attributes, without the key, which holds classes and ids."""
        return attributes(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self._freeze()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.__getstate__())


def _restored(cls: type[Kind], state: Any) -> Kind:
    """Return a copied or unpickled component, frozen even if the class has own methods."""
    component: Any = object.__new__(cls)
    component.__setstate__(state)
    component._freeze()
    return component  # type: ignore[no-any-return]


def attributes(component: Component) -> dict[str, Any]:
    """Return the attributes of a component, those in slots too, without what is cached."""
    members: dict[str, Any] = {}
    for base in reversed(type(component).__mro__):
        members |= vars(base)
    slots = (n for n, m in members.items() if isinstance(m, types.MemberDescriptorType))
    found = {n: getattr(component, n) for n in slots if hasattr(component, n)}
    found |= vars(component)
    return {
        name: value
        for name, value in found.items()
        if name != "_key" and not isinstance(members.get(name), functools.cached_property)
    }


@functools.cache
def constructor_parameters(cls: type) -> tuple[str, ...]:
    """Return the names of a class's constructor parameters, with those passed on to its bases.

    Raises
    ------
    TypeError
        If the constructor takes ``*args``, which have no names.
    """
    names: list[str] = []
    for base in cls.__mro__:
        if base is object or "__init__" not in vars(base):
            continue
        kinds = {
            p.name: p.kind
            for p in inspect.signature(vars(base)["__init__"]).parameters.values()
        }
        if inspect.Parameter.VAR_POSITIONAL in kinds.values():
            raise TypeError(
                f"{cls.__name__} takes *args, which have no names to be stored under; name its "
                f"parameters, or override config()"
            )
        passed_on = inspect.Parameter.VAR_KEYWORD in kinds.values()
        own = [
            name for name, kind in kinds.items() if kind is not inspect.Parameter.VAR_KEYWORD
        ]
        names += [name for name in own[1:] if name not in names]
        if not passed_on:
            break
    return tuple(names)


def is_own(component: Any) -> bool:
    """Return whether the class of an object is bpnet's own."""
    return type(component).__module__.partition(".")[0] == "bpnet"


def nested(component: Any) -> Iterator[Any]:
    """Yield a component and all components in its attributes."""
    yield component
    for value in attributes(component).values():
        yield from _components_in(value)


def _components_in(value: Any) -> Iterator[Any]:
    if isinstance(value, Component):
        yield from nested(value)
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _components_in(part)


class _Itself:
    """Equal only to that of the same object, whatever the object's class says of equality."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


def _exact(value: Any) -> Any:
    """Return a value that equals another only if they have the same type and bits."""
    if isinstance(value, float):
        return type(value), value.hex()
    if isinstance(value, tuple):
        return type(value), tuple(map(_exact, value))
    if isinstance(value, frozenset):
        return type(value), frozenset(map(_exact, value))
    if isinstance(value, np.generic):
        return type(value), str(value.dtype), value.tobytes()
    if isinstance(value, Component):
        return value._key
    if value is None or type(value) in (bool, int, str, bytes, complex):
        return type(value), value
    return _Itself(value)


def structure(component: Component, variable: type) -> Hashable:
    """Return a key of a component that ignores the values of attributes of type `variable`.

    Such as schedules, whose values are arguments of a compiled step.
    """
    key: Any = component._key
    kind, *values = key
    return kind, *(
        (name, variable if isinstance(getattr(component, name), variable) else value)
        for name, value in values
    )
