"""Train with checkpoints; the crash test kills this process.

    python child.py PATH [EPOCHS]

Resumes from PATH if it exists, and prints "ready" when training begins.
"""

from __future__ import annotations

import os
import sys

import numpy as np

import bpnet

EPOCHS = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 8)).astype("float32")
Y = np.sin(X.sum(axis=1))


class Ready(bpnet.Callback):
    """Tells the parent process that training begins."""

    def on_train_begin(self, training):
        print("ready", flush=True)


def train(path=None, epochs=EPOCHS):
    """Train, resuming from `path` if it exists; return network and history."""
    layers = [bpnet.Dense(64, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(1)]
    net = bpnet.Network(layers, "mean_squared_error", seed=1)
    callbacks = [] if path is None else [bpnet.Checkpoint(path), Ready()]
    found = path if path is not None and os.path.exists(path) else None
    optimizer = bpnet.Adam(bpnet.schedules.ReduceOnPlateau(0.01, patience=2, minimum=1e-5))
    history = net.fit(
        X, Y, epochs=epochs, optimizer=optimizer, callbacks=callbacks, resume_from=found
    )
    return net, history


if __name__ == "__main__":
    train(sys.argv[1], *map(int, sys.argv[2:]))
