"""Backends: how one is named, chosen and found, and the errors when it is unavailable."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import sys
import threading
import types

import numpy as np
import pytest
import stand_in_cupy
from bpnet_backends.numpy import NumpyBackend

import bpnet
from bpnet.backend import registry

pytest.importorskip("array_api_strict")

OURS = {"numpy", "array_api_strict", "cupy", "jax", "torch"}


@pytest.fixture(autouse=True)
def no_choice_from_outside(monkeypatch):
    monkeypatch.delenv("BPNET_BACKEND", raising=False)


class Point:
    """An entry point that returns the given class, or raises the given error."""

    def __init__(self, found):
        self.found = found

    def load(self):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def plug_in(monkeypatch):
    """Add or replace entry points, as installing a distribution does."""

    def add(**found):
        points = dict(registry._entry_points()) | {k: Point(v) for k, v in found.items()}

        def entry_points():
            return points

        entry_points.cache_clear = lambda: None
        monkeypatch.setattr(registry, "_entry_points", entry_points)

    return add


def fake(name, *devices, error=None):
    """Return a backend class with these devices, or without one and this error."""

    def answering(cls):
        if error is not None:
            raise bpnet.NoDeviceError(error)
        return devices

    members = {"name": name, "devices": classmethod(answering)}
    return type(f"Fake{name.title()}", (NumpyBackend,), members)


# --- spec strings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "library", "full"),
    [
        ("numpy", "numpy", "numpy:cpu"),
        ("numpy:cpu", "numpy", "numpy:cpu"),
        ("  numpy\n", "numpy", "numpy:cpu"),
        ("torch:cpu", "torch", "torch:cpu"),
        ("torch:cpu:0", "torch", "torch:cpu"),
        ("jax:cpu", "jax", "jax:cpu:0"),
        ("jax:cpu:0", "jax", "jax:cpu:0"),
        ("array_api_strict", "array_api_strict", "array_api_strict:cpu"),
        ("array_api_strict:CPU_DEVICE", "array_api_strict", "array_api_strict:cpu"),
        (" array_api_strict:device1 ", "array_api_strict", "array_api_strict:device1"),
    ],
)
def test_a_spec_names_backend_and_device(spec, library, full):
    pytest.importorskip(library)
    backend = bpnet.get_backend(spec)
    assert backend.spec == full
    assert f"{backend.name}:{backend.device}" == full
    assert bpnet.get_backend(spec) is backend
    assert bpnet.get_backend(full) == backend


def test_without_a_device_the_library_chooses():
    torch = pytest.importorskip("torch")
    with torch.device("cpu"):
        assert bpnet.get_backend("torch").spec == "torch:cpu"
    message = "backend 'torch' has no device 'cuda:99'"
    with torch.device("cuda:99"), pytest.raises(bpnet.NoDeviceError, match=message):
        bpnet.get_backend("torch")


def test_a_backend_passes_through():
    for backend in (bpnet.get_backend("array_api_strict:device2"), NumpyBackend()):
        assert bpnet.get_backend(backend) is backend
        with bpnet.use_backend(backend) as current:
            assert current is backend
            assert bpnet.get_backend() is backend


# --- the order of choice ----------------------------------------------------------------------

CHOICES = ["argument", "arrays", "block", "home", "environment", "default"]
EXPECTED = {"arrays": "array_api_strict:device1", "default": "numpy:cpu"}


def spiral():
    return bpnet.datasets.make_spiral(20, seed=0)


def network():
    return bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)


@pytest.mark.parametrize("first", CHOICES)
def test_the_order_of_choice(first, plug_in, monkeypatch):
    """All choices from `first` on are made at once; `first` wins."""
    plug_in(many=fake("many", "argument", "block", "home", "environment"))
    said = CHOICES[CHOICES.index(first) :]
    net, (X, y), block = network(), spiral(), contextlib.nullcontext()
    if "environment" in said:
        monkeypatch.setenv("BPNET_BACKEND", "many:environment")
    if "home" in said:
        net.build(2, "many:home")
    if "block" in said:
        block = bpnet.use_backend("many:block")
    if "arrays" in said:
        X = bpnet.get_backend("array_api_strict:device1").asarray(X)
    expected = EXPECTED.get(first, f"many:{first}")
    with block:
        net.fit(X, y, epochs=1, backend="many:argument" if "argument" in said else None)
    assert net.backend.spec == expected


def test_get_backend_takes_block_then_environment_then_numpy(monkeypatch):
    assert bpnet.get_backend().spec == "numpy:cpu"
    for blank in ("", "  "):
        monkeypatch.setenv("BPNET_BACKEND", blank)
        assert bpnet.get_backend().spec == "numpy:cpu"
    monkeypatch.setenv("BPNET_BACKEND", " array_api_strict:device1 ")
    assert bpnet.get_backend().spec == "array_api_strict:device1"
    with bpnet.use_backend("array_api_strict:device2"):
        assert bpnet.get_backend().spec == "array_api_strict:device2"
        assert bpnet.get_backend("numpy").spec == "numpy:cpu"
    assert bpnet.get_backend().spec == "array_api_strict:device1"


# --- arrays choose ----------------------------------------------------------------------------


def test_arrays_find_their_backend(backend):
    expected = None if backend.name == "numpy" else backend
    assert registry.backend_of(X=backend.asarray(np.ones((2, 2))), y=[1, 2]) == expected


@pytest.mark.parametrize("array", [None, [[1.0]], 1.0, np.ones(3), np.float32(1), "text"])
def test_the_host_chooses_nothing(array):
    assert registry.backend_of(X=array) is None


def test_arrays_of_a_plug_in_find_it(plug_in):
    """A backend has the name of the package that defines its arrays."""

    class Array:
        device = "gpu:7"

        def __array_namespace__(self, api_version=None):
            return types.ModuleType("newlib.array")

    Array.__module__ = "newlib._core"
    plug_in(newlib=fake("newlib", "gpu:0", "gpu:7"))
    registry._load("newlib").device_of = classmethod(lambda cls, array: array.device)
    assert registry.backend_of(X=Array()).spec == "newlib:gpu:7"


def on(spec, array):
    return bpnet.get_backend(spec).asarray(array)


def test_arrays_of_two_libraries_are_refused():
    pytest.importorskip("torch")
    X, y = spiral()
    w = on("torch:cpu", np.ones(20))
    X_strict = on("array_api_strict:cpu", X)
    message = "X lives on array_api_strict:cpu and sample_weight on torch:cpu; pass arrays of"
    with pytest.raises(ValueError, match=message):
        network().evaluate(X_strict, y, w)
    message = "X of validation_data lives on array_api_strict:cpu and y of .* on torch:cpu"
    with pytest.raises(ValueError, match=message):
        network().fit(X, y, validation_data=(X_strict, on("torch:cpu", y)))


# --- use_backend ------------------------------------------------------------------------------


def test_blocks_nest_and_end_with_errors():
    before = bpnet.get_backend()
    with bpnet.use_backend("array_api_strict:device1") as outer:
        assert bpnet.get_backend() is outer
        with pytest.raises(ZeroDivisionError), bpnet.use_backend("array_api_strict:device2"):
            1 / (bpnet.get_backend().device != "device2")  # by 0, as it is device2
        assert bpnet.get_backend() is outer
        with pytest.raises(bpnet.UnknownBackendError), bpnet.use_backend("nonsense"):
            pass
        assert bpnet.get_backend() is outer
    assert bpnet.get_backend() is before


def test_threads_do_not_leak_into_each_other():
    both_inside, seen = threading.Barrier(3, timeout=30), {}

    def work(device):
        with bpnet.use_backend(f"array_api_strict:{device}"):
            both_inside.wait()
            seen[device] = bpnet.get_backend().spec
            both_inside.wait()

    threads = [threading.Thread(target=work, args=(d,)) for d in ("device1", "device2")]
    for thread in threads:
        thread.start()
    both_inside.wait()
    outside = bpnet.get_backend().spec
    both_inside.wait()
    for thread in threads:
        thread.join()
    assert outside == "numpy:cpu"
    assert seen == {d: f"array_api_strict:{d}" for d in ("device1", "device2")}


def test_tasks_do_not_leak_into_each_other():
    async def work(device):
        seen = []
        with bpnet.use_backend(f"array_api_strict:{device}"):
            for _ in range(3):
                await asyncio.sleep(0)  # the other task runs now
                seen.append(bpnet.get_backend().device)
        await asyncio.sleep(0)
        return [*seen, bpnet.get_backend().spec]

    async def main():
        tasks = [asyncio.create_task(work(d)) for d in ("device1", "device2")]
        await asyncio.sleep(0)
        outside = bpnet.get_backend().spec
        return outside, await asyncio.gather(*tasks)

    outside, (first, second) = asyncio.run(main())
    assert outside == "numpy:cpu"
    assert first == ["device1"] * 3 + ["numpy:cpu"]
    assert second == ["device2"] * 3 + ["numpy:cpu"]


# --- the three errors -------------------------------------------------------------------------

AVAILABLE = r"\. Available here: numpy \(cpu\); .*array_api_strict \(cpu, device1, device2\)"


def test_unknown():
    message = (
        r"unknown backend 'nonsense'; known backends: array_api_strict, cupy, jax, numpy, "
        rf".*torch, and 'auto'{AVAILABLE}"
    )
    with pytest.raises(bpnet.UnknownBackendError, match=message) as caught:
        bpnet.get_backend("nonsense:0")
    assert isinstance(caught.value, ValueError)


LIBRARIES = {
    "cupy": r"pip install cupy-cuda12x +\(or cupy-cuda13x, after the CUDA driver\)",
    "torch": "pip install torch",
    "jax": "pip install jax",
    "array_api_strict": "pip install array-api-strict",
}


@pytest.fixture
def forget(monkeypatch):
    """Make a backend's module be imported again, now and after the test."""

    def forget(name):
        module = f"bpnet_backends.{name}"
        monkeypatch.setitem(sys.modules, module, None)  # what is undone is this ...
        del sys.modules[module]  # ... and not what the test will import
        package = importlib.import_module("bpnet_backends")
        monkeypatch.setattr(package, name, None, raising=False)

    return forget


