"""Medians of contestants that take turns in one process.

A busy machine slows whoever runs just then. So the contestants take turns, in an order that
is drawn anew each round, and what counts is the ratio of their medians, never a time alone.
A library's idle threads may go on spinning for a while, on a core that the next contestant
needs: so there is a pause before each turn.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import bpnet

# Do so many steps, and wait until the device has finished them.
Turn = Callable[[int], None]

# A turn should last so long that what happens around it does not count, in seconds.
TURN = 0.03

# Longer than OpenBLAS' threads spin after a product: 104 ms at 2.6 GHz, as 2**28 cycles take. A
# product of PyTorch that followed NumPy's within them took 1.7 times as long.
PAUSE = 0.15


def medians(turns: dict[str, Turn], rounds: int) -> dict[str, float]:
    """Time one step of each contestant, in seconds."""
    steps = {name: _warm_up(turn) for name, turn in turns.items()}
    times: dict[str, list[float]] = {name: [] for name in turns}
    names, draw = list(turns), random.Random(0)
    for _ in range(rounds):
        for name in draw.sample(names, len(names)):
            time.sleep(PAUSE)
            turns[name](1)  # brings its data and code back into the caches
            times[name].append(_time(turns[name], steps[name]))
    return {name: statistics.median(measured) for name, measured in times.items()}


def wait(backend: bpnet.Backend, result: Any) -> None:
    """Wait until the device has finished, and for JAX until the result itself is there."""
    backend.synchronize()
    if backend.name == "jax":
        import jax

        jax.block_until_ready(result)


def _warm_up(turn: Turn) -> int:
    """Compile, fill caches, and find how many steps a turn takes.

    What a turn does but once, as `fit` does before its epochs, is in the time of a single
    step, and would make a turn of few.
    """
    steps = 1
    for _ in range(3):
        steps = max(1, round(TURN / _time(turn, steps)))
    return steps


def _time(turn: Turn, steps: int) -> float:
    start = time.perf_counter()
    turn(steps)
    return (time.perf_counter() - start) / steps
