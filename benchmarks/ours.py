"""bpnet as a contestant, on any backend."""

from __future__ import annotations

import functools
from typing import Any

import bpnet
from benchmarks.cases import LEARNING_RATE, Case
from benchmarks.timing import Turn, calls_of, wait
from bpnet.training.step import make_step

# Steps after which the batch counter restarts, as in each epoch of `fit`.
EPOCH = 100


def network(case: Case, backend: bpnet.Backend, seed: int = 0) -> bpnet.Network:
    hidden = [bpnet.Dense(units, case.activation) for units in case.sizes[1:-1]]
    layers = [*hidden, bpnet.Dense(case.sizes[-1])]
    return bpnet.Network(layers, "categorical_crossentropy", seed=seed).build(
        case.sizes[0], backend
    )


def optimizer(case: Case) -> bpnet.optimizers.Optimizer:
    return getattr(bpnet, case.optimizer)(LEARNING_RATE)  # type: ignore[no-any-return]


def step(case: Case, backend: bpnet.Backend) -> Turn:
    """Return a turn of the steps that `fit` runs, on a resident batch."""
    net, rule = network(case, backend), optimizer(case)
    with backend.activate():
        X, y = map(backend.asarray, case.examples())
        data = {
            "X": X,
            "y": y,
            "w": None,
            "order": None,
            "keys": backend.asarray(list(net.keys), "int64"),
            "values": {
                "learning_rate": backend.asarray([LEARNING_RATE] * EPOCH, "float32"),
            },
            "total": backend.asarray(float(case.batch), "float32"),
        }
        state: dict[str, Any] = {
            "parameters": net.placement.parameters,
            "optimizer_state": rule.init(backend.xp, net.placement.parameters),
            "step": backend.asarray(0, "int64"),
            "t": backend.asarray(0, "int64"),
            "loss": backend.asarray(0.0, "float32"),
        }
        compiled = make_step(backend, net.spec, rule, case.batch, case.batch)

    def turn(steps: int) -> None:
        nonlocal state
        with backend.activate():
            for number in range(steps):
                if number % EPOCH == 0:
                    state["batch"] = backend.asarray(0, "int64")
                state = compiled(state, data)
            wait(backend, state)

    return turn


def epoch(case: Case, backend: bpnet.Backend, batches: int) -> Turn:
    """Return a turn of epochs of `fit`, with shuffling."""
    net, rule = network(case, backend), optimizer(case)
    X, y = case.examples(case.batch * batches)

    def turn(epochs: int) -> None:
        net.fit(X, y, optimizer=rule, epochs=epochs, batch_size=case.batch, backend=backend)

    return turn


def inference(case: Case, backend: bpnet.Backend) -> Turn:
    """Return a turn of predictions for one batch, from host to device and back."""
    predict = functools.partial(network(case, backend).predict_proba, backend=backend)
    return calls_of(predict, case.examples()[0])
