"""How long the first step takes in a fresh process: imports, set-up, compilation, one batch."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from benchmarks import fresh
from benchmarks.cases import Case
from benchmarks.contest import PEERS, Column, Options, Row, eager, number, peer, peers, ratio

COLUMNS: dict[str, Column] = {
    "/ eager": ratio(eager),
    "/ peer": ratio(peer),
    "ms": number("seconds", 1e3, 0),
}


def measure(options: Options) -> Iterator[list[Row]]:
    """Measure the first network of each size, with Adam."""
    names = dict.fromkeys(case.network for case in options.cases)
    for network in names:
        case = next(case for case in options.cases if case.network == network)
        yield contest(case._replace(optimizer="Adam"), options)


def contest(case: Case, options: Options) -> list[Row]:
    """Start the contestants in turn."""
    places = {f"bpnet {label}": place.spec for label, place in options.places.items()}
    places |= {name: options.device(name) for name in peers("epoch")}
    programs = {
        name: f"from benchmarks.cases import Case\n"
        f"from benchmarks import first\n"
        f"first.take({name!r}, {case!r}, {place!r})"
        for name, place in places.items()
    }
    times = fresh.medians(programs, options.rounds)
    return [Row("first", case.name, name, {"seconds": t}) for name, t in times.items()]


def take(contestant: str, case: Case, place: str) -> None:
    """Train a new network on one batch."""
    if contestant in PEERS:
        importlib.import_module(PEERS[contestant][0]).epoch(case, place, 1)(1)
        return
    import bpnet
    from benchmarks import ours

    ours.epoch(case, bpnet.get_backend(place), 1)(1)
