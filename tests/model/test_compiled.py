"""Compiled functions are shared by networks of equal description, and by one run at a time."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading

import numpy as np
import pytest
from own_components import own_network

import bpnet
from bpnet.model.compiled import FUNCTIONS, CompiledFunctions

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3))
Y = X[:, 0] - 0.5


def network(seed=0, rate=0.3):
    layers = [bpnet.Dense(4, "tanh"), bpnet.Dropout(rate), bpnet.Dense(1)]
    return bpnet.Network(layers, "mean_squared_error", seed=seed)


def bits(net):
    parameters = [net.backend.to_numpy(p) for layer in net.parameters for p in layer.values()]
    return [p.tobytes() for p in parameters]


def trained(seed, backend, make=network, **settings):
    net = make(seed)
    settings = {"epochs": 3, "batch_size": 8, "optimizer": bpnet.SGD(0.1)} | settings
    losses = net.fit(X, Y, backend=backend, **settings)["loss"]
    return bits(net), losses


def alone(*arguments, **settings):
    """Train with nothing that others have compiled."""
    FUNCTIONS.clear()
    return trained(*arguments, **settings)


# --- the cache --------------------------------------------------------------------------------


def test_the_least_recently_used_are_dropped():
    functions = CompiledFunctions(limit=3)
    made = {k: functions.get(k, lambda k=k: k.upper().strip) for k in "abc"}
    assert functions.get("a", lambda: None) is made["a"]
    made["d"] = functions.get("d", lambda: str)
    assert functions.all() == [made["c"], made["a"], made["d"]]
    assert functions.get("b", lambda: int) is int
    functions.clear()
    assert functions.all() == []


class Keeps:
    """A function that keeps memory between calls."""

    def __init__(self):
        self.released = 0

    def release(self):
        self.released += 1


def test_a_function_that_keeps_memory_has_one_user():
    functions = CompiledFunctions()
    first, second = (functions.borrow("key", Keeps) for _ in range(2))
    assert first is not second
    assert functions.all() == []
    functions.give_back("key", first)
    assert (first.released, second.released) == (1, 0)
    assert functions.borrow("key", Keeps) is first
    functions.give_back("key", second)
    assert functions.all() == [second]


def test_a_function_without_memory_has_many():
    functions = CompiledFunctions()
    first = functions.borrow("key", lambda: len)
    assert functions.borrow("key", lambda: max) is first
    functions.give_back("key", first)
    assert functions.all() == [first]


def test_the_cache_is_bounded_whatever_is_trained(nothing_compiled, monkeypatch):
    monkeypatch.setattr(FUNCTIONS, "limit", 5)
    net = network()
    for k in range(8):
        net.replace(loss=bpnet.losses.Huber(0.1 + k)).fit(X, Y, epochs=1)
    assert len(FUNCTIONS.all()) == 5


# --- sharing ----------------------------------------------------------------------------------


def n_programs(function):
    """Return the number of programs that JAX has compiled of a function."""
    jitted = [function, getattr(function, "_step", None), getattr(function, "_run", None)]
    return sum(f._cache_size() for f in jitted if hasattr(f, "_cache_size"))


@pytest.mark.parametrize("make", [network, own_network])
def test_equal_networks_of_other_seeds_share_bpnets_own_steps_with_the_bits_of_unshared_ones(
    make, backend, nothing_compiled
):
    expected = [alone(seed, backend, make=make) for seed in (0, 1)]
    assert expected[0] != expected[1]
    FUNCTIONS.clear()
    first = trained(0, backend, make=make)
    functions = FUNCTIONS.all()
    sizes = list(map(n_programs, functions))
    second = trained(1, backend, make=make)
    assert [first, second] == expected
    if make is own_network:  # whose code may depend on anything
        assert set(FUNCTIONS.all()) > set(functions)
        return
    assert set(FUNCTIONS.all()) == set(functions)
    if backend.name == "jax":
        assert sum(sizes) > 0
        assert list(map(n_programs, functions)) == sizes
        assert max(sizes) == 1


def test_networks_of_other_seeds_have_other_masks(backend):
    """Of the same weights and order, so that only the masks differ."""
    start = network(0).build(3)
    losses = []
    for seed in (0, 1):
        net = network(seed).build(3, backend)
        net.parameters = start.parameters
        losses.append(net.fit(X, Y, epochs=1, batch_size=None, shuffle=False)["loss"])
    assert losses[0] != losses[1]


DIFFERENT = {
    "units": lambda net: net.replace(layers=[bpnet.Dense(4, "tanh"), bpnet.Dense(1)]),
    "rate": lambda net: network(rate=0.5),
    "loss": lambda net: net.replace(loss="huber"),
    "dtype": lambda net: net.replace(dtype="float64"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_descriptions_share_nothing(name):
    expected = alone(0, "numpy", make=lambda seed: DIFFERENT[name](network(seed)))
    trained(0, "numpy")
    assert trained(0, "numpy", make=lambda seed: DIFFERENT[name](network(seed))) == expected


@pytest.mark.parametrize("optimizer", [bpnet.SGD(0.1, 0.5), bpnet.SGD(0.1, clip_norm=0.1)])
def test_other_optimizers_share_nothing(optimizer):
    expected = alone(0, "numpy", optimizer=optimizer)
    plain = trained(0, "numpy")
    assert trained(0, "numpy", optimizer=optimizer) == expected != plain


def test_compiled_inference_follows_the_description(backend):
    net = network().build(3, backend)
    outputs = [
        net.evaluate(X, Y)["loss"],
        net.replace(loss="huber").evaluate(X, Y)["loss"],
        net.replace(loss=bpnet.losses.Huber(0.1)).evaluate(X, Y)["loss"],
    ]
    assert len(set(outputs)) == 3
    assert net.evaluate(X, Y)["loss"] == outputs[0]


# --- one run at a time ------------------------------------------------------------------------


def test_equal_networks_train_in_threads_at_once(backend, nothing_compiled):
    expected = [alone(seed, backend) for seed in range(3)]
    FUNCTIONS.clear()
    ready = threading.Barrier(3)

    def run(seed):
        ready.wait()
        return trained(seed, backend)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, range(3))) == expected


class Fits(bpnet.Callback):
    """Trains another network of equal description in each hook."""

    def __init__(self, backend):
        self.backend, self.inner = backend, []

    def _fit(self, training):
        self.inner.append(trained(1, self.backend))
        assert training.network.backend == training.backend

    on_train_begin = on_epoch_end = on_train_end = _fit

    def on_batch_end(self, training):
        if len(self.inner) == 1:
            self._fit(training)


def test_an_equal_network_trains_in_a_callback(backend, nothing_compiled):
    outer, inner = (alone(seed, backend) for seed in (0, 1))
    FUNCTIONS.clear()
    callback = Fits(backend)
    assert trained(0, backend, callbacks=[callback]) == outer
    assert len(callback.inner) == 6
    assert all(result == inner for result in callback.inner)


def test_after_a_run_that_fails_the_steps_are_given_back(nothing_compiled):
    class Fails(bpnet.Callback):
        def on_epoch_end(self, training):
            raise KeyError("mine")

    expected = alone(0, "numpy")
    FUNCTIONS.clear()
    with pytest.raises(KeyError, match="mine"):
        trained(0, "numpy", callbacks=[Fails()])
    steps = [f for f in FUNCTIONS.all() if hasattr(f, "release")]
    assert len(steps) == 1
    assert trained(0, "numpy") == expected
    assert [f for f in FUNCTIONS.all() if hasattr(f, "release")] == steps


class Global(bpnet.Layer):
    """Depends on something outside, which no key can know."""

    factor = 1.0

    def forward(self, xp, parameters, a_previous, context):
        return a_previous * Global.factor, None

    def backward(self, xp, parameters, cache, error, propagate=True):
        return error * Global.factor, {}


def test_code_of_the_users_own_is_not_shared_with_other_networks(backend, monkeypatch):
    def loss(factor):
        monkeypatch.setattr(Global, "factor", factor)
        layers = [Global(), bpnet.Dense(3, "tanh"), bpnet.Dense(1)]
        net = bpnet.Network(layers, "mean_squared_error", seed=0)
        history = net.fit(np.ones((4, 2)), np.ones(4), epochs=1, backend=backend)
        return history["loss"][0], net.evaluate(np.ones((4, 2)), np.ones(4))["loss"]

    one, fifty = loss(1.0), loss(50.0)
    assert abs(one[0] - fifty[0]) > 1e-3
    assert abs(one[1] - fifty[1]) > 1e-3


@dataclasses.dataclass(frozen=True)
class Settings:
    """Two of these are equal, whatever their factors."""

    name: str
    factor: float = dataclasses.field(compare=False)


class Factor(bpnet.Layer):
    def __init__(self, settings):
        self.settings = settings

    def forward(self, xp, parameters, a_previous, context):
        return a_previous * self.settings.factor, None

    def backward(self, xp, parameters, cache, error, propagate=True):
        return error * self.settings.factor, {}


def test_what_attributes_say_of_their_equality_is_not_trusted():
    one, two = Factor(Settings("a", 1.0)), Factor(Settings("a", 9.0))
    assert one.settings == two.settings
    assert one != two
    assert Factor(one.settings) == one
