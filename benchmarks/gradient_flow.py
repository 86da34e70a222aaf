"""Overhead of `bpnet.GradientFlow` at its default settings, as a share of an epoch.

Run with: python benchmarks/gradient_flow.py [--out FILE]

Trains with and without it in turn, on one thread. "inside" is the CPU time of its hooks and of
storing the metrics, relative to the rest of the same run; other load on the machine barely
affects it. "with it" is the median ratio of paired runs with and without it. "first" is the
time before the first step, in the first run, and "again" that of further runs on the same data,
which it need not fit simple models to again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any, NamedTuple

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # so that CPU time is that of the work alone

import machine
import numpy as np

import bpnet

REPEATS = 21


class Case(NamedTuple):
    name: str
    rows: int
    features: int
    hidden: tuple[int, ...]
    batch_size: int | None
    epochs: int


CASES = (
    Case("spiral: 400 rows, 2-64-64-2", 400, 2, (64, 64), 32, 56),
    Case("the same in one batch", 400, 2, (64, 64), None, 560),
    Case("digits: 1,797 rows, 64-64-10", 1797, 64, (64,), 32, 16),
    Case("deep: 2,000 rows, 20-32(x6)-2", 2000, 20, (32,) * 6, 32, 8),
    Case("wide: 6,000 rows, 784-256-256-10", 6000, 784, (256, 256), 128, 2),
)


class Timed(bpnet.GradientFlow):
    """Time itself: once before the first step, and inside the epochs."""

    once = inside = 0.0

    def on_train_begin(self, training: Any) -> None:
        started = time.process_time()
        super().on_train_begin(training)
        self.once = time.process_time() - started
        training.history = TimedHistory(self, training.history)

    def on_epoch_end(self, training: Any) -> None:
        started = time.process_time()
        super().on_epoch_end(training)
        self.inside += time.process_time() - started


class TimedHistory(bpnet.History):
    """Charge the time to store all metrics to the callback."""

    def __init__(self, flow: Timed, history: bpnet.History) -> None:
        vars(self).update(vars(history))
        self.flow = flow

    def append(self, logs: Any) -> None:
        started = time.process_time()
        super().append(logs)
        self.flow.inside += time.process_time() - started


def measure(case: Case) -> tuple[float, float, float, float, float]:
    """Return seconds per epoch, both shares of the callback, and its seconds before epoch 1.

    Those are of the first run on the data, and of further ones.
    """
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(case.rows, case.features)), rng.integers(0, 2, case.rows)
    layers = [*(bpnet.Dense(units, "relu") for units in case.hidden), bpnet.Dense(2)]
    net = bpnet.Network(layers, "categorical_crossentropy", seed=0).build(case.features)
    plain, inside, ratios, once = [], [], [], []
    for repeat in range(REPEATS):
        flow = Timed()
        pair = {}
        for callbacks in ([], [flow]) if repeat % 2 else ([flow], []):
            started = time.process_time()
            net.fit(X, y, epochs=case.epochs, batch_size=case.batch_size, callbacks=callbacks)
            pair[bool(callbacks)] = time.process_time() - started
        plain.append(pair[False] / case.epochs)
        watched = pair[True] - flow.once
        inside.append(flow.inside / (watched - flow.inside))
        ratios.append(watched / pair[False] - 1.0)
        once.append(flow.once)
    median = statistics.median
    return median(plain), median(inside), median(ratios), once[0], median(once[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", help="file to write the result to, too")
    options = parser.parse_args()
    lines = [machine.describe(), "", f"{'':34s}    epoch   inside  with it    first    again"]
    for case in CASES:
        epoch, inside, ratio, first, again = measure(case)
        lines.append(
            f"{case.name:34s}{1e3 * epoch:6.2f} ms{100.0 * inside:7.1f} %{100.0 * ratio:7.1f} %"
            f"{1e3 * first:6.0f} ms{1e3 * again:6.0f} ms"
        )
    text = "\n".join(lines)
    print(text)
    if options.out:
        with open(options.out, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
