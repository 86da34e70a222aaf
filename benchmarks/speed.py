"""Step, epoch and inference of every contestant, beside the bare products and the device."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks import floors, hardware, ours
from benchmarks.cases import Case, variants
from benchmarks.contest import (
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

# Batches in an epoch, but for the networks of which one alone takes a second on a CPU.
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
    "of peak": lambda row, others: f"{row.figures['utilisation']:.1%}",
}


def step(options: Options) -> Iterator[list[Row]]:
    """Race training steps, each beside the bare products in its own library."""
    for case in every(options):
        work = {"flops": case.step_flops, "bytes": case.step_bytes}
        yield measure("step", case, options, work)


def epoch(options: Options) -> Iterator[list[Row]]:
    """Race whole epochs with shuffling."""
    for case in every(options):
        batches = FEW_BATCHES if case.step_flops > 1e10 else BATCHES
        work = {"flops": batches * case.step_flops, "bytes": batches * case.step_bytes}
        yield measure("epoch", case, options, work, batches)


def inference(options: Options) -> Iterator[list[Row]]:
    """Race probabilities of a batch, from the host and back."""
    for case in every(options):
        if case.optimizer == "SGD":
            work = {"flops": case.inference_flops, "bytes": case.inference_bytes}
            yield measure("inference", case, options, work)


def every(options: Options) -> list[Case]:
    """Give the networks with each optimiser and activation."""
    return [variant for case in options.cases for variant in variants(case)]


def measure(
    section: str, case: Case, options: Options, work: dict[str, float], *arguments: Any
) -> list[Row]:
    """Race the contestants of one case, and set the device's peak beside each."""
    rows = race(
        section, case.name, entrants(section, case, options, *arguments), options.rounds, **work
    )
    for row in rows:
        peak = hardware.peak(options.device_of(row.contestant), options.places)
        row.figures["utilisation"] = peak.least_seconds(**work) / row.figures["seconds"]
    return rows


def entrants(section: str, case: Case, options: Options, *arguments: Any) -> dict[str, Turn]:
    """Set up a step, an epoch or the inference of all who can take part."""
    turns = {}
    for label, place in options.places.items():
        turns[f"bpnet {label}"] = getattr(ours, section)(case, place, *arguments)
        if hasattr(floors, section):
            turns[f"floor {label}"] = getattr(floors, section)(case, place)
    for name, function in peers(section).items():
        turns[name] = function(case, options.device(name), *arguments)
        if name == EAGER and options.compiled:
            compiled = partial(function, case, options.device(name), *arguments)
            turns |= where_it_works(compiled(mode="max-autotune"))
    return turns


def where_it_works(turn: Turn) -> dict[str, Turn]:
    """Give the compiled contestant, unless it fails: say so then."""
    try:
        turn(1)
    except Exception as error:  # a compiler that is missing, or does not take the network
        reason = (str(error).strip().splitlines() or [""])[0]
        print(f"torch.compile does not work here: {type(error).__name__}: {reason}")
        return {}
    return {COMPILED: turn}
