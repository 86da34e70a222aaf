"""What estimators need of the core: warm starts, averaged penalties, given orders."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.losses import LOSSES
from bpnet.training.loop import Training
from bpnet.training.state import TrainingState

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
LABELS = RNG.integers(0, 3, 20)
WEIGHTS = np.linspace(0.0, 3.0, 20)  # 30 in sum, not the number of rows


def network(shared=True, loss="categorical_crossentropy"):
    layers = [bpnet.Dense(4, "tanh", l1=0.01, l2=0.3), bpnet.Dense(3, l2=0.2)]
    net = bpnet.Network(layers, loss, seed=0, dtype="float64").build(3)
    net.set_average_penalty(shared)
    return net


def train(net, state, epochs, order=None, w=None, loss_weighting="weight", callbacks=()):
    training = Training(
        net, net.check_data(X, LABELS, w),
        validation=None, epochs=epochs, batch_size=8,
        order=order or (lambda epoch, rows: np.roll(np.arange(rows), epoch)),
        shuffle=False, callbacks=callbacks, backend=None, state=state,
        loss_weighting=loss_weighting,
    )  # fmt: skip
    return training.run()


@pytest.mark.parametrize("w", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_a_shared_penalty_is_divided_by_the_weights(w):
    plain, shared = network(shared=False), network()
    total = 20.0 if w is None else w.sum()
    without = bpnet.Network(
        [bpnet.Dense(4, "tanh"), bpnet.Dense(3)], plain.loss, dtype="float64"
    )
    without.build(3).parameters = plain.parameters
    losses = [net.loss_and_gradients(X, LABELS, w)[0] for net in (without, plain, shared)]
    assert losses[1] > losses[0] + 0.1
    assert_allclose(losses[2] - losses[0], (losses[1] - losses[0]) / total, rtol=1e-12)
    assert_allclose(shared.evaluate(X, LABELS, w)["loss"], losses[2], rtol=1e-12)
    assert bpnet.check_gradients(shared, X, LABELS, w).max_relative_error < 1e-7


@pytest.mark.once_on_jax
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_error_together_are_both(name, xp, backend):
    loss = LOSSES[name]
    y = LABELS if loss.targets == "labels" else RNG.integers(0, 2, (20, 3)).astype(float)
    y, z = backend.asarray(y), backend.asarray(3.0 * RNG.normal(size=(20, 3)))
    value, error = (backend.to_numpy(a) for a in loss.value_and_error(xp, y, z))
    assert_allclose(value, backend.to_numpy(loss.value(xp, y, z)), rtol=1e-12, atol=1e-15)
    assert_allclose(error, backend.to_numpy(loss.error(xp, y, z)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "optimizer",
    [bpnet.Adam(bpnet.schedules.Cosine(0.1, epochs=6)), bpnet.SGD(0.1, momentum=0.9)],
    ids=["adam with a schedule", "momentum"],
)
def test_two_trainings_in_turn_are_one(optimizer):
    one, two = network(), network()
    expected = train(one, TrainingState(optimizer), 6)
    state = TrainingState(optimizer)
    curve = train(two, state, 2)["loss"]
    state = pickle.loads(pickle.dumps(state))
    assert (state.epoch, state.step) == (2, 6)
    assert curve + train(two, state, 4)["loss"] == expected["loss"]
    for layer, reference in zip(two.parameters, one.parameters, strict=True):
        for name, p in layer.items():
            assert_array_equal(p, reference[name])


def test_an_optimizer_inherits_slots_of_its_own_kind_only():
    old = TrainingState(bpnet.Adam())
    train(network(), old, 1)
    same, other = TrainingState(bpnet.Adam(0.1)), TrainingState(bpnet.SGD(0.1, momentum=0.9))
    same.warm_start(old)
    other.warm_start(old)
    assert (same.optimizer_state, same.step, same.epoch) == (old.optimizer_state, 3, 1)
    assert (other.optimizer_state, other.step, other.epoch) == (None, 0, 1)
    assert (same.steps_taken, other.steps_taken) == (3, 3)
    assert same.learning_rate == 0.1


def test_slots_are_inherited_if_there_are_as_many():
    old = TrainingState(bpnet.SGD(0.1))
    train(network(), old, 1)
    new = TrainingState(bpnet.SGD(0.1, momentum=0.9))
    new.warm_start(old)
    assert (new.optimizer_state, new.step, new.steps_taken) == (None, 0, 3)


def test_slots_held_from_before_keep_their_values(backend):
    """The layers are so wide that NumPy updates them in place; JAX donates their buffers."""
    layers = [bpnet.Dense(30_000, "tanh"), bpnet.Dense(3)]
    net = bpnet.Network(layers, "categorical_crossentropy", seed=0).build(3, backend)
    state = TrainingState(bpnet.SGD(0.1, momentum=0.9))
    train(net, state, 1)
    held = state.optimizer_state[0]["W"]["velocity"]
    before = backend.to_numpy(held).copy()
    train(net, state, 1)
    assert_array_equal(backend.to_numpy(held), before)
    assert not np.array_equal(
        backend.to_numpy(state.optimizer_state[0]["W"]["velocity"]), before
    )


def test_it_travels_with_arrays_of_the_host(backend):
    state = TrainingState(bpnet.Adam())
    assert vars(pickle.loads(pickle.dumps(state))).keys() == vars(state).keys()
    assert pickle.loads(pickle.dumps(state)).optimizer_state is None
    train(network().to(backend), state, 1)
    arrived = pickle.loads(pickle.dumps(state))
    assert vars(arrived).keys() == vars(state).keys()
    for layer, reference in zip(arrived.optimizer_state, state.optimizer_state, strict=True):
        for name, arrays in layer.items():
            assert list(arrays) == ["m", "v"]
            for state_name, array in arrays.items():
                assert type(array) is np.ndarray
                assert_array_equal(array, backend.to_numpy(reference[name][state_name]))


def test_the_order_comes_from_outside():
    asked = []

    def order(epoch, rows):
        asked.append((epoch, rows))
        return np.arange(rows)[::-1]

    state = TrainingState(bpnet.Adam())
    forward, backward = network(), network()
    train(forward, TrainingState(bpnet.Adam()), 1, lambda epoch, rows: range(rows))
    train(backward, state, 1, order)
    train(backward, state, 1, order)
    assert asked == [(0, 20), (1, 20)]
    assert not np.allclose(forward.parameters[0]["W"], backward.parameters[0]["W"])


def test_batches_count_by_weight_or_by_rows():
    losses = []

    class Batches(bpnet.Callback):
        def on_batch_end(self, training):
            losses.append(float(training.runner.arrays["loss"]))

    for loss_weighting in ("weight", "rows"):
        net, callbacks = network(), [Batches()]
        rate = TrainingState(bpnet.SGD(1e-12))
        train(net, rate, 1, lambda epoch, rows: range(rows), WEIGHTS, loss_weighting, callbacks)
    by_weight, by_rows = np.diff([0.0, *losses[:3]]), np.diff([0.0, *losses[3:]])
    parts = [WEIGHTS[:8].sum(), WEIGHTS[8:16].sum(), WEIGHTS[16:].sum()] / WEIGHTS.sum()
    assert_allclose(by_weight / by_rows, parts / (np.array([8, 8, 4]) / 20), rtol=1e-9)
