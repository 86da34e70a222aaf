"""Objects compared by their parameters: activations, losses, initializers."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


class Described:
    """A stateless object, equal to any other of its class with equal parameters.

    Not a dataclass: creating two dozen of them would take a third of bpnet's import time.
    """

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *sorted(vars(self).items())))

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({parameters})"


def settings(component: Any, *, without: str = "") -> Hashable:
    """Return the type and attributes of a component, or its id if they are not hashable."""
    values = {name: value for name, value in vars(component).items() if name != without}
    if all(isinstance(value, Hashable) for value in values.values()):
        return (type(component), *sorted(values.items()))
    return id(component)
