"""Ctrl-C during `fit`: a real signal stops training after the current step."""

from __future__ import annotations

import functools
import os
import signal
import threading

import numpy as np
import pytest
from on_host import assert_same, flat

import bpnet

M, BATCH = 10, 4  # three batches in an epoch
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3


def network():
    layers = [bpnet.Dense(4, "tanh"), bpnet.Dense(1)]
    return bpnet.Network(layers, "mean_squared_error", seed=2, dtype="float64")


def train(net, *callbacks, backend="numpy", epochs=9, **settings):
    settings = {"optimizer": bpnet.SGD(0.05), "batch_size": BATCH} | settings
    return net.fit(X, Y, epochs=epochs, callbacks=callbacks, backend=backend, **settings)


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def python_handles_ctrl_c():
    """Each test starts with Python's own handler and must leave it in place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


HOOKS = ("train_begin", "epoch_begin", "batch_end", "epoch_end", "train_end")


class Press(bpnet.Callback):
    """Presses Ctrl-C in the n-th call of a hook, and keeps the current parameters."""

    def __init__(self, hook, n=1, times=1):
        self.moment, self.times = (hook, n), times
        self.calls = []
        for name in HOOKS:
            setattr(self, f"on_{name}", functools.partial(self.at, name))

    def at(self, hook, training):
        self.calls.append(hook)
        if (hook, self.calls.count(hook)) == self.moment:
            self.state = flat(training.backend, training.parameters)
            for _ in range(self.times):
                press_ctrl_c()


@pytest.mark.parametrize(
    ("hook", "n", "epochs", "steps"),
    [
        ("train_begin", 1, 0, 0),
        ("epoch_begin", 2, 1, 3),
        ("batch_end", 2, 0, 2),
        ("batch_end", 5, 1, 5),
        ("batch_end", 6, 2, 6),  # the last of its epoch, which is then complete
        ("epoch_end", 2, 2, 6),
    ],
)
def test_ctrl_c_ends_training_after_the_step(hook, n, epochs, steps, backend):
    net, press = network(), Press(hook, n)
    start = flat(bpnet.get_backend("numpy"), net.build(3, "numpy").parameters)
    history = train(net, press, backend=backend)
    assert history.stopped == "interrupted"
    assert history.epochs == epochs
    assert {len(figures) for figures in history.values()} <= {epochs}
    assert press.calls.count("batch_end") == steps
    assert press.calls[-1] == "train_end"
    assert_same(flat(backend, net.parameters), press.state)
    assert np.array_equal(press.state[0], start[0]) == (steps == 0)
    assert net.predict(X).shape == (M,)
    assert train(net, epochs=1).stopped is None


def test_ctrl_c_from_outside_in_the_middle_of_an_epoch(backend):
    class Wait(bpnet.Callback):
        def on_batch_end(self, training):
            under_way.set()
            self.state = flat(backend, training.parameters)

    def press_when_under_way():
        under_way.wait()
        press_ctrl_c()

    under_way, net, wait = threading.Event(), network(), Wait()
    thread = threading.Thread(target=press_when_under_way)
    thread.start()
    history = train(net, wait, backend=backend, epochs=20_000)
    thread.join()
    assert history.stopped == "interrupted"
    assert history.epochs < 20_000
    assert_same(flat(backend, net.parameters), wait.state)


def test_the_best_weights_are_restored_after_ctrl_c():
    class Worse(bpnet.Callback):
        def on_epoch_end(self, training):
            training.logs["figure"] = float(training.epoch)
            if training.epoch == 1:
                self.best = flat(training.backend, training.parameters)

    net, worse, press = network(), Worse(), Press("batch_end", 8)
    history = train(net, worse, bpnet.EarlyStopping("figure", mode="min"), press)
    assert (history.stopped, history.epochs, history.best_epoch) == ("interrupted", 2, 1)
    assert_same(flat(net.backend, net.parameters), worse.best)
    assert not np.array_equal(press.state[0], worse.best[0])


def test_a_part_of_an_epoch_is_interrupted_though_it_was_to_be_the_last():
    """Else the training state would pass for that of the end of an epoch."""

    class Stop(bpnet.Callback):
        def on_batch_end(self, training):
            training.stop("enough")

    net = network()
    assert train(net, Press("batch_end", 5), Stop()).stopped == "enough"  # after epoch 1
    history = train(net, Press("batch_end", 2), Stop())
    assert (history.stopped, history.epochs) == ("interrupted", 0)


def test_the_first_reason_to_end_stands():
    class Stop(bpnet.Callback):
        def on_epoch_end(self, training):
            training.stop("enough")

    assert train(network(), Stop(), Press("epoch_end")).stopped == "enough"


def test_data_moved_piece_by_piece_is_interrupted_too(monkeypatch):
    monkeypatch.setattr(type(bpnet.get_backend("numpy")), "fits", lambda self, nbytes: False)
    press = Press("batch_end", 5)
    assert train(network(), press).epochs == 1
    assert press.calls.count("batch_end") == 5


def test_a_second_ctrl_c_raises_and_leaves_a_usable_network(backend):
    net, press = network(), Press("batch_end", 5, times=2)
    with pytest.raises(KeyboardInterrupt):
        train(net, press, backend=backend)
    assert "train_end" not in press.calls
    assert_same(flat(backend, net.parameters), press.state)
    assert train(net, epochs=1).stopped is None


class Pressing(bpnet.optimizers.Adam):
    """Presses Ctrl-C whenever its rule runs, which is within a step."""

    presses = 0

    def rule(self, xp, p, g, *state):
        if Pressing.presses:
            Pressing.presses -= 1
            press_ctrl_c()
        return super().rule(xp, p, g, *state)


@pytest.mark.parametrize("presses", [1, 2, 3])
def test_ctrl_c_within_a_step_leaves_the_weights_of_a_step(presses, backend):
    net = network()
    train(net, optimizer=Pressing(0.1), epochs=1, backend=backend)
    before, start = flat(backend, net.parameters), net.epochs_taken
    Pressing.presses = presses
    settings = {"optimizer": Pressing(0.1), "backend": backend, "run_eagerly": True}
    if presses == 1:
        assert train(net, **settings).stopped == "interrupted"
    else:
        with pytest.raises(KeyboardInterrupt):
            train(net, **settings)
    assert (net.epochs_taken, Pressing.presses) == (start, 0)
    after = flat(backend, net.parameters)
    if presses == 3:  # of the last good epoch
        assert_same(after, before)
    else:
        assert not any(np.array_equal(a, b) for a, b in zip(after, before, strict=True))
    assert net.predict(X).shape == (M,)
    assert train(net, epochs=1).stopped is None


def test_a_step_that_fails_restores_the_last_good_epoch(backend):
    """As it may have freed the arrays of the weights, if a signal's handler has raised."""
    runner = bpnet.training.runner.Runner
    net = network()
    train(net, epochs=2, backend=backend)
    good = flat(backend, net.parameters)
    net = network()
    advance = runner.advance

    def failing(self, state, data, rows, count=1):
        result = advance(self, state, data, rows, count)
        if int(result["t"]) >= 8:  # the second step of the third epoch
            raise TimeoutError("an alarm")
        return result

    class Look(bpnet.Callback):
        def on_batch_end(self, training):
            pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "advance", failing)
        with pytest.raises(TimeoutError):
            train(net, Look(), backend=backend)
    assert_same(flat(backend, net.parameters), good)
    assert train(net, epochs=1, backend=backend).epochs == 1


