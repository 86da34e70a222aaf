"""What the program has set for its own purposes neither reaches bpnet nor is changed by it.

Each probe sets something for the program, runs a task of bpnet, and compares its results bit by
bit with those of the same task in a program that has set nothing.
"""

import contextlib
import functools
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
from attack import Probe, bind, kind, must_refuse
from available import available

import bpnet

rng = np.random.default_rng(3)
X, CLASSES = rng.normal(size=(24, 3)), np.arange(24) % 3
Y = (X.sum(axis=1) > 0.0).astype(float)
TINY = X * 1e-40, X * 1e-310  # subnormal in float32 and in float64


# --- the tasks ----------------------------------------------------------------------------


def network(dtype="float32"):
    layers = [bpnet.Dense(6, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=0, dtype=dtype)


@functools.cache
def trained(spec):
    net = network()
    net.fit(X, Y, epochs=2, batch_size=8, backend=spec)
    return net


def list_of(*found):
    """Return what a task has found, to be looked at outside of the program's mode."""
    return found


def numbers(*found):
    """Return what was found as a list of NumPy arrays."""
    arrays = []
    for value in found:
        if isinstance(value, dict):
            arrays += numbers(*(value[key] for key in sorted(value)))
        elif isinstance(value, list | tuple):
            arrays += numbers(*value)
        else:
            arrays.append(np.array(value))
    return arrays


def fit(spec):
    net = network()
    history = net.fit(
        X, Y, epochs=2, batch_size=8, validation_data=(X[:9], Y[:9]), backend=spec,
        optimizer=bpnet.Adam(0.01), callbacks=[bpnet.EarlyStopping(patience=5)],
    )  # fmt: skip
    return list_of(history["loss"], history["val_loss"], net.parameters)


def infer(spec):
    net = trained(spec)
    loss, gradients = net.loss_and_gradients(X, Y)
    return list_of(net.predict(X), net.forward(X), net.evaluate(X, Y), loss, gradients)


def look(spec):
    net = trained(spec)
    trace = net.trace(X[:4], Y[:4])
    check = bpnet.check_gradients(net, X[:4], Y[:4], samples=2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.safetensors")
        net.save(path)
        loaded = bpnet.load(path).forward(X)
    return list_of(dict(trace), check.max_relative_error < 1e-5, loaded)


def estimate(spec):
    X32 = X.astype("f4")
    shared = {"max_iter": 3, "random_state": 0, "backend": spec}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m = bpnet.MLPClassifier((4,), early_stopping=True, **shared).fit(X32, CLASSES)
        r = bpnet.MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", **shared)
        r.fit(X32, X32.sum(axis=1))
    return list_of(m.predict(X32), m.predict_proba(X32), m.score(X32, CLASSES), r.predict(X32))


def tasks():
    found = {"fit": fit, "infer": infer, "look": look}
    with contextlib.suppress(ImportError):
        import sklearn  # noqa: F401

        found["estimate"] = estimate
    return found


@functools.cache
def reference(spec, task):
    return numbers(*task(spec))


def must_agree(found, expected):
    found = numbers(*found)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype, f"{a.dtype} for {b.dtype}"
        assert (a == b).all(), f"got {a!r:.70}, expected {b!r:.70}"


def unreached(context, task, spec, state):
    """Run a task in a context; neither may change the other."""
    expected = reference(spec, task)
    with context():
        before = state()
        found = task(spec)
        assert state() == before, f"changed from {before} to {state()}"
    must_agree(found, expected)
    if task is fit:
        must_agree(fit(spec), expected)  # the program has left its mode


def after_an_error(context, spec, state):
    """A callback raises: the program finds its settings as it had left them."""

    class Fail(bpnet.Callback):
        def on_epoch_end(self, training):
            raise KeyError("mine")

    with context():
        before = state()
        with contextlib.suppress(KeyError):
            network().fit(X, Y, epochs=1, backend=spec, callbacks=[Fail()])
            raise AssertionError("no error")
        assert state() == before, f"changed from {before} to {state()}"


def in_a_thread(context, spec, state):
    """A thread sets it for itself, or has inherited what is set for the process."""
    errors = []

    def work():
        try:
            unreached(context, infer, spec, state)
        except BaseException as error:
            errors.append(error)

    reference(spec, infer)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def probes(spec, contexts, state):
    for name, context in contexts.items():
        for task in (
            tasks().values() if " mode" in name or "auto" in name else (fit, infer, look)
        ):
            yield Probe(f"{name}, {task.__name__}", bind(unreached, context, task, spec, state))
        yield Probe(f"{name}, error", bind(after_an_error, context, spec, state))
        yield Probe(f"{name}, thread", bind(in_a_thread, context, spec, state))


@contextlib.contextmanager
def setting(read, write, value):
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


# --- PyTorch ------------------------------------------------------------------------------


def torch_contexts():
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    class Doubled(TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), keywords=None):
            result = function(*arguments, **(keywords or {}))
            is_product = function in (torch.matmul, torch.Tensor.matmul)
            return result * 2.0 if is_product else result

    class Refusing(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            raise RuntimeError("the program's mode was reached")

    def dtype(kind):
        return bind(setting, torch.get_default_dtype, torch.set_default_dtype, kind)

    def precision(value):
        read, write = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        return bind(setting, read, write, value)

    def flag(owner, name, value):
        return bind(setting, bind(getattr, owner, name), bind(setattr, owner, name), value)

    cuda, cpu = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    deterministic = (
        torch.are_deterministic_algorithms_enabled,
        torch._C._set_deterministic_algorithms,
    )
    return {
        "autocast bfloat16": bind(torch.autocast, "cpu", dtype=torch.bfloat16),
        "autocast float16": bind(torch.autocast, "cpu", dtype=torch.float16),
        "default dtype float64": dtype(torch.float64),
        "default dtype float16": dtype(torch.float16),
        "default dtype bfloat16": dtype(torch.bfloat16),
        "inference mode": torch.inference_mode,
        "grad enabled": torch.enable_grad,
        "grad disabled": torch.no_grad,
        "anomaly mode": bind(torch.autograd.set_detect_anomaly, True),
        "deterministic": bind(setting, *deterministic, True),
        "precision medium": precision("medium"),
        "precision high": precision("high"),
        "allow_tf32": flag(cuda, "allow_tf32", True),
        "oneDNN bf16": flag(cpu, "fp32_precision", "bf16"),
        "fp32_precision tf32": flag(torch.backends, "fp32_precision", "tf32"),
        "with device meta": bind(torch.device, "meta"),
        "default device meta": bind(setting, lambda: None, torch.set_default_device, "meta"),
        "function mode": Doubled,
        "dispatch mode": Refusing,
        "fake tensors": FakeTensorMode,
        "flush denormal": bind(setting, lambda: False, torch.set_flush_denormal, True),
    }


def torch_state():
    """Return all that a program may have set, which must be the same afterwards."""
    import torch

    def tried(read):
        try:
            return str(read())
        except RuntimeError:  # the program mixes torch's two interfaces
            return "mixed"

    return (
        torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"),
        torch.get_default_dtype(), str(torch.get_default_device()),
        torch.is_inference_mode_enabled(), torch.is_grad_enabled(),
        torch.is_anomaly_enabled(), torch.are_deterministic_algorithms_enabled(),
        tried(torch.get_float32_matmul_precision),
        tried(lambda: torch.backends.cuda.matmul.allow_tf32),
        torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision,
        torch.backends.fp32_precision, torch._C._len_torch_function_stack(),
        torch._C._len_torch_dispatch_stack(),
    )  # fmt: skip


def tensors_in_inference_mode():
    """Tensors made there train a network outside, and its results can be differentiated."""
    import torch

    with torch.inference_mode():
        features, targets = torch.asarray(X), torch.asarray(Y)
        net = network()
        net.fit(features, targets, epochs=1)
        predicted = net.forward(features)
    net.fit(features, targets, epochs=1)
    scale = torch.ones(1, requires_grad=True)
    (scale * predicted).sum().backward()
    assert float(scale.grad) == float(predicted.sum())
    predicted += 1.0


def tensors_that_require_grad():
    import torch

    features = torch.asarray(X, dtype=torch.float32).requires_grad_()
    net = network()
    net.fit(features, torch.asarray(Y).requires_grad_(), epochs=1, backend="torch:cpu")
    assert not net.forward(features).requires_grad
    assert not any(p.requires_grad for layer in net.parameters for p in layer.values())


def transformed(transform):
    """A derivative through bpnet would silently be 0: it is refused instead."""
    import torch

    def loss(features):
        return trained("torch:cpu").forward(features).sum()

    must_refuse(lambda: transform(loss, torch.asarray(X)), "X", errors=(TypeError, ValueError))


def precision_calls_in(callback_of):
    """The program's own code runs in a callback, inside of bpnet's precision."""
    import torch

    seen = []

    class Ask(bpnet.Callback):
        def on_epoch_end(self, training):
            seen.append(callback_of(torch))

    with bpnet.matmul_precision("high"):
        network().fit(X, Y, epochs=1, backend="torch:cpu", callbacks=[Ask()])
    assert len(seen) == 1


def no_default_device_is_needed():
    import torch

    with torch.device("meta"):
        assert bpnet.get_backend("torch").device != "meta"
        network().fit(X, Y, epochs=1, backend="torch")


@kind("ambient modes of PyTorch", "torch:cpu", slow=True)
def ambient_torch(rng):
    yield from probes("torch:cpu", torch_contexts(), torch_state)
    import torch

    yield Probe("tensors made in inference mode", tensors_in_inference_mode)
    yield Probe("tensors that require grad", tensors_that_require_grad)
    yield Probe("backend torch, default device meta", no_default_device_is_needed)
    transforms = {
        "grad": lambda f, x: torch.func.grad(f)(x),
        "vmap": lambda f, x: torch.func.vmap(f)(x[None]),
        "jvp": lambda f, x: torch.func.jvp(f, (x,), (x,)),
        "functionalize": lambda f, x: torch.func.functionalize(f)(x),
    }
    for name, transform in transforms.items():
        yield Probe(f"torch.func.{name}", bind(transformed, transform))
    calls = {
        "get_float32_matmul_precision": lambda t: t.get_float32_matmul_precision(),
        "allow_tf32": lambda t: t.backends.cuda.matmul.allow_tf32,
        "compile": lambda t: t.compile(lambda x: x @ x + 1.0, backend="eager")(t.ones(3, 3)),
    }
    for name, call in calls.items():
        yield Probe(f"{name} in a callback", bind(precision_calls_in, call))


# --- JAX ----------------------------------------------------------------------------------


def jax_contexts():
    import jax

    def option(name, value):
        read = bind(getattr, jax.config, name)
        return bind(setting, read, bind(jax.config.update, name), value)

    contexts = {
        "rank promotion raise": bind(jax.numpy_rank_promotion, "raise"),
        "rank promotion raise, everywhere": option("jax_numpy_rank_promotion", "raise"),
        "dtype promotion strict": bind(jax.numpy_dtype_promotion, "strict"),
        "x64": bind(jax.enable_x64, True),
        "debug_nans": bind(jax.debug_nans, True),
        "debug_infs": bind(jax.debug_infs, True),
        "check tracer leaks": bind(jax.checking_leaks),
        "precision bfloat16": bind(jax.default_matmul_precision, "bfloat16"),
        "default device": bind(jax.default_device, jax.devices("cpu")[-1]),
        "log compiles": bind(jax.log_compiles, False),
        "custom prng keys": bind(jax.enable_custom_prng, True),
    }
    for guard in ("disallow", "disallow_explicit", "allow"):
        contexts[f"transfer guard {guard}"] = bind(jax.transfer_guard, guard)
    for way in ("host_to_device", "device_to_host", "device_to_device"):
        context = getattr(jax, f"transfer_guard_{way}")
        contexts[f"guard {way}"] = bind(context, "disallow_explicit")
        name = f"jax_transfer_guard_{way}"
        contexts[f"guard {way}, everywhere"] = option(name, "disallow")
    return contexts


def jax_state():
    import jax

    return tuple(
        str(getattr(jax.config, f"jax_{name}"))
        for name in (
            "numpy_rank_promotion", "numpy_dtype_promotion", "enable_x64", "debug_nans",
            "debug_infs", "default_matmul_precision", "default_device", "disable_jit",
            "transfer_guard_host_to_device", "transfer_guard_device_to_host",
            "transfer_guard_device_to_device",
        )
    )  # fmt: skip


@kind("ambient modes of JAX", "jax", slow=True)
def ambient_jax(rng):
    import jax

    contexts = jax_contexts()
    for name, context in contexts.items():
        for task in (infer,) if name == "check tracer leaks" else (fit, infer):  # it compiles
            check = bind(unreached, context, task, "jax", jax_state)
            yield Probe(f"{name}, {task.__name__}", check)
    for name in ("rank promotion raise", "transfer guard disallow", "debug_nans"):
        yield Probe(f"{name}, error", bind(after_an_error, contexts[name], "jax", jax_state))
        yield Probe(f"{name}, thread", bind(in_a_thread, contexts[name], "jax", jax_state))

    def differentiated():
        def loss(features):
            return trained("jax").forward(features).sum()

        must_refuse(lambda: jax.grad(loss)(jax.numpy.asarray(X)), "X")

    yield Probe("jax.grad", differentiated)


# --- NumPy and the program ----------------------------------------------------------------


def saturated(spec):
    """Sigmoids far on their flat sides underflow."""
    net = bpnet.Network(
        [bpnet.Dense(4, "sigmoid"), bpnet.Dense(3, "silu"), bpnet.Dense(1)],
        "binary_crossentropy", seed=0,
    ).build(3)  # fmt: skip
    wide = X * 100.0
    history = net.fit(wide, Y, epochs=2, backend=spec, metrics=["accuracy", "roc_auc"])
    return list_of(history["loss"], net.forward(wide), net.evaluate(wide, Y), net.parameters)


def tiny(spec):
    """Features that are subnormal in float32, and rates that become it."""
    net = network()
    history = net.fit(
        TINY[0], Y, epochs=2, backend=spec,
        optimizer=bpnet.Adam(bpnet.schedules.Exponential(1e-3, 1e-300)),
    )  # fmt: skip
    return list_of(history["loss"], net.predict(TINY[1]))


def program_contexts():
    contexts = {
        f"errstate {name}": bind(np.errstate, **{name: "raise"})
        for name in ("all", "under", "over", "invalid", "divide")
    }

    def handler(kind, flag):
        raise ArithmeticError("the program's handler was reached")

    contexts["errstate call"] = bind(np.errstate, all="call", call=handler)
    contexts["errstate warn"] = bind(np.errstate, all="warn")
    contexts["printoptions"] = bind(np.printoptions, precision=1, threshold=2, legacy="1.13")
    with contextlib.suppress(ImportError):
        import sklearn

        for name, value in {
            "transform_output": "pandas", "enable_metadata_routing": True,
            "assume_finite": True, "skip_parameter_validation": True, "working_memory": 1,
        }.items():  # fmt: skip
            contexts[f"sklearn {name}"] = bind(sklearn.config_context, **{name: value})
    return contexts


def program_state():
    return np.geterr(), np.geterrcall(), np.get_printoptions(), list(warnings.filters)


def without_warnings(task, spec):
    """A program whose warnings are errors, and that shows all of NumPy's."""
    expected = reference(spec, task)
    with warnings.catch_warnings(), np.errstate(under="warn"):
        warnings.simplefilter("error")
        must_agree(task(spec), expected)


def numpy_divergence(context):
    net = bpnet.Network([bpnet.Dense(4, "relu"), bpnet.Dense(1)], "mean_squared_error", seed=0)
    with context():
        must_refuse(
            lambda: net.fit(X, Y, epochs=20, optimizer=bpnet.SGD(1e9)),
            "learning rate",
            errors=bpnet.NonFiniteError,
        )


def refused_data(context):
    """What is wrong with data is said by bpnet, not by NumPy."""
    with context():
        must_refuse(lambda: network().fit(X * 1e300, Y, epochs=1), "finite in float32")
        must_refuse(
            lambda: network().fit(X, Y, sample_weight=[1e300] * 24, epochs=1), "sample_weight"
        )


def strict_flags(version):
    import array_api_strict as strict

    if version not in strict._flags.supported_versions:
        return
    before = strict.get_array_api_strict_flags()
    spec = "array_api_strict:device1"
    expected = reference(spec, infer)
    try:
        strict.set_array_api_strict_flags(
            api_version=version, boolean_indexing=False, data_dependent_shapes=False,
            enabled_extensions=(),
        )  # fmt: skip
        must_agree(infer(spec), expected)
    finally:
        strict.set_array_api_strict_flags(**before)


@kind("ambient modes of NumPy and the program")
def ambient_program(rng):
    contexts = program_contexts()
    everything = [*tasks().values(), saturated, tiny]
    for name, context in contexts.items():
        for task in everything:
            check = bind(unreached, context, task, "numpy", program_state)
            yield Probe(f"{name}, {task.__name__}", check)
    raising = contexts["errstate all"]
    for spec in available("torch:cpu", "array_api_strict"):
        for task in everything:
            check = bind(unreached, raising, task, spec, program_state)
            yield Probe(f"errstate all, {task.__name__} on {spec}", check)
    for task in everything:
        yield Probe(
            f"warnings are errors, {task.__name__}", bind(without_warnings, task, "numpy")
        )
    for name in ("errstate all", "errstate over", "errstate call"):
        yield Probe(f"{name}, divergence", bind(numpy_divergence, contexts[name]))
        yield Probe(f"{name}, refused data", bind(refused_data, contexts[name]))
    yield Probe("errstate all, error", bind(after_an_error, raising, "numpy", program_state))
    yield Probe("errstate all, thread", bind(in_a_thread, raising, "numpy", program_state))
    if available("array_api_strict:device1"):
        for version in ("2024.12", "2025.12"):
            yield Probe(f"array_api_strict {version}", bind(strict_flags, version))
