"""Runs of steps: the same bits as single steps, with a look at Ctrl-C and threads between."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
from bpnet_backends.numpy import NumpyBackend
from on_host import assert_same, flat

import bpnet
from bpnet.common.locks import FairLock
from bpnet.data import array_loaders, loader
from bpnet.data.dataset import Dataset
from bpnet.training import pace
from bpnet.training.loop import Training
from bpnet.training.runner import Runner

X, Y = bpnet.datasets.make_spiral(50, seed=0)


class Watch(bpnet.Callback):
    """A callback that looks after each batch."""

    looks = 0

    def on_batch_end(self, training):
        self.looks += 1


def trained(backend, *callbacks, rate=0.01, **settings):
    layers = [bpnet.Dense(6, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=1)
    settings = {"epochs": 4, "batch_size": 8} | settings
    history = net.fit(
        X, Y, optimizer=bpnet.Adam(rate), callbacks=callbacks, backend=backend, **settings
    )
    return [*flat(net.backend, net.parameters), np.array(history["loss"])]


@pytest.mark.parametrize("rate", [0.01, bpnet.schedules.Cosine(0.01, 3)])
def test_runs_give_the_results_of_single_steps(rate, backend):
    watch = Watch()
    runs, steps = trained(backend, rate=rate), trained(backend, watch, rate=rate)
    assert watch.looks == 4 * 7
    if backend.name == "jax":  # two programs, which XLA may round differently
        for a, b in zip(runs, steps, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    else:
        assert_same(runs, steps)


class Recorder:
    """A compiled step that records how many steps each call takes."""

    def __init__(self, step):
        self.step, self.calls = step, []

    def __call__(self, state, data):
        self.calls.append("one")
        return self.step(state, data)

    def wait(self, state):
        """Return at once, as the steps have run."""

    def run(self, state, data, count):
        self.calls.append(count)
        for _ in range(count):
            state = self.step(state, data)
        return state


class Recording(NumpyBackend):
    """NumPy, with compiled runs."""

    def __init__(self, recorder=Recorder):
        super().__init__()
        self.recorder, self.recorders = recorder, []

    def compile(self, step, own=True):
        self.recorders.append(self.recorder(super().compile(step, own)))
        return self.recorders[-1]

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__


@pytest.fixture
def patient(monkeypatch):
    """All steps fit into the time of a run, even on a busy machine."""
    monkeypatch.setattr(pace, "SECONDS", 1e6)


@pytest.mark.usefixtures("patient")
def test_an_epoch_is_one_run_of_whole_batches_and_one_of_the_rest():
    backend = Recording()
    result = trained(backend, epochs=3)
    whole, rest = backend.recorders
    assert whole.calls == [1, 5, 6, 6]  # the first run finds out how long a step takes
    assert rest.calls == [1, 1, 1]
    assert_same(result, trained("numpy", epochs=3))


def test_a_callback_that_looks_at_batches_gets_single_steps():
    backend, watch = Recording(), Watch()
    trained(backend, watch)
    assert {call for recorder in backend.recorders for call in recorder.calls} == {"one"}


@pytest.mark.usefixtures("patient")
def test_a_nan_is_found_in_the_step_where_it_began_in_a_run():
    def found(backend, **settings):
        net = bpnet.Network([bpnet.Dense(5), bpnet.Dense(1)], "mean_squared_error", seed=0)
        with pytest.raises(bpnet.NonFiniteError) as caught:
            net.fit(X, Y, optimizer=bpnet.SGD(9.0), epochs=6, batch_size=8, backend=backend,
                    **settings)  # fmt: skip
        return caught.value.found

    backend = Recording()
    assert found(backend) == found("numpy", run_eagerly=True)
    assert found(backend).step > 1
    assert "one" not in backend.recorders[0].calls  # the program that failed fails again


@pytest.mark.parametrize("spec", ["numpy", "torch:cpu", "jax"])
def test_ctrl_c_in_the_middle_of_an_epoch_that_nobody_watches(spec):
    pytest.importorskip(spec.partition(":")[0])
    batches = 50_000  # take 10 seconds
    X = np.linspace(-1.0, 1.0, 8 * batches, dtype="float32")[:, None]
    layers = [bpnet.Dense(512, "relu"), bpnet.Dense(512, "relu"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "mean_squared_error", seed=0)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    begin = type("Begin", (bpnet.Callback,), {"on_epoch_begin": lambda s, t: timer.start()})()
    try:
        history = net.fit(X, X[:, 0], batch_size=8, epochs=1, callbacks=begin, backend=spec)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, handler)
    assert history.stopped == "interrupted"
    assert 0 < net.steps_taken < batches


def test_the_length_of_a_run_follows_the_time_that_steps_take(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(pace, "SECONDS", 1.0)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    chosen, lengths = pace.Pace(), []
    for seconds_per_step in (4.0, 0.25, 0.125, 0.125, 0.5, 0.5):
        lengths.append(chosen.next(10**6))
        now[0] += lengths[-1] * seconds_per_step
    assert lengths == [1, 1, 4, 8, 8, 2]
    assert chosen.next(1) == 1
    chosen.begin()  # what happened since then was not a step
    now[0] += 99.0
    assert chosen.next(10**6) == 2


def test_the_time_of_queued_steps_counts_for_their_own_run(monkeypatch):
    """A queued run returns at once; the next must not be a million steps long."""
    now = [0.0]

    class Queue(Recorder):
        queued = 0

        def wait(self, state):
            now[0] += 0.125 * self.queued
            self.queued = 0

        def run(self, state, data, count):
            self.queued += count
            return super().run(state, data, count)

    monkeypatch.setattr(pace, "SECONDS", 1.0)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    backend = Recording(Queue)
    trained(backend, epochs=1, batch_size=1)
    assert backend.recorders[0].calls == [1, 8, 8, 8, 8, 8, 8, 1]


class Sees(bpnet.Callback):
    """A callback that sees the network after each epoch."""

    def on_epoch_end(self, training):
        """Look."""


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("settings", "ahead"),
    [
        ({}, 3),
        ({"on_nonfinite": "ignore"}, 3),
        ({"callbacks": [Sees()]}, 0),
        ({"validation_data": (X, Y)}, 0),
        ({"training_metrics": True}, 0),
        ({"optimizer": bpnet.Adam(bpnet.schedules.ReduceOnPlateau(0.01, "loss"))}, 0),
        ({"run_eagerly": True}, 0),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_an_epoch_begins_ahead_if_nobody_sees_the_network_before(settings, ahead, monkeypatch):
    begun = []
    begin = Runner.begin_ahead

    def begin_ahead(self, is_last):
        begin(self, is_last)
        begun.append(self.is_ahead)

    monkeypatch.setattr(Runner, "begin_ahead", begin_ahead)
    fits = []
    for backend in (Recording(), "numpy"):  # the latter has nothing to queue
        net = bpnet.Network(
            [bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=1
        )
        history = net.fit(X, Y, epochs=4, batch_size=8, backend=backend, **settings)
        fits.append([*flat(net.backend, net.parameters), np.array(history["loss"])])
    assert sum(begun) == ahead
    assert_same(*fits)


def test_no_epoch_begins_ahead_if_ctrl_c_would_have_to_wait_for_two_slow_steps(monkeypatch):
    begun = []
    begin = Runner.begin_ahead

    def begin_ahead(self, is_last):
        begin(self, is_last)
        begun.append(self.is_ahead)

    monkeypatch.setattr(pace, "SECONDS", 1e-9)
    monkeypatch.setattr(Runner, "begin_ahead", begin_ahead)
    trained(Recording(), epochs=5)
    assert begun == [True, False, False, False]  # no epoch has been timed before the first


@pytest.mark.usefixtures("patient")
def test_ctrl_c_after_the_next_epoch_has_begun_ends_that_first(monkeypatch):
    begin = Runner.begin_ahead

    def press(self, is_last):
        begin(self, is_last)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Runner, "begin_ahead", press)
    net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=1)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        history = net.fit(X, Y, epochs=9, batch_size=10, backend=Recording())
    finally:
        signal.signal(signal.SIGINT, handler)
    assert (history.stopped, history.epochs) == ("interrupted", 2)
    assert (net.epochs_taken, net.steps_taken) == (2, 10)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("on_nonfinite", ["raise", "ignore"])
@pytest.mark.parametrize("ctrl_c", [False, True])
def test_a_stop_after_the_next_epoch_has_begun_ends_that_first(
    on_nonfinite, ctrl_c, monkeypatch
):
    """As from another thread, or a signal handler."""
    begin, start = Runner.begin_ahead, Training._begin

    def stop(self, is_last):
        begin(self, is_last)
        trainings[0].stop("no time is left")
        if ctrl_c:
            signal.raise_signal(signal.SIGINT)

    trainings = []
    monkeypatch.setattr(Training, "_begin", lambda self: trainings.append(self) or start(self))
    monkeypatch.setattr(Runner, "begin_ahead", stop)
    net, expected = (
        bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=1)
        for _ in range(2)
    )
    settings = {"batch_size": 10, "on_nonfinite": on_nonfinite}
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        history = net.fit(X, Y, epochs=9, backend=Recording(), **settings)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert (history.stopped, history.epochs) == ("no time is left", 2)
    assert (net.epochs_taken, net.steps_taken) == (2, 10)
    monkeypatch.undo()
    expected.fit(X, Y, epochs=2, backend="numpy", **settings)
    assert_same(*(flat(n.backend, n.parameters) for n in (net, expected)))


class Fails(bpnet.schedules.Schedule):
    """A learning rate that diverges in epoch 3, if `high` is, and is not known after."""

    def __init__(self, error, high):
        super().__init__()
        self.error, self.high = error, high

    def __call__(self, epoch):
        if epoch >= 3:
            raise self.error
        return self.high if epoch >= 2 else 0.01


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("on_nonfinite", ["raise", "ignore"])
@pytest.mark.parametrize("error", [bpnet.ComponentError, RuntimeError])
def test_an_epoch_that_cannot_begin_does_not_take_the_one_before_with_it(error, on_nonfinite):
    def fail(high, expected, backend):
        net = bpnet.Network(
            [bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "mean_squared_error", seed=1
        )
        optimizer = bpnet.SGD(Fails(error, high))
        settings = {"optimizer": optimizer, "on_nonfinite": on_nonfinite, "batch_size": 8}
        with pytest.raises(expected) as caught:
            net.fit(X, Y, epochs=4, backend=backend, **settings)
        found = caught.value.found if expected is bpnet.NonFiniteError else None
        history = net._last_run.state.history
        return found, net.epochs_taken, net.steps_taken, dict(history), net

    for high, expected in ((0.01, error), (1e38, bpnet.NonFiniteError)):
        if high > 1 and on_nonfinite == "ignore":
            continue
        *ends, net = fail(high, expected, Recording())
        *due, other = fail(high, expected, "numpy")
        np.testing.assert_equal(ends, due)
        assert_same(*(flat(n.backend, n.parameters) for n in (net, other)))


def test_a_waiting_thread_gets_the_lock_next():
    """The other computes all the time, as training does, and lets go only in passing."""
    lock, held, done, turns = FairLock(), threading.Event(), threading.Event(), []

    def hold():
        while not done.is_set():
            with lock:
                turns.append(time.perf_counter())
                held.set()
                while time.perf_counter() < turns[-1] + 0.01:
                    pass

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    waited = []
    for _ in range(20):
        before = len(turns)
        with lock, lock:  # reentrant
            waited.append(len(turns) - before)
        time.sleep(0.005)
    done.set()
    holder.join()
    assert max(waited) <= 1


@pytest.mark.parametrize(("epochs", "stop", "draws"), [(4, 99, 4), (4, 2, 3), (1, 99, 1)])
def test_orders_are_drawn_ahead_but_not_after_the_last_epoch(epochs, stop, draws, monkeypatch):
    drawn = []
    plain = loader.Shuffled.__call__

    def draw(self, epoch, rows):
        drawn.append(epoch)
        return plain(self, epoch, rows)

    def end(self, training):
        if training.epoch == stop:
            training.stop("enough")

    monkeypatch.setattr(loader.Shuffled, "__call__", draw)
    trained("numpy", type("End", (bpnet.Callback,), {"on_epoch_end": end})(), epochs=epochs)
    assert drawn == list(range(draws))


def test_an_order_that_depends_on_those_before_is_not_drawn_ahead():
    drawn = []

    def order(epoch, rows):
        drawn.append(epoch)
        return np.arange(rows)

    made = array_loaders.ResidentLoader(Dataset(X, Y, None, None, "float64"), 8, order)
    made.begin_epoch(0)
    assert made.order_ahead(1) is None
    assert drawn == [0]


def test_an_order_drawn_ahead_is_that_of_its_epoch_alone():
    data = Dataset(X, Y, None, None, "float64")
    orders = [loader.Shuffled(3)(epoch, 50) for epoch in range(3)]
    made = array_loaders.ResidentLoader(data, 8, loader.Shuffled(3))
    for ahead, epoch in ((0, 0), (1, 2), (2, 1)):
        assert_same([made.order_ahead(ahead)], [orders[ahead]])
        made.begin_epoch(epoch)
        (piece,) = made.pieces(bpnet.get_backend("numpy"))
        assert_same([piece.arrays["order"]], [orders[epoch]])
