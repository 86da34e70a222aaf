"""Time to the first step in a fresh process: imports, set-up, compilation, one batch."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from benchmarks import fresh_process
from benchmarks.cases import Case
from benchmarks.runner import PEERS, Column, Options, Row, eager, number, peer, peers, ratio

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
        yield compare(case._replace(optimizer="Adam"), options)


def compare(case: Case, options: Options) -> list[Row]:
    """Start each contestant in turn, in a fresh process."""
    targets = {f"bpnet {label}": backend.spec for label, backend in options.backends.items()}
    targets |= {name: options.device(name) for name in peers("epoch")}
    programs = {
        name: f"from benchmarks.cases import Case\n"
        f"from benchmarks import cold_start\n"
        f"cold_start.take({name!r}, {case!r}, {target!r})"
        for name, target in targets.items()
    }
    times = fresh_process.medians(programs, options.rounds)
    return [Row("first", case.name, name, {"seconds": t}) for name, t in times.items()]


def take(contestant: str, case: Case, target: str) -> None:
    """Train a new network on one batch."""
    if contestant in PEERS:
        importlib.import_module(PEERS[contestant][0]).epoch(case, target, 1)(1)
        return
    import bpnet
    from benchmarks import ours

    ours.epoch(case, bpnet.get_backend(target), 1)(1)
