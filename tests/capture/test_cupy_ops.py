"""CuPy's backend on stand-ins: kernels, CUDA graphs, and what happens where they fail."""

from __future__ import annotations

import gc
import inspect
import sys

import numpy as np
import pytest
import stand_in_cupy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from on_host import assert_same, flat
from replaying import OPERATIONS, CountCalls, any_step, assert_same_bits

import bpnet
from bpnet import SGD, Dense, Dropout
from bpnet.model.compiled import FUNCTIONS

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


def test_products_on_one_stream_share_a_handle_and_its_workspace(monkeypatch):
    made = []
    with stand_in_cupy.installed() as backend:
        from bpnet_backends.capture import cublas

        create = cublas.cublas.create
        monkeypatch.setattr(cublas.cublas, "create", lambda: made.append(1) or create())
        check(backend())
        assert len(made) == 1  # for two batch sizes and two fits
        fitted(backend())
        assert len(made) == 1
        with stand_in_cupy.Stream(non_blocking=True) as other:
            monkeypatch.setattr(other, "ptr", 8)
            shared = cublas.shared()
        assert len(made) == 2
        assert shared.workspace is not cublas.shared().workspace
        FUNCTIONS.clear()
        del shared
        gc.collect()
        assert not cublas._SHARED


def test_a_graph_runs_on_the_stream_of_its_workspace(monkeypatch):
    stream = stand_in_cupy.Stream
    with stand_in_cupy.installed():
        from bpnet_backends.capture.cupy_ops import _graph

        launch = _graph([])
        monkeypatch.setattr(stream, "order", ())
        launch()
        assert stream.order == (stream.null,)
        monkeypatch.setattr(stream, "order", ())
        with stream(non_blocking=True) as other:
            launch()
        assert stream.order == ((stream.null, other), stream.null, (other, stream.null))


def test_without_nvmath_its_import_is_tried_once():
    class Tried:
        times = 0

        def find_spec(self, name, path=None, target=None):
            self.times += name == "bpnet_backends.capture.cublas"

    sys.meta_path.insert(0, tried := Tried())
    try:
        with stand_in_cupy.installed(nvmath=False) as backend:
            fitted(backend())
            X, y = bpnet.datasets.make_spiral(20, seed=0)
            bpnet.Network([Dense(1)], "huber", seed=0).fit(X, y, epochs=1, backend=backend())
    finally:
        sys.meta_path.remove(tried)
    assert tried.times == 1


