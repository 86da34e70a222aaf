"""What a program has set for its own code stays away from bpnet, and as it was."""

from __future__ import annotations

import contextlib
import threading
import warnings

import numpy as np
import pytest

import bpnet
from bpnet.backend.float_errors import without_float_errors
from bpnet.backend.transfer import device_context, to_host

X = np.random.default_rng(0).normal(size=(24, 3))
Y = (X.sum(axis=1) > 0.0).astype(float)


def network(**options):
    layers = [bpnet.Dense(5, "sigmoid"), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=0, **options)


def results(backend):
    """Train and predict; what is returned is not looked at inside of a program's mode."""
    net = network()
    history = net.fit(X * 100.0, Y, epochs=2, validation_split=0.25, backend=backend)
    return history["loss"], history["val_loss"], net.forward(X), net.parameters[0]["W"]


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(to_host(a), to_host(b))


# --- NumPy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reaction", ["raise", "call", "warn"])
def test_numpys_floating_point_errors_stay_with_the_program(reaction, backend):
    expected = results(backend)

    def handler(*_):
        raise ArithmeticError

    with np.errstate(all=reaction, call=handler):
        before = np.geterr()
        found = results(backend)
        assert np.geterr() == before
    assert_equal(found, expected)


def test_what_the_program_ignores_is_ignored():
    with np.errstate(all="ignore"), without_float_errors():
        assert set(np.geterr().values()) == {"ignore"}
    with np.errstate(over="raise", divide="print", under="raise"), device_context(None):
        assert np.geterr() == {
            "divide": "print", "over": "warn", "under": "ignore", "invalid": "warn"
        }  # fmt: skip


def test_it_is_restored_after_an_error_and_in_callbacks(backend):
    seen = []

    class Fail(bpnet.Callback):
        def on_epoch_end(self, training):
            seen.append(np.geterr()["under"])
            raise KeyError

    with np.errstate(all="raise"):
        with pytest.raises(KeyError):
            network().fit(X, Y, epochs=1, backend=backend, callbacks=[Fail()])
        assert np.geterr()["under"] == "raise"
    assert seen == ["ignore"]  # callbacks run inside bpnet's context


# --- PyTorch ----------------------------------------------------------------------------------


def torch_modes():
    torch = pytest.importorskip("torch")
    from torch._subclasses.fake_tensor import FakeTensorMode

    return {
        "autocast": torch.autocast("cpu", dtype=torch.bfloat16),
        "device": torch.device("meta"),
        "inference": torch.inference_mode(),
        "fake": FakeTensorMode(),
    }


@pytest.mark.parametrize("mode", ["autocast", "device", "inference", "fake"])
def test_modes_of_torch_do_not_reach_bpnet(mode):
    set_mode = torch_modes()[mode]
    expected = results("torch:cpu")
    with set_mode:
        found = results("torch:cpu")
    assert_equal(found, expected)


def test_modes_of_torch_are_restored_in_order():
    torch = pytest.importorskip("torch")
    from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

    class Counting(TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), keywords=None):
            return function(*arguments, **(keywords or {}))

    backend = bpnet.get_backend("torch:cpu")
    with Counting(), torch.device("meta"), Counting(), torch.autocast("cpu"):
        before = _get_current_function_mode_stack()
        for fails in (False, True):
            with contextlib.suppress(KeyError), backend.activate():
                assert not _get_current_function_mode_stack()
                assert not torch.is_autocast_enabled("cpu")
                assert torch.ones(1).device.type == "cpu"
                if fails:
                    raise KeyError
            assert _get_current_function_mode_stack() == before
            assert torch.is_autocast_enabled("cpu")


def test_what_was_trained_in_inference_mode_can_be_used_outside():
    torch = pytest.importorskip("torch")
    net = network()
    with torch.inference_mode():
        features = torch.asarray(X)
        net.fit(features, Y, epochs=1)
        predicted = net.forward(features)
    net.fit(features, Y, epochs=1)
    assert not predicted.is_inference()
    assert not any(p.is_inference() for p in net.parameters[0].values())


def test_a_default_device_without_data_is_not_bpnets():
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        assert bpnet.get_backend("torch").device == "cpu"


