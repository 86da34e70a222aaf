"""Step, epoch and inference of every contestant that can run here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any, NamedTuple

import bpnet
from benchmarks import floors, ours, timing
from benchmarks.cases import Case
from benchmarks.timing import Turn

EAGER = "PyTorch eager"
COMPILED = "PyTorch compiled"
BY_HAND = "JAX by hand"
SKLEARN = "scikit-learn"


class Row(NamedTuple):
    """The median of one contestant in one race."""

    section: str
    case: str
    contestant: str
    seconds: float


def race(section: str, case: Case, turns: dict[str, Turn], rounds: int) -> list[Row]:
    """Time the contestants of one case."""
    measured = timing.medians(turns, rounds)
    return [Row(section, case.name, name, seconds) for name, seconds in measured.items()]


def backends(names: tuple[str, ...]) -> Iterator[tuple[str, bpnet.Backend]]:
    """Give those backends that can run here."""
    for name, info in bpnet.available_backends().items():
        if name in names and info.available:
            yield name, bpnet.get_backend(f"{name}:{info.devices[0]}")


def steps(case: Case, names: tuple[str, ...], rounds: int, compiled: bool) -> list[Row]:
    """Race training steps, each beside the bare products in its own library."""
    turns: dict[str, Turn] = {}
    for name, backend in backends(names):
        turns[f"bpnet {name}"] = ours.step(case, backend)
        turns[f"floor {name}"] = floors.step(case, backend)
    if has("torch"):
        from benchmarks import torch_peer

        turns[EAGER] = torch_peer.step(case, accelerator())
        if compiled:
            turns[COMPILED] = torch_peer.step(case, accelerator(), "max-autotune")
    if has("jax"):
        from benchmarks import jax_peer

        turns[BY_HAND] = jax_peer.step(case)
    return race("step", case, turns, rounds)


def epochs(case: Case, names: tuple[str, ...], rounds: int, batches: int = 20) -> list[Row]:
    """Race whole epochs with shuffling."""
    turns = {
        f"bpnet {name}": ours.epoch(case, backend, batches) for name, backend in backends(names)
    }
    if has("torch"):
        from benchmarks import torch_peer

        turns[EAGER] = torch_peer.epoch(case, accelerator(), batches)
    if has("sklearn"):
        from benchmarks import sklearn_peer

        turns[SKLEARN] = sklearn_peer.epoch(case, batches)
    return race("epoch", case, turns, rounds)


def inference(case: Case, names: tuple[str, ...], rounds: int) -> list[Row]:
    """Race probabilities of a batch, from the host and back."""
    turns: dict[str, Turn] = {}
    for name, backend in backends(names):
        turns[f"bpnet {name}"] = ours.inference(case, backend)
        turns[f"floor {name}"] = floors.inference(case, backend)
    if has("torch"):
        from benchmarks import torch_peer

        turns[EAGER] = torch_peer.inference(case, accelerator())
    if has("sklearn"):
        from benchmarks import sklearn_peer

        turns[SKLEARN] = sklearn_peer.inference(case)
    return race("inference", case, turns, rounds)


def has(library: str) -> bool:
    """Whether a library is installed."""
    return importlib.util.find_spec(library) is not None


def accelerator() -> str:
    """Name the device on which PyTorch races: a GPU, if there is one."""
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def table(rows: list[Row]) -> list[list[Any]]:
    """Set each contestant beside PyTorch eager, its own floor, and the peer that it meets."""
    lines = [["section", "network (batch)", "contestant", "ms", "/ eager", "/ floor", "/ peer"]]
    for row in rows:
        others = {o.contestant: o.seconds for o in rows if o[:2] == row[:2]}
        floor = others.get(row.contestant.replace("bpnet", "floor"))
        peer = others.get(BY_HAND if row.contestant == "bpnet jax" else SKLEARN)
        if not row.contestant.startswith("bpnet"):
            floor = peer = None
        lines.append([
            row.section, row.case, row.contestant, f"{1e3 * row.seconds:.3f}",
            *(
                "" if other is None else f"{row.seconds / other:.2f}"
                for other in (others.get(EAGER), floor, peer)
            ),
        ])  # fmt: skip
    return lines
