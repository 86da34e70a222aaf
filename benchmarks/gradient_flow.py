"""What `bpnet.GradientFlow` costs at its default settings, as a share of an epoch.

Run with: python benchmarks/gradient_flow.py [--out FILE]

Trains with and without it in turn, and prints the ratio of the median times of an epoch. What
is measured before the first step, once in a training, stands in a column of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of a small net only wait

import machine
import numpy as np

import bpnet

REPEATS = 9


class Case(NamedTuple):
    name: str
    rows: int
    features: int
    hidden: tuple[int, ...]
    batch_size: int | None
    epochs: int


CASES = (
    Case("spiral: 400 rows, 2-64-64-2", 400, 2, (64, 64), 32, 120),
    Case("the same in one batch", 400, 2, (64, 64), None, 600),
    Case("digits: 1,797 rows, 64-64-10", 1797, 64, (64,), 32, 40),
    Case("deep: 2,000 rows, 20-32(x6)-2", 2000, 20, (32,) * 6, 32, 20),
    Case("wide: 6,000 rows, 784-256-256-10", 6000, 784, (256, 256), 128, 4),
)


class Timed(bpnet.GradientFlow):
    """Measure the once-only part apart."""

    def on_train_begin(self, training: Any) -> None:
        started = time.perf_counter()
        super().on_train_begin(training)
        self.once = time.perf_counter() - started


def measure(case: Case) -> tuple[float, float, float]:
    """Give the seconds of an epoch without and with the callback, and those of its start."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(case.rows, case.features)), rng.integers(0, 2, case.rows)
    layers = [*(bpnet.Dense(units, "relu") for units in case.hidden), bpnet.Dense(2)]
    net = bpnet.Network(layers, "categorical_crossentropy", seed=0).build(case.features)
    times: dict[bool, list[float]] = {False: [], True: []}
    once = []
    for watched in (False, True) * REPEATS:
        flow = Timed()
        history = net.fit(
            X, y, epochs=case.epochs, batch_size=case.batch_size,
            callbacks=[flow] if watched else [],
        )  # fmt: skip
        start = flow.once if watched else 0.0
        times[watched].append((history.seconds - start) / case.epochs)
        once += [start] if watched else []
    plain, watched_time = (statistics.median(times[key]) for key in (False, True))
    return plain, watched_time, statistics.median(once)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", help="file to write the result to as well")
    options = parser.parse_args()
    lines = [machine.describe(), "", f"{'':34s}   epoch   with it    more    once"]
    for case in CASES:
        plain, watched, once = measure(case)
        lines.append(
            f"{case.name:34s}{1e3 * plain:5.2f} ms{1e3 * watched:7.2f} ms"
            f"{100.0 * (watched / plain - 1.0):7.1f} %{1e3 * once:5.0f} ms"
        )
    text = "\n".join(lines)
    print(text)
    if options.out:
        with open(options.out, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
