"""Peak memory of training in a fresh process, compared with the minimum it needs.

The minimum is the weights, optimizer state and activations. A tiny network of the same kind is
trained first, so that libraries, threads and compilers are loaded. What counts is how far the
peak of the real network, once set up and compiled, exceeds the memory in use before; on a GPU,
it is the peak of the library's own pool. "step" is the bare step on a resident batch; "fit" is
an epoch of one batch, with everything `fit` does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import fresh_process
from benchmarks.cases import Case
from benchmarks.runner import PEERS, Column, Options, Row, eager, number, peers, ratio
from benchmarks.timing import Turn

STEPS = 3

COLUMNS: dict[str, Column] = {
    "/ least": lambda row, others: f"{row.values['bytes'] / row.values['least']:.2f}",
    "/ eager": ratio(eager, "bytes"),
    "MB": number("bytes", 1e-6, 1),
    "least MB": number("least", 1e-6, 1),
    "MB before": number("before", 1e-6, 0),
}


def measure(options: Options) -> Iterator[list[Row]]:
    """Measure the largest network, with each batch size and optimizer."""
    largest = max(options.cases, key=lambda case: sum(case.sizes)).network
    for case in options.cases:
        for optimizer in ("SGD", "Adam") if case.network == largest else ():
            for what in ("step", "epoch"):
                yield compare(case._replace(optimizer=optimizer), what, options)


def compare(case: Case, what: str, options: Options) -> list[Row]:
    """Train each contestant once in its own process; the results hardly vary."""
    targets = {f"bpnet {label}": backend.spec for label, backend in options.backends.items()}
    targets |= {name: options.device(name) for name in peers(what)}
    rows = []
    for name, target in targets.items():
        statements = (
            f"from benchmarks.cases import Case\n"
            f"from benchmarks import memory\n"
            f"result = memory.train({name!r}, {what!r}, {case!r}, {target!r})"
        )
        values = fresh_process.run(statements)["result"] | {"least": case.memory}
        shown = f"{case.name}, {'fit' if what == 'epoch' else what}"
        rows.append(Row("memory", shown, name, values))
    return rows


def train(contestant: str, what: str, case: Case, target: str) -> dict[str, int]:
    """Train a tiny network, then the real one; return memory before and bytes added."""
    make, meter = maker(contestant, what, target), meter_of(contestant, target)
    make(case._replace(sizes=(8,) * len(case.sizes), batch=8))(STEPS)
    before = meter("now")
    turn = make(case)
    turn(1)  # compiles
    meter("reset the peak")
    turn(STEPS)
    return {"before": before, "bytes": meter("peak") - before}


def maker(contestant: str, what: str, target: str) -> Callable[[Case], Turn]:
    """Return the function that sets up a contestant's training for a case."""
    arguments = (1,) if what == "epoch" else ()
    if contestant in PEERS:
        module: Any = importlib.import_module(PEERS[contestant][0])
        return lambda case: getattr(module, what)(case, target, *arguments)
    import bpnet
    from benchmarks import ours

    return lambda case: getattr(ours, what)(case, bpnet.get_backend(target), *arguments)


# --- meters: memory in use, and its peak since the last reset --------------------------------


def meter_of(contestant: str, target: str) -> Callable[[str], int]:
    """Return the meter of the process, or on a GPU of the library's pool."""
    name, _, device = target.partition(":")
    if contestant in PEERS:
        name, device = PEERS[contestant][1], target
    if name == "cupy":
        return of_cupy
    if device.startswith("cpu") or not device:
        return of_process
    return {"torch": of_torch, "jax": of_jax}[name]


def of_process(what: str) -> int:
    if what == "reset the peak":
        fresh_process.reset_peak()
    return fresh_process.resident() if what == "now" else fresh_process.peak()


def of_torch(what: str) -> int:
    import torch

    if what == "reset the peak":
        torch.cuda.reset_peak_memory_stats()
    now, most = torch.cuda.memory_allocated, torch.cuda.max_memory_allocated
    return int(now() if what == "now" else most())


def of_jax(what: str) -> int:
    """JAX cannot reset its peak, but set-up takes less memory than a step."""
    import jax

    statistics: Any = jax.devices()[0].memory_stats()
    return int(statistics["bytes_in_use" if what == "now" else "peak_bytes_in_use"])


def of_cupy(what: str) -> int:
    """The pool never shrinks on its own, so its size is its peak."""
    import cupy

    pool = cupy.get_default_memory_pool()
    if what != "peak":
        pool.free_all_blocks()
    return int(pool.used_bytes() if what == "now" else pool.total_bytes())
