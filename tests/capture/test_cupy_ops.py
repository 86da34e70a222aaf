"""CuPy's backend on stand-ins: kernels, CUDA graphs, and what happens where they fail."""

from __future__ import annotations

import numpy as np
import pytest
import stand_in_cupy
from hypothesis import given, settings
from hypothesis import strategies as st
from on_host import assert_same, flat
from replaying import OPERATIONS, CountCalls, any_step, assert_same_bits

import bpnet
from bpnet import SGD, Dense, Dropout

pytestmark = pytest.mark.usefixtures("nothing_compiled")
PRODUCTS = 8  # of three layers: forward, for the weights, for the errors of two


def fitted(backend, **options):
    """Train; return parameters, losses, and a callback with the calls of a step."""
    counted = CountCalls()
    X, y = bpnet.datasets.make_spiral(96, seed=0)
    layers = [Dense(20, "relu"), Dropout(0.25), Dense(8, "softsign", l1=1e-3), Dense(1)]
    net = bpnet.Network(layers, "huber", seed=0)
    history = net.fit(
        X, y, optimizer=SGD(0.1, momentum=0.9, clip_norm=1.0), epochs=3, batch_size=32,
        backend=backend, callbacks=() if options else [counted], **options,
    )  # fmt: skip
    return flat(net.backend, net.parameters), history["loss"], counted


def check(backend):
    """Train bitwise like NumPy; return the number of calls of a step."""
    expected, losses, _ = fitted("numpy", run_eagerly=True)
    parameters, got, counted = fitted(backend)
    assert_same(parameters, expected)
    assert got == losses
    (n,) = counted.counts
    return n


@pytest.mark.full
def test_a_step_is_one_graph():
    with stand_in_cupy.installed() as backend:
        assert check(backend()) == 1


def test_without_nvmath_products_run_between_graphs():
    with stand_in_cupy.installed(nvmath=False) as backend:
        assert check(backend()) == 2 * PRODUCTS + 1


def refuse(*_):
    stand_in_cupy.Stream.captured = None
    raise RuntimeError("refused")


def refusing(compiled):
    """Compile no kernels but the one that compares results."""
    return lambda code: compiled(code) if "differ" in code else refuse()


def lying(compiled):
    """Compile kernels whose last result is too large by one."""

    def compile_(code):
        return compiled(code.replace("\n}}", " += 1;\n}}") if "o1" in code else code)

    return compile_


@pytest.mark.parametrize("changed", [refusing, lying])
def test_kernels_that_fail_or_are_wrong_are_not_used(changed, monkeypatch):
    monkeypatch.setattr(stand_in_cupy, "compiled", changed(stand_in_cupy.compiled))
    with stand_in_cupy.installed() as backend:
        assert check(backend()) == 2 * PRODUCTS + 1


@pytest.mark.parametrize("method", ["begin_capture", "end_capture"])
def test_without_graphs_each_call_is_launched(method, monkeypatch):
    monkeypatch.setattr(stand_in_cupy.Stream, method, refuse)
    with stand_in_cupy.installed() as backend:
        assert check(backend()) > 100


def test_a_graph_that_does_something_else_is_not_used(monkeypatch):
    monkeypatch.setattr(stand_in_cupy.Graph, "launch", lambda self: None)
    with stand_in_cupy.installed() as backend:
        assert check(backend()) > 100


def test_user_code_is_not_traced():
    class Own(SGD):
        pass

    with stand_in_cupy.installed() as backend:
        X, y = bpnet.datasets.make_spiral(30, seed=0)
        nets = [bpnet.Network([Dense(1)], "huber", seed=0) for _ in range(2)]
        nets[0].fit(X, y, optimizer=Own(0.1), epochs=2, backend=backend())
        nets[1].fit(X, y, optimizer=SGD(0.1), epochs=2, backend="numpy")
    assert_same(*(flat(net.backend, net.parameters) for net in nets))


@settings(max_examples=10)
@given(
    names=st.lists(st.sampled_from(sorted(set(OPERATIONS) - {"transpose"})), max_size=8),
    picks=st.lists(st.integers(0, 100), min_size=18, max_size=18),
    size=st.sampled_from([(1, 1), (3, 4), (30, 1)]),
)
def test_any_sequence_of_operations_becomes_one_graph(names, picks, size):
    """No kernel reads what it or another has overwritten."""
    step = any_step(names, picks)
    with stand_in_cupy.installed() as backend:
        compiled = assert_same_bits(backend(), step, size, "float32", 1, lambda t: [], steps=3)
        (executable,) = compiled._executables.values()
        assert len(executable.calls) == 1


# --- products ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("b_order", "CF")
@pytest.mark.parametrize("a_order", "CF")
def test_cublas_multiplies_matrices_of_either_order(a_order, b_order, dtype):
    rng = np.random.default_rng(0)
    with stand_in_cupy.installed():
        from bpnet_backends.capture.cublas import Cublas

        for m, k, n in [(4, 5, 6), (1, 5, 6), (4, 1, 6), (4, 5, 1), (1, 1, 2)]:
            a, b = (
                stand_in_cupy.owned(rng.standard_normal(shape).astype(dtype, order=order))
                for shape, order in (((m, k), a_order), ((k, n), b_order))
            )
            out = stand_in_cupy.owned(np.full((m, n), np.nan, dtype))
            Cublas().product(a, b, out)()
            exact = np.matmul(a, b, dtype="longdouble")
            error = abs(out - exact)  # a sum of k terms in any order: Higham 2002, eq. 3.5
            assert np.all(error <= k * np.finfo(dtype).eps * (abs(a) @ abs(b))), error


@pytest.mark.parametrize(
    "change",
    [
        lambda a, b, out: (a[::2, ::2], b[::2], out[::2]),
        lambda a, b, out: (a, b.astype("float64"), out),
        lambda a, b, out: (a, b, stand_in_cupy.owned(np.asfortranarray(out))),
        lambda a, b, out: (a.astype("int32"), b.astype("int32"), out.astype("int32")),
        lambda a, b, out: (a[:1], stand_in_cupy.owned(b[:, :1].copy()), out[:1, :1]),
    ],
    ids=["strides", "dtypes", "result", "integers", "a number"],
)
def test_cublas_is_not_asked_what_it_would_misread(change):
    a, b, out = (stand_in_cupy.owned(np.ones((4, 4), "float32")) for _ in range(3))
    with stand_in_cupy.installed():
        from bpnet_backends.capture.cublas import Cublas

        assert Cublas().product(a, b, out) is not None
        assert Cublas().product(*change(a, b, out)) is None
