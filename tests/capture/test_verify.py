"""Verified capture: fewer calls are used only if they reproduce a step."""

from __future__ import annotations

import contextlib
import types
import weakref
from functools import partial

import numpy as np
import pytest
from available import available
from bpnet_backends.capture.executor import ReplayedStep
from bpnet_backends.capture.numpy_ops import NumpyOps
from bpnet_backends.capture.ops import run_all
from numpy.testing import assert_allclose, assert_array_equal
from replaying import CountCalls

import bpnet
from bpnet import Adam, Dense


class Capturing(NumpyOps):
    """NumPy with candidates for fewer calls."""

    def __init__(self, *candidates):
        super().__init__()
        self.candidates = candidates

    def captures(self, calls, with_kernels):
        return [partial(candidate, calls) for candidate in self.candidates]


def whole(calls):
    return [partial(run_all, calls)]


def wrong(calls):
    return [partial(run_all, calls[:-1])]


def stale(calls):
    """Rely on the result that an earlier run left."""
    return [partial(run_all, calls[1:])]


def absent(calls):
    raise RuntimeError("no such thing")


def stopping(calls):
    return [partial(run_all, [*calls[:2], partial(absent, calls)])]


def run(ops, steps=4):
    """Run steps that overwrite their state, check them, and return the executable."""

    def step(xp, state, data):
        p, v = state["p"], state["v"]
        v = 0.9 * v - data["g"] * p
        return {"p": p + v, "v": v, "n": state["n"] + 1}

    compiled = ReplayedStep(step, ops, np)
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
    return next(iter(compiled._executables.values()))


@pytest.mark.parametrize(
    ("candidates", "n_calls"),
    [
        ((whole,), 1),
        ((wrong, stale, whole), 1),
        ((absent, stopping, whole), 1),
        ((wrong, stale), 5),
        ((absent, stopping), 5),
        ((), 5),
    ],
)
def test_the_first_equivalent_candidate_is_used(candidates, n_calls):
    assert len(run(Capturing(*candidates)).calls) == n_calls


@pytest.mark.parametrize("copies", [0, 1, 3])
def test_without_memory_to_verify_steps_run_as_traced(copies):
    class Full(Capturing):
        """Has memory for a number of copies once a step is bound."""

        left = 100

        def captures(self, calls, with_kernels):
            self.left = copies
            return super().captures(calls, with_kernels)

        def copy(self, array):
            self.left -= 1
            if self.left == -1:
                raise MemoryError
            return super().copy(array)

    assert len(run(Full(whole)).calls) == 5


def test_a_step_that_is_rebound_every_time_is_not_captured_again():
    tried = []

    def counted(calls):
        tried.append(calls)
        return whole(calls)

    ops = Capturing(counted)
    ops.copy_limit = 0  # new data is not copied
    compiled = ReplayedStep(lambda xp, state, data: {"p": state["p"] * data}, ops, np)
    state = {"p": np.ones(4)}
    for _ in range(5):
        state = compiled(state, np.full(4, 2.0))
    assert_array_equal(state["p"], np.full(4, 32.0))
    assert len(tried) == 2


@pytest.mark.parametrize("backend", available("numpy", "torch:cpu"))
def test_equal_compares_bits_but_for_nan(backend):
    backend = bpnet.get_backend(backend)
    ops = backend.compile(None).ops
    x = np.array([0.0, 1.0, np.nan, np.inf], "float32")
    changes = {"the sign of zero": (0, -0.0), "one ulp": (1, np.nextafter(np.float32(1), 2))}
    for index, value in changes.values():
        other = x.copy()
        other[index] = value
        assert not ops.equal(backend.asarray(x), backend.asarray(other))
    other = x.copy()
    other.view("uint32")[2] ^= 1  # another NaN
    assert np.isnan(other[2])
    assert ops.equal(backend.asarray(x), backend.asarray(other))
    assert not ops.equal(backend.asarray(x), backend.asarray(x.astype("float64")))
    for dtype in ("bool", "int32", "int64"):
        ones = backend.asarray(np.ones(3, dtype))
        assert ops.equal(ones, backend.asarray(np.ones(3, dtype)))
        assert not ops.equal(ones, backend.asarray(np.zeros(3, dtype)))


# --- PyTorch's graphs -------------------------------------------------------------------------


@pytest.fixture
def torch(monkeypatch):
    """PyTorch whose CUDA graphs record calls on the CPU."""
    torch = pytest.importorskip("torch")
    from torch.overrides import TorchFunctionMode

    class Graph:
        """Refers to tensors without keeping them alive, like a CUDA graph."""

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
            recorded = {key: weak(value) for key, value in kwargs.items()}
            self.graph.calls.append((function, [*map(weak, args)], recorded))
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
    from bpnet_backends.capture.torch_ops import TorchOps

    def losses(**options):
        X, y = bpnet.datasets.make_spiral(96, seed=0)
        net = bpnet.Network([Dense(20, "tanh"), Dense(1)], "binary_crossentropy", seed=0)
        return net.fit(
            X, y, optimizer=Adam(0.01), epochs=3, backend="torch:cpu", **options
        )["loss"]  # fmt: skip

    expected = losses(run_eagerly=True)
    monkeypatch.setattr(module, "TorchOps", lambda device: TorchOps("cuda:1"))
    counted = CountCalls()
    assert losses(callbacks=[counted]) == expected
    assert counted.counts == [1]


# --- on a GPU ---------------------------------------------------------------------------------


def test_a_step_is_few_calls_on_a_gpu(backend):
    if not backend.device.startswith("cuda") and backend.name != "cupy":
        pytest.skip(f"{backend.spec} captures no CUDA graphs")
    X, y = bpnet.datasets.make_spiral(96, seed=0)
    net = bpnet.Network([Dense(20, "tanh"), Dense(1)], "binary_crossentropy", seed=0)
    counted = CountCalls()
    net.fit(X, y, epochs=2, backend=backend, callbacks=[counted])
    products = 5  # two forward, two for the weights, one for the errors
    assert counted.counts[0] <= (1 if backend.name == "torch" else 2 * products + 1)


@pytest.mark.parametrize("shape", [(256, 784, 512), (64, 1, 10), (1, 2048, 3)])
def test_cublas_agrees_with_cupy(shape, backend):
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