@pytest.mark.parametrize(("name", "pip_line"), LIBRARIES.items())
def test_not_installed(name, pip_line, forget, monkeypatch):
    forget(name)
    monkeypatch.setitem(sys.modules, name, None)  # how Python marks what cannot be imported
    message = rf"backend '{name}' is not installed \(.*{name}.*\); install it with: {pip_line}"
    available = r"\. Available here: numpy \(cpu\)"
    with pytest.raises(bpnet.BackendNotInstalledError, match=message + available) as caught:
        bpnet.get_backend(f"{name}:1")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value.__cause__.__cause__, ImportError)
    available, devices, reason, version = bpnet.available_backends()[name]
    assert (available, devices, version) == (False, (), None)
    assert f"backend '{name}' is not installed" in reason


def test_no_device(plug_in):
    plug_in(lonely=fake("lonely", error="lonely is installed, but its driver is too old"))
    message = rf"^lonely is installed, but its driver is too old{AVAILABLE}"
    for spec in ("lonely", "lonely:0"):
        with pytest.raises(bpnet.NoDeviceError, match=message) as caught:
            bpnet.get_backend(spec)
        assert isinstance(caught.value, RuntimeError)
    assert bpnet.available_backends()["lonely"] == bpnet.BackendInfo(
        False, (), "lonely is installed, but its driver is too old", np.__version__
    )


