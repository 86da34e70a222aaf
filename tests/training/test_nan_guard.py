"""NaNs and infinities in training: where they began, what is kept, what is raised."""

from __future__ import annotations

import math
import pickle
import re
import signal
import warnings

import numpy as np
import pytest
from bpnet_backends.numpy import NumpyBackend
from on_host import assert_same, flat

import bpnet
from bpnet.cli.main import main
from bpnet.training import nan_guard

pytestmark = pytest.mark.few_on_jax

M, BATCH = 10, 4  # three batches in an epoch
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3


def network(activation="tanh", dtype="float64", **options):
    layers = [bpnet.Dense(4, activation, **options), bpnet.Dropout(0.2), bpnet.Dense(1)]
    return bpnet.Network(layers, "mean_squared_error", seed=2, dtype=dtype)


def train(net, backend="numpy", X=X, Y=Y, **settings):
    settings = {"optimizer": bpnet.SGD(0.05), "batch_size": BATCH, "epochs": 9} | settings
    return net.fit(X, Y, backend=backend, **settings)


class Rates(bpnet.schedules.Schedule):
    """A learning rate that becomes far too high at one batch (of three per epoch)."""

    def __init__(self, batch, high=1e300):
        super().__init__()
        self.batch, self.high = batch, high

    def __call__(self, epoch):
        return self.high if round(3 * epoch) >= self.batch else 0.05


def raised(net, backend="numpy", **settings):
    with pytest.raises(bpnet.NonFiniteError) as caught:
        train(net, backend, **settings)
    return caught.value


# --- where it began ---------------------------------------------------------------------------


