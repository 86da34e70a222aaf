"""What a machine with a new GPU should tell first, each answer written as soon as it is known.

    python -m benchmarks.first_contact RESULTS.jsonl cupy torch:cuda:0 jax:gpu:0

For each backend: whether replayed steps have the bits of eager ones, and how they run, such as
"a step of 120 calls runs as 1". Then the microseconds of a step beside PyTorch's eager one, and
JAX's, step by step and as a scan. At last beside those that PyTorch compiles, which takes long.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import bpnet
from benchmarks import cases, ours, runner, timing
from benchmarks.cases import Case
from benchmarks.timing import Turn

# One case of each group of networks, and the rounds of each contestant.
CASES = {"tiny": 0, "small": 0, "middle": 0, "large": 1}
ROUNDS = 7
SCAN = "JAX scan"
SCANNED = 32  # steps in one program of it


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer the questions in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_contact")
    parser.add_argument("results", type=Path, help="file to append the answers to")
    parser.add_argument("specs", nargs="+", metavar="SPEC")
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES)[1:])
    options = parser.parse_args(arguments)
    for answer in answers(options.specs, options.networks):
        line = json.dumps(answer)
        print(line, flush=True)
        with options.results.open("a") as file:
            file.write(line + "\n")


def answers(specs: Sequence[str], networks: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield one answer after the other; an error is one, too."""
    for spec in specs:
        yield _tried({"question": "same bits", "who": spec}, lambda spec=spec: agreement(spec))
    backends = {spec: bpnet.get_backend(spec) for spec in specs}
    chosen = [cases.GROUPS[group][CASES[group]] for group in networks]
    for case in chosen:
        for optimizer in ("Adam", "SGD"):
            yield from _times(case._replace(optimizer=optimizer), backends, contestants)
    for case in chosen:
        yield from _times(case._replace(optimizer="Adam"), backends, compiled)


def _times(
    case: Case,
    backends: dict[str, bpnet.Backend],
    made_of: Callable[[Case, dict[str, bpnet.Backend]], dict[str, Callable[[], Turn]]],
) -> Iterator[dict[str, Any]]:
    for who, make in made_of(case, backends).items():
        asked = {"question": "time of a step", "case": case.name, "who": who}
        least = SCANNED if who == SCAN else 1
        yield _tried(asked, lambda make=make, least=least: times(make(), least))


def _tried(asked: dict[str, Any], answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return asked | answer()
    except Exception as error:  # whatever a library or its driver raises
        return asked | {"error": f"{type(error).__name__}: {error}"[:600]}


# --- the same bits ----------------------------------------------------------------------------


def agreement(spec: str) -> dict[str, Any]:
    """Compare a fit with one that runs eagerly, and say how its steps were replayed."""
    messages = _Messages()
    log = logging.getLogger("bpnet_backends")
    log.addHandler(messages)
    log.setLevel(logging.DEBUG)
    try:
        found, losses = trained(spec)
    finally:
        log.removeHandler(messages)
        log.setLevel(logging.NOTSET)
    wanted, eager_losses = trained(spec, run_eagerly=True)
    pairs = list(zip(found, wanted, strict=True))
    same = losses == eager_losses and all(a.tobytes() == b.tobytes() for a, b in pairs)
    apart = max(float(abs(a - b).max()) for a, b in pairs)
    return {"same": same, "apart": apart, "ways": list(dict.fromkeys(messages.lines))}


class _Messages(logging.Handler):
    """Keep the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage()[:300])


def trained(spec: str, **options: Any) -> tuple[list[Any], list[float]]:
    """Train a network that uses many operations; return weights and losses."""
    X, y = bpnet.datasets.make_spiral(512, seed=0)
    layers = [
        bpnet.Dense(64, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(32, "gelu"), bpnet.Dense(1)
    ]  # fmt: skip
    net = bpnet.Network(layers, "binary_crossentropy", seed=0)
    rule = bpnet.Adam(0.01, clip_norm=1.0)
    history = net.fit(X, y, optimizer=rule, epochs=5, batch_size=120, backend=spec, **options)
    weights = [p for layer in net.parameters for p in layer.values()]
    return [np.asarray(net.backend.to_numpy(p)) for p in weights], list(history["loss"])


# --- times ------------------------------------------------------------------------------------


def contestants(
    case: Case, backends: dict[str, bpnet.Backend]
) -> dict[str, Callable[[], Turn]]:
    """Return what makes the turns of each contestant."""
    made: dict[str, Callable[[], Turn]] = {
        f"bpnet {spec}": lambda backend=backend: ours.step(case, backend)
        for spec, backend in backends.items()
    }
    options = runner.Options((case,), backends, ROUNDS)
    if runner.has("torch"):
        from benchmarks import torch_peer

        made[runner.EAGER] = lambda: torch_peer.step(case, options.device(runner.EAGER))
    if runner.has("jax"):
        from benchmarks import jax_peer

        on = options.device(runner.BY_HAND)
        made[runner.BY_HAND] = lambda: jax_peer.step(case, on)
        made[SCAN] = lambda: scan(case, on)
    return made


def compiled(case: Case, backends: dict[str, bpnet.Backend]) -> dict[str, Callable[[], Turn]]:
    """Return what makes the turns of steps that PyTorch compiles, with a CUDA graph."""
    if not runner.has("torch"):
        return {}
    from benchmarks import torch_peer

    device = runner.Options((case,), backends, ROUNDS).device(runner.EAGER)
    return {
        runner.COMPILED: lambda: torch_peer.step(case, device, mode="reduce-overhead")
    }  # fmt: skip


def scan(case: Case, device: str) -> Turn:
    """Return a turn of steps that JAX runs as one program, the fastest that it has."""
    import jax

    from benchmarks import jax_peer

    update = jax_peer.updater(case)
    state = jax_peer.initial(case, device)
    X, y = jax_peer.on(device, case.examples())

    def run(state: Any, X: Any, y: Any) -> Any:
        return jax.lax.scan(lambda s, _: update(s, X, y), state, length=SCANNED)[0]

    jitted = jax.jit(run, donate_argnums=0)

    def turn(steps: int) -> None:
        nonlocal state
        for _ in range(-(-steps // SCANNED)):
            state = jitted(state, X, y)
        jax.block_until_ready(state)

    return turn


def times(turn: Turn, steps: int) -> dict[str, float]:
    """Return the seconds of the first step, and the median microseconds of later ones."""
    start = time.perf_counter()
    turn(1)
    first = time.perf_counter() - start
    while timing.seconds_per_step(turn, steps) * steps < timing.TURN:
        steps *= 2
    rounds = [timing.seconds_per_step(turn, steps) for _ in range(ROUNDS)]
    return {"first_s": round(first, 3), "us": round(1e6 * statistics.median(rounds), 2)}


if __name__ == "__main__":
    main()