@pytest.mark.parametrize(
    ("library", "spec", "devices"),
    [
        ("numpy", "numpy:gpu", "cpu"),
        ("array_api_strict", "array_api_strict:device3", "cpu, device1, device2"),
        ("torch", "torch:cuda:99", ".*cpu"),
        ("torch", "torch:nonsense", ".*cpu"),
        ("jax", "jax:cpu:99", ".*cpu:0"),
        ("jax", "jax:nonsense:0:1", ".*cpu:0"),
    ],
)
def test_no_such_device(library, spec, devices):
    pytest.importorskip(library)
    device = spec.partition(":")[2]
    message = (
        rf"backend '{library}' has no device '{device}' on this machine; "
        rf"available devices: {devices}{AVAILABLE}"
    )
    with pytest.raises(bpnet.NoDeviceError, match=message):
        bpnet.get_backend(spec)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("nonsense", bpnet.UnknownBackendError, "unknown backend 'nonsense'"),
        ("missing", bpnet.BackendNotInstalledError, "backend 'missing' is not installed"),
        ("lonely", bpnet.NoDeviceError, "no lonely device"),
        ("numpy:gpu", bpnet.NoDeviceError, "backend 'numpy' has no device 'gpu'"),
    ],
)
def test_errors_name_the_environment_variable(spec, error, message, plug_in, monkeypatch):
    plug_in(lonely=fake("lonely", error="no lonely device"), missing=ImportError("no missing"))
    monkeypatch.setenv("BPNET_BACKEND", spec)
    net, (X, y) = network(), spiral()
    for ask in (bpnet.get_backend, lambda: net.fit(X, y), lambda: net.predict(X)):
        with pytest.raises(error, match=rf"^BPNET_BACKEND={spec}: {message}.*{AVAILABLE}"):
            ask()
    assert not net.is_built
    with pytest.raises(error, match=f"^{message}"):
        bpnet.get_backend(spec)
    net.fit(X, y, epochs=1, backend="numpy")  # an argument takes precedence
    with bpnet.use_backend("numpy"):
        net.fit(X, y, epochs=1)


