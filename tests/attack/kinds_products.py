"""Products of float32 have the precision that bpnet was asked for, whatever the program set."""

import contextlib

import numpy as np
import stand_in_cupy
from attack import Probe, bind, kind
from available import available
from other_thread import held_by_another_thread

import bpnet

rng = np.random.default_rng(4)
X, Y = rng.normal(size=(16, 5)).astype("f4"), rng.normal(size=16).astype("f4")
PRECISIONS = ("highest", "high", "medium")
LINALG = stand_in_cupy.Linalg
TYPES = ("TBD", "DEFAULT", "PEDANTIC", "FP32", "TF32")


def network(dtype="float32"):
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "huber", 0, dtype)


def weights(backend, precision=None, dtype="float32"):
    """Train and return the weights and predictions."""
    net = network(dtype)
    block = bpnet.matmul_precision(precision) if precision else contextlib.nullcontext()
    with block:
        net.fit(X, Y, epochs=2, batch_size=8, backend=backend)
        loss, gradients = net.loss_and_gradients(X, Y)
        parts = [net.forward(X), loss, *gradients[0].values(), *net.parameters[0].values()]
    return [np.array(part) for part in parts]


def same(a, b):
    return all((x == y).all() for x, y in zip(a, b, strict=True))


# --- CuPy, on the stand-in ----------------------------------------------------------------


@contextlib.contextmanager
def cupy(nvmath=True, tf32_variable="0", capability="90"):
    """Yield CuPy's backend in a program with these settings."""
    import os

    before = os.environ.get("CUPY_TF32"), stand_in_cupy.Device.compute_capability
    os.environ["CUPY_TF32"], stand_in_cupy.Device.compute_capability = tf32_variable, capability
    try:
        with stand_in_cupy.installed(nvmath) as backend:
            yield backend()
    finally:
        stand_in_cupy.Device.compute_capability = before[1]
        os.environ.pop("CUPY_TF32")
        if before[0] is not None:
            os.environ["CUPY_TF32"] = before[0]


def chosen_type(name):
    LINALG.set_compute_type("float32", getattr(LINALG, f"COMPUTE_TYPE_{name}"))
    return LINALG.get_compute_type("float32")


def program_sets(name, variable, nvmath, precision):
    with cupy(nvmath) as backend:
        full = weights(backend)
    with cupy(nvmath, variable) as backend:
        before = chosen_type(name)
        found = weights(backend, precision)
        assert LINALG.get_compute_type("float32") == before
    assert same(found, full) == (precision in (None, "highest"))


def fast_is_near(nvmath):
    with cupy(nvmath) as backend:
        full, fast = weights(backend), weights(backend, "high")
        assert same(weights(backend, "medium"), fast)
        assert same(weights(backend), full)  # steps captured before are not used again
        assert all(np.allclose(a, b, atol=1e-2) for a, b in zip(full, fast, strict=True))


def without_units(precision):
    with cupy(capability="75") as backend:
        assert same(weights(backend, precision), weights(backend))


def float64_is_exact(precision):
    with cupy() as backend:
        full = weights(backend, dtype="float64")
        assert same(weights(backend, precision, "float64"), full)


class Ask(bpnet.Callback):
    """Collect what is set while a network is trained."""

    def __init__(self, look):
        self.look, self.seen = look, []

    def on_epoch_end(self, training):
        self.seen.append(self.look())
        if self.seen[-1] == "raise":
            raise KeyError("mine")


def restored_after_an_error(name):
    with cupy() as backend:
        before = chosen_type(name)
        with contextlib.suppress(KeyError):
            network().fit(X, Y, epochs=1, backend=backend, callbacks=[Ask(lambda: "raise")])
            raise AssertionError("no error")
        assert LINALG.get_compute_type("float32") == before


def with_another_thread():
    """Where two threads want different precisions, the more exact one holds."""
    with cupy() as backend, bpnet.matmul_precision("high"), backend.activate():
        assert LINALG.get_compute_type("float32") == LINALG.COMPUTE_TYPE_TF32
        with held_by_another_thread(backend.activate()):
            assert LINALG.get_compute_type("float32") == LINALG.COMPUTE_TYPE_FP32
        assert LINALG.get_compute_type("float32") == LINALG.COMPUTE_TYPE_TF32


# --- PyTorch and JAX ----------------------------------------------------------------------


