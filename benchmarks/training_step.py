"""One training step on NumPy beside PyTorch's eager step, in one process.

Run with: python benchmarks/training_step.py
It needs PyTorch: pip install torch

Forward, loss, backward and update of one batch. The two take turns, so that whatever else
the machine does falls on both; what counts is the ratio of the medians.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import time

HIDDEN_UNITS = 512
SIZES = (784, HIDDEN_UNITS, HIDDEN_UNITS, 10)
BATCH = 256
# Steps in a turn; the first ones of each turn warm caches and threads, and do not count.
TURN, WARM_UP = 6, 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=25, help="turns of each contestant")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    for library in ("OMP", "OPENBLAS", "MKL"):  # read when the libraries are loaded
        os.environ[f"{library}_NUM_THREADS"] = str(options.threads)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # idle threads must not slow the other library

    import numpy as np
    import torch

    torch.set_num_threads(options.threads)
    print(
        f"{'-'.join(map(str, SIZES))}, batch {BATCH}, float32, {options.threads} threads, "
        f"{platform.machine()}\n"
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"PyTorch {torch.__version__}\n"
    )
    print(f"{'network':<16} {'bpnet on NumPy':>15} {'PyTorch eager':>15} {'ratio':>7}")
    for activation in ("relu", "tanh"):
        for optimizer in ("SGD", "Adam"):
            ours, theirs = compare(
                bpnet_step(activation, optimizer),
                torch_step(activation, optimizer),
                options.turns,
            )
            print(
                f"{activation + ', ' + optimizer:<16} {1e3 * ours:>12.2f} ms "
                f"{1e3 * theirs:>12.2f} ms {ours / theirs:>7.2f}"
            )


def compare(first, second, turns):
    """Time two contestants in turns; give the median of each in seconds."""
    times = {first: [], second: []}
    for _ in range(turns):
        for step, measured in times.items():
            for _ in range(TURN):
                start = time.perf_counter()
                step()
                measured.append(time.perf_counter() - start)
            del measured[-TURN : WARM_UP - TURN]
    return tuple(statistics.median(measured) for measured in times.values())


def examples():
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.normal(size=(BATCH, SIZES[0])).astype(np.float32)
    return X, rng.integers(0, SIZES[-1], BATCH)


def bpnet_step(activation, optimizer):
    """The step that `fit` takes, on a batch that stays where it is."""
    import bpnet
    from bpnet._step import make_step

    hidden = [bpnet.Dense(units, activation) for units in SIZES[1:-1]]
    net = bpnet.Network(
        [*hidden, bpnet.Dense(SIZES[-1])], "categorical_crossentropy", seed=0
    ).build(SIZES[0], "numpy")
    place, rule = net.backend, getattr(bpnet, optimizer)(1e-3)
    X, y = examples()
    data = {
        "X": X,
        "y": y,
        "w": None,
        "order": None,
        "rates": place.asarray([1e-3], "float32"),
        "total": float(BATCH),
    }
    state = {
        "parameters": net.placement.parameters,
        "slots": rule.init(place.xp, net.placement.parameters),
        "step": place.asarray(0, "int64"),
        "loss": place.asarray(0.0, "float32"),
    }
    step = make_step(place, net.model, rule, BATCH, BATCH)

    def run():
        nonlocal state
        state = step(state | {"batch": place.asarray(0, "int64")}, data)

    return run


def torch_step(activation, optimizer):
    """The usual training step of PyTorch."""
    import torch

    between = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[activation]
    layers = []
    for n_in, n_out in itertools.pairwise(SIZES):
        layers += [torch.nn.Linear(n_in, n_out), between()]
    net = torch.nn.Sequential(*layers[:-1])
    rule = getattr(torch.optim, optimizer)(net.parameters(), lr=1e-3)
    X, y = map(torch.from_numpy, examples())
    loss = torch.nn.CrossEntropyLoss()

    def run():
        rule.zero_grad()
        loss(net(X), y).backward()
        rule.step()

    return run


if __name__ == "__main__":
    main()
