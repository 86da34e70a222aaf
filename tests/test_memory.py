"""Memory that does not suffice: real requests that no machine can grant."""

from __future__ import annotations

import gc
import pickle
import weakref

import numpy as np
import pytest

import bpnet
from bpnet._memory import in_units

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
    with pytest.raises(bpnet.OutOfMemoryError, match=r"for the weights.*Lower the units"):
        net.build(2**24, backend)
    assert not net.is_built


def test_other_errors_pass_unchanged(backend):
    class Fail(bpnet.Callback):
        def on_batch_end(self, training):
            raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space left"):
        network(2).fit(np.ones((4, 1)), np.ones(4), callbacks=[Fail()], backend=backend)


def test_sizes_are_written_in_units():
    assert [in_units(n) for n in (0, 1023, 1536, 2**40, 2**70)] == [
        "0 bytes", "1.02e+03 bytes", "1.5 KiB", "1 TiB", "1.05e+06 PiB",
    ]  # fmt: skip


def test_a_training_is_freed_when_it_ends(backend):
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
