"""The contract of a backend: arrays round-trip, and rules and steps keep their results."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from bpnet_backends.numpy import NumpyBackend
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import Adam
from bpnet.activations import Activation
from bpnet.backend.transfer import to_host

DTYPES = ("float32", "float64", "int64", "bool")
SHAPES = ((), (1,), (5,), (3, 4), (0, 3))


def values(shape, dtype):
    return np.random.default_rng(0).normal(scale=3.0, size=shape).astype(dtype)


# --- round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_round_trip(shape, dtype, backend, xp):
    host = values(shape, dtype)
    array = backend.asarray(host)
    assert tuple(array.shape) == shape
    assert array.dtype == getattr(xp, dtype)
    back = backend.to_numpy(array)
    assert type(back) is np.ndarray
    assert back.dtype == dtype
    assert_array_equal(back, host)


@pytest.mark.parametrize("dtype", DTYPES)
def test_64_bits_are_kept_outside_of_a_context(dtype, backend):
    """JAX would convert them to 32; the backend enters a context where needed."""
    host = values((7,), dtype)
    assert_array_equal(backend.to_numpy(backend.asarray(host)), host)
    assert backend.to_numpy(backend.asarray(host)).dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", DTYPES)
def test_asarray_converts_the_dtype(given, dtype, backend, xp):
    host = values((3, 4), given)
    for array in (host, backend.asarray(host)):
        changed = backend.asarray(array, dtype)
        assert changed.dtype == getattr(xp, dtype)
        assert_array_equal(backend.to_numpy(changed), host.astype(dtype))


@pytest.mark.parametrize(
    ("given", "dtype", "shape"),
    [(3, "int64", ()), (0.5, "float32", ()), ([[1, 2]], None, (1, 2))],
)
def test_numbers_and_lists_become_arrays(given, dtype, shape, backend):
    array = backend.asarray(given, dtype)
    assert tuple(array.shape) == shape
    assert_array_equal(backend.to_numpy(array), given)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a):
    return np.frombuffer(b"_" + a.tobytes(), a.dtype, offset=1).reshape(a.shape)


AWKWARD = {
    "reversed": lambda a: a[::-1],
    "reversed columns": lambda a: a[:, ::-1],
    "strided": lambda a: a[::2, ::3],
    "transposed": lambda a: a.T,
    "Fortran": np.asfortranarray,
    "broadcast": lambda a: np.broadcast_to(a[0], a.shape),
    "read-only": read_only,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": unaligned,
}


@pytest.mark.parametrize("kind", [kind for kind in AWKWARD if kind != "big-endian"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_arrays_of_any_layout_round_trip(dtype, kind, backend):
    host = AWKWARD[kind](values((4, 6), dtype))
    back = backend.to_numpy(backend.asarray(host))
    assert back.dtype == dtype
    assert_array_equal(back, host)


@pytest.mark.parametrize("kind", ["reversed", "read-only", "big-endian", "unaligned"])
def test_fit_takes_arrays_of_any_layout(kind, backend):
    rows = np.abs(values((12, 6), "float64"))
    X, Y = AWKWARD[kind](rows), AWKWARD[kind](rows[::-1])
    net = bpnet.Network([bpnet.Dense(X.shape[1])], "huber", seed=0, dtype="float64")
    fitted = net.fit(X, Y, epochs=2, batch_size=5, backend=backend)["loss"]
    again = bpnet.Network(net.layers, "huber", seed=0, dtype="float64")
    expected = again.fit(np.array(X, "=f8"), np.array(Y, "=f8"), epochs=2, batch_size=5)["loss"]
    assert_allclose(fitted, expected, rtol=1e-12)


def in_bfloat16(name, host):
    """Return an array in bfloat16, which NumPy lacks, of a library that has it."""
    library = pytest.importorskip({"jax": "jax.numpy", "torch": "torch"}[name])
    array = library.asarray(host)
    return array.astype("bfloat16") if name == "jax" else array.to(library.bfloat16)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_bfloat16_becomes_float32_on_the_host(name):
    back = to_host(in_bfloat16(name, np.array([[0.5, -3.0]])))
    assert back.dtype == "float32"
    assert_array_equal(back, [[0.5, -3.0]])


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_fit_takes_examples_and_weights_in_bfloat16(name):
    X, w = in_bfloat16(name, values((12, 3), "float64")), np.linspace(0.5, 2.0, 12)
    w = in_bfloat16(name, w)
    net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0)
    fitted = net.fit(X, X[:, 0], sample_weight=w, epochs=2)["loss"]
    again = bpnet.Network(net.layers, "huber", seed=0)
    X, w = to_host(X), to_host(w)
    expected = again.fit(X, X[:, 0], sample_weight=w, epochs=2)["loss"]
    assert_allclose(fitted, expected, rtol=1e-5)


def test_numpy_arrays_in_bfloat16_are_refused_with_what_to_do():
    """JAX makes such arrays; scikit-learn would say that theirs is no dtype."""
    pytest.importorskip("sklearn")
    X = np.asarray(in_bfloat16("jax", values((12, 3), "float64")))
    y = np.arange(12.0)
    models = [
        bpnet.Network([bpnet.Dense(1)], "huber"),
        bpnet.MLPRegressor(),
        bpnet.TabularRegressor(n_epochs=1),
    ]
    for model in models:
        with pytest.raises(TypeError, match=r"X has dtype bfloat16.*X\.astype\('float32'\)"):
            model.fit(X, y)
        with pytest.raises(TypeError, match=r"y has dtype bfloat16.*y\.astype\('float32'\)"):
            model.fit(X.astype("float32"), X[:, 0])


@pytest.mark.parametrize(("dtype", "on_host"), [("int4", "int8"), ("float8_e5m2", "float32")])
def test_other_dtypes_of_jax_that_numpy_lacks_become_wider(dtype, on_host):
    jnp = pytest.importorskip("jax.numpy")
    back = to_host(jnp.asarray([1.0, -2.0]).astype(dtype))
    assert back.dtype == on_host
    assert_array_equal(back, [1.0, -2.0])


def test_a_tensor_whose_negation_is_pending_is_copied_to_the_host():
    torch = pytest.importorskip("torch")
    lazy = torch.asarray([1.0 + 2.0j]).conj().imag
    assert lazy.is_neg()
    assert_array_equal(to_host(lazy), [-2.0])


def test_an_array_on_several_devices_is_refused():
    jax_backend = pytest.importorskip("bpnet_backends.jax")
    array = types.SimpleNamespace(devices=lambda: {object(), object()})
    with pytest.raises(TypeError, match=r"over 2 devices; move it to one, .* jax\.device_put"):
        jax_backend.JaxBackend.device_of(array)


def test_a_copy_has_its_own_memory(backend, xp):
    """On NumPy and torch += works in place; elsewhere it rebinds."""
    array = backend.asarray(np.arange(3.0))
    copy = xp.asarray(array, copy=True)
    array += 1.0
    assert_array_equal(backend.to_numpy(copy), [0.0, 1.0, 2.0])
    assert_array_equal(backend.to_numpy(array), [1.0, 2.0, 3.0])


def test_host_arrays_are_writable(backend):
    back = backend.to_numpy(backend.asarray(np.arange(3.0)))
    back[0] = 7.0
    assert_array_equal(back, [7.0, 1.0, 2.0])


def test_training_overwrites_no_array_but_its_own(backend):
    """Even where NumPy and torch share memory with their inputs."""
    shapes = [(300, 200), (200,), (6, 300)]  # W is large enough for rules that run in place
    W, b, X = (values(shape, "float32") for shape in shapes)
    Y, w = X[:, :200].copy(), np.ones(6, "float32")
    given = [W, b, X, Y, w]
    kept = [a.copy() for a in given]
    net = bpnet.Network([bpnet.Dense(200)], "mean_squared_error", seed=0).build(300, backend)
    net.parameters = [{"W": W, "b": b}]
    before = net.parameters[0]
    net.fit(X, Y, sample_weight=w, epochs=2, batch_size=4, validation_data=(X, Y, w))
    for array, copy in zip(given, kept, strict=True):
        assert_array_equal(array, copy)
    with backend.activate():
        assert_array_equal(backend.to_numpy(before["W"]), W)
        assert_array_equal(backend.to_numpy(before["b"]), b)
        assert not np.array_equal(backend.to_numpy(net.parameters[0]["W"]), W)


# --- devices and identity ---------------------------------------------------------------------


def test_arrays_live_on_the_device_of_the_backend(backend):
    assert backend.device in backend.devices()
    assert backend.device_of(backend.asarray(np.ones(3))) == backend.device
    with backend.activate():
        made = backend.asarray(np.ones(3)) * 2.0
    assert backend.device_of(made) == backend.device


def test_every_device_is_listed_once_and_available(backend):
    devices = backend.devices()
    assert len(set(devices)) == len(devices)
    for device in devices:
        other = type(backend)(device)
        assert other.device == type(backend).canonical_device(device) == device
        assert other.device_of(other.asarray(np.ones(2))) == device
        assert_array_equal(other.to_numpy(other.asarray([1.0, 2.0])), [1.0, 2.0])
    assert type(backend)().device == backend.default_device()
    assert backend.default_device() in devices


def test_a_backend_is_its_class_and_its_device(backend):
    clone = type(backend)(backend.device)
    assert clone is not backend
    assert clone == backend
    assert hash(clone) == hash(backend)
    assert len({clone, backend}) == 1
    assert repr(backend) == f"{type(backend).__name__}(device={backend.device!r})"
    assert backend.spec == f"{backend.name}:{backend.device}"
    assert bpnet.get_backend(backend.spec) == backend
    assert backend != backend.spec
    assert backend not in [type(backend)(d) for d in backend.devices() if d != backend.device]


def test_other_classes_are_other_backends():
    class Other(NumpyBackend):
        pass

    assert Other() != NumpyBackend()
    assert Other() == Other()


def test_the_version_is_a_string(backend):
    assert backend.version()[0].isdigit()


def test_synchronize_waits_for_the_device(backend, xp):
    array = backend.asarray(values((50, 50), "float32"))
    xp.matmul(array, array)
    assert backend.synchronize() is None


def test_zero_bytes_always_fit(backend):
    assert backend.fits(0) is True
    assert isinstance(backend.fits(2**60), bool)


# --- the contract of a new backend ------------------------------------------------------------

REQUIRED = {"devices", "version", "asarray", "to_numpy"}


def minimal(*without):
    members = {name: getattr(NumpyBackend, name) for name in REQUIRED.difference(without)}
    for name in ("devices", "version"):
        if name in members:
            members[name] = classmethod(members[name].__func__)
    return type("Minimal", (bpnet.Backend,), members | {"name": "minimal", "xp": np})


@pytest.mark.parametrize("missing", sorted(REQUIRED))
def test_four_methods_are_required(missing):
    with pytest.raises(TypeError, match=f"abstract .*{missing}"):
        minimal(missing)()


def test_all_else_has_a_default():
    backend = minimal()()
    assert backend.spec == "minimal:cpu"
    for change in (backend.compile_pure, backend.fuse):
        assert change(len) is len
    assert backend.compile(lambda *given: given)({}, 1) == (np, {}, 1)
    assert backend.fits(2**60) is True
    assert backend.synchronize() is None
    assert backend.device_of(types.SimpleNamespace(device="cpu")) == "cpu"
    assert isinstance(backend.activate(), contextlib.AbstractContextManager)
    X, y = bpnet.datasets.make_xor(20)
    net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    expected = bpnet.Network(net.layers, net.loss, seed=0).fit(X, y, epochs=2)["loss"]
    assert net.fit(X, y, epochs=2, backend=backend)["loss"] == expected


@pytest.mark.parametrize("room", [0, 30, 100, 200, 10_000])
def test_data_that_does_not_fit_is_moved_in_pieces(room):
    """This changes where the data is, not what is computed."""

    class Small(NumpyBackend):
        largest = 0

        def fits(self, nbytes):
            return nbytes <= room

        def asarray(self, host_array, dtype=None):
            array = super().asarray(host_array, dtype)
            if array.ndim == 2 and array.shape[1] == 2:  # X, not W (2, 1)
                self.largest = max(self.largest, array.nbytes)
            return array

    X, y = bpnet.datasets.make_spiral(23, seed=0)  # 2 * 4 * 23 bytes of X, and y as much again

    def losses(backend):
        net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
        return net.fit(X, y, epochs=3, batch_size=4, backend=backend)["loss"]

    small = Small()
    assert losses(small) == losses("numpy")
    assert small.largest <= max(room, 2 * 4 * 4)  # at least one batch


@pytest.mark.parametrize("room", [0, 10_000])
def test_validation_data_stays_on_the_device_if_it_fits(room):
    class Small(NumpyBackend):
        def fits(self, nbytes):
            return nbytes <= room

    class Look(bpnet.Callback):
        def on_epoch_end(self, training):
            owners.append(training.validation.owner)

    X, y = bpnet.datasets.make_spiral(23, seed=0)
    owners, small = [], Small()
    net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
    history = net.fit(X, y, epochs=2, validation_data=(X, y), backend=small, callbacks=Look())
    assert owners == 2 * [small if room else None]
    assert history["val_loss"][-1] == pytest.approx(net.evaluate(X, y)["loss"])


# --- JAX --------------------------------------------------------------------------------------


class Counted(Activation):
    """tanh that counts how often Python runs it."""

    name = "counted"
    calls = 0

    def f(self, xp, z):
        type(self).calls += 1
        return xp.tanh(z)

    def df(self, xp, z, a):
        return 1.0 - a * a


@pytest.fixture
def counted(nothing_compiled):
    Counted.calls = 0
    return Counted


def fit_counted(backend, **options):
    X, y = bpnet.datasets.make_spiral(30, seed=0)
    layers = [bpnet.Dense(5, Counted()), bpnet.Dropout(0.1), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0)
    return net, net.fit(X, y, epochs=10, backend=backend, **options)


@pytest.mark.parametrize(("batch_size", "kinds"), [(None, 1), (10, 1), (8, 2)])
def test_jax_compiles_a_step_once(batch_size, kinds, counted):
    """30 examples in batches of 8 leave a remainder, which compiles a second program."""
    pytest.importorskip("jax")
    rate = bpnet.schedules.Cosine(0.01, 10)
    optimizer = Adam(rate, weight_decay=0.1, clip_norm=1.0)
    net, history = fit_counted("jax", batch_size=batch_size, optimizer=optimizer)
    assert counted.calls == kinds
    assert history["loss"][-1] < history["loss"][0]
    for _ in range(3):
        net.predict(np.ones((5, 2)))
    assert counted.calls == kinds + 1


def test_jax_compiles_a_step_once_for_examples_from_anywhere(caplog):
    """XLA recompiles for arrays that are not committed to a device, as users' are."""
    jax = pytest.importorskip("jax")
    X, y = bpnet.datasets.make_spiral(30, seed=0)
    X, y = X.astype("float32"), y.astype("float32")
    layers = [bpnet.Dense(5, "tanh"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0)
    bound = tuple(jax.device_put(array, jax.devices()[0]) for array in (X, y))
    with jax.log_compiles(), caplog.at_level(logging.WARNING, "jax"):
        for examples in ((X, y), (jax.numpy.asarray(X), jax.numpy.asarray(y)), bound):
            net.fit(*examples, epochs=3, batch_size=10, backend="jax")
    runs = [line for line in caplog.messages if line.startswith("Compiling jit(run)")]
    assert len(runs) == 1


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_other_backends_run_user_code_in_each_step(name, counted):
    """Even where bpnet's own steps are replayed."""
    pytest.importorskip(name)
    fit_counted(f"{name}:cpu", batch_size=10)
    assert counted.calls == 10 * 3


def test_jax_reuses_the_memory_of_the_state():
    pytest.importorskip("jax")
    backend = bpnet.get_backend("jax:cpu")
    step = backend.compile(lambda xp, state, data: {"p": state["p"] - data})
    pure = backend.compile_pure(lambda state, data: {"p": state["p"] - data})
    with backend.activate():
        state, data = {"p": backend.asarray([1.0, 2.0])}, backend.asarray([1.0, 1.0])
        assert_array_equal(backend.to_numpy(pure(state, data)["p"]), [0.0, 1.0])
        assert not state["p"].is_deleted()
        after = step(state, data)
        assert state["p"].is_deleted()
        assert not data.is_deleted()
    assert_array_equal(backend.to_numpy(after["p"]), [0.0, 1.0])
    assert after["p"].dtype == np.float64


def test_jax_leaves_half_of_the_free_memory_if_it_reports_it():
    pytest.importorskip("jax")
    backend = type(bpnet.get_backend("jax:cpu"))()
    statistics = {"bytes_limit": 1000, "bytes_in_use": 400}
    vars(backend)["_jax_device"] = types.SimpleNamespace(memory_stats=lambda: statistics)
    assert backend.fits(300)
    assert not backend.fits(301)


def test_torch_leaves_half_of_the_free_memory_of_a_gpu(monkeypatch):
    torch = pytest.importorskip("torch")
    backend = type(bpnet.get_backend("torch:cpu"))("cpu")
    assert backend.fits(2**60)
    backend.device = "cuda:1"
    memory = {"cuda:1": (600, 9000)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: memory[device])
    assert backend.fits(300)
    assert not backend.fits(301)


# --- global settings are restored -------------------------------------------------------------


def use_everything(backend, dtype="float64"):
    """Train and use a network; return it."""
    X, y = bpnet.datasets.make_spiral(30, seed=0)
    net = bpnet.Network(
        [bpnet.Dense(4, "gelu"), bpnet.Dense(1)], "binary_crossentropy", seed=0, dtype=dtype
    )
    stop = bpnet.EarlyStopping(patience=2)
    net.fit(
        X, y, epochs=3, batch_size=8, validation_split=0.2, backend=backend,
        callbacks=[bpnet.GradientFlow(), stop],
    )  # fmt: skip
    net.predict(backend.asarray(X))
    net.evaluate(X, y)
    net.loss_and_gradients(X, y)
    bpnet.check_gradients(net, X, y, samples=2)
    return net


@pytest.mark.parametrize("x64", [False, True])
def test_jax_keeps_its_precision(x64):
    jax = pytest.importorskip("jax")
    backend = bpnet.get_backend("jax")
    previous = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", x64)
    try:
        precision = jax.config.jax_default_matmul_precision
        net = use_everything(backend)
        assert jax.config.jax_enable_x64 is x64
        assert jax.config.jax_default_matmul_precision == precision
        assert jax.numpy.ones(1).dtype == ("float64" if x64 else "float32")
        assert net.parameters[0]["W"].dtype == np.float64
        assert net.predict_proba(np.ones((1, 2))).dtype == np.float64
        with backend.activate():
            assert jax.numpy.ones(1).dtype == np.float64
            assert (backend.asarray([1.0]) + 1.0).dtype == np.float64
        with pytest.raises(ValueError, match="NaN"):
            net.predict([[np.nan, 0.0]])
        assert jax.config.jax_enable_x64 is x64
    finally:
        jax.config.update("jax_enable_x64", previous)


def test_jax_uses_full_float32_products():
    jax = pytest.importorskip("jax")
    with bpnet.get_backend("jax").activate():
        assert jax.config.jax_default_matmul_precision == "highest"


@pytest.mark.parametrize("recording", [True, False])
def test_torch_keeps_its_gradient_mode(recording):
    torch = pytest.importorskip("torch")
    with torch.set_grad_enabled(recording):
        net = use_everything(bpnet.get_backend("torch:cpu"))
        assert torch.is_grad_enabled() is recording
        with pytest.raises(ValueError, match="NaN"):
            net.predict(torch.tensor([[torch.nan, 0.0]]))
        assert torch.is_grad_enabled() is recording
        assert torch.get_default_dtype() == torch.float32


def test_torch_does_not_use_autograd():
    """Tensors that require gradients are ordinary data, and results require none."""
    torch = pytest.importorskip("torch")
    X, y = bpnet.datasets.make_spiral(30, seed=0)
    backend = bpnet.get_backend("torch:cpu")
    plain = use_everything(backend)
    X_grad = torch.tensor(X, requires_grad=True)
    y_grad = torch.tensor(y.astype(float), requires_grad=True)
    w_grad = torch.ones(30, dtype=torch.float64, requires_grad=True)
    net = bpnet.Network(plain.layers, plain.loss, seed=0, dtype="float64").build(2, "torch:cpu")
    net.parameters = [
        {name: torch.nn.Parameter(p.clone()) for name, p in layer.items()}
        for layer in plain.parameters
    ]
    _, gradients = net.loss_and_gradients(X_grad, y_grad, w_grad)
    results = [net.forward(X_grad), net.predict_proba(X_grad), net.predict(X_grad)]
    results += [g for layer in gradients for g in layer.values()]
    net.fit(
        X_grad, y_grad, sample_weight=w_grad, epochs=2, validation_data=(X_grad, y_grad, w_grad)
    )
    assert net.evaluate(X_grad, y_grad, w_grad) == net.evaluate(X, y)
    assert bpnet.check_gradients(net, X_grad, y_grad, w_grad, samples=2).passed
    parameters = [p for layer in net.parameters for p in layer.values()]
    for tensor in (*results, *parameters):
        assert isinstance(tensor, torch.Tensor)
        assert not tensor.requires_grad
    assert X_grad.requires_grad
    assert X_grad.grad is None


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_an_array_on_the_device_is_not_copied(name):
    """A different array object would be taken for different data."""
    pytest.importorskip(name)
    backend = bpnet.get_backend(name)
    array = backend.asarray(np.ones(3, "float32"))
    assert backend.asarray(array) is array
    assert backend.asarray(array, "float32") is array


FIRST_FIT = """
import bpnet
X, y = bpnet.datasets.make_spiral(40, seed=0)
net = bpnet.Network([bpnet.Dense(5, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0)
net.fit(X, y, epochs=2, batch_size=10, backend="jax")
"""


@pytest.mark.full
def test_another_process_takes_compiled_programs_from_jaxs_cache_on_disk(tmp_path):
    """As the README says how."""
    pytest.importorskip("jax")
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    environment = os.environ | cache | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    found = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", FIRST_FIT], env=environment, check=True)
        found.append({path.name for path in tmp_path.iterdir() if "atime" not in path.name})
    assert any("run" in name for name in found[0])
    assert found[1] == found[0]