# --- the namespace ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 3), (5, 1), (1, 3), (1, 1), (0, 3)])
def test_the_namespace_computes_what_the_standard_says(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    x[:1] = np.nan
    with stand_in_cupy.installed() as backend:
        xp, x = backend.xp, stand_in_cupy.owned(x)
        for bounds in ({"min": -0.5}, {"max": 0.5}, {"min": -1, "max": 0.5}, {"min": x * 0.5}):
            assert_array_equal(xp.clip(x, **bounds), np.clip(x, **bounds))
        for options in ({}, {"axis": 0}, {"axis": 1}, {"axis": 0, "keepdims": True}):
            assert_array_equal(xp.sum(x, **options), np.sum(x, **options))
            for array in (x > 0.0, x < 9.0, x):
                assert_array_equal(xp.all(array, **options), np.all(array, **options))
                assert_array_equal(xp.any(array, **options), np.any(array, **options))


def test_bounding_does_not_wait_for_the_gpu(monkeypatch):
    """Masked assignments do, as the result of the mask decides what is written."""
    layers = [Dense(5, "gelu"), Dense(3, "mish"), Dense(4, "hard_sigmoid"), Dense(1)]
    net = bpnet.Network(layers, "huber", seed=0)
    X, y = bpnet.datasets.make_spiral(30, seed=0)
    with stand_in_cupy.installed() as backend:
        monkeypatch.setattr(sys.modules["array_api_compat.cupy"], "clip", None)
        net.fit(X, y, optimizer=SGD(0.1, clip_value=0.5), backend=backend(), run_eagerly=True)
        net.predict(X)


def test_training_uses_no_reduction_that_cupy_compiles_for_seconds(monkeypatch):
    """It compiles CUB where it has no compiled kernel of it for an array in order."""
    seen = []
    monkeypatch.setattr(stand_in_cupy, "called", lambda *a, **kw: seen.append((a, kw)))
    X, y = bpnet.datasets.make_spiral(33, seed=0)  # the last batch has one row
    with stand_in_cupy.installed() as backend:
        for loss, units in [("huber", 1), ("binary_crossentropy", 1), ("huber", 3)]:
            targets = y if units == 1 else np.stack([y] * 3, axis=1)
            net = bpnet.Network(
                [Dense(4, "relu"), Dense(1, l2=0.1), Dense(units)], loss, seed=0
            )
            net.fit(X, targets, epochs=2, batch_size=8, optimizer=SGD(0.1, clip_norm=1.0),
                    backend=backend())  # fmt: skip
            net.evaluate(X, targets)
        seen = [(call, options) for call, options in seen if call[0] in REDUCTIONS]
        assert len(seen) > 50
        assert not [call for call, options in seen if is_slow(*call, **options)]


REDUCTIONS = ("all", "any", "argmax", "argmin", "max", "mean", "min", "sum")


def is_slow(name, x, axis=None, keepdims=False, **_):
    """Whether CuPy takes CUB's block reduction, for a first compilation of 3.6 to 3.9 s."""
    along = (axis,) if isinstance(axis, int) else tuple(axis or range(x.ndim))
    c = x.flags.c_contiguous and max(along, default=0) == max(0, x.ndim - 1)
    f = x.flags.f_contiguous and min(along, default=0) == 0
    has_kernel = name in ("sum", "mean", "max", "min") and x.dtype != bool
    if has_kernel and (len(along) == x.ndim or (c if x.flags.c_contiguous else f)):
        return False
    return (c or f) and x.size > 0


# --- the interfaces that the stand-ins stand in for -------------------------------------------


def test_nvmath_takes_the_arguments_that_the_stand_in_takes():
    real = pytest.importorskip("nvmath.bindings.cublas")
    nvmath = pytest.importorskip("nvmath")
    ours = stand_in_cupy.cublas()
    for name in ("gemm_ex", "create", "destroy", "set_stream", "set_workspace"):
        parameters = len(inspect.signature(getattr(ours, name)).parameters)
        assert len(inspect.signature(getattr(real, name)).parameters) == parameters
    for kinds, wanted in (
        *((getattr(ours, name), getattr(real, name)) for name in
          ("Operation", "ComputeType", "GemmAlgo")),
        (stand_in_cupy.CudaDataType, nvmath.CudaDataType),
    ):  # fmt: skip
        assert [int(kind) for kind in kinds] == [getattr(wanted, k.name) for k in kinds]


def test_cupy_has_what_the_stand_in_has():
    cupy = pytest.importorskip("cupy")
    ours = stand_in_cupy.cupy()
    for name in vars(ours.cuda):
        assert hasattr(cupy.cuda, name), name
    for name in vars(ours.cuda.runtime):
        assert hasattr(cupy.cuda.runtime, name), name
    for name in ("begin_capture", "end_capture", "record", "wait_event", "null", "ptds", "ptr"):
        assert hasattr(cupy.cuda.Stream.null, name), name
        assert hasattr(stand_in_cupy.Stream.null, name), name
    assert hasattr(cupy.cuda.graph.Graph, "launch")
    for name in vars(stand_in_cupy.Linalg).keys() - {"chosen"}:
        assert name.startswith("_") or hasattr(cupy._core._routines_linalg, name), name
    for name in USED:
        assert hasattr(cupy, name), name


USED = ("asarray", "asnumpy", "broadcast_to", "clip", "copyto", "empty", "fuse", "matmul",
        "max", "mean", "may_share_memory", "min", "ndarray", "sum", "take", "zeros",
        "get_default_memory_pool")  # fmt: skip
