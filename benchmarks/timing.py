"""Median times of contestants that take turns in one process.

Other load on the machine slows whichever contestant happens to run. So contestants take turns
in a random order each round, and what counts is the ratio of medians, never a single time. A
library's idle threads may keep spinning on a core that the next contestant needs, so each turn
starts after a pause.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import bpnet

# Run this many steps and wait until the device has finished.
Turn = Callable[[int], None]

# Least seconds of a turn, so that overhead around it is negligible.
TURN = 0.03

# Longer than OpenBLAS threads spin after a product: 2**28 cycles, 104 ms at 2.6 GHz. A PyTorch
# product that followed a NumPy product within that time took 1.7 times as long.
PAUSE = 0.15


def medians(turns: dict[str, Turn], rounds: int) -> dict[str, float]:
    """Return the median seconds per step of each contestant."""
    steps = {name: _warm_up(turn) for name, turn in turns.items()}
    times: dict[str, list[float]] = {name: [] for name in turns}
    names, draw = list(turns), random.Random(0)
    for _ in range(rounds):
        for name in draw.sample(names, len(names)):
            time.sleep(PAUSE)
            turns[name](1)  # refill the caches
            times[name].append(seconds_per_step(turns[name], steps[name]))
    return {name: statistics.median(measured) for name, measured in times.items()}


def calls_of(function: Callable[[Any], Any], argument: Any) -> Turn:
    """Return a turn of calls with the same argument."""

    def turn(calls: int) -> None:
        for _ in range(calls):
            function(argument)

    return turn


def wait(backend: bpnet.Backend, result: Any) -> None:
    """Wait until the device has finished, and on JAX until the result is ready."""
    backend.synchronize()
    if backend.name == "jax":
        import jax

        jax.block_until_ready(result)


def _warm_up(turn: Turn) -> int:
    """Compile, fill caches, and return the number of steps per turn.

    Repeated because a single step includes one-off costs, such as the set-up of `fit`, and
    would give too few steps.
    """
    steps = 1
    for _ in range(3):
        steps = max(1, round(TURN / seconds_per_step(turn, steps)))
    return steps


def seconds_per_step(turn: Turn, steps: int) -> float:
    """Return the seconds per step of one turn."""
    start = time.perf_counter()
    turn(steps)
    return (time.perf_counter() - start) / steps