@pytest.mark.parametrize("transform", ["grad", "vmap", "functionalize"])
def test_transforms_of_torch_are_refused(transform):
    """A derivative would be 0, as bpnet is no part of autograd."""
    torch = pytest.importorskip("torch")
    net = network().build(3)
    features = torch.asarray(X)
    features = features[None] if transform == "vmap" else features
    with pytest.raises(TypeError, match=r"X must be .*torch\.func"):
        getattr(torch.func, transform)(lambda x: net.forward(x).sum())(features)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_torchs_own_questions_are_answered_inside(precision):
    torch = pytest.importorskip("torch")
    backend = bpnet.get_backend("torch:cpu")
    with warnings.catch_warnings(), bpnet.matmul_precision(precision), backend.activate():
        warnings.simplefilter("error")
        assert torch.get_float32_matmul_precision() == precision
        assert torch.backends.cuda.matmul.allow_tf32 == (precision != "highest")


# --- JAX --------------------------------------------------------------------------------------


def jax_checks():
    jax = pytest.importorskip("jax")
    return {
        "ranks": jax.numpy_rank_promotion("raise"),
        "dtypes": jax.numpy_dtype_promotion("strict"),
        "nans": jax.debug_nans(True),
        "infs": jax.debug_infs(True),
        "transfers": jax.transfer_guard("disallow_explicit"),
        "to host": jax.transfer_guard_device_to_host("disallow"),
    }


@pytest.mark.parametrize("check", ["ranks", "dtypes", "nans", "infs", "transfers", "to host"])
def test_checks_of_jax_stay_with_the_program(check):
    jax = pytest.importorskip("jax")
    expected = results("jax")
    with jax_checks()[check]:
        before = jax.config.values.copy()
        found = results("jax")
        assert jax.config.values == before
    assert_equal(found, expected)


def test_checks_of_jax_are_restored_after_an_error():
    jax = pytest.importorskip("jax")
    backend = bpnet.get_backend("jax")
    with jax.numpy_rank_promotion("raise"), jax.transfer_guard("disallow"):
        with contextlib.suppress(KeyError), backend.activate():
            assert jax.config.jax_numpy_rank_promotion == "allow"
            assert jax.config.jax_transfer_guard_host_to_device == "allow"
            raise KeyError
        assert jax.config.jax_numpy_rank_promotion == "raise"
        assert jax.config.jax_transfer_guard_host_to_device == "disallow"


def test_the_mesh_of_the_program_is_set_aside():
    """Of several devices, it would spread over all what bpnet computes on one."""
    jax = pytest.importorskip("jax")
    expected = results("jax")
    backend, mesh = bpnet.get_backend("jax"), jax.make_mesh((1,), ("rows",))
    with jax.set_mesh(mesh):
        assert_equal(results("jax"), expected)
        with contextlib.suppress(KeyError), backend.activate():
            assert jax.sharding.get_abstract_mesh().empty
            assert not hasattr(backend.xp.ones(2).sharding, "mesh")
            raise KeyError
        assert jax.sharding.get_abstract_mesh() == mesh.abstract_mesh


def test_bpnet_finds_nans_itself():
    jax = pytest.importorskip("jax")
    net = bpnet.Network([bpnet.Dense(4, "relu"), bpnet.Dense(1)], "mean_squared_error", seed=0)
    with jax.debug_nans(True), pytest.raises(bpnet.NonFiniteError, match="learning rate"):
        net.fit(X, Y, epochs=20, optimizer=bpnet.SGD(1e9), backend="jax")


@pytest.mark.full
def test_without_jit_results_differ_by_rounding():
    """A tool for debugging that still works."""
    jax = pytest.importorskip("jax")
    expected = results("jax")
    with jax.disable_jit():
        found = results("jax")
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_another_thread_keeps_its_own_modes(backend):
    """What one thread computes does not change what another has set."""
    inside, leave, errors = threading.Event(), threading.Event(), []

    def compute():
        with np.errstate(all="raise"), backend.activate():
            inside.set()
            leave.wait()
        errors.append(np.geterr()["under"])

    thread = threading.Thread(target=compute)
    with np.errstate(all="print"):
        thread.start()
        inside.wait()
        assert np.geterr()["under"] == "print"
        leave.set()
        thread.join()
    assert len(errors) == 1
