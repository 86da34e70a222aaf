"""Fewer calls in place of a step's: taken where they do the same, else left."""

from __future__ import annotations

import contextlib
import types
import weakref
from functools import partial

import numpy as np
import pytest
from bpnet_backends.capture.executor import Replayed
from bpnet_backends.capture.numpy_ops import NumpyLibrary
from bpnet_backends.capture.ops import run_all
from numpy.testing import assert_allclose, assert_array_equal
from replaying import CountCalls

import bpnet
from bpnet import Adam, Dense


class Condensing(NumpyLibrary):
    """A library that has ways to do with fewer calls."""

    def __init__(self, *ways):
        super().__init__()
        self.ways = ways

    def condensed(self, calls, fused):
        return [partial(way, calls) for way in self.ways]


def whole(calls):
    return [partial(run_all, calls)]


def wrong(calls):
    return [partial(run_all, calls[:-1])]


def stale(calls):
    """Leaves what an earlier run has left."""
    return [partial(run_all, calls[1:])]


def absent(calls):
    raise RuntimeError("no such thing")


def stopping(calls):
    return [partial(run_all, [*calls[:2], partial(absent, calls)])]


def run(library, steps=4):
    """Take steps of an update that overwrites its state; give the result and the run."""

    def step(xp, state, data):
        p, v = state["p"], state["v"]
        v = 0.9 * v - data["g"] * p
        return {"p": p + v, "v": v, "n": state["n"] + 1}

    compiled = Replayed(step, library, np)
    state = {"p": np.arange(4.0), "v": np.ones(4), "n": np.array(0)}
    data = {"g": np.full(4, 0.1)}
    expected = state
    for _ in range(steps):
        expected = step(np, expected, data)
    state = {key: array.copy() for key, array in state.items()}
    for _ in range(steps):
        state = compiled(state, data)
    for key in expected:
        assert_array_equal(state[key], expected[key])
    return next(iter(compiled._runs.values()))


@pytest.mark.parametrize(
    ("ways", "n_calls"),
    [
        ((whole,), 1),
        ((wrong, stale, whole), 1),
        ((absent, stopping, whole), 1),
        ((wrong, stale), 5),
        ((absent, stopping), 5),
        ((), 5),
    ],
)
def test_the_first_way_that_does_the_same_is_taken(ways, n_calls):
    assert len(run(Condensing(*ways)).calls) == n_calls


@pytest.mark.parametrize("copies", [0, 1, 3])
def test_without_memory_for_a_trial_steps_run_as_they_are(copies):
    class Full(Condensing):
        """Has room for so many copies once a step is bound."""

        left = 100

        def condensed(self, calls, fused):
            self.left = copies
            return super().condensed(calls, fused)

        def copy(self, array):
            self.left -= 1
            if self.left == -1:
                raise MemoryError
            return super().copy(array)

    assert len(run(Full(whole)).calls) == 5


def test_a_step_that_is_bound_anew_all_the_time_is_left_alone():
    tried = []

    def counted(calls):
        tried.append(calls)
        return whole(calls)

    library = Condensing(counted)
    library.copied = 0  # so that new data are other arrays
    compiled = Replayed(lambda xp, state, data: {"p": state["p"] * data}, library, np)
    state = {"p": np.ones(4)}
    for _ in range(5):
        state = compiled(state, np.full(4, 2.0))
    assert_array_equal(state["p"], np.full(4, 32.0))
    assert len(tried) == 2


# --- PyTorch's graphs -------------------------------------------------------------------------


@pytest.fixture
def torch(monkeypatch):
    """PyTorch whose CUDA graphs note calls on the CPU."""
    torch = pytest.importorskip("torch")
    from torch.overrides import TorchFunctionMode

    class Graph:
        """Knows where tensors lie, but does not keep their memory."""

        def __init__(self):
            self.calls = []

        def capture_begin(self, capture_error_mode):
            assert capture_error_mode == "thread_local"
            self.mode = Capture(self)
            self.mode.__enter__()

        def capture_end(self):
            self.mode.__exit__(None, None, None)

        def replay(self):
            for function, args, kwargs in self.calls:
                function(*map(alive, args), **{k: alive(v) for k, v in kwargs.items()})

    def weak(value):
        return weakref.ref(value) if isinstance(value, torch.Tensor) else value

    def alive(value):
        if not isinstance(value, weakref.ref):
            return value
        tensor = value()
        assert tensor is not None
        return tensor

    class Capture(TorchFunctionMode):
        def __init__(self, graph):
            super().__init__()
            self.graph = graph

        def __torch_function__(self, function, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            noted = {key: weak(value) for key, value in kwargs.items()}
            self.graph.calls.append((function, [*map(weak, args)], noted))
            return kwargs.get("out")

    @contextlib.contextmanager
    def device(name):
        assert name == "cuda:1"
        yield

    stream = types.SimpleNamespace(wait_stream=lambda other: None)
    for name, stand_in in {
        "CUDAGraph": Graph, "device": device, "Stream": lambda: stream,
        "current_stream": lambda: None, "stream": contextlib.nullcontext,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return torch


def test_torch_captures_a_step_as_one_graph(torch, monkeypatch):
    from bpnet_backends import torch as module
    from bpnet_backends.capture.torch_ops import TorchLibrary

    def losses(**options):
        X, y = bpnet.datasets.make_spiral(96, seed=0)
        net = bpnet.Network([Dense(20, "tanh"), Dense(1)], "binary_crossentropy", seed=0)
        return net.fit(
            X, y, optimizer=Adam(0.01), epochs=3, backend="torch:cpu", **options
        )["loss"]  # fmt: skip

    expected = losses(run_eagerly=True)
    monkeypatch.setattr(module, "TorchLibrary", lambda device: TorchLibrary("cuda:1"))
    counted = CountCalls()
    assert losses(callbacks=[counted]) == expected
    assert counted.counts == [1]


# --- on a GPU ---------------------------------------------------------------------------------


def test_a_gpu_is_given_a_step_in_few_calls(backend):
    if not backend.device.startswith("cuda") and backend.name != "cupy":
        pytest.skip(f"{backend.spec} has no CUDA graphs of ours")
    X, y = bpnet.datasets.make_spiral(96, seed=0)
    net = bpnet.Network([Dense(20, "tanh"), Dense(1)], "binary_crossentropy", seed=0)
    counted = CountCalls()
    net.fit(X, y, epochs=2, backend=backend, callbacks=[counted])
    products = 5  # forward two, for the weights two, for the errors one
    assert counted.counts[0] <= (1 if backend.name == "torch" else 2 * products + 1)


@pytest.mark.parametrize("shape", [(256, 784, 512), (64, 1, 10), (1, 2048, 3)])
def test_cublas_gives_the_numbers_of_cupy(shape, backend):
    if backend.name != "cupy":
        pytest.skip(f"{backend.spec} is not CuPy")
    pytest.importorskip("nvmath.bindings")
    from bpnet_backends.capture.cublas import Cublas

    (m, k, n), rng = shape, np.random.default_rng(0)
    with backend.activate():
        a, b = (backend.asarray(rng.standard_normal(s)) for s in ((k, m), (k, n)))
        out = backend.asarray(np.zeros((m, n)))
        Cublas().product(a.T, b, out)()
        assert_allclose(*map(backend.to_numpy, (out, a.T @ b)), rtol=1e-12, atol=1e-12)