@pytest.mark.parametrize("name", ["release_steps", "store", "take_back"])
def test_a_second_ctrl_c_at_the_end_waits_for_the_network(name, monkeypatch):
    owner = {
        "release_steps": bpnet.training.runner.Runner,
        "store": bpnet.training.state.TrainingState,
        "take_back": bpnet.Network,
    }[name]
    method = getattr(owner, name)

    def pressing(*args):
        for _ in range(2):
            press_ctrl_c()
        return method(*args)

    net = network()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, pressing)
        with pytest.raises(KeyboardInterrupt):
            train(net, epochs=2)
    assert net.epochs_taken == 2
    assert train(net, epochs=1).stopped is None


def test_every_callback_is_torn_down_after_ctrl_c_in_one():
    class Down(bpnet.Callback):
        def teardown(self, training):
            down.append(self)
            if len(down) == 1:
                press_ctrl_c()
                press_ctrl_c()

    down, net = [], network()
    with pytest.raises(KeyboardInterrupt):
        train(net, Down(), Down(), Down(), epochs=1)
    assert len(down) == 3
    assert train(net, epochs=1).stopped is None


@pytest.mark.parametrize("check", [bpnet.sanity.check_overfit, bpnet.parity])
def test_what_is_half_trained_is_no_result_of_a_check(check):
    labels = (Y > 0.0).astype(int)
    net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    Pressing.presses = 1
    with pytest.raises(KeyboardInterrupt):
        check(net, X, labels, optimizer=Pressing(0.1))


@pytest.mark.parametrize("name", ["learning-rate", "architecture", "loss-landscape"])
def test_ctrl_c_ends_an_experiment(name, monkeypatch):
    fit = bpnet.Network.fit

    def pressed(self, *args, **settings):
        return fit(self, *args, **settings | {"optimizer": Pressing(0.1)})

    monkeypatch.setattr(bpnet.Network, "fit", pressed)
    Pressing.presses = 1
    with pytest.raises(KeyboardInterrupt):
        bpnet.learn.LESSONS[name](epochs=3)


def test_ctrl_c_outside_of_training_is_pythons():
    train(network(), epochs=1)
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


def test_after_an_error_the_handler_is_restored():
    class Fail(bpnet.Callback):
        def on_batch_end(self, training):
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
            raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space left"):
        train(network(), Fail())  # the fixture checks the handler


def test_another_threads_training_touches_no_handler():
    class Handlers(bpnet.Callback):
        def __init__(self):
            self.seen = []

        def on_batch_end(self, training):
            self.seen.append(signal.getsignal(signal.SIGINT))

    handlers, histories = Handlers(), []
    thread = threading.Thread(
        target=lambda: histories.append(train(network(), handlers, epochs=2))
    )
    thread.start()
    thread.join()
    assert handlers.seen == [signal.default_int_handler] * 6
    assert histories[0].epochs == 2


def test_a_training_within_a_training_leaves_the_handler_to_the_outer_one():
    class Inner(bpnet.Callback):
        def on_epoch_end(self, training):
            before = signal.getsignal(signal.SIGINT)
            assert train(network(), epochs=1).epochs == 1
            assert signal.getsignal(signal.SIGINT) is before

    history = train(network(), Inner(), Press("batch_end", 4))
    assert (history.stopped, history.epochs) == ("interrupted", 1)


def test_a_programs_own_handler_is_left_alone():
    pressed = []

    def own(signum, frame):
        pressed.append(signum)

    signal.signal(signal.SIGINT, own)
    try:
        history = train(network(), Press("batch_end", 2))
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert pressed == [signal.SIGINT]
    assert (history.stopped, history.epochs) == (None, 9)


def test_ctrl_c_that_the_program_ignores_is_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert train(network(), Press("batch_end", 2)).epochs == 9
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
