"""What the sections share: who takes part and where, and the rows that come of it."""

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
# The peers' modules and the libraries that they need.
PEERS = {
    EAGER: ("benchmarks.torch_peer", "torch"),
    BY_HAND: ("benchmarks.jax_peer", "jax"),
    SKLEARN: ("benchmarks.sklearn_peer", "sklearn"),
}


class Options(NamedTuple):
    """What is measured, where, and how often."""

    cases: tuple[Case, ...]
    places: dict[str, bpnet.Backend]
    rounds: int
    compiled: bool = False

    def device(self, peer: str) -> str:
        """Name the device of a peer: that of its library's backend, or of the others."""
        if peer == SKLEARN:
            return "cpu"
        library = "jax" if peer == BY_HAND else "torch"
        places = self.places.values()
        own = [place.device for place in places if place.name == library]
        on_gpu = any(not place.device.startswith("cpu") for place in places)
        gpu, cpu = ("gpu:0", "cpu:0") if library == "jax" else ("cuda:0", "cpu")
        return own[0] if own else gpu if on_gpu else cpu

    def device_of(self, contestant: str) -> str:
        """Name the device on which a contestant runs."""
        label = contestant.partition(" ")[2]
        return self.places[label].device if label in self.places else self.device(contestant)


class Row(NamedTuple):
    """The figures of one contestant in one case."""

    section: str
    case: str
    contestant: str
    figures: dict[str, Any]

    def flat(self) -> dict[str, Any]:
        """Give one mapping, as it stands in a file."""
        return {
            "section": self.section, "case": self.case, "contestant": self.contestant,
        } | self.figures  # fmt: skip

    @classmethod
    def of(cls, flat: dict[str, Any]) -> Row:
        """Read what :meth:`flat` gave."""
        figures = dict(flat)
        section, case, contestant = map(figures.pop, ("section", "case", "contestant"))
        return cls(section, case, contestant, figures)


Column = Callable[[Row, dict[str, Row]], str]


def peers(what: str) -> dict[str, Callable[..., Any]]:
    """Give those functions of the peers, such as `step`, that can run here."""
    found = {}
    for peer, (module, library) in PEERS.items():
        function = (
            getattr(importlib.import_module(module), what, None) if has(library) else None
        )
        if function is not None:
            found[peer] = function
    return found


def has(library: str) -> bool:
    """Whether a library is installed."""
    return importlib.util.find_spec(library) is not None


def race(
    section: str, case: str, turns: dict[str, Turn], rounds: int, **more: float
) -> list[Row]:
    """Time one step of each contestant of a case."""
    measured = timing.medians(turns, rounds)
    return [Row(section, case, name, {"seconds": t, **more}) for name, t in measured.items()]


# --- columns of tables ------------------------------------------------------------------------


def table(rows: list[Row], columns: dict[str, Column]) -> list[list[str]]:
    """Write the rows of one case, the heading first."""
    others = {row.contestant: row for row in rows}
    lines = [
        [row.contestant, *(write(row, others) for write in columns.values())] for row in rows
    ]
    return [["contestant", *columns], *lines]


def ratio(to: Callable[[str], str], figure: str = "seconds") -> Column:
    """Write a figure relative to that of another contestant, if it takes part."""

    def write(row: Row, others: dict[str, Row]) -> str:
        other = others.get(to(row.contestant))
        if other is None or not other.figures[figure]:
            return ""
        return f"{row.figures[figure] / other.figures[figure]:.2f}"

    return write


def number(figure: str, scale: float = 1.0, digits: int = 3) -> Column:
    """Write a figure in another unit, with some decimals."""
    return lambda row, others: f"{scale * row.figures[figure]:,.{digits}f}"


def significant(figure: str, scale: float = 1.0) -> Column:
    """Write a figure in another unit, with three digits that count."""
    return lambda row, others: f"{scale * row.figures[figure]:.3g}"


def rate(figure: str, scale: float = 1.0) -> Column:
    """Write a figure per second in another unit."""
    return lambda row, others: f"{scale * row.figures[figure] / row.figures['seconds']:.3g}"


def eager(contestant: str) -> str:
    """Name the contestant with whom all are compared."""
    return EAGER


def floor(contestant: str) -> str:
    """Name the floor of bpnet."""
    return contestant.replace("bpnet", "floor") if contestant.startswith("bpnet") else ""


def peer(contestant: str) -> str:
    """Name the peer of bpnet: scikit-learn, or on JAX a step by hand."""
    if not contestant.startswith("bpnet"):
        return ""
    return BY_HAND if contestant.startswith("bpnet jax") else SKLEARN
