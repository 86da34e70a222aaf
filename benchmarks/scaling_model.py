"""How training in several processes scales: measured here, modeled, and extrapolated.

    python -m benchmarks.scaling_model run benchmarks/results

starts 1, 2 and 4 processes, three times each, and takes one or two minutes on 2 cores. In the
model, a step of N > 1 processes that share a batch takes

    T(N) = halves(N) + wait(N) + turns(N) sum(N),
    sum(N) = 2 (N - 1)/N bytes / bandwidth + 2 log2(N) latency

None of the terms is measured in a step of processes that train together:

halves(N)
    The two halves of a step, compute/N and the update of all weights, of N processes that work
    at the same time but exchange nothing. They share caches, memory, and maybe cores.
wait(N)
    What a sum of two numbers adds to products of matrices that last as long as the halves: each
    process waits for the slowest, and on shared cores those that wait take turns with it.
sum(N)
    That of Rabenseifner's algorithm (Thakur, Rabenseifner and Gropp, "Optimization of
    collective communication operations in MPICH", 2005, section 4.5). Latency and bandwidth
    are those of all-reduces, in two processes, of 8 bytes and of as many bytes as there are
    gradients, which each process has just written, and reads when they are summed.
turns(N)
    N / cores, if there are more processes than cores to move the bytes.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import bpnet
from bpnet.distributed import Communicator, get_communicator

WIDTHS = (784, 512, 512, 10)
BATCH, LARGE_BATCH, STEPS, EPOCHS = 256, 1024, 10, 10
DIFFERENCES = ("wait", "sum", "small sum")
N_WEIGHTS = sum((n + 1) * m for n, m in itertools.pairwise(WIDTHS))

# Of an H100 SXM: float32 outside of the tensor cores, of which 60 % are taken as attainable.
GPU_FLOPS, GPU_MEMORY, PER_MACHINE = 0.6 * 66.9e12, 3.35e12, 8
NVLINK, INFINIBAND = (370e9, 1.2e-6), (50e9, 8.5e-6)
LAUNCH = 20e-6  # seconds to start the graphs of a step
SOURCES = """\
GPUs: an H100 SXM has 66.9 TFLOP/s of float32 and 3.35 TB/s of memory
(https://glennklockwood.com/garden/processors/h100, after NVIDIA's white paper, which was not
at hand). NVLink: 450 GB/s each way, of which NCCL attains 370 (its developers:
https://github.com/NVIDIA/nccl-tests/issues/212). Between machines 400 Gbit/s for each GPU, the
rate of the line (eight ConnectX-7 for eight GPUs:
https://docs.nvidia.com/dgx-basepod/reference-architecture-infrastructure-foundation-enterprise-ai/latest/core-components.html).
Latencies of a hop, 1.2 and 8.5 us: what NCCL's own model assumes of trees with LL128
(src/graph/tuning.cc of https://github.com/NVIDIA/nccl, commit 01afd20).
Without a source: 60 % of the peak for products, 20 us to start the graphs of a step."""
EXAMPLES = {  # weights, batch of all GPUs
    "this network, batch 256": (N_WEIGHTS, 256),
    "this network, batch 65,536": (N_WEIGHTS, 65_536),
    "100 million weights, batch 65,536": (100_000_000, 65_536),
}


def sum_time(size: int, nbytes: float, bandwidth: float, latency: float) -> float:
    """Return the seconds of an all-reduce."""
    if size == 1:
        return 0.0
    return 2 * (size - 1) / size * nbytes / bandwidth + 2 * math.log2(size) * latency


# --- measuring --------------------------------------------------------------------------------


class StepTimes(bpnet.Callback):
    """The seconds of a step in each epoch, until the last process has ended it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch_begin(self, training: bpnet.training.Training) -> None:
        training.communicator.barrier()
        self._start = time.perf_counter()

    def on_epoch_end(self, training: bpnet.training.Training) -> None:
        training.communicator.barrier()
        self.seconds.append((time.perf_counter() - self._start) / training.n_batches)


class Apart(Communicator):
    """As many processes as there are, which exchange nothing: each has the sums of its own.

    They begin and end an epoch together.
    """

    def __init__(self, communicator: Communicator) -> None:
        self.barrier = communicator.barrier
        self.rank, self.size = communicator.rank, communicator.size
        self.local_rank = communicator.local_rank

    def all_reduce(self, array: Any, backend: bpnet.Backend) -> Any:
        return array

    def broadcast(self, array: Any, backend: bpnet.Backend) -> Any:
        return array

    def all_gather(self, value: Any) -> list[Any]:
        return [value] * self.size

    def abort(self, error: BaseException) -> None:
        raise error


def step_time(batch_size: int, communicator: str | Communicator | None = "auto") -> float:
    """Return the seconds of a step, with momentum, in the fastest epoch.

    What else runs on the machine only makes epochs slower.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(batch_size * STEPS, WIDTHS[0])).astype("float32")
    y = rng.integers(0, WIDTHS[-1], len(X))
    hidden = [bpnet.Dense(width, "relu") for width in WIDTHS[1:-1]]
    net = bpnet.Network([*hidden, bpnet.Dense(WIDTHS[-1])], "cce", seed=0)
    times = StepTimes()
    optimizer = bpnet.SGD(0.01, momentum=0.9)
    net.fit(
        X, y, optimizer=optimizer, batch_size=batch_size, epochs=EPOCHS, callbacks=[times],
        on_nonfinite="ignore", communicator=communicator,
    )  # fmt: skip
    return min(times.seconds)


def repeated(work: Callable[[], Any]) -> float:
    """Return the seconds of some work, in the fastest epoch of some steps."""
    seconds = []
    for _ in range(EPOCHS):
        get_communicator().barrier()
        start = time.perf_counter()
        for _ in range(STEPS):
            work()
        get_communicator().barrier()
        seconds.append((time.perf_counter() - start) / STEPS)
    return min(seconds)


def reduce_time(size: int) -> float:
    """Return what an all-reduce of so many float32 adds to writing and reading them."""
    communicator, backend = get_communicator(), bpnet.get_backend("numpy")
    array, written = np.zeros(size, "float32"), np.ones(size, "float32")

    def alone() -> None:
        np.copyto(array, written)
        array.sum()

    def together() -> None:
        np.copyto(array, written)
        communicator.all_reduce(array, backend)
        array.sum()

    return repeated(together) - repeated(alone)


def waiting_time(seconds: float) -> float:
    """Return what a sum of two numbers adds to work of so many seconds in each process."""
    communicator, backend = get_communicator(), bpnet.get_backend("numpy")
    rows = np.ones((BATCH // communicator.size, WIDTHS[0]), "float32")
    weights, numbers = np.ones(WIDTHS[:2], "float32"), np.zeros(2, "float32")
    count = max(1, round(seconds / repeated(lambda: rows @ weights)))

    def alone() -> None:
        for _ in range(count):
            rows @ weights

    def together() -> None:
        alone()
        communicator.all_reduce(numbers, backend)

    return repeated(together) - repeated(alone)


def measure(path: Path) -> None:
    """Add what this number of processes takes to a file.

    Times on a shared machine vary by a factor of two, so run it several times.
    """
    communicator = get_communicator()
    found = {"step": step_time(BATCH), "large step": step_time(LARGE_BATCH)}
    if communicator.size > 1:
        communicator.barrier()
        found["halves"] = step_time(BATCH, Apart(communicator))
        found["wait"] = waiting_time(max(communicator.all_gather(found["halves"])))
        found |= {"small sum": reduce_time(2), "sum": reduce_time(N_WEIGHTS)}
    if communicator.is_main:
        known = json.loads(path.read_text()) if path.exists() else {}
        times = known.setdefault(str(communicator.size), {})
        for name, seconds in found.items():
            times.setdefault(name, []).append(seconds)
        known["cores"] = len(os.sched_getaffinity(0))
        path.write_text(json.dumps(known, indent=1) + "\n")


def run(folder: Path) -> None:
    """Measure 1, 2 and 4 processes, and report."""
    path = folder / "scaling_model.json"
    path.unlink(missing_ok=True)
    variables = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "benchmarks.scaling_model", "measure", str(path)]
    for _ in range(3):
        for size in (1, 2, 4):
            subprocess.run(["mpiexec", "-n", str(size), *program], check=True, env=variables)
    report(path, folder)


def summary(measured: dict[str, Any]) -> dict[str, Any]:
    """Return the fastest of all times; of differences, which may err either way, the median."""
    return {"cores": measured["cores"]} | {
        str(size): {
            name: median(seconds) if name in DIFFERENCES else min(seconds)
            for name, seconds in measured[str(size)].items()
        }
        for size in sizes_of(measured)
    }


# --- the model --------------------------------------------------------------------------------


def fitted(measured: dict[str, Any]) -> Callable[[int], float]:
    """Return the predicted seconds of a step of N processes on this machine."""
    latency = measured["2"]["small sum"] / 2
    bandwidth = 4 * N_WEIGHTS / (measured["2"]["sum"] - 2 * latency)

    def predict(size: int) -> float:
        found = measured[str(size)]
        if size == 1:
            return float(found["step"])
        turns = max(1.0, size / measured["cores"])
        moved = turns * sum_time(size, 4 * N_WEIGHTS, bandwidth, latency)
        return float(found["halves"] + found["wait"] + moved)

    return predict


def gpu_step(size: int, n_weights: int, batch: int) -> tuple[float, dict[str, float]]:
    """Return the seconds of a step on GPUs, and of its parts.

    Sums are taken within the machines, then between them, as NCCL's trees and rings do.
    """
    within, machines = min(size, PER_MACHINE), max(1, size // PER_MACHINE)
    nbytes = 4 * n_weights
    parts = {
        "products": 6 * n_weights * batch / size / GPU_FLOPS,
        "update of the weights": 6 * nbytes / GPU_MEMORY,
        "launches": LAUNCH,
        "NVLink": sum_time(within, nbytes, *NVLINK),
        "InfiniBand": sum_time(machines, nbytes / within, *INFINIBAND),
    }
    return sum(parts.values()), parts


def sizes_of(measured: dict[str, Any]) -> list[int]:
    """Return the numbers of processes that were measured."""
    return sorted(int(name) for name in measured if name.isdigit())


def report(path: Path, folder: Path) -> None:
    """Write predictions, measured times and the plot of efficiency."""
    measured = summary(json.loads(path.read_text()))
    predict = fitted(measured)
    sizes = sizes_of(measured)
    lines = [
        f"{'-'.join(map(str, WIDTHS))}, float32, momentum, NumPy, {measured['cores']} cores; "
        "milliseconds of a step, and its share of one process' time",
        f"processes   batch {BATCH}     halves   wait    sum  predicted   error"
        f"      batch {LARGE_BATCH}",
    ]
    for size in sizes:
        found, due = measured[str(size)], predict(size)
        parts = [found.get("halves", due), found.get("wait", 0.0)]
        parts.append(due - sum(parts))
        lines.append(
            f"{size:9d} {1e3 * found['step']:7.2f} "
            f"{found['step'] / measured['1']['step']:5.2f} "
            f"{1e3 * parts[0]:9.2f} {1e3 * parts[1]:6.2f} {1e3 * parts[2]:6.2f} "
            f"{1e3 * due:10.2f} {due / found['step'] - 1:+7.0%} "
            f"{1e3 * found['large step']:10.2f} "
            f"{found['large step'] / measured['1']['large step']:5.2f}"
        )
    lines += ["", SOURCES, "", "GPUs: efficiency, milliseconds of a step, and its largest part"]
    curves = {}
    for name, (n_weights, batch) in EXAMPLES.items():
        curves[name] = sizes, efficiency = [], []
        alone, _ = gpu_step(1, n_weights, batch)
        for size in (2**k for k in range(11)):
            if size > batch:
                break
            seconds, parts = gpu_step(size, n_weights, batch)
            sizes.append(size)
            efficiency.append(alone / size / seconds)
            if size in (1, 8, 64, 256, 1024):
                largest = max(parts, key=parts.__getitem__)
                lines.append(
                    f"{name:34s} {size:5d} GPUs {efficiency[-1]:6.1%} {1e3 * seconds:8.3f} ms  "
                    f"{largest} ({parts[largest] / seconds:.0%})"
                )
    (folder / "scaling_model.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    draw(measured, predict, curves, folder / "scaling_model.png")


def draw(measured, predict, curves, path: Path) -> None:
    """Plot the times on this machine, and the efficiency on GPUs."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    sizes = sizes_of(measured)
    left.plot(sizes, [1e3 * measured[str(s)]["step"] for s in sizes], "o", label="measured")
    left.plot(sizes, [1e3 * predict(s) for s in sizes], "--", label="predicted")
    left.set(
        xlabel="processes, on 2 cores", ylabel="ms per step", ylim=(0, None), xticks=sizes,
        title=f"{'-'.join(map(str, WIDTHS))}, batch {BATCH}",
    )  # fmt: skip
    for name, (gpus, efficiency) in curves.items():
        right.plot(gpus, efficiency, "o-", label=name)
    right.set(
        xscale="log", xlabel="H100 GPUs, 8 in a machine", ylabel="efficiency", ylim=(0, 1.4),
        title="extrapolated, from published figures",
    )  # fmt: skip
    right.set_xticks([1, 8, 64, 256, 1024], ["1", "8", "64", "256", "1024"])
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left" if axes is left else "upper right")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"measure": measure, "report": report, "run": run}[command](*map(Path, paths))
