"""Precision of float32 products, whatever the program has set for itself."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest
import stand_in_cupy
from other_thread import held_by_another_thread

import bpnet
from bpnet.model.compiled import FUNCTIONS

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1))


def network():
    return bpnet.Network([bpnet.Dense(64, "tanh"), bpnet.Dense(1)], "huber", seed=0)


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    before = torch.get_float32_matmul_precision()
    yield torch
    torch.set_float32_matmul_precision(before)


def products(torch, seed=0):
    """Return the error of a float32 product relative to float64, in units of rounding."""
    rng = np.random.default_rng(seed)
    a, b = (torch.asarray(rng.standard_normal((256, 256)).astype("f4")) for _ in "ab")
    exact = a.double() @ b.double()
    return float(((a @ b).double() - exact).abs().max() / exact.abs().max()) / 2.0**-24


def switches(torch):
    names = ("cuda", "mkldnn")
    if not hasattr(torch.backends.mkldnn, "matmul"):
        return [torch.get_float32_matmul_precision()]
    return [getattr(torch.backends, name).matmul.fp32_precision for name in names]


@pytest.mark.parametrize("choice", ["highest", "high", "medium"])
def test_the_precision_of_the_program_does_not_affect_bpnet(choice, torch):
    torch.set_float32_matmul_precision(choice)
    before = switches(torch)
    backend = bpnet.get_backend("torch:cpu")
    with backend.activate():
        with backend.activate():
            assert set(switches(torch)) <= {"ieee", "none", "highest"}
        assert set(switches(torch)) <= {"ieee", "none", "highest"}
        assert products(torch) < 64.0
    assert switches(torch) == before
    assert torch.get_float32_matmul_precision() == choice


def test_it_is_restored_after_an_error_and_by_the_last_thread(torch):
    torch.set_float32_matmul_precision("medium")
    before, backend = switches(torch), bpnet.get_backend("torch:cpu")
    with pytest.raises(RuntimeError, match="no"), backend.activate():
        raise RuntimeError("no")
    assert switches(torch) == before
    with contextlib.ExitStack() as mine:
        mine.enter_context(backend.activate())
        with held_by_another_thread(backend.activate()):
            mine.close()
            assert set(switches(torch)) <= {
                "ieee",
                "none",
                "highest",
            }  # the other thread needs it
    assert switches(torch) == before


def test_training_is_independent_of_the_programs_precision(torch):
    losses = []
    for choice in ("highest", "medium"):
        torch.set_float32_matmul_precision(choice)
        net = bpnet.Network([bpnet.Dense(64, "tanh"), bpnet.Dense(1)], "huber", seed=0)
        losses.append(net.fit(X, Y, epochs=2, backend="torch:cpu")["loss"])
    assert losses[0] == losses[1]


def test_jax_is_independent_of_the_programs_precision():
    jax = pytest.importorskip("jax")
    seen = []

    class Look(bpnet.Callback):
        def on_epoch_end(self, training):
            seen.append(jax.config.jax_default_matmul_precision)

    with jax.default_matmul_precision("bfloat16"):
        network().fit(X, Y, epochs=1, backend="jax", callbacks=[Look()])
        assert jax.config.jax_default_matmul_precision == "bfloat16"
    assert seen == ["highest"]


# --- matmul_precision -------------------------------------------------------------------------

FORMATS = {"highest": {"ieee", "none", "highest"}, "high": {"tf32", "high"},
           "medium": {"tf32", "bf16", "medium"}}  # fmt: skip


class Look(bpnet.Callback):
    """Collect what is set while a network is trained."""

    def __init__(self, look):
        self.look, self.seen = look, set()

    def on_epoch_end(self, training):
        self.seen |= set(self.look())


def trained(look, backend, precision=None):
    seen = Look(look)
    block = bpnet.matmul_precision(precision) if precision else contextlib.nullcontext()
    with block:
        history = network().fit(X, Y, epochs=2, backend=backend, callbacks=[seen])
    return history, seen.seen


@pytest.mark.parametrize("precision", FORMATS)
def test_torch_uses_the_requested_precision(precision, torch):
    before = switches(torch)
    _, seen = trained(lambda: switches(torch), "torch:cpu", precision)
    assert seen <= FORMATS[precision]
    if precision == "medium" and hasattr(torch.backends.mkldnn, "matmul"):
        assert seen == {"tf32", "bf16"}  # on CUDA, and on the CPU
    assert switches(torch) == before
    assert trained(lambda: switches(torch), "torch:cpu")[1] <= FORMATS["highest"]


@pytest.mark.parametrize(
    ("precision", "word"),
    [("highest", "highest"), ("high", "tensorfloat32"), ("medium", "bfloat16")],
)
def test_jax_uses_the_requested_precision(precision, word):
    jax = pytest.importorskip("jax")
    _, seen = trained(lambda: [jax.config.jax_default_matmul_precision], "jax", precision)
    assert seen == {word}


def test_the_most_exact_precision_of_all_threads_holds(torch):
    backend = bpnet.get_backend("torch:cpu")
    inside, leave = threading.Event(), threading.Event()

    def exact():
        with backend.activate():  # a new thread starts outside of all blocks
            inside.set()
            leave.wait()

    thread = threading.Thread(target=exact)
    with bpnet.matmul_precision("medium"), backend.activate():
        assert set(switches(torch)) <= FORMATS["medium"]
        thread.start()
        inside.wait()
        assert set(switches(torch)) <= FORMATS["highest"]
        leave.set()
        thread.join()
        assert set(switches(torch)) <= FORMATS["medium"]


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_it_has_no_effect_without_a_faster_product(precision):
    full, _ = trained(list, "numpy")
    assert trained(list, "numpy", precision)[0]["loss"] == full["loss"]


def test_blocks_may_be_nested(torch):
    backend = bpnet.get_backend("torch:cpu")

    def current():
        with backend.activate():
            return set(switches(torch))

    with bpnet.matmul_precision("medium"):
        with bpnet.matmul_precision("highest"):
            assert current() <= FORMATS["highest"]
        assert current() <= FORMATS["medium"]
    assert current() <= FORMATS["highest"]


def test_steps_are_compiled_for_a_precision(nothing_compiled):
    """A CUDA graph multiplies as it did when it was captured."""
    net = network()
    net.fit(X, Y, epochs=1)
    compiled = set(FUNCTIONS.all())
    with bpnet.matmul_precision("high"):
        net.fit(X, Y, epochs=1)
    assert set(FUNCTIONS.all()) > compiled


# --- CuPy, on its stand-in --------------------------------------------------------------------


@pytest.fixture
def cupy(monkeypatch):
    """CuPy's backend in a program that has set TensorFloat-32, and CuPy's settings."""
    monkeypatch.setenv("CUPY_TF32", "1")
    with stand_in_cupy.installed() as backend:
        yield backend(), stand_in_cupy.Linalg


def test_cupys_products_are_exact_whatever_the_program_has_set(cupy, nothing_compiled):
    backend, settings = cupy
    assert settings.get_compute_type("float32") == settings.COMPUTE_TYPE_TF32
    losses = {
        precision: trained(list, backend, precision)[0]["loss"]
        for precision in (None, "highest", "high", "medium")
    }
    assert losses[None] == losses["highest"] == trained(list, "numpy")[0]["loss"]
    assert losses["high"] == losses["medium"] != losses["highest"]
    assert settings.get_compute_type("float32") == settings.COMPUTE_TYPE_TF32


def test_cupys_precision_is_restored_after_an_error(cupy):
    backend, settings = cupy
    with contextlib.suppress(KeyError), backend.activate():
        assert settings.get_compute_type("float32") == settings.COMPUTE_TYPE_FP32
        raise KeyError
    assert settings.get_compute_type("float32") == settings.COMPUTE_TYPE_TF32


def test_gpus_without_units_are_not_asked_for_tf32(monkeypatch):
    monkeypatch.setattr(stand_in_cupy.Device, "compute_capability", "75")
    with stand_in_cupy.installed() as backend, bpnet.matmul_precision("high"):
        settings = stand_in_cupy.Linalg
        with backend().activate():  # CuPy would warn
            assert settings.get_compute_type("float32") == settings.COMPUTE_TYPE_FP32


def test_what_follows_torchs_general_setting_goes_on_to_follow_it(torch):
    everything, cuda = torch.backends, torch.backends.cuda.matmul
    before = everything.fp32_precision, cuda.fp32_precision
    try:
        cuda.fp32_precision = "none"
        everything.fp32_precision = "tf32"
        with bpnet.get_backend("torch:cpu").activate():
            assert cuda.fp32_precision == "ieee"
        everything.fp32_precision = "ieee"
        assert cuda.fp32_precision == "ieee"
    finally:
        everything.fp32_precision, cuda.fp32_precision = before
