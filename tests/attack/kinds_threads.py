"""One network used by several threads, or by the callbacks of its own training."""

import copy
import pickle
import threading
import time
from typing import ClassVar

import numpy as np
from attack import Probe, bind, kind, must_equal, must_refuse
from available import available

import bpnet

X, y = bpnet.datasets.make_spiral(120, seed=0)
SPECS = available("numpy", "torch:cpu", "jax", "array_api_strict:device1")


def network(units=24, seed=0):
    layers = [bpnet.Dense(units, "tanh"), bpnet.Dense(units, "relu"), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=seed)


def flat(net):
    """Return all parameters as one host array."""
    to_numpy = net.backend.to_numpy
    parts = [np.ravel(to_numpy(p)) for layer in net.parameters for p in layer.values()]
    return np.concatenate(parts)


class At(bpnet.Callback):
    """Calls ``act(training)`` once, in one hook."""

    adds: ClassVar = {}

    def __init__(self, hook, act):
        self.result, done = None, []

        def once(training):
            if not done:
                done.append(True)
                self.result = act(training)

        setattr(self, hook, once)


class Keep(bpnet.Callback):
    """Keeps a copy of the weights between all steps."""

    adds: ClassVar = {}

    def __init__(self):
        self.copies = []

    def on_train_begin(self, training):
        self.copies = [copy.deepcopy(training.network)]

    def on_batch_end(self, training):
        self.copies.append(copy.deepcopy(training.network))


