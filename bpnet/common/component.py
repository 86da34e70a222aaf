"""Components: layers, activations, losses, optimizers and so on, as frozen descriptions.

A component says what is computed and holds no state. It cannot change after its constructor
returns, so no compiled step, repr or saved file disagrees with it. It describes itself by the
arguments of its constructor, which it stores under attributes of the same names.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABCMeta
from collections.abc import Hashable, Iterator
from typing import Any, ClassVar, NoReturn, Self, TypeVar

Kind = TypeVar("Kind")


class ComponentMeta(ABCMeta):
    """Freezes each component after its outermost constructor."""

    def __call__(cls: type[Kind], *args: Any, **kwargs: Any) -> Kind:
        """Construct a component and freeze it."""
        component: Kind = super().__call__(*args, **kwargs)  # type: ignore[misc]
        if isinstance(component, Component):
            component._freeze()
        return component


class Component(metaclass=ComponentMeta):
    """A frozen description, equal to any other of its class with equal attributes.

    Attributes should be immutable: numbers, strings, tuples, other components. A component
    with a mutable one, such as a list, is equal only to itself.

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
        values = {name: v for name, v in vars(self).items() if not name.startswith("_")}
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
        values = sorted((name, _exact(value)) for name, value in vars(self).items())
        key: Hashable = (type(self), *values)
        try:
            hash(key)
        except TypeError:
            key = None
        object.__setattr__(self, "_key", key)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_key" in self.__dict__:
            self._refuse(name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        raise AttributeError(
            f"{self!r} is frozen, as compiled steps and saved files rely on it: instead of "
            f"assigning {name!r}, build another, for example with .replace({name}=...). What "
            f"changes during training is given as a schedule from bpnet.schedules, or set by a "
            f"callback with training.set_learning_rate(value)"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and copy the attributes, without the key, which holds classes and ids."""
        return {name: value for name, value in vars(self).items() if name != "_key"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._freeze()


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
    for value in vars(component).values():
        for part in value if isinstance(value, list | tuple) else (value,):
            if isinstance(part, Component):
                yield from nested(part)


def _exact(value: Any) -> Any:
    """Return a value that equals another only if they have the same type and bits."""
    if isinstance(value, float):
        return type(value), value.hex()
    if isinstance(value, tuple):
        return type(value), tuple(map(_exact, value))
    return type(value), value


def structure(component: Component, variable: type) -> Hashable:
    """Return a key of a component that ignores the values of attributes of type `variable`.

    Such as schedules, whose values are arguments of a compiled step.
    """
    values = {n: v for n, v in vars(component).items() if n != "_key"}
    key = (
        type(component),
        *sorted(
            (n, variable if isinstance(v, variable) else _exact(v)) for n, v in values.items()
        ),
    )
    try:
        hash(key)
    except TypeError:
        return component
    return key
