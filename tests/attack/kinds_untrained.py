"""Predicting with weights that nobody chose, and with weights that somebody did."""

import copy
import pickle
import tempfile
from pathlib import Path

import numpy as np
from attack import Probe, all_of, bind, kind, must_not_warn, must_refuse, must_warn
from available import available

import bpnet

SPECS = available("numpy", "torch:cpu", "jax", "array_api_strict:device1")


def network(loss, n_outputs, seed):
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(n_outputs)], loss, seed=seed)


PREDICTIONS = {
    "forward": lambda net, X, y: net.forward(X),
    "predict": lambda net, X, y: net.predict(X),
    "predict_proba": lambda net, X, y: net.predict_proba(X),
    "evaluate": lambda net, X, y: net.evaluate(X, y),
}

# What a learner does with a network before training, on purpose.
LOOKS = {
    "loss_and_gradients": lambda net, X, y: net.loss_and_gradients(X, y),
    "trace": lambda net, X, y: net.trace(X[:2], y[:2]),
    "check_gradients": lambda net, X, y: bpnet.check_gradients(net, X, y),
    "fit": lambda net, X, y: net.fit(X, y, epochs=1, validation_split=0.3),
    "find_learning_rate": lambda net, X, y: bpnet.find_learning_rate(net, X, y),
    "sanity_checks": lambda net, X, y: bpnet.sanity.sanity_checks(net, X, y, epochs=2),
    "parity": lambda net, X, y: bpnet.parity(net, X, y, epochs=1),
}


def saved_and_loaded(net):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.safetensors")
        net.save(path)
        return bpnet.load(path)


def assigned(net, X, y):
    net.build(X.shape[1])
    net.parameters = [{k: 0.5 * v for k, v in p.items()} for p in net.parameters]
    return net


# How somebody chooses the weights.
CHOICES = {
    "build": lambda net, X, y: net.build(X.shape[1]),
    "fit": lambda net, X, y: net.fit(X, y, epochs=1) and net,
    "assignment": assigned,
    "load": lambda net, X, y: saved_and_loaded(net.build(X.shape[1])),
    "a pickle": lambda net, X, y: pickle.loads(pickle.dumps(net.build(X.shape[1]))),
    "a copy": lambda net, X, y: copy.deepcopy(net.build(X.shape[1])),
    "replace": lambda net, X, y: net.build(X.shape[1]).replace(dtype="float64"),
}


def warned_once(use, net, X, y):
    """The first prediction warns, and says what to do; the second does not."""
    must_warn(lambda: use(net, X, y), "fit", "random")
    must_not_warn(lambda: use(net, X, y))


def chosen(choose, use, net, X, y):
    other = must_not_warn(lambda: choose(net, X, y))
    must_not_warn(lambda: use(other, X, y))


@kind("untrained")
def untrained(rng):
    cases = {
        "binary_crossentropy": (1, lambda m: rng.integers(0, 2, m)),
        "categorical_crossentropy": (3, lambda m: rng.integers(0, 3, m)),
        "mean_squared_error": (2, lambda m: rng.normal(size=(m, 2))),
    }
    for loss, (n_outputs, targets) in cases.items():
        X, y = rng.normal(size=(12, int(rng.integers(1, 5)))), targets(12)
        seed = int(rng.integers(100))
        for name, use in PREDICTIONS.items():
            if loss == "mean_squared_error" and name == "predict_proba":
                continue
            net = network(loss, n_outputs, seed)
            yield Probe(f"{name}, {loss}", bind(warned_once, use, net, X, y))
            for how, choose in CHOICES.items():
                net = network(loss, n_outputs, seed)
                yield Probe(f"{name} after {how}, {loss}", bind(chosen, choose, use, net, X, y))
        for name, use in LOOKS.items():
            net = network(loss, n_outputs, seed)
            yield Probe(f"{name}, {loss}", bind(must_not_warn, bind(use, net, X, y)))
    X, y = rng.normal(size=(12, 2)), rng.integers(0, 2, 12)
    for spec in SPECS:
        net = network("binary_crossentropy", 1, 0)
        ask = bind(must_warn, bind(net.predict, X, backend=spec), "fit", "random")
        again = bind(must_not_warn, bind(net.predict, X, backend=spec))
        yield Probe(f"on {spec}", all_of(ask, again))


@kind("history")
def history(rng):
    yield from _numbers(rng)
    yield from _gaps(rng)
    yield from _nonsense()
    yield from _forms()


