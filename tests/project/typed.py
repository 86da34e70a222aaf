"""A user's program as seen by type checkers; mypy checks this file too.

Its intentional errors carry an ignore, and mypy reports unused ignores as errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

import bpnet
from bpnet.training.loop import Training


class StopBelow(bpnet.Callback):
    """Stop a training run early."""

    def on_epoch_end(self, training: Training) -> None:
        """Stop if the loss is low."""
        assert_type(training.logs, dict[str, float])
        if training.logs["loss"] < 0.1:
            training.stop("enough")


def program() -> None:
    """Use the public names."""
    X, y = bpnet.datasets.make_spiral(n_samples=400, classes=2, noise=0.2, seed=0)
    net = bpnet.Network(
        [bpnet.Dense(64, "tanh", l2=1e-4), bpnet.Dropout(0.1), bpnet.Dense(1)],
        loss=bpnet.losses.Huber(2.0), seed=0, dtype="float32",
    )  # fmt: skip
    history = net.fit(
        X, y, optimizer=bpnet.Adam(bpnet.schedules.Cosine(0.01, 20)), epochs=2,
        callbacks=[StopBelow(), bpnet.Checkpoint("net.safetensors", every=2)],
    )  # fmt: skip
    assert_type(history, bpnet.History)
    assert_type(history["loss"], list[float])
    assert_type(history.best_epoch, int | None)
    assert_type(net.loss_and_gradients(X, y), tuple[float, list[dict[str, Any]]])
    assert_type(net.parameters, list[dict[str, Any]])
    assert_type(net.evaluate(X, y), dict[str, float])
    net.evaluate(X, y, metrics=["f1", bpnet.metrics.TopKAccuracy(3)])
    assert_type(bpnet.check_gradients(net, X, y).max_relative_error, float)
    assert_type(bpnet.load("net.safetensors", backend="torch"), Any)  # or an estimator
    assert_type(bpnet.available_backends(), Mapping[str, bpnet.BackendInfo])
    with bpnet.use_backend("numpy") as backend:
        assert_type(backend, bpnet.Backend)
    assert_type(bpnet.parity(net, X, y), bpnet.Parity)
    assert_type(bpnet.diagnose(history), bpnet.Diagnosis)
    assert_type(bpnet.MLPClassifier((64,), "gelu", random_state=0), bpnet.MLPClassifier)
    try:
        net.fit(X, y)
    except bpnet.NonFiniteError as error:
        assert_type(error.history, bpnet.History)

    net.fit(X, y, epochs="three")  # type: ignore[arg-type]
    bpnet.Dense("64")  # type: ignore[arg-type]
    bpnet.Denes(64)  # type: ignore[attr-defined]
