"""Requests whose number of rows differs from one to the next, as a server gets them."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.latency import NUMPY, Predict, predictors
from benchmarks.runner import BY_HAND, EAGER, Column, Options, Row, eager, number, race, ratio
from benchmarks.timing import Turn
from bpnet.model.compiled import FUNCTIONS

# The numbers of rows, one request of each.
SIZES = tuple(range(2, 42))

COLUMNS: dict[str, Column] = {
    "/ eager": ratio(eager),
    "ms": number("seconds", 1e3),
    "ms, first time": number("first", 1e3),
    "compilations": number("compilations", digits=0),
}


def measure(options: Options) -> Iterator[list[Row]]:
    """Race requests of each size, after the first ones, which may be compiled."""
    for case in {case.sizes: case for case in options.cases}.values():
        requests = [case.examples(m)[0] for m in SIZES]
        FUNCTIONS.clear()
        first, turns = {}, {}
        for name, predict in predictors(case, options).items():
            if (
                name in (NUMPY, EAGER, BY_HAND)
                or name.removeprefix("bpnet ") in options.backends
            ):
                first[name] = first_time(predict, requests)
                turns[name] = one_by_one(predict, requests)
        rows = race("requests", case.network, turns, options.rounds)
        for row in rows:
            row.values["seconds"] /= len(SIZES)
            row.values.update(first[row.contestant])
        yield rows


def one_by_one(predict: Predict, requests: list[Any]) -> Turn:
    """Return a turn of all requests."""

    def turn(calls: int) -> None:
        for _ in range(calls):
            for X in requests:
                predict(X)

    return turn


def first_time(predict: Predict, requests: list[Any]) -> dict[str, float]:
    """Return the seconds that a request takes at first, and how many programs JAX compiles."""
    with compilations() as compiled:
        start = time.perf_counter()
        one_by_one(predict, requests)(1)
        seconds = time.perf_counter() - start
    return {"first": seconds / len(requests), "compilations": float(len(compiled))}


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Yield a list that in the end has the programs that JAX compiled meanwhile."""
    found: list[str] = []
    before = len(_compiled())
    try:
        yield found
    finally:
        found += _compiled()[before:]


@functools.cache
def _compiled() -> list[str]:
    """Return a list that grows with each program that JAX compiles, in the whole process."""
    found: list[str] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if event.endswith("backend_compile_duration"):
            found.append(event)

    with contextlib.suppress(ImportError):
        from jax import monitoring

        monitoring.register_event_duration_secs_listener(listen)
    return found