def torch_settings():
    import torch

    def state():
        names = ("cuda", "mkldnn")
        found = [getattr(torch.backends, name).matmul.fp32_precision for name in names]
        try:
            older = torch.get_float32_matmul_precision()
        except RuntimeError:
            older = "mixed"
        return [*found, torch.backends.fp32_precision, older]

    def default():
        torch.backends.fp32_precision = "none"
        torch.set_float32_matmul_precision("highest")
        for name in ("cuda", "mkldnn"):
            getattr(torch.backends, name).matmul.fp32_precision = "none"

    def older(value):
        torch.set_float32_matmul_precision(value)

    def newer(value, *owners):
        for owner in owners:
            owner.fp32_precision = value

    backends = torch.backends
    cuda, cpu = backends.cuda.matmul, backends.mkldnn.matmul
    settings = {
        "default": default, "older high": bind(older, "high"),
        "older medium": bind(older, "medium"), "older highest": bind(older, "highest"),
        "allow_tf32": bind(setattr, cuda, "allow_tf32", True),
        "CUDA tf32": bind(newer, "tf32", cuda), "CPU bf16": bind(newer, "bf16", cpu),
        "CPU tf32": bind(newer, "tf32", cpu), "both tf32": bind(newer, "tf32", cuda, cpu),
        "all tf32": bind(newer, "tf32", backends), "all ieee": bind(newer, "ieee", backends),
    }  # fmt: skip
    return settings, state, default


def in_torch(name, precision):
    settings, state, default = torch_settings()
    expected = {
        "highest": ["ieee", "ieee"],
        "high": ["tf32", "tf32"],
        "medium": ["tf32", "bf16"],
    }
    default()
    try:
        settings[name]()
        before, ask = state(), Ask(state)
        with bpnet.matmul_precision(precision):
            network().fit(X, Y, epochs=1, backend="torch:cpu", callbacks=[ask])
        assert state() == before, f"changed from {before} to {state()}"
        (cuda, cpu, _, older), *_ = ask.seen
        assert [cuda.replace("none", "ieee"), cpu.replace("none", "ieee")] == expected[
            precision
        ]
        if before[3] != "mixed":  # neither may be torch's interfaces inside
            assert older == precision, older
    finally:
        default()


def inherited_in_torch():
    """What follows torch.backends.fp32_precision goes on to follow it."""
    import torch

    default = torch_settings()[2]
    default()
    try:
        torch.backends.fp32_precision = "tf32"
        network().fit(X, Y, epochs=1, backend="torch:cpu")
        torch.backends.fp32_precision = "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    finally:
        default()


def in_jax(of_program, precision):
    import jax

    words = {"highest": "highest", "high": "tensorfloat32", "medium": "bfloat16"}
    ask = Ask(lambda: jax.config.jax_default_matmul_precision)
    with jax.default_matmul_precision(of_program), bpnet.matmul_precision(precision):
        network().fit(X, Y, epochs=1, backend="jax", callbacks=[ask])
        assert jax.config.jax_default_matmul_precision == of_program
    assert ask.seen == [words[precision]]


# --- the kind -----------------------------------------------------------------------------


@kind("precision of products", slow=True)
def products(rng):
    for name in TYPES:
        for variable in "01":
            nvmath, precision = bool(rng.integers(2)), (None, *PRECISIONS)[rng.integers(4)]
            for chosen in {None, precision}:
                run = bind(program_sets, name, variable, nvmath, chosen)
                yield Probe(
                    f"CuPy {name}, CUPY_TF32={variable}, nvmath {nvmath}, {chosen}", run
                )
        yield Probe(f"CuPy {name}, error", bind(restored_after_an_error, name))
    for nvmath in (True, False):
        yield Probe(f"CuPy, high is near, nvmath {nvmath}", bind(fast_is_near, nvmath))
    for precision in ("high", "medium"):
        yield Probe(f"CuPy without units, {precision}", bind(without_units, precision))
        yield Probe(f"CuPy in float64, {precision}", bind(float64_is_exact, precision))
    yield Probe("CuPy, two threads", with_another_thread)
    if available("torch:cpu"):
        for name in torch_settings()[0]:
            for precision in PRECISIONS:
                yield Probe(f"PyTorch {name}, {precision}", bind(in_torch, name, precision))
        yield Probe("PyTorch inherits", inherited_in_torch)
    if available("jax"):
        yield Probe("JAX bfloat16, high", bind(in_jax, "bfloat16", "high"))