def in_thread(action):
    """Run an action in another thread; return its result or raise its error."""
    results = []

    def run():
        try:
            results.append((action(), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60.0)
    result, error = results[0]
    if error is not None:
        raise error
    return result


# Each answers a question from the weights.
ASKS = {
    "forward": lambda net: np.asarray(net.forward(X)),
    "predict_proba": lambda net: np.asarray(net.predict_proba(X)),
    "evaluate": lambda net: np.float64(net.evaluate(X, y)["loss"]),
    "parameters": flat,
    "a deep copy": lambda net: flat(copy.deepcopy(net)),
    "a pickle": lambda net: flat(pickle.loads(pickle.dumps(net))),
    "loss_and_gradients": lambda net: np.float64(net.loss_and_gradients(X, y)[0]),
}


def torn(ask, spec, units):
    """Whatever another thread sees while fit runs are the weights between two steps."""
    net, keep, answers, errors = network(units), Keep(), [], []
    net.build(2, spec)
    ask(net)
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            try:
                answers.append(ask(net))
            except Exception as error:
                errors.append(error)
            time.sleep(0.0005)

    thread = threading.Thread(target=watch)
    started = At("on_train_begin", lambda training: thread.start())
    try:
        net.fit(X, y, epochs=4, batch_size=20, callbacks=[keep, started], backend=spec)
    finally:
        stop.set()
        thread.join(60.0)
    allowed = {ask(other).tobytes() for other in keep.copies}
    assert not errors, errors[0]
    assert answers
    wrong = sum(answer.tobytes() not in allowed for answer in answers)
    assert not wrong, f"{wrong} of {len(answers)} answers are of no state between steps"


def refused_in(hook, action, word):
    """An action on the network is refused within a hook, and training goes on as without."""
    net, plain = network(), network()

    def act(training):
        return must_refuse(lambda: action(training.network), word, errors=RuntimeError)

    callback = At(hook, act)
    net.fit(X, y, epochs=3, callbacks=[callback])
    plain.fit(X, y, epochs=3)
    assert callback.result
    must_equal(flat(net), flat(plain))


def refused_in_another_thread(action, word):
    refused_in("on_batch_end", lambda net: in_thread(lambda: action(net)), word)


def usable_after(error, hook):
    """An error in a hook frees the network for the next fit."""
    net = network()

    def fail(training):
        raise error

    try:
        net.fit(X, y, epochs=2, callbacks=[At(hook, fail)])
    except type(error):
        pass
    net.fit(X, y, epochs=1)


def trained_in_threads(spec):
    """Copies of one network may train at the same time, and give the same bits."""
    net = network().build(2, spec)
    copies, expected = [copy.deepcopy(net) for _ in range(3)], copy.deepcopy(net)
    threads = [
        threading.Thread(target=c.fit, args=(X, y), kwargs={"epochs": 3}) for c in copies
    ]
    for thread in threads:
        thread.start()
    expected.fit(X, y, epochs=3)
    for thread in threads:
        thread.join(60.0)
    for other in copies:
        must_equal(flat(other), flat(expected))


def built_once(spec):
    """Threads that are the first to use a network all get the same weights."""
    net, results = network(), []
    ready = threading.Barrier(4)

    def ask():
        ready.wait()
        results.append(np.asarray(net.loss_and_gradients(X, y, backend=spec)[0]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert len(results) == 4
    assert len({result.tobytes() for result in results}) == 1


def estimator_in_callback(solver):
    """An estimator's prediction within its fit is of the weights now, and changes nothing."""
    seen = []

    class Ask(bpnet.Callback):
        adds: ClassVar = {}

        def on_epoch_end(self, training):
            now = np.asarray(training.network.predict_proba(X))
            seen.append((np.asarray(asking.predict_proba(X)), now))

    settings = {"max_iter": 4, "random_state": 0, "solver": solver}
    asking = bpnet.MLPClassifier((8,), callbacks=[Ask()], **settings)
    asking.fit(X, y)
    plain = bpnet.MLPClassifier((8,), **settings).fit(X, y)
    assert len(seen) == 4
    for found, expected in seen:
        must_equal(found, expected)
    for found, expected in zip(asking.coefs_, plain.coefs_, strict=True):
        must_equal(found, expected)


def estimator_in_threads():
    """Threads that predict with one estimator get what one thread gets."""
    model = bpnet.MLPClassifier((16,), max_iter=5, random_state=0).fit(X, y)
    expected = [np.asarray(model.predict_proba(X[k : k + 20])) for k in range(0, 120, 20)]
    results, ready = {}, threading.Barrier(6)

    def ask(k):
        ready.wait()
        for _ in range(5):
            results[k] = np.asarray(model.predict_proba(X[20 * k : 20 * k + 20]))

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    for k, value in enumerate(expected):
        must_equal(results[k], value)


@kind("threads", slow=True)
def threads(rng):
    for spec in SPECS:
        for name, ask in ASKS.items():
            if spec == "numpy" or name in ("forward", "parameters"):
                units = int(rng.integers(16, 200))
                yield Probe(f"{name} during fit, {spec}", bind(torn, ask, spec, units))
        yield Probe(f"copies in threads, {spec}", bind(trained_in_threads, spec))
        yield Probe(f"first use in threads, {spec}", bind(built_once, spec))
    again = {
        "fit": lambda net: net.fit(X, y, epochs=1),
        "fit with a loader": lambda net: net.fit(X[:40], y[:40], epochs=2, batch_size=None),
        "build": lambda net: net.build(2),
        "to": lambda net: net.to("numpy"),
    }
    for name, action in again.items():
        word = name.partition(" ")[0]
        for hook in ("on_train_begin", "on_batch_end", "on_epoch_end", "on_train_end"):
            yield Probe(f"{name} in {hook}", bind(refused_in, hook, action, word))
        run = bind(refused_in_another_thread, action, word)
        yield Probe(f"{name} in another thread", run)
    for hook in ("setup", "on_train_begin", "on_batch_end", "on_epoch_end", "teardown"):
        for error in (ValueError("no"), KeyboardInterrupt()):
            yield Probe(
                f"fit after {type(error).__name__} in {hook}", bind(usable_after, error, hook)
            )
    try:
        import sklearn  # noqa: F401
    except ImportError:
        return
    for solver in ("adam", "sgd"):
        yield Probe(f"estimator in a callback, {solver}", bind(estimator_in_callback, solver))
    yield Probe("estimator in threads", estimator_in_threads)