def _fit(logs_of, epochs=4, **options):
    """Train with a callback that updates the logs by ``logs_of(epoch)``; return the history."""

    class Adds(bpnet.Callback):
        def on_epoch_end(self, training):
            training.logs.update(logs_of(training.epoch))

    X, y = bpnet.datasets.make_xor(20, seed=0)
    net = network("binary_crossentropy", 1, 0)
    return net.fit(X, y, epochs=epochs, callbacks=[Adds()], **options)


def _stored(value, expected):
    """A number of any library is stored as a float that JSON can write."""
    import json

    found = json.loads(json.dumps(dict(_fit(lambda epoch: {"extra": value}))))
    assert found["extra"] == [expected] * 4, found["extra"]
    assert all(type(v) is float for v in found["extra"])


def _numbers(rng):
    x = float(np.float32(rng.normal()))
    values = {
        "float": x, "float32": np.float32(x), "float64": np.float64(x), "int": 7,
        "int8": np.int8(-3), "uint64": np.uint64(9), "bool": True, "bool_": np.bool(False),
        "0-d array": np.array(x), "array of one": np.array([x]), "float16": np.float16(0.5),
        "longdouble": np.longdouble(0.25), "0-d int": np.array(4), "(1, 1)": np.array([[2.0]]),
    }  # fmt: skip
    for name, value in values.items():
        expected = float(np.asarray(value).reshape(()))
        yield Probe(f"a number: {name}", bind(_stored, value, expected))
    for spec in SPECS:
        value = bpnet.get_backend(spec).asarray(np.array(x, np.float32))
        yield Probe(f"a number: 0-d of {spec}", bind(_stored, value, x))


def _equally_long(present, expected):
    """A metric of some epochs only is NaN in the others, so that all lists are as long."""
    found = _fit(lambda epoch: {"extra": float(epoch)} if epoch in present else {}, epochs=5)
    lengths = {len(values) for values in found.values()}
    assert lengths == {5}, {name: len(values) for name, values in found.items()}
    assert np.array_equal(found["extra"], expected, equal_nan=True), found["extra"]


def _none(epoch):
    return {"extra": None if epoch in (1, 3) else 2.0}


def _not_measured():
    found = _fit(_none, epochs=4)
    assert np.array_equal(found["extra"], [np.nan, 2.0, np.nan, 2.0], equal_nan=True)


def _gaps(rng):
    yield Probe("None in some epochs", _not_measured)
    for _ in range(8):
        some = rng.choice(5, int(rng.integers(1, 5)), replace=False)
        present = sorted(int(k) + 1 for k in some)
        expected = [float(k) if k in present else np.nan for k in range(1, 6)]
        name = f"a metric in the epochs {present}"
        yield Probe(f"{name}, {rng.integers(1e6)}", bind(_equally_long, present, expected))


def _refused(value):
    """What is no number is refused, with its name, and the network stays usable."""
    error = None
    try:
        _fit(lambda epoch: {"extra": value})
    except (ValueError, TypeError) as refusal:
        error = str(refusal)
    assert error is not None, "accepted"
    assert "extra" in error, error


def _nonsense():
    values = {
        "text": "0.5", "bytes": b"1", "a list": [1.0], "a dict": {}, "1j": 1j,
        "NaT": np.datetime64("NaT", "s"),
        "an array of two": np.ones(2), "an empty array": np.ones(0), "an object": object(),
        "a datetime": np.datetime64("2020-01-01"), "text of NumPy": np.str_("1"),
        "an array of text": np.array("1"), "complex of NumPy": np.complex64(1),
    }  # fmt: skip
    for name, value in values.items():
        yield Probe(f"no number: {name}", bind(_refused, value))


class Breaks(bpnet.Callback):
    """Does something else to the logs."""

    def __init__(self, act):
        self.act = act

    def on_epoch_end(self, training):
        self.act(training)


def _must_keep(act, word):
    X, y = bpnet.datasets.make_xor(20, seed=0)
    net = network("binary_crossentropy", 1, 0)
    fit = bind(net.fit, X, y, epochs=2, callbacks=[Breaks(act)], validation_split=0.5)
    must_refuse(fit, "Breaks", word)
    must_not_warn(lambda: net.predict(X))


def _forms():
    """Replacing or emptying the logs is refused, by the name of the callback."""
    yield Probe("no dict", bind(_must_keep, lambda t: setattr(t, "logs", [1.0]), "dict"))
    for name in ("loss", "learning_rate", "val_loss", "val_accuracy"):
        act = bind(lambda name, t: t.logs.pop(name), name)
        yield Probe(f"without {name}", bind(_must_keep, act, name))
    yield Probe("cleared", bind(_must_keep, lambda t: t.logs.clear(), "loss"))
    yield Probe("a number as name", bind(_must_keep, lambda t: t.logs.update({1: 2.0}), "1"))
