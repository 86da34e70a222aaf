"""A network used while fit trains it: by other threads, and by its own callbacks."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from available import available

import bpnet

pytestmark = pytest.mark.few_on_jax

X, Y = bpnet.datasets.make_spiral(120, seed=0)
QUESTIONS = {
    "forward": lambda net: net.forward(X),
    "parameters": lambda net: flat(net),
    "a copy": lambda net: flat(copy.deepcopy(net)),
    "a pickle": lambda net: flat(pickle.loads(pickle.dumps(net))),
}


def network(units=96):
    layers = [bpnet.Dense(units, "tanh"), bpnet.Dense(units, "relu"), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=0)


def flat(net):
    to_numpy = net.backend.to_numpy
    return np.concatenate(
        [np.ravel(to_numpy(p)) for layer in net.parameters for p in layer.values()]
    )


class Hook(bpnet.Callback):
    """Calls ``act(training)`` in one hook."""

    def __init__(self, name, act):
        setattr(self, name, act)


class InOtherThread:
    """Asks a question again and again while fit runs."""

    def __init__(self, net, ask):
        self.net, self.ask, self.answers, self.errors = net, ask, [], []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            try:
                self.answers.append(np.asarray(self.ask(self.net)).tobytes())
            except Exception as error:
                self.errors.append(error)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()


@pytest.mark.parametrize("question", QUESTIONS)
def test_another_thread_sees_the_weights_between_two_steps(question, backend):
    """A step in place, or one that frees its input, is never seen half done."""
    ask, net = QUESTIONS[question], network().build(2, backend)
    between = [copy.deepcopy(net)]
    keep = Hook("on_batch_end", lambda t: between.append(copy.deepcopy(t.network)))
    ask(net)  # compiled
    with InOtherThread(net, ask) as other:
        net.fit(X, Y, epochs=3, batch_size=20, callbacks=[keep])
    allowed = {np.asarray(ask(state)).tobytes() for state in between}
    assert not other.errors
    assert other.answers
    assert set(other.answers) <= allowed


FORBIDDEN = {
    "fit": lambda net: net.fit(X, Y, epochs=1),
    "build": lambda net: net.build(2),
    "to": lambda net: net.to("numpy"),
}


@pytest.mark.once_on_jax
@pytest.mark.parametrize("method", FORBIDDEN)
@pytest.mark.parametrize("hook", ["on_train_begin", "on_batch_end", "on_epoch_end"])
def test_what_would_interfere_with_training_is_refused(method, hook, backend):
    def interfere(training):
        with pytest.raises(RuntimeError, match=rf"^{method} is not possible while fit trains"):
            FORBIDDEN[method](training.network)

    net, plain = network(8), network(8)
    net.fit(X, Y, epochs=2, callbacks=[Hook(hook, interfere)], backend=backend)
    plain.fit(X, Y, epochs=2, backend=backend)
    np.testing.assert_array_equal(flat(net), flat(plain))


def test_of_two_fits_in_two_threads_one_is_refused(backend):
    net, plain, outcomes = network(8), network(8), []
    ready = threading.Barrier(2)
    inside = threading.Event()

    def slow(training):
        inside.wait(30.0)  # until the other thread has tried

    def fit(**options):
        ready.wait()
        try:
            outcomes.append(net.fit(X, Y, epochs=2, backend=backend, **options))
        except RuntimeError as error:
            outcomes.append(error)
        inside.set()

    hook = Hook("on_train_begin", slow)
    threads = [threading.Thread(target=fit, kwargs={"callbacks": [hook]}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    plain.fit(X, Y, epochs=2, backend=backend)
    assert sorted(isinstance(outcome, RuntimeError) for outcome in outcomes) == [False, True]
    np.testing.assert_array_equal(flat(net), flat(plain))


def test_parameters_set_by_another_thread_are_trained_further(backend):
    net = network(8).build(2, backend)
    zeros = [{k: 0.0 * v for k, v in layer.items()} for layer in copy.deepcopy(net).parameters]

    def assign(training):
        if training.epoch == 0:
            thread = threading.Thread(target=setattr, args=(net, "parameters", zeros))
            thread.start()
            thread.join()
            assert not np.any(flat(net))

    net.fit(X, Y, epochs=1, callbacks=[Hook("on_batch_end", assign)], backend=backend)
    assert np.count_nonzero(flat(net)) == 0


def test_after_an_error_the_network_can_be_trained_again(backend):
    def fail(training):
        raise KeyError("no")

    net = network(8)
    with pytest.raises(KeyError):
        net.fit(X, Y, epochs=1, callbacks=[Hook("on_epoch_end", fail)], backend=backend)
    assert not net.is_training
    net.fit(X, Y, epochs=1, backend=backend)


def test_is_training_only_while_fit_runs():
    net, seen = network(8), []
    net.fit(
        X, Y, epochs=1, callbacks=[Hook("on_epoch_end", lambda t: seen.append(net.is_training))]
    )
    assert seen == [True]
    assert not net.is_training


def test_a_network_pickled_while_fit_runs_is_not_training():
    net, copies = network(8), []
    take = Hook("on_epoch_end", lambda t: copies.append(pickle.loads(pickle.dumps(t.network))))
    net.fit(X, Y, epochs=1, callbacks=[take])
    copies[0].fit(X, Y, epochs=1)


@pytest.mark.parametrize("spec", available("numpy", "torch:cpu"))
def test_a_callback_that_keeps_the_training_can_be_copied(spec):
    """JAX's own devices cannot."""
    kept = []
    net = network(8)
    net.fit(X, Y, epochs=1, callbacks=[Hook("on_train_begin", kept.append)], backend=spec)
    copy.deepcopy(kept)
