"""Ownership of the parameters: by the runner while fit runs, otherwise by the network."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from on_host import assert_same, flat

import bpnet

X, Y = bpnet.datasets.make_xor(40, seed=0)


def network():
    layers = [bpnet.Dense(3, "tanh"), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=0)


def hook(name, function):
    """Return a callback that passes the training run to a function in one hook."""
    return type("Hook", (bpnet.Callback,), {name: lambda self, training: function(training)})()


@pytest.mark.parametrize(
    "name", ["on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_train_end"]
)
def test_in_each_hook_the_network_has_the_current_parameters(name, backend):
    net, seen = network(), []

    def look(training):
        seen.append(flat(backend, net.parameters))
        for ours, theirs in zip(net.placement.parameters, training.parameters, strict=True):
            assert all(ours[k] is theirs[k] for k in ours)

    net.fit(X, Y, epochs=3, batch_size=20, callbacks=hook(name, look), backend=backend)
    assert len(seen) == {"on_train_begin": 1, "on_batch_end": 6, "on_train_end": 1}.get(name, 3)
    if name == "on_batch_end":
        assert len({arrays[0].tobytes() for arrays in seen}) == 6  # each step changes them
        assert_same(seen[-1], flat(backend, net.parameters))


def test_training_continues_from_what_a_callback_assigns_to_the_network(backend):
    def assign(target):
        def set_zero(training):
            if training.epoch == 1:
                owner = training.network if target == "network" else training
                zeros = [{k: 0.0 * p for k, p in layer.items()} for layer in owner.parameters]
                owner.parameters = zeros

        net = network()
        net.fit(X, Y, epochs=2, callbacks=hook("on_epoch_end", set_zero), backend=backend)
        return flat(backend, net.parameters)

    assert_same(assign("network"), assign("training"))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["on_train_begin", "on_batch_end", "on_epoch_end"])
def test_after_an_error_the_network_has_the_parameters_of_the_last_step(name, error, backend):
    net, last = network(), []

    def fail(training):
        last[:] = flat(backend, training.parameters)
        if training.epoch == 1 or name == "on_train_begin":
            raise error

    with pytest.raises(error):
        net.fit(X, Y, epochs=3, callbacks=hook(name, fail), backend=backend)
    assert_same(flat(backend, net.parameters), last)
    net.fit(X, Y, epochs=1, backend=backend)  # the failed run leaves nothing behind
    assert not np.array_equal(flat(backend, net.parameters)[0], last[0])


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
def test_a_copy_made_while_fit_runs_owns_its_parameters(duplicate):
    copies = []

    def take(training):
        copies.append(
            (duplicate(training.network), flat(training.backend, training.parameters))
        )

    net = network()
    net.fit(X, Y, epochs=2, callbacks=hook("on_epoch_end", take), backend="numpy")
    for other, expected in copies:
        assert_same(flat(other.backend, other.parameters), expected)
        other.parameters = [
            {k: 0.0 * p for k, p in layer.items()} for layer in other.parameters
        ]
    assert_array_equal(flat(net.backend, net.parameters)[0] != 0.0, True)


def test_parameters_assigned_in_teardown_reach_the_network(backend):
    def set_zero(training):
        training.parameters = [
            {k: 0.0 * p for k, p in layer.items()} for layer in training.parameters
        ]

    net = network()
    net.fit(X, Y, epochs=1, callbacks=hook("teardown", set_zero), backend=backend)
    assert all(np.all(p == 0.0) for p in flat(backend, net.parameters))


def test_the_initial_parameters_are_not_kept_while_fit_runs():
    """The run has copies of them, and memory may be scarce."""
    net = network().build(2)
    initial = weakref.ref(net.parameters[0]["W"])
    seen = []
    look = hook("on_epoch_begin", lambda training: seen.append(initial() is not None))
    net.fit(X, Y, epochs=3, callbacks=look, backend="numpy")
    assert seen == [False, False, False]


def test_the_runner_and_the_examples_are_freed_without_garbage_collection(backend):
    """They may fill a device, on which the next run needs the room."""
    kept = []

    def look(training):
        kept.extend(map(weakref.ref, (training.runner, training.runner.loader)))

    net = network()
    net.fit(X, Y, epochs=1, backend=backend)  # compiling leaves garbage of its own
    gc.collect()
    gc.disable()
    try:
        net.fit(X, Y, epochs=2, callbacks=hook("on_train_begin", look), backend=backend)
        assert [reference() for reference in kept] == [None, None]
    finally:
        gc.enable()
