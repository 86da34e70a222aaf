"""Whether backends answer, and on which device: the first thing that ``gpu.sh`` asks.

    python -m benchmarks.preflight cupy torch:cuda:0 jax:gpu:0

Prints a name for the files of results; if one of the backends cannot be had, says why, and
what would help, and ends with exit status 1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import numpy as np

import bpnet
from benchmarks import hardware, machine


def main(specs: Sequence[str]) -> int:
    """Add two numbers on each of the backends."""
    places, reasons = [], []
    for spec in specs:
        try:
            places.append(place := bpnet.get_backend(spec))
            add(place)
        except Exception as error:  # whatever a library or its driver has to say
            reasons.append(f"{spec}: {error}")
    if reasons or not places:
        print("\n".join(["these backends do not answer:", *reasons]), file=sys.stderr)
        return 1
    print(re.sub(r"[^a-z0-9]+", "-", device(places).lower()).strip("-"))
    return 0


def add(place: bpnet.Backend) -> None:
    """Compute, for a device that is listed may still refuse to."""
    with place.activate():
        x = place.asarray(np.ones(3, np.float32))
        total = place.to_numpy(x + x)
    if total.tolist() != [2.0, 2.0, 2.0]:
        raise RuntimeError(f"1 + 1 is {total} there")


def device(places: Sequence[bpnet.Backend]) -> str:
    """Name the model of the GPU, or of the CPU if all of them compute there."""
    on_gpu = [place for place in places if not place.device.startswith("cpu")]
    return hardware.device_name(on_gpu[0]) if on_gpu else machine.processor()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
