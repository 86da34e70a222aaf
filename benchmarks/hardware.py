"""What a device could do at best in float32: the arithmetic peak, beside what is reached.

Of known GPUs it is the maker's figure without TF32; of others, and of the CPU, the best of a
few large products and copies, measured here.
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

# FP32 of the ordinary cores in TFLOP/s, and memory bandwidth in GB/s: NVIDIA's data sheets.
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
SIDE = 2048  # of the square matrices that are multiplied
LENGTH = 2**25  # elements that are copied: 128 MiB, more than a cache holds
REPEATS = 5


class Peak(NamedTuple):
    """Operations and bytes per second, and where these figures come from."""

    flops: float
    bytes: float
    source: str

    def least_seconds(self, flops: float, bytes: float) -> float:
        """Give the time that work takes at least (Williams et al. 2009, the roofline)."""
        return max(flops / self.flops, bytes / self.bytes)

    def __str__(self) -> str:
        return (
            f"{1e-9 * self.flops:,.0f} GFLOP/s, {1e-9 * self.bytes:,.0f} GB/s ({self.source})"
        )


def peak(device: str, places: dict[str, bpnet.Backend]) -> Peak:
    """Find the peak of a device: a GPU's through a backend that is on it."""
    if device.startswith("cpu"):
        return of_host()
    return of_gpu(next(p for p in places.values() if not p.device.startswith("cpu")))


@functools.cache
def of_host() -> Peak:
    """Measure the CPU, with as many threads as the libraries are given."""
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
def of_gpu(place: bpnet.Backend) -> Peak:
    """Look a GPU up, or measure it."""
    name = device_name(place)
    for pattern, tflops, gigabytes in GPUS:
        if re.search(rf"\b{pattern}\b", name):
            return Peak(1e12 * tflops, 1e9 * gigabytes, f"data sheet of {name}")
    with place.activate():
        x = place.asarray(np.ones((SIDE, SIDE), np.float32))
        long = place.asarray(np.ones(LENGTH, np.float32))
        square, negative = (place.compile_pure(f) for f in (_square, _negative))
        product = best(lambda: square(x), place.synchronize)
        copy = best(lambda: negative(long), place.synchronize)
    return measured(product, copy)


def _square(x: Any) -> Any:
    return x @ x


def _negative(x: Any) -> Any:
    return -x


def measured(product: float, copy: float) -> Peak:
    """Give the peak at which these are the seconds of a product and a copy."""
    return Peak(2.0 * SIDE**3 / product, 2.0 * 4 * LENGTH / copy, "measured")


def best(function: Callable[[], Any], wait: Callable[[], Any] = lambda: None) -> float:
    """Give the shortest of some calls, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)


def device_name(place: bpnet.Backend) -> str:
    """Name the model of a backend's GPU."""
    if place.name == "torch":
        import torch

        return str(torch.cuda.get_device_name(place.device))
    if place.name == "cupy":
        import cupy

        properties = cupy.cuda.runtime.getDeviceProperties(int(place.device))
        return str(properties["name"].decode())
    with place.activate():
        (device,) = place.asarray(0.0).devices()
    return str(device.device_kind)
