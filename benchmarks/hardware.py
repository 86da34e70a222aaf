"""Peak float32 throughput of a device, to compare results with.

For known GPUs it is the vendor's figure without TF32; for other GPUs and the CPU, the best of a
few large matrix products and copies.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import bpnet

# FP32 TFLOP/s without tensor cores, and memory bandwidth in GB/s: NVIDIA's data sheets.
GPUS = (
    ("H200", 67.0, 4800.0),
    ("H100 NVL", 60.0, 3900.0),
    ("H100 PCIe", 51.0, 2000.0),
    ("H100", 67.0, 3350.0),
    ("A100.*80GB", 19.5, 2039.0),
    ("A100", 19.5, 1555.0),
    ("V100", 15.7, 900.0),
    ("A10", 31.2, 600.0),
    ("L40S", 91.6, 864.0),
    ("L4", 30.3, 300.0),
    ("T4", 8.1, 320.0),
    ("RTX 5090", 104.8, 1792.0),
    ("RTX 4090", 82.6, 1008.0),
    ("RTX 3090", 35.6, 936.0),
)
SIDE = 2048  # of the square matrices to multiply
LENGTH = 2**25  # elements to copy: 128 MiB, more than a cache holds
REPEATS = 5


class Peak(NamedTuple):
    """Operations and bytes per second, and the source of these numbers."""

    flops: float
    bytes: float
    source: str

    def least_seconds(self, flops: float, bytes: float) -> float:
        """Return the least time for some work (the roofline; Williams et al. 2009)."""
        return max(flops / self.flops, bytes / self.bytes)

    def __str__(self) -> str:
        return (
            f"{1e-9 * self.flops:,.0f} GFLOP/s, {1e-9 * self.bytes:,.0f} GB/s ({self.source})"
        )


def peak(device: str, backends: dict[str, bpnet.Backend]) -> Peak:
    """Return the peak of a device; for a GPU, through a backend on it."""
    if device.startswith("cpu"):
        return of_host()
    return of_gpu(next(p for p in backends.values() if not p.device.startswith("cpu")))


@functools.cache
def of_host() -> Peak:
    """Measure the CPU, with as many threads as the libraries use."""
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    x, long = np.ones((SIDE, SIDE), np.float32), np.ones(LENGTH, np.float32)
    product, copied = np.empty_like(x), np.empty_like(long)
    pieces = list(
        zip(np.array_split(copied, threads), np.array_split(long, threads), strict=True)
    )
    with ThreadPoolExecutor(threads) as pool:
        copy = best(lambda: list(pool.map(lambda pair: np.copyto(*pair), pieces)))
    return measured(best(lambda: np.matmul(x, x, out=product)), copy)


@functools.cache
def of_gpu(backend: bpnet.Backend) -> Peak:
    """Look up a GPU, or measure it if it is unknown."""
    name = device_name(backend)
    for pattern, tflops, gigabytes in GPUS:
        if re.search(rf"\b{pattern}\b", name):
            return Peak(1e12 * tflops, 1e9 * gigabytes, f"data sheet of {name}")
    with backend.activate():
        x = backend.asarray(np.ones((SIDE, SIDE), np.float32))
        long = backend.asarray(np.ones(LENGTH, np.float32))
        square, negative = (backend.compile_pure(f) for f in (_square, _negative))
        product = best(lambda: square(x), backend.synchronize)
        copy = best(lambda: negative(long), backend.synchronize)
    return measured(product, copy)


def _square(x: Any) -> Any:
    return x @ x


def _negative(x: Any) -> Any:
    return -x


def measured(product: float, copy: float) -> Peak:
    """Return the peak, given the seconds of one product and one copy."""
    return Peak(2.0 * SIDE**3 / product, 2.0 * 4 * LENGTH / copy, "measured")


def best(function: Callable[[], Any], wait: Callable[[], Any] = lambda: None) -> float:
    """Return the shortest of ``REPEATS`` calls, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)


def device_name(backend: bpnet.Backend) -> str:
    """Return the model name of a backend's GPU."""
    if backend.name == "torch":
        import torch

        return str(torch.cuda.get_device_name(backend.device))
    if backend.name == "cupy":
        import cupy

        properties = cupy.cuda.runtime.getDeviceProperties(int(backend.device))
        return str(properties["name"].decode())
    with backend.activate():
        (device,) = backend.asarray(0.0).devices()
    return str(device.device_kind)
