"""Warm starts and partial_fit: ten calls of one epoch equal one call of ten."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import bpnet
from bpnet import schedules

X, Y = bpnet.datasets.make_moons(60, seed=0)
OPTIMIZERS = {
    "adam": bpnet.Adam(0.02),
    "momentum with a schedule": bpnet.SGD(schedules.Cosine(0.1, epochs=6), momentum=0.9),
    "plateau": bpnet.Adam(schedules.ReduceOnPlateau(0.1, "loss", patience=1, min_delta=0.9)),
    "average": bpnet.optimizers.MovingAverage(bpnet.SGD(0.1), 0.9),
    "decay": bpnet.AdamW(schedules.WarmUp(schedules.Constant(0.05), epochs=2)),
}


def network(dtype="float32"):
    layers = [bpnet.Dense(5, "tanh"), bpnet.BatchNorm(), bpnet.Dropout(0.2), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=3, dtype=dtype)


def values(net):
    return [net.backend.to_numpy(p) for layer in net.parameters for p in layer.values()]


def assert_equal(net, other):
    for a, b in zip(values(net), values(other), strict=True):
        assert_array_equal(a, b)


@pytest.mark.once_on_jax
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_calls_of_one_epoch_equal_one_call(name, backend):
    optimizer = OPTIMIZERS[name]
    whole, parts, halves = network(), network(), network()
    history = whole.fit(X, Y, optimizer=optimizer, epochs=6, batch_size=16, backend=backend)
    losses, rates = [], []
    for _ in range(6):
        part = parts.partial_fit(X, Y, optimizer=optimizer, batch_size=16, backend=backend)
        losses += part["loss"]
        rates += part["learning_rate"]
    for epochs in (2, 4):
        halves.fit(
            X, Y, optimizer=optimizer if epochs == 2 else None, epochs=epochs, batch_size=16,
            backend=backend, warm_start=True,
        )  # fmt: skip
    assert losses == history["loss"]
    assert rates == history["learning_rate"]
    assert_equal(parts, whole)
    assert_equal(halves, whole)


def test_without_a_warm_start_the_optimizer_starts_over():
    warm, cold = network(), network()
    for net, keep in ((warm, True), (cold, False)):
        net.fit(X, Y, epochs=2)
        net.fit(X, Y, epochs=1, warm_start=keep)
    assert any((a != b).any() for a, b in zip(values(warm), values(cold), strict=True))


def test_the_state_moves_with_the_network(backend):
    still, moved = network("float64"), network("float64")
    for net in (still, moved):
        net.fit(X, Y, optimizer=OPTIMIZERS["average"], epochs=2, backend="numpy")
    moved.to(backend)
    for net in (still, moved):
        net.partial_fit(X, Y, backend="numpy")
    assert_equal(moved, still)


def test_weights_that_were_set_are_those_that_training_continues_from():
    optimizer = bpnet.optimizers.MovingAverage(bpnet.SGD(1e-6), 0.9)
    net = network()
    net.fit(X, Y, optimizer=optimizer, epochs=2)
    zeros = [{name: np.zeros(p.shape) for name, p in layer.items()} for layer in net.parameters]
    net.parameters = zeros
    net.partial_fit(X, Y)
    assert max(abs(net.parameters[0]["W"]).max(), abs(net.parameters[2]["W"]).max()) < 1e-4


def test_a_network_built_anew_forgets_the_state():
    again, fresh = network(), network()
    again.fit(X, Y, optimizer=OPTIMIZERS["plateau"], epochs=3)
    again.build(2)
    for net in (again, fresh):
        net.partial_fit(X, Y, optimizer=OPTIMIZERS["plateau"])
    assert_equal(again, fresh)


def test_another_rate_keeps_the_state_and_another_rule_does_not():
    def trained(*optimizers):
        net = network()
        for optimizer in optimizers:
            net.partial_fit(X, Y, optimizer=optimizer)
        return net

    both = trained(bpnet.Adam(0.01), bpnet.Adam(0.02))
    assert both._last_run.state.step == 4
    assert both.steps_taken == 4
    other = trained(bpnet.Adam(0.01), bpnet.SGD(0.02))
    assert other._last_run.state.step == 2
    assert other.steps_taken == 4


def test_an_error_before_training_leaves_the_last_run():
    net, twin = network(), network()
    for each in (net, twin):
        each.fit(X, Y, epochs=2)

    class Refusing(bpnet.Callback):
        def setup(self, training):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        net.fit(X, Y, epochs=1, warm_start=True, callbacks=[Refusing()])
    with pytest.raises(ValueError, match="either warm_start"):
        net.fit(X, Y, warm_start=True, resume_from="x")
    for each in (net, twin):
        each.partial_fit(X, Y)
    assert_equal(net, twin)


def test_a_run_that_an_error_ended_is_continued_but_not_saved(tmp_path):
    class Stopping(bpnet.Callback):
        def on_epoch_end(self, training):
            if training.epoch == 2:
                raise ZeroDivisionError

    net = network()
    with pytest.raises(ZeroDivisionError):
        net.fit(X, Y, epochs=3, callbacks=[Stopping()])
    net.save(tmp_path / "net.safetensors")
    with pytest.raises(bpnet.ModelFileError, match="training"):
        bpnet.load(tmp_path / "net.safetensors").fit(
            X, Y, resume_from=tmp_path / "net.safetensors"
        )
    steps = net.steps_taken
    net.partial_fit(X, Y)
    assert net._last_run.state.step == net.steps_taken == steps + 2


def test_training_continues_after_a_nan(recwarn):
    net = network()
    net.partial_fit(X, Y)
    before = values(net)
    with np.errstate(all="ignore"), pytest.raises(bpnet.errors.NonFiniteError):
        net.partial_fit(X, Y, optimizer=bpnet.SGD(1e38))
    for a, b in zip(values(net), before, strict=True):
        assert_array_equal(a, b)
    history = net.partial_fit(X, Y, optimizer=bpnet.Adam())
    assert np.isfinite(history["loss"]).all()


def test_a_saved_network_has_the_state_of_a_warm_start(tmp_path):
    path, net, whole = tmp_path / "net.safetensors", network(), network()
    for _ in range(2):
        net.partial_fit(X, Y)
    net.save(path)
    loaded = bpnet.load(path)
    loaded.fit(X, Y, epochs=2, resume_from=path)  # the file's run is one epoch
    whole.fit(X, Y, epochs=3)
    assert_equal(loaded, whole)
