"""Step, epoch and inference times, compared with lower bounds and the device's peak."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks import hardware, lower_bounds, ours
from benchmarks.cases import Case, variants
from benchmarks.runner import (
    COMPILED,
    EAGER,
    Column,
    Options,
    Row,
    eager,
    floor,
    number,
    peer,
    peers,
    race,
    rate,
    ratio,
    significant,
)
from benchmarks.timing import Turn

# Batches per epoch; few for networks of which one batch takes a second on a CPU.
BATCHES, FEW_BATCHES = 20, 4

COLUMNS: dict[str, Column] = {
    "/ eager": ratio(eager),
    "/ floor": ratio(floor),
    "/ peer": ratio(peer),
    "ms": number("seconds", 1e3),
    "MFLOP": significant("flops", 1e-6),
    "MB": significant("bytes", 1e-6),
    "GFLOP/s": rate("flops", 1e-9),
    "GB/s": rate("bytes", 1e-9),
    "of peak": lambda row, others: f"{row.values['utilisation']:.1%}",
}


def step(options: Options) -> Iterator[list[Row]]:
    """Race training steps, next to the bare matrix products in the same library."""
    for case in every(options):
        work = {"flops": case.step_flops, "bytes": case.step_bytes}
        yield measure("step", case, options, work)


def epoch(options: Options) -> Iterator[list[Row]]:
    """Race whole epochs, with shuffling."""
    for case in every(options):
        batches = FEW_BATCHES if case.step_flops > 1e10 else BATCHES
        work = {"flops": batches * case.step_flops, "bytes": batches * case.step_bytes}
        yield measure("epoch", case, options, work, batches)


def inference(options: Options) -> Iterator[list[Row]]:
    """Race predictions for one batch, from host to device and back."""
    for case in every(options):
        if case.optimizer == "SGD":
            work = {"flops": case.inference_flops, "bytes": case.inference_bytes}
            yield measure("inference", case, options, work)


def every(options: Options) -> list[Case]:
    """Return the networks with each optimizer and activation."""
    return [variant for case in options.cases for variant in variants(case)]


def measure(
    section: str, case: Case, options: Options, work: dict[str, float], *arguments: Any
) -> list[Row]:
    """Race the contestants of one case; add the share of the device's peak to each row."""
    rows = race(
        section, case.name, entrants(section, case, options, *arguments), options.rounds, **work
    )
    for row in rows:
        peak = hardware.peak(options.device_of(row.contestant), options.backends)
        row.values["utilisation"] = peak.least_seconds(**work) / row.values["seconds"]
    return rows


def entrants(section: str, case: Case, options: Options, *arguments: Any) -> dict[str, Turn]:
    """Set up a step, epoch or inference turn for all available contestants."""
    turns = {}
    for label, backend in options.backends.items():
        turns[f"bpnet {label}"] = getattr(ours, section)(case, backend, *arguments)
        if hasattr(lower_bounds, section):
            turns[f"floor {label}"] = getattr(lower_bounds, section)(case, backend)
    for name, function in peers(section).items():
        turns[name] = function(case, options.device(name), *arguments)
        if name == EAGER and options.compiled:
            compiled = partial(function, case, options.device(name), *arguments)
            turns |= where_it_works(compiled(mode="max-autotune"))
    return turns


def where_it_works(turn: Turn) -> dict[str, Turn]:
    """Return the compiled contestant; if it fails, print why and return nothing."""
    try:
        turn(1)
    except Exception as error:  # no compiler, or an unsupported network
        reason = (str(error).strip().splitlines() or [""])[0]
        print(f"torch.compile does not work here: {type(error).__name__}: {reason}")
        return {}
    return {COMPILED: turn}