@pytest.mark.once_on_jax
@pytest.mark.parametrize("batch", [3, 4, 8])
@pytest.mark.parametrize("optimizer", [bpnet.SGD, bpnet.Adam])
def test_the_first_bad_step_is_named(optimizer, batch, backend):
    """A step of 1e300 leaves finite weights whose squares overflow in the next step."""
    error = raised(network(), backend, optimizer=optimizer(Rates(batch)))
    found = error.found
    bad = batch + 1  # counted from 0
    assert (found.epoch, found.step) == (bad // 3 + 1, bad % 3 + 1)
    assert found.quantity in ("z", "loss")
    assert "weights have grown to" in found.cause
    assert "learning rate" in found.cause
    assert str(found) in str(error)


@pytest.mark.once_on_jax
@pytest.mark.parametrize(
    ("settings", "layer", "quantity", "value", "cause"),
    [
        ({"X": X * 1e200}, 2, "loss", "infinite", "features up to"),
        ({"X": np.full((M, 3), 1.7e308)}, 1, "z", "infinite", "features up to"),
        ({"Y": Y * 1e200}, 2, "loss", "infinite", "targets up to"),
        ({"optimizer": bpnet.SGD(1e308), "Y": Y * 10.0}, 1, "W", "infinite",
         "the learning rate 1e+308"),
        ({"optimizer": bpnet.Adam(0.1), "X": X * 1e10, "Y": Y * 1e150}, 1,
         "optimizer state of W", "infinite", "features up to"),
    ],
)  # fmt: skip
def test_layer_quantity_and_cause(settings, layer, quantity, value, cause, backend):
    layers = [bpnet.Dense(4, init=lambda rng, *shape: np.ones(shape)), bpnet.Dense(1)]
    net = bpnet.Network(layers, "mean_squared_error", seed=2, dtype="float64")
    found = raised(net, backend, **settings).found
    assert (found.epoch, found.layer, found.quantity) == (1, layer, quantity)
    assert found.value == value
    assert found.cause.startswith(cause)


def test_weights_that_are_not_finite_stop_although_the_loss_is(backend):
    """The last step of the epoch fails, so no loss has seen its weights."""
    net = network()
    error = raised(net, backend, optimizer=bpnet.SGD(Rates(5, 1.7e308)), epochs=2)
    assert (error.found.epoch, error.found.step) == (2, 3)
    assert error.found.quantity in ("W", "b")
    assert all(map(math.isfinite, error.history["loss"]))
    assert all(np.all(np.isfinite(p)) for p in flat(backend, net.parameters))


def test_a_sum_that_overflows_is_no_infinity(backend):
    net = network(dtype="float32").build(3, backend)
    large = [{k: np.full(p.shape, 3e38) for k, p in layer.items()} for layer in net.parameters]
    large[1] = {"W": np.zeros((4, 1)), "b": np.zeros(1)}
    net.parameters = large
    assert train(net, backend, optimizer=bpnet.SGD(1e-30), epochs=2).stopped is None


def test_what_a_callback_sets_is_blamed_on_it(backend):
    class Spoil(bpnet.Callback):
        def on_batch_end(self, training):
            if training.epoch == 1:
                training.parameters = [
                    {k: p * math.inf for k, p in layer.items()} for layer in training.parameters
                ]

    found = raised(network(), backend, callbacks=[Spoil()], batch_size=None).found
    assert (found.epoch, found.step, found.layer) == (2, None, 1)
    assert found.quantity == "W"
    assert "callback" in found.cause


# --- what is kept -----------------------------------------------------------------------------


@pytest.mark.once_on_jax
@pytest.mark.parametrize("on_nonfinite", ["raise", "restore"])
@pytest.mark.parametrize("good", [0, 1, 2])
def test_the_network_is_what_it_was_after_the_last_good_epoch(good, on_nonfinite, backend):
    net, expected = network(), network()
    optimizer = bpnet.Adam(Rates(3 * good))
    if on_nonfinite == "raise":
        history = raised(net, backend, optimizer=optimizer).history
    else:
        history = train(net, backend, optimizer=optimizer, on_nonfinite="restore")
    assert history.epochs == good + 1
    assert not math.isfinite(history["loss"][-1])
    assert f"epoch {good + 1}" in history.stopped
    expected.build(3, backend)
    if good:
        train(expected, backend, optimizer=bpnet.Adam(0.05), epochs=good)
    assert_same(flat(backend, net.parameters), flat(backend, expected.parameters))
    assert (net.epochs_taken, net.steps_taken) == (good, 3 * good)
    # and continues like that one
    for either in (net, expected):
        train(either, backend, epochs=2)
    assert_same(flat(backend, net.parameters), flat(backend, expected.parameters))


def test_watching_changes_no_bit(backend):
    watched, free = network(), network()
    for net, choice in ((watched, "raise"), (free, "ignore")):
        train(net, backend, optimizer=bpnet.Adam(0.01), on_nonfinite=choice)
    assert_same(flat(backend, watched.parameters), flat(backend, free.parameters))


def test_ignore_trains_on(backend):
    net = network()
    with np.errstate(all="ignore"):  # nobody else reports it
        history = train(net, backend, optimizer=bpnet.SGD(Rates(4)), on_nonfinite="ignore")
    assert (history.epochs, history.stopped) == (9, None)
    assert not np.all(np.isfinite(flat(backend, net.parameters)[0]))


@pytest.mark.parametrize("on_nonfinite", ["raise", "restore"])
def test_an_epoch_that_ctrl_c_cuts_short_is_looked_at_too(on_nonfinite, backend):
    """The second batch of the third epoch fails, and Ctrl-C comes before the last."""

    class Press(bpnet.Callback):
        def on_batch_end(self, training):
            self.batches = getattr(self, "batches", 0) + 1
            if self.batches == 8:
                signal.raise_signal(signal.SIGINT)

    net, expected = network(), network()
    settings = {"optimizer": bpnet.Adam(Rates(6)), "callbacks": [Press()]}
    if on_nonfinite == "raise":
        error = raised(net, backend, **settings)
        history = error.history
        assert (error.found.epoch, error.found.step) == (3, 2)
    else:
        history = train(net, backend, on_nonfinite="restore", **settings)
    assert history.epochs == 2
    assert history.stopped.startswith("not finite in epoch 3, step 2")
    train(expected, backend, optimizer=bpnet.Adam(0.05), epochs=2)
    assert_same(flat(backend, net.parameters), flat(backend, expected.parameters))
    assert (net.epochs_taken, net.steps_taken) == (2, 6)


def test_early_stopping_restores_its_best_weights_and_the_end_is_called():
    class Ends(bpnet.Callback):
        def on_epoch_end(self, training):
            training.logs["figure"] = -float(training.epoch == 1)
            self.seen = training.nonfinite

        def on_train_end(self, training):
            self.end = training.nonfinite

    net, ends, stopping = network(), Ends(), bpnet.EarlyStopping("figure", mode="min")
    error = raised(net, optimizer=bpnet.SGD(Rates(8)), callbacks=[ends, stopping])
    assert ends.seen is ends.end is error.found
    assert error.history.best_epoch == 1
    best = network()
    train(best, epochs=1)
    assert_same(flat(net.backend, net.parameters), flat(net.backend, best.parameters))


def test_a_bad_choice_is_refused():
    net = network()
    with pytest.raises(ValueError, match="on_nonfinite must be one of raise, restore, ignore"):
        train(net, on_nonfinite="warn")
    assert not net.is_built


def test_the_error_travels():
    error = raised(network(), optimizer=bpnet.SGD(Rates(4)))
    other = pickle.loads(pickle.dumps(error))
    assert isinstance(error, ArithmeticError)
    assert (str(other), other.found) == (str(error), error.found)
    assert other.history["loss"] == pytest.approx(error.history["loss"], nan_ok=True)


# --- who is blamed ----------------------------------------------------------------------------


class Breaks(bpnet.Callback):
    """Puts a NaN into the weights, by setting them or in place."""

    def __init__(self, in_place):
        self.in_place = in_place

    def on_batch_end(self, training):
        if self.in_place:
            training.parameters[0]["W"][0, 0] = np.nan
        else:
            parameters = training.copy_parameters()
            parameters[0]["W"] = parameters[0]["W"] * np.nan
            training.parameters = parameters


@pytest.mark.parametrize("in_place", [False, True])
def test_a_callback_is_blamed_only_if_it_set_the_weights(in_place):
    error = raised(network(), callbacks=[Breaks(in_place)])
    assert ("a callback has set the weights" in str(error)) != in_place
    assert ("changes the weights in place" in str(error)) == in_place


# --- what rests on it -------------------------------------------------------------------------


def test_a_divergence_can_be_diagnosed():
    X, y = bpnet.datasets.make_moons(200, seed=0)
    net = bpnet.Network([bpnet.Dense(16, "relu"), bpnet.Dense(1)], "mean_squared_error", seed=0)
    doctor = bpnet.Doctor()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(bpnet.NonFiniteError) as error:
            net.fit(X, y, optimizer=bpnet.SGD(50.0), epochs=50, callbacks=[doctor])
    assert bpnet.diagnose(error.value.history).name == "learning rate too high"
    assert any("learning rate too high" in str(w.message) for w in caught)


def test_the_demo_says_where(tmp_path, capsys):
    arguments = ["--learning-rate", "1000", "--activation", "identity", "--samples", "100"]
    hidden = ",".join(["64"] * 8)
    assert main(["demo", "--hidden", hidden, "--out", str(tmp_path), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    line = err.splitlines()[-1]
    assert re.match(r"bpnet demo: training diverged, in epoch \d+, step \d+: ", line)
    assert list(tmp_path.iterdir()) == []


def test_a_callback_that_asks_for_more_epochs_keeps_the_last_good_ones(backend):
    class More(bpnet.Callback):
        def on_epoch_end(self, training):
            if training.epoch == 2 == training.epochs:
                training.epochs = 4
                self.good = flat(backend, training.parameters)

        def on_epoch_begin(self, training):
            if training.epoch == 2:
                training.parameters = [
                    {k: p * float("nan") for k, p in layer.items()}
                    for layer in training.parameters
                ]

    more, net = More(), bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
    X = np.linspace(-1.0, 1.0, 20, dtype="float32")[:, None]
    settings = {"callbacks": more, "backend": backend, "on_nonfinite": "restore"}
    history = net.fit(X, X[:, 0], epochs=2, batch_size=5, **settings)
    assert "epoch 3" in history.stopped
    assert_same(flat(backend, net.parameters), more.good)


def test_weights_changed_in_place_do_not_change_those_restored():
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0).build(1)
    W = net.parameters[0]["W"]
    before = W.copy()

    def spoil(self, training):
        W[...] = 7.0
        training.set_learning_rate(1e30)

    X = np.linspace(-1.0, 1.0, 20, dtype="float32")[:, None]
    callback = type("Spoil", (bpnet.Callback,), {"on_epoch_begin": spoil})()
    settings = {"callbacks": callback, "backend": "numpy", "on_nonfinite": "restore"}
    net.fit(X, X[:, 0], epochs=3, batch_size=2, **settings)
    np.testing.assert_array_equal(net.parameters[0]["W"], before)


def test_weights_that_a_hook_set_on_a_callback_changes_are_kept():
    """Such a callback is of a class of bpnet's, but what it does is not."""

    def halve(training):
        if training.epoch == 2:
            for layer in training.parameters:
                for p in layer.values():
                    p[...] *= 0.5

    ends = []
    for settings in ({"epochs": 9, "on_nonfinite": "restore"}, {"epochs": 5}):
        net, callback = network(), bpnet.Callback()
        callback.on_epoch_begin = halve
        train(net, optimizer=bpnet.SGD(Rates(15)), callbacks=callback, **settings)
        assert net.epochs_taken == 5
        ends.append(flat(net.backend, net.parameters))
    assert_same(*ends)


# --- copies, and epochs between them ----------------------------------------------------------


class Looks(bpnet.Callback):
    """A callback that could do anything between epochs, so that each is copied."""

    def on_epoch_end(self, training):
        """Look."""


def overflowing_state():
    """Squared gradients beyond the largest float32, though all weights stay finite."""
    net = bpnet.Network([bpnet.Dense(1)], "mean_absolute_error", seed=0, dtype="float32")
    return net, {"X": X * 1e20, "Y": Y, "optimizer": bpnet.Adam(Rates(99, 0.0))}


FAILURES = {
    "in the middle of an epoch": lambda: (network(), {"optimizer": bpnet.Adam(Rates(10))}),
    "in the last step": lambda: (network(), {"optimizer": bpnet.SGD(Rates(8))}),
    "in the first epoch": lambda: (network(), {"optimizer": bpnet.SGD(Rates(1))}),
    "in the last epoch": lambda: (network(), {"optimizer": bpnet.SGD(Rates(25))}),
    "in the optimizer's state": overflowing_state,
}


@pytest.mark.parametrize("steps", [4, 7, 100])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_found_where_it_was_though_nobody_looked(
    failure, steps, backend, monkeypatch
):
    monkeypatch.setattr(nan_guard, "STEPS", steps)
    ends = []
    for callbacks in ([], [Looks()]):
        net, settings = FAILURES[failure]()
        error = raised(net, backend, callbacks=callbacks, **settings)
        ends.append((error.found, dict(error.history), net.steps_taken, net.epochs_taken))
        ends[-1] += (flat(net.backend, net.parameters),)
    (*unseen, weights), (*seen, expected) = ends
    np.testing.assert_equal(unseen, seen)  # also where a loss is NaN
    assert_same(weights, expected)


class Copying(NumpyBackend):
    """NumPy, which counts the copies of the guard."""

    copies = 0

    def snapshot(self, arrays, memory=None):
        self.copies += 1
        return super().snapshot(arrays, memory)


@pytest.mark.parametrize(
    ("settings", "copies"),
    [
        ({}, 3),  # after epochs 2, 4, 6 of 7
        ({"callbacks": [bpnet.EarlyStopping("loss", patience=9)]}, 3),
        ({"callbacks": [Looks()]}, 6),
        ({"batch_size": None}, 1),
    ],
)
def test_copies_are_as_seldom_as_epochs_can_be_replayed(settings, copies, monkeypatch):
    monkeypatch.setattr(nan_guard, "STEPS", 4)
    backend = Copying()
    train(network(), backend, epochs=7, **settings)
    assert backend.copies == copies


class Fails(bpnet.schedules.ReduceOnPlateau):
    """A learning rate that asks for too much memory in the sixth epoch."""

    def value(self, epoch, state):
        if epoch >= 5:
            raise MemoryError
        return super().value(epoch, state)


def halved(net):
    """How often the run has halved its learning rate of 0.05."""
    (value,) = net._last_run.state.values.values()
    return round(math.log2(0.05 / value.state["rate"]))


HALVING = {"factor": 0.5, "patience": 0, "min_delta": 0.9}  # in each epoch but the first


@pytest.mark.parametrize("replays", [True, False])
def test_without_memory_the_last_good_epoch_is_replayed_if_it_can_be(replays, monkeypatch):
    monkeypatch.setattr(nan_guard, "STEPS", 9)

    def fail(guard, *_):
        raise MemoryError

    if not replays:
        monkeypatch.setattr(nan_guard.Guard, "_repeat", fail)
    net, expected = network(), network()
    with pytest.raises(MemoryError):
        train(net, optimizer=bpnet.Adam(Fails(0.05, **HALVING)))
    epochs = 5 if replays else 3
    schedule = bpnet.schedules.ReduceOnPlateau(0.05, **HALVING)
    train(expected, optimizer=bpnet.Adam(schedule), epochs=epochs)
    assert (net.epochs_taken, net.steps_taken) == (epochs, 3 * epochs)
    assert halved(net) == halved(expected) == epochs - 1
    assert_same(flat(net.backend, net.parameters), flat(net.backend, expected.parameters))


class FailsToCopy(NumpyBackend):
    """NumPy, without memory for a copy."""

    def snapshot(self, arrays, memory=None):
        raise MemoryError


def test_without_memory_to_copy_what_a_callback_set_the_epoch_before_is_restored():
    class Sets(bpnet.Callback):
        __module__ = "bpnet"  # one of its own, so that no epoch is copied before

        def on_epoch_end(self, training):
            if training.epoch == 4:
                training.parameters = training.parameters

    net, expected = network(), network()
    schedule = bpnet.schedules.ReduceOnPlateau(0.05, **HALVING)
    with pytest.raises(MemoryError):
        train(net, FailsToCopy(), optimizer=bpnet.Adam(schedule), callbacks=Sets())
    train(expected, optimizer=bpnet.Adam(schedule), epochs=3)
    assert (net.epochs_taken, net.steps_taken) == (3, 9)
    assert halved(net) == halved(expected) == 2
    assert_same(flat(net.backend, net.parameters), flat(net.backend, expected.parameters))


def test_a_schedule_forgets_what_came_after_the_last_good_epoch(backend, monkeypatch):
    monkeypatch.setattr(nan_guard, "STEPS", 99)
    memories = []
    for callbacks in ([], [Looks()]):
        net, settings = overflowing_state()
        settings["optimizer"] = bpnet.Adam(bpnet.schedules.ReduceOnPlateau(0.0, "loss"))
        raised(net, backend, callbacks=callbacks, **settings)
        memories.append(net._last_run.state.values["learning_rate"].state)
    assert memories[0] == memories[1]
    assert memories[0] == bpnet.schedules.ReduceOnPlateau(0.0, "loss").initial_state()
