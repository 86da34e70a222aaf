"""Peak memory of training in a fresh process, beside the least: weights, slots, activations.

A tiny network of the same kind is trained first, so that libraries, threads and compilers are
there; what counts is by how much the peak of the real one, once it is set up and compiled,
exceeds what was then in memory. On a GPU it is the peak of the library's own pool. "step" is
the bare step on a batch that is there; "fit" an epoch of one batch, and all that comes with it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import fresh
from benchmarks.cases import Case
from benchmarks.contest import PEERS, Column, Options, Row, eager, number, peers, ratio
from benchmarks.timing import Turn

STEPS = 3

COLUMNS: dict[str, Column] = {
    "/ least": lambda row, others: f"{row.figures['bytes'] / row.figures['least']:.2f}",
    "/ eager": ratio(eager, "bytes"),
    "MB": number("bytes", 1e-6, 1),
    "least MB": number("least", 1e-6, 1),
    "MB before": number("before", 1e-6, 0),
}


def measure(options: Options) -> Iterator[list[Row]]:
    """Measure the largest of the networks, with every batch and optimiser."""
    largest = max(options.cases, key=lambda case: sum(case.sizes)).network
    for case in options.cases:
        for optimizer in ("SGD", "Adam") if case.network == largest else ():
            for what in ("step", "epoch"):
                yield contest(case._replace(optimizer=optimizer), what, options)


def contest(case: Case, what: str, options: Options) -> list[Row]:
    """Train each contestant in a process of its own, once: figures hardly vary."""
    places = {f"bpnet {label}": place.spec for label, place in options.places.items()}
    places |= {name: options.device(name) for name in peers(what)}
    rows = []
    for name, place in places.items():
        statements = (
            f"from benchmarks.cases import Case\n"
            f"from benchmarks import memory\n"
            f"result = memory.train({name!r}, {what!r}, {case!r}, {place!r})"
        )
        figures = fresh.run(statements)["result"] | {"least": case.memory}
        shown = f"{case.name}, {'fit' if what == 'epoch' else what}"
        rows.append(Row("memory", shown, name, figures))
    return rows


def train(contestant: str, what: str, case: Case, place: str) -> dict[str, int]:
    """Train a tiny network and then the real one; give memory before, and what was added."""
    make, meter = maker(contestant, what, place), meter_of(contestant, place)
    make(case._replace(sizes=(8,) * len(case.sizes), batch=8))(STEPS)
    before = meter("now")
    turn = make(case)
    turn(1)  # compiles
    meter("forget the peak")
    turn(STEPS)
    return {"before": before, "bytes": meter("peak") - before}


def maker(contestant: str, what: str, place: str) -> Callable[[Case], Turn]:
    """Give what sets up a contestant's training."""
    arguments = (1,) if what == "epoch" else ()
    if contestant in PEERS:
        module: Any = importlib.import_module(PEERS[contestant][0])
        return lambda case: getattr(module, what)(case, place, *arguments)
    import bpnet
    from benchmarks import ours

    return lambda case: getattr(ours, what)(case, bpnet.get_backend(place), *arguments)


# --- meters: what is in use, and its peak since that was forgotten ---------------------------


def meter_of(contestant: str, place: str) -> Callable[[str], int]:
    """Give the meter of a process, or on a GPU that of the library's pool."""
    name, _, device = place.partition(":")
    if contestant in PEERS:
        name, device = PEERS[contestant][1], place
    if name == "cupy":
        return of_cupy
    if device.startswith("cpu") or not device:
        return of_process
    return {"torch": of_torch, "jax": of_jax}[name]


def of_process(what: str) -> int:
    if what == "forget the peak":
        fresh.forget_peak()
    return fresh.resident() if what == "now" else fresh.peak()


def of_torch(what: str) -> int:
    import torch

    if what == "forget the peak":
        torch.cuda.reset_peak_memory_stats()
    now, most = torch.cuda.memory_allocated, torch.cuda.max_memory_allocated
    return int(now() if what == "now" else most())


def of_jax(what: str) -> int:
    """Its peak cannot be forgotten; setting up takes less than a step."""
    import jax

    statistics: Any = jax.devices()[0].memory_stats()
    return int(statistics["bytes_in_use" if what == "now" else "peak_bytes_in_use"])


def of_cupy(what: str) -> int:
    """A pool that gives nothing back has taken its peak."""
    import cupy

    pool = cupy.get_default_memory_pool()
    if what != "peak":
        pool.free_all_blocks()
    return int(pool.used_bytes() if what == "now" else pool.total_bytes())