@pytest.mark.parametrize(
    "error", [OSError("libnew.so: file too short"), AttributeError("module has no 'Backend'")]
)
def test_a_broken_library_does_not_affect_others(error, plug_in):
    plug_in(broken=error)
    info = bpnet.available_backends()["broken"]
    assert not info.available
    assert str(error) in info.reason
    message = f"backend 'broken' is broken .*{error}.*pip install broken{AVAILABLE}"
    with pytest.raises(bpnet.BackendNotInstalledError, match=message):
        bpnet.get_backend("broken")
    with pytest.raises(bpnet.UnknownBackendError, match=AVAILABLE):
        bpnet.get_backend("nonsense")


# --- available_backends -----------------------------------------------------------------------


def test_available_backends_describe_each():
    known = bpnet.available_backends()
    assert set(known) >= OURS
    assert next(iter(known)) == "numpy"
    for name, info in known.items():
        assert isinstance(info, bpnet.BackendInfo)
        assert isinstance(info.available, bool)
        assert isinstance(info.devices, tuple)
        if info.available:
            assert info.reason is None
            for device in info.devices:
                assert bpnet.get_backend(f"{name}:{device}").device == device
        else:
            assert info.devices == ()
            assert len(info.reason) > 20
    assert known["numpy"] == bpnet.BackendInfo(True, ("cpu",), None, np.__version__)


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_version_is_that_of_the_library(name):
    library = pytest.importorskip(name)
    assert bpnet.available_backends()[name].version == library.__version__


def test_a_plug_in_installed_meanwhile_is_found(monkeypatch):
    def installed(group):
        assert group == "bpnet.backends"
        point = Point(fake("late", "here"))
        point.name = "late"
        return [point]

    with pytest.raises(bpnet.UnknownBackendError):
        bpnet.get_backend("late")
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.entry_points", installed)
        assert bpnet.get_backend("late").spec == "late:here"
    registry._entry_points.cache_clear()


# --- auto -------------------------------------------------------------------------------------

