"""The names of an optimizer's state arrays, and their number under its former names."""

from __future__ import annotations

from typing import Any

from bpnet.common.deprecation import warn_renamed


class _FormerCount:
    """`n_state` under a deprecated name, which subclasses and instances may still set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: StateNames | None, owner: type[StateNames]) -> int:
        warn_renamed(f"{owner.__name__}.{self.name}", "n_state")
        if instance is None:
            return len(owner._names) if isinstance(owner._names, tuple) else 0
        if self.name == "n_slots" and instance._defines("slots"):
            return instance.slots
        overridden = owner.n_state is not StateNames.n_state
        return instance.n_state if overridden else len(instance._names)


class StateNames:
    """The base of optimizers that knows their state arrays: a class sets names, or a number."""

    slots, n_slots = _FormerCount(), _FormerCount()

    def __init_subclass__(cls, **options: Any) -> None:
        """Warn of deprecated names of `n_state`."""
        super().__init_subclass__(**options)
        for old in {"slots", "n_slots"} & vars(cls).keys():
            warn_renamed(f"{cls.__name__}.{old}", "n_state", stacklevel=4)  # beyond ABCMeta

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state arrays of each parameter, in the order of the rule's arguments.

        A class of your own sets them, or only their number, `n_state`.
        """
        overridden = type(self).n_state is not StateNames.n_state
        count = self.n_state if overridden else self._count()
        return (*self._names, *(f"state{k}" for k in range(len(self._names), count)))[:count]

    @property
    def n_state(self) -> int:
        """Number of state arrays per parameter, 0 by default."""
        overridden = type(self).state_names is not StateNames.state_names
        return len(self.state_names) if overridden else self._count()

    def _count(self) -> int:
        """Return the number by its deprecated names, or else that of bpnet's own rule."""
        old = next(filter(self._defines, ("n_slots", "slots")), None)
        return len(self._names) if old is None else int(getattr(self, old))

    def _defines(self, name: str) -> bool:
        """Whether a subclass, a mixin or this instance sets a deprecated name."""
        places = (vars(self), *map(vars, type(self).__mro__))
        found = next(place[name] for place in places if name in place)
        return not isinstance(found, _FormerCount)

    @property
    def _names(self) -> tuple[str, ...]:
        """The state of bpnet's own rule, whatever a subclass says."""
        return ()
