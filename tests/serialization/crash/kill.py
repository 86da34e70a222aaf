"""The crash test: kill a training run at random times; nothing may be lost.

    python tests/serialization/crash/kill.py 100

A child trains and writes a checkpoint after each epoch. It is killed with SIGKILL at a random
time and restarted to resume, this many times. After each kill the file must load and must not
be older than before; in the end weights and history must equal those of an uninterrupted run.
"""

from __future__ import annotations

import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np

import bpnet

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import child

# Maximum lifetime of a child in seconds after it begins: several epochs.
LIFE = 0.12


def kill(times: int, path: pathlib.Path, seed: int = 0) -> dict[str, int]:
    """Kill this many children; return the counts of what they left."""
    moments, counts = random.Random(seed), {"killed": 0, "with a file": 0, "while writing": 0}
    epochs = 100_000  # more than the children reach
    before = 0
    while counts["killed"] < times:
        process = subprocess.Popen(
            [sys.executable, child.__file__, str(path), str(epochs)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        if line != "ready\n":
            raise AssertionError(f"a child could not resume: {process.communicate()[1]}")
        time.sleep(moments.uniform(0.0, LIFE))
        process.kill()
        process.communicate()
        assert process.returncode == -9, "it ended by itself"
        counts["killed"] += 1
        left = list(path.parent.glob(".*.tmp"))
        counts["while writing"] += bool(left)
        for temporary in left:
            temporary.unlink()
        if path.exists():
            counts["with a file"] += 1
            now = bpnet.load(path).epochs_taken
            assert now >= before, f"the file went back from epoch {before} to {now}"
            before = now
    counts["epochs"] = before
    compare(path, before)
    return counts


def compare(path: pathlib.Path, epochs: int) -> None:
    """Resume for three epochs, and compare with an uninterrupted run."""
    resumed, history = child.train(path, epochs + 3)
    whole, expected = child.train(None, epochs + 3)
    assert dict(history) == dict(expected), "the histories differ"
    for layer, reference in zip(resumed.parameters, whole.parameters, strict=True):
        for name, p in layer.items():
            np.testing.assert_array_equal(p, reference[name])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        counts = kill(int(sys.argv[1]), pathlib.Path(folder, "net.safetensors"))
    print(", ".join(f"{name}: {count}" for name, count in counts.items()))
    print("the file always loaded and resumed, and equals the undisturbed training")
