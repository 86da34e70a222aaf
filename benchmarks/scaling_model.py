"""How training in several processes scales: measured here, modeled, and extrapolated.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    mpiexec -n 1 python -m benchmarks.scaling_model measure scaling.json
    mpiexec -n 2 python -m benchmarks.scaling_model measure scaling.json
    mpiexec -n 4 python -m benchmarks.scaling_model measure scaling.json
    python -m benchmarks.scaling_model report scaling.json benchmarks/results

A step of N processes that share a batch of B examples takes, in the model,

    T(N) = fixed + B compute / N + sum(N),
    sum(N) = 2 (N - 1)/N bytes / bandwidth + 2 log2(N) latency        (N > 1)

The sum is that of Rabenseifner's algorithm (Thakur, Rabenseifner and Gropp, "Optimization of
collective communication operations in MPICH", 2005, section 4.5). `fixed` is what each process
does whatever its part of the batch is, such as the update of all weights. It and `compute` are
fitted to the steps of one process with whole and with half batches; latency and bandwidth to
all-reduces of 8 bytes and of the gradients, in two processes. So the times of several processes
are predicted, and not fitted.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import bpnet
from bpnet.distributed import get_communicator

WIDTHS = (784, 512, 512, 10)
BATCH, LARGE_BATCH, STEPS, EPOCHS = 256, 1024, 10, 10
N_WEIGHTS = sum((n + 1) * m for n, m in itertools.pairwise(WIDTHS))

# Published figures. NVIDIA's H100 SXM (data sheet, 2023): 67 TFLOP/s of float32 outside of the
# tensor cores, of which 60 % are taken as attainable; 3.35 TB/s of memory; NVLink within a
# machine of 8 (DGX H100): 900 GB/s both ways, so 450 each way. ConnectX-7 between machines:
# InfiniBand NDR, 400 Gbit/s for each GPU. The latencies are assumed, not published.
GPU_FLOPS, GPU_MEMORY, PER_MACHINE = 0.6 * 67e12, 3.35e12, 8
NVLINK, INFINIBAND = (450e9, 2.5e-6), (50e9, 5e-6)
LAUNCH = 20e-6  # seconds to start the graphs of a step
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
    """The seconds of a step in each epoch, as process 0 sees them."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch_begin(self, training: bpnet.training.Training) -> None:
        training.communicator.barrier()
        self._start = time.perf_counter()

    def on_epoch_end(self, training: bpnet.training.Training) -> None:
        self.seconds.append((time.perf_counter() - self._start) / training.n_batches)


def step_time(batch_size: int) -> float:
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
        on_nonfinite="ignore",
    )  # fmt: skip
    return min(times.seconds)


def reduce_time(size: int) -> float:
    """Return the seconds of an all-reduce of so many float32, as they mostly are."""
    communicator, backend = get_communicator(), bpnet.get_backend("numpy")
    array, seconds = np.zeros(size, "float32"), []
    for _ in range(60):
        communicator.barrier()
        start = time.perf_counter()
        communicator.all_reduce(array, backend)
        seconds.append(time.perf_counter() - start)
    return median(seconds[10:])


def measure(path: Path) -> None:
    """Add what this number of processes takes to a file, or what is less than there.

    The pages that a process gets make products up to seven times slower, so run it some times.
    """
    communicator = get_communicator()
    found = {"step": step_time(BATCH), "large step": step_time(LARGE_BATCH)}
    if communicator.size == 1:
        found["half step"] = step_time(BATCH // 2)
    else:
        found |= {"small sum": reduce_time(2), "sum": reduce_time(N_WEIGHTS)}
    if communicator.is_main:
        known = json.loads(path.read_text()) if path.exists() else {}
        before = known.get(str(communicator.size), found)
        known[str(communicator.size)] = {k: min(t, before[k]) for k, t in found.items()}
        path.write_text(json.dumps(known, indent=1) + "\n")


# --- the model --------------------------------------------------------------------------------


def fitted(measured: dict[str, dict[str, float]]) -> Callable[[int], float]:
    """Return the predicted seconds of a step of N processes on this machine."""
    whole, half = measured["1"]["step"], measured["1"]["half step"]
    compute, fixed = 2 * (whole - half), 2 * half - whole
    latency = measured["2"]["small sum"] / 2
    bandwidth = 4 * N_WEIGHTS / (measured["2"]["sum"] - 2 * latency)
    return lambda size: (
        fixed + compute / size + sum_time(size, 4 * N_WEIGHTS, bandwidth, latency)
    )


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


def report(path: Path, folder: Path) -> None:
    """Write predictions, measured times and the plot of efficiency."""
    measured = json.loads(path.read_text())
    predict = fitted(measured)
    lines = [
        f"{'-'.join(map(str, WIDTHS))}, float32, momentum, NumPy; milliseconds of a step, and "
        "its share of one process' time",
        f"processes   batch {BATCH}      predicted   error        batch {LARGE_BATCH}",
    ]
    for size in map(int, measured):
        real, due = measured[str(size)]["step"], predict(size)
        large = measured[str(size)]["large step"]
        lines.append(
            f"{size:9d} {1e3 * real:8.2f} {real / measured['1']['step']:6.2f} "
            f"{1e3 * due:13.2f} {due / real - 1:+7.0%} "
            f"{1e3 * large:15.2f} {large / measured['1']['large step']:6.2f}"
        )
    lines += ["", "GPUs: efficiency, milliseconds of a step, and its largest part"]
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
    sizes = [int(size) for size in measured]
    left.plot(sizes, [1e3 * measured[str(s)]["step"] for s in sizes], "o", label="measured")
    left.plot(sizes, [1e3 * predict(s) for s in sizes], "--", label="predicted")
    left.set(
        xlabel="processes, on 2 cores", ylabel="ms per step", ylim=(0, None), xticks=sizes,
        title=f"{'-'.join(map(str, WIDTHS))}, batch {BATCH}",
    )  # fmt: skip
    for name, (gpus, efficiency) in curves.items():
        right.plot(gpus, efficiency, "o-", label=name)
    right.set(
        xscale="log", xlabel="H100 GPUs, 8 in a machine", ylabel="efficiency", ylim=(0, 1.05),
        title="extrapolated, from published figures",
    )  # fmt: skip
    right.set_xticks([1, 8, 64, 256, 1024], ["1", "8", "64", "256", "1024"])
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"measure": measure, "report": report}[command](*map(Path, paths))
