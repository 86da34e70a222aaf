"""Out of memory: real requests that no machine can satisfy."""

from __future__ import annotations

import gc
import pickle
import weakref

import numpy as np
import pytest

import bpnet
from bpnet.backend.memory import in_units

pytestmark = pytest.mark.few_on_jax

WIDE = 2**21
ROWS = 2**21  # together 2**42 activations: 16 TiB in float32


def network(units=WIDE):
    layers = [bpnet.Dense(units, "relu", init="zeros"), bpnet.Dense(1, init="zeros")]
    return bpnet.Network(layers, "mean_squared_error", seed=0)


def test_a_batch_that_is_too_large(backend):
    X = np.zeros((ROWS, 1), np.float32)
    net = network().build(1, backend)
    before = net.parameters[0]["W"]
    with pytest.raises(bpnet.OutOfMemoryError) as caught:
        net.fit(X, X[:, 0], epochs=1, batch_size=None, backend=backend)
    text = str(caught.value)
    assert f"{backend.spec} ran out of memory" in text
    assert "32 TiB for the activations of a batch of 2,097,152" in text
    assert text.endswith("Lower batch_size")
    assert isinstance(caught.value, MemoryError)
    assert caught.value.__cause__ is not None
    assert np.array_equal(backend.to_numpy(net.parameters[0]["W"]), backend.to_numpy(before))
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


def test_parameters_that_are_too_many(backend):
    net = network(2**24)
    with pytest.raises(
        bpnet.OutOfMemoryError, match=r"needs: 1 PiB for the weights\. Lower the units"
    ):
        net.build(2**24, backend)
    assert not net.is_built


class Full(bpnet.Layer):
    """A layer that runs out of memory."""

    def forward(self, xp, parameters, a_previous, context):
        raise MemoryError

    def backward(self, xp, parameters, cache, error, propagate=True):
        raise NotImplementedError


# In float32 the weights of 3 -> 3 -> 4 -> 1 take 4 (4 * 4 + 5) = 84 bytes, z and a of a row
# 4 * 2 * (3 + 4 + 1) = 64.
@pytest.mark.parametrize(
    ("rows", "asked"),
    [
        (1, "84 bytes for the weights, 64 bytes for the activations of 1 row. "
            "Lower the units of the layers"),
        (5000, "256 KiB for the activations of 4,096 rows, 84 bytes for the weights. "
               "Lower the rows passed at once"),
    ],
)  # fmt: skip
def test_a_prediction_reports_its_memory(rows, asked, backend):
    layers = [Full(), bpnet.Dense(4, "tanh"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "mean_squared_error", seed=0).build(3, backend)
    X = np.ones((rows, 3), np.float32)
    for compute in (lambda: net.forward(X), lambda: net.evaluate(X, X[:, 0])):
        with pytest.raises(bpnet.OutOfMemoryError) as caught:
            compute()
        assert str(caught.value).endswith(f"ran out of memory; approximate needs: {asked}")


def test_training_reports_its_memory(backend):
    class Fail(bpnet.Callback):
        def on_batch_end(self, training):
            raise MemoryError

    layers = [bpnet.Dropout(0.5), bpnet.Dense(4, "tanh"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "mean_squared_error", seed=0)
    X = np.ones((4, 3), np.float32)
    with pytest.raises(bpnet.OutOfMemoryError) as caught:
        net.fit(X, X[:, 0], batch_size=2, callbacks=[Fail()], backend=backend)
    # Weights, their copies and gradients, two copies of Adam's two state arrays: 7 * 84 bytes.
    assert str(caught.value).endswith(
        "approximate needs: 588 bytes for weights, gradients and optimizer state, "
        "128 bytes for the activations of a batch of 2, 64 bytes for the examples. "
        "Lower the units of the layers"
    )


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_an_epoch_that_ran_out_of_memory_is_undone(error, backend):
    class Fail(bpnet.Callback):
        def on_batch_end(self, training):
            if training.epoch == 1 and int(training.runner.arrays["batch"]) == 2:
                raise error

    layers = [bpnet.Dense(4, "tanh"), bpnet.Dense(1)]
    expected, net = (bpnet.Network(layers, "mean_squared_error", seed=0) for _ in range(2))
    X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    settings = {"batch_size": 2, "backend": backend}
    expected.fit(X, X[:, 0], epochs=1, **settings)
    with pytest.raises((bpnet.OutOfMemoryError, RuntimeError)):
        net.fit(X, X[:, 0], epochs=3, callbacks=[Fail()], **settings)
    undone = np.array_equal(*(backend.to_numpy(n.parameters[0]["W"]) for n in (net, expected)))
    assert undone == (error is MemoryError)
    assert net.steps_taken == (4 if undone else 6)


@pytest.mark.parametrize(
    ("X", "advice"),
    [
        (np.ones((4, 300), np.float32), "the units of the layers"),
        (np.ones((400, 3), np.float32), "batch_size"),
        (np.ones((400, 40), np.float32), "the number of examples, or use float32"),
    ],
)
def test_training_advises_what_to_lower(X, advice):
    class Fail(bpnet.Callback):
        def on_batch_end(self, training):
            raise MemoryError

    net = bpnet.Network([bpnet.Dense(4), bpnet.Dense(1)], "mean_squared_error", seed=0)
    batch_size = 350 if X.shape[1] == 3 else 2
    with pytest.raises(bpnet.OutOfMemoryError, match=f"Lower {advice}$"):
        net.fit(X, X[:, 0], batch_size=batch_size, callbacks=[Fail()])


def test_other_errors_propagate_unchanged(backend):
    class Fail(bpnet.Callback):
        def on_batch_end(self, training):
            raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space left"):
        network(2).fit(np.ones((4, 1)), np.ones(4), callbacks=[Fail()], backend=backend)


def test_sizes_are_written_in_units():
    assert [in_units(n) for n in (0, 1023, 1536, 2**40, 2**70)] == [
        "0 bytes", "1.02e+03 bytes", "1.5 KiB", "1 TiB", "1.05e+06 PiB",
    ]  # fmt: skip


def test_training_state_is_freed_at_the_end(backend):
    """Its copies of the weights must not wait for the garbage collector."""
    kept = []

    class Keep(bpnet.Callback):
        def on_train_end(self, training):
            kept.append(weakref.ref(training))

    X, y = bpnet.datasets.make_spiral(20, seed=0)
    net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    gc.collect()
    gc.disable()
    try:
        net.fit(X, y, epochs=2, callbacks=[Keep()], backend=backend)
        assert kept[0]() is None
    finally:
        gc.enable()