NOTHING = {
    "cupy": ImportError("No module named 'cupy'"),
    "torch": fake("torch", "cpu"),
    "jax": fake("jax", "cpu:0"),
}


@pytest.mark.parametrize(
    ("found", "best"),
    [
        ({}, "numpy:cpu"),
        ({"cupy": fake("cupy", error="no GPU")}, "numpy:cpu"),
        ({"torch": ImportError("no torch"), "jax": ImportError("no jax")}, "numpy:cpu"),
        ({"cupy": fake("cupy", "0", "1")}, "cupy:0"),
        ({"torch": fake("torch", "cuda:0", "cuda:1", "cpu")}, "torch:cuda:0"),
        ({"torch": fake("torch", "mps", "cpu")}, "torch:mps"),
        ({"jax": fake("jax", "tpu:0", "cpu:0")}, "jax:tpu:0"),
        ({"jax": fake("jax", "gpu:0"), "torch": fake("torch", "cuda:0")}, "torch:cuda:0"),
        ({"cupy": fake("cupy", "0"), "torch": fake("torch", "cuda:0")}, "cupy:0"),
    ],
)
def test_auto_takes_the_best_available_accelerator(found, best, plug_in, monkeypatch):
    plug_in(**NOTHING | found)
    assert bpnet.get_backend("auto").spec == best
    assert bpnet.get_backend(" auto ").spec == best
    monkeypatch.setenv("BPNET_BACKEND", "auto")
    assert bpnet.get_backend().spec == best


# --- CuPy, tested without a GPU ---------------------------------------------------------------


class FakeCupy(types.ModuleType):
    """The CuPy functions that the backend calls, on NumPy arrays, with two GPUs.

    `calls` lists the name of each call and the GPU that was current.
    """

    class CUDARuntimeError(RuntimeError):
        pass

    def __init__(self, count):
        super().__init__("cupy")
        self.__version__ = "99.0"
        self.calls = []
        self.current = 0
        outer = self

        class Device:
            def __init__(self, device):
                assert type(device) is int
                self.id = device

            def __enter__(self):
                self.previous, outer.current = outer.current, self.id

            def __exit__(self, *exception):
                outer.current = self.previous

        def get_device_count():
            if isinstance(count, Exception):
                raise count
            return count

        self.cuda = types.SimpleNamespace(
            Device=Device,
            get_current_stream=lambda: types.SimpleNamespace(
                synchronize=lambda: self.called("synchronize")
            ),
            runtime=types.SimpleNamespace(
                CUDARuntimeError=self.CUDARuntimeError,
                getDevice=lambda: self.current,
                getDeviceCount=get_device_count,
                memGetInfo=lambda: self.called("memGetInfo", (1000, 4000)),
            ),
        )

    def called(self, name, result=None):
        self.calls.append((name, self.current))
        return result

    def asarray(self, a, dtype=None, order=None):
        return self.called("asarray", np.array(a, dtype, order=order or "K"))

    def ascontiguousarray(self, a, dtype=None):
        """Make 0-d arrays 1-d, as NumPy's and CuPy's do."""
        return self.called("ascontiguousarray", np.ascontiguousarray(a, dtype))

    def asnumpy(self, a):
        return self.called("asnumpy", np.array(a))

    def fuse(self, *functions, kernel_name=None):
        """Wrap a function, which must have a name or be given one."""

        def wrapped(function):
            name = kernel_name or function.__name__
            return lambda *arguments: self.called(name, function(*arguments))

        return wrapped(*functions) if functions else wrapped

    def get_default_memory_pool(self):
        free_bytes = self.called("get_default_memory_pool", 200)
        return types.SimpleNamespace(free_bytes=lambda: free_bytes)


