"""Check which backends work, and name their device: the first thing that ``gpu.sh`` runs.

    python -m benchmarks.preflight cupy torch:cuda:0 jax:gpu:0

Prints a device name for the results, and the backends that work, one on each line. Says why
others do not; exits with status 1 if none does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import numpy as np

import bpnet
from benchmarks import hardware, machine


def main(specs: Sequence[str]) -> int:
    """Add numbers on each backend; return the exit status."""
    backends, reasons = [], []
    for spec in specs:
        try:
            backends.append(backend := bpnet.get_backend(spec))
            add(backend)
        except Exception as error:  # whatever a library or its driver raises
            reasons.append(f"{spec}: {error}")
    if reasons:
        print("\n".join(["these backends are unavailable:", *reasons]), file=sys.stderr)
    if not backends:
        return 1
    print(re.sub(r"[^a-z0-9]+", "-", device(backends).lower()).strip("-"))
    print("\n".join(backend.spec for backend in backends))
    return 0


def add(backend: bpnet.Backend) -> None:
    """Compute a sum, as a device that is listed may still fail to run."""
    with backend.activate():
        x = backend.asarray(np.ones(3, np.float32))
        total = backend.to_numpy(x + x)
    if total.tolist() != [2.0, 2.0, 2.0]:
        raise RuntimeError(f"1 + 1 gave {total}")


def device(backends: Sequence[bpnet.Backend]) -> str:
    """Return the model name of the GPU, or of the CPU if all backends are on it."""
    on_gpu = [backend for backend in backends if not backend.device.startswith("cpu")]
    return hardware.device_name(on_gpu[0]) if on_gpu else machine.processor()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
