"""Shared by all sections: the contestants, their devices, and the tables of results."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import bpnet
from benchmarks import timing
from benchmarks.cases import Case
from benchmarks.timing import Turn

EAGER = "PyTorch eager"
COMPILED = "PyTorch compiled"
BY_HAND = "JAX by hand"
SKLEARN = "scikit-learn"
# The module of each peer and the library that it needs.
PEERS = {
    EAGER: ("benchmarks.torch_peer", "torch"),
    BY_HAND: ("benchmarks.jax_peer", "jax"),
    SKLEARN: ("benchmarks.sklearn_peer", "sklearn"),
}


class Options(NamedTuple):
    """Which networks to measure, on which backends, and how many rounds."""

    cases: tuple[Case, ...]
    backends: dict[str, bpnet.Backend]
    rounds: int
    compiled: bool = False

    def device(self, peer: str) -> str:
        """Return a peer's device: that of its library's backend, else one like the others'."""
        if peer == SKLEARN:
            return "cpu"
        library = "jax" if peer == BY_HAND else "torch"
        backends = self.backends.values()
        own = [backend.device for backend in backends if backend.name == library]
        on_gpu = any(not backend.device.startswith("cpu") for backend in backends)
        gpu, cpu = ("gpu:0", "cpu:0") if library == "jax" else ("cuda:0", "cpu")
        return own[0] if own else gpu if on_gpu else cpu

    def device_of(self, contestant: str) -> str:
        """Return the device on which a contestant runs."""
        label = contestant.partition(" ")[2]
        return (
            self.backends[label].device if label in self.backends else self.device(contestant)
        )


class Row(NamedTuple):
    """The results of one contestant in one case."""

    section: str
    case: str
    contestant: str
    values: dict[str, Any]

    def flat(self) -> dict[str, Any]:
        """Return the row as one flat mapping, as stored in a results file."""
        return {
            "section": self.section, "case": self.case, "contestant": self.contestant,
        } | self.values  # fmt: skip

    @classmethod
    def of(cls, flat: dict[str, Any]) -> Row:
        """Build a row from the output of :meth:`flat`."""
        values = dict(flat)
        section, case, contestant = map(values.pop, ("section", "case", "contestant"))
        return cls(section, case, contestant, values)


Column = Callable[[Row, dict[str, Row]], str]


def peers(what: str) -> dict[str, Callable[..., Any]]:
    """Return the named function, such as `step`, of each peer that is available."""
    found = {}
    for peer, (module, library) in PEERS.items():
        function = (
            getattr(importlib.import_module(module), what, None) if has(library) else None
        )
        if function is not None:
            found[peer] = function
    return found


def has(library: str) -> bool:
    """Return whether a library is installed."""
    return importlib.util.find_spec(library) is not None


def race(
    section: str, case: str, turns: dict[str, Turn], rounds: int, **more: float
) -> list[Row]:
    """Time one step of each contestant of a case."""
    measured = timing.medians(turns, rounds)
    return [Row(section, case, name, {"seconds": t, **more}) for name, t in measured.items()]


# --- columns of tables ------------------------------------------------------------------------


def table(rows: list[Row], columns: dict[str, Column]) -> list[list[str]]:
    """Return the rows of one case as text cells, header first."""
    others = {row.contestant: row for row in rows}
    lines = [
        [row.contestant, *(write(row, others) for write in columns.values())] for row in rows
    ]
    return [["contestant", *columns], *lines]


def ratio(to: Callable[[str], str], key: str = "seconds") -> Column:
    """Return a column: a value relative to another contestant's, blank if that is absent."""

    def write(row: Row, others: dict[str, Row]) -> str:
        other = others.get(to(row.contestant))
        if other is None or not other.values[key]:
            return ""
        return f"{row.values[key] / other.values[key]:.2f}"

    return write


def number(key: str, scale: float = 1.0, digits: int = 3) -> Column:
    """Return a column: a scaled value with fixed decimals."""
    return lambda row, others: f"{scale * row.values[key]:,.{digits}f}"


def significant(key: str, scale: float = 1.0) -> Column:
    """Return a column: a scaled value with three significant digits."""
    return lambda row, others: f"{scale * row.values[key]:.3g}"


def rate(key: str, scale: float = 1.0) -> Column:
    """Return a column: a scaled value per second."""
    return lambda row, others: f"{scale * row.values[key] / row.values['seconds']:.3g}"


def eager(contestant: str) -> str:
    """Return the contestant that all others are compared with."""
    return EAGER


def floor(contestant: str) -> str:
    """Return the lower bound that belongs to a bpnet contestant."""
    return contestant.replace("bpnet", "floor") if contestant.startswith("bpnet") else ""


def peer(contestant: str) -> str:
    """Return the peer of a bpnet contestant: scikit-learn, or on JAX the handwritten step."""
    if not contestant.startswith("bpnet"):
        return ""
    return BY_HAND if contestant.startswith("bpnet jax") else SKLEARN