@pytest.fixture
def cupy(forget, monkeypatch):
    """Install a fake CuPy."""

    def install(count=2):
        forget("cupy")
        library = FakeCupy(count)
        namespace = types.ModuleType("array_api_compat.cupy")
        core = types.ModuleType("cupy._core")
        core._routines_linalg = stand_in_cupy.Linalg
        monkeypatch.setitem(sys.modules, "cupy", library)
        monkeypatch.setitem(sys.modules, "cupy._core", core)
        monkeypatch.setitem(sys.modules, "array_api_compat.cupy", namespace)
        compat = importlib.import_module("array_api_compat")
        monkeypatch.setattr(compat, "cupy", namespace, raising=False)
        return library

    return install


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (0, "CuPy is installed, but CUDA lists no GPU"),
        (
            FakeCupy.CUDARuntimeError("cudaErrorInsufficientDriver: too old"),
            "CuPy is installed, but found no GPU: cudaErrorInsufficientDriver: too old",
        ),
    ],
)
def test_cupy_without_a_gpu(count, reason, cupy):
    cupy(count)
    for spec in ("cupy", "cupy:0", "cupy:cuda:1"):
        with pytest.raises(bpnet.NoDeviceError, match=rf"^{reason}{AVAILABLE}"):
            bpnet.get_backend(spec)
    assert bpnet.available_backends()["cupy"] == bpnet.BackendInfo(False, (), reason, "99.0")


def test_cupy_numbers_its_gpus(cupy):
    library = cupy()
    assert bpnet.available_backends()["cupy"] == (True, ("0", "1"), None, "99.0")
    assert bpnet.get_backend("cupy:1").spec == "cupy:1"
    assert bpnet.get_backend("cupy:cuda:1") == bpnet.get_backend("cupy:1")
    with pytest.raises(bpnet.NoDeviceError, match=r"no device '2' .* devices: 0, 1\. Avail"):
        bpnet.get_backend("cupy:2")
    with library.cuda.Device(1):
        assert bpnet.get_backend("cupy").spec == "cupy:1"  # CuPy's own choice
    assert bpnet.get_backend("cupy").spec == "cupy:0"
    assert bpnet.get_backend("auto").spec == "cupy:0"


def test_cupy_works_on_its_gpu_and_restores_the_current_one(cupy):
    library = cupy()
    backend = bpnet.get_backend("cupy:1")
    with backend.activate():
        assert library.current == 1
        with bpnet.get_backend("cupy:0").activate():
            assert library.current == 0
        assert library.current == 1
    assert library.current == 0
    backend.asarray([1.0])
    backend.to_numpy(np.ones(2))
    backend.synchronize()
    backend.fits(1)
    assert {gpu for _, gpu in library.calls} == {1}
    assert {name for name, _ in library.calls} >= {"asarray", "asnumpy", "synchronize"}
    assert library.current == 0


def test_cupy_keeps_shapes_casts_and_returns_c_order(cupy):
    cupy()
    backend = bpnet.get_backend("cupy:0")
    for shape in ((), (3,), (2, 3)):
        assert backend.asarray(np.ones(shape), "float32").shape == shape
    assert backend.asarray(np.ones(3), "float32").dtype == np.float32
    assert backend.asarray(np.ones((4, 3)).T).flags.c_contiguous


def test_cupy_fuses_any_rule(cupy):
    """Even one without a name, which cupy.fuse refuses."""
    library = cupy()
    backend = bpnet.get_backend("cupy:0")
    fused = backend.fuse(functools.partial(lambda c, xp, p, g: (p - c * g,), 2.0))
    assert fused(backend.xp, 5.0, 1.0) == (3.0,)
    assert len(library.calls) == 1


def test_cupy_leaves_half_of_the_free_memory(cupy):
    """1000 bytes of the GPU and 200 of CuPy's pool are free."""
    cupy()
    backend = bpnet.get_backend("cupy:1")
    assert backend.fits(600)
    assert not backend.fits(601)


def test_cupy_reports_the_gpu_of_an_array(cupy):
    cupy()
    array = types.SimpleNamespace(device=types.SimpleNamespace(id=1))
    assert type(bpnet.get_backend("cupy:0")).device_of(array) == "1"
