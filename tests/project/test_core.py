"""The core as a whole: which libraries it names, what it loads, and where it computes."""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import bpnet
from bpnet.backend import registry

# --- the core names no array library ----------------------------------------------------------

FOLDER = Path(bpnet.__file__).parent
SOURCES = {
    path.relative_to(FOLDER).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(FOLDER.rglob("*.py"))
}
ARRAY_LIBRARIES = {
    "array_api_strict", "bpnet_backends", "cupy", "cupyx", "dask", "jax", "jaxlib", "mlx",
    "ndonnx", "tensorflow", "torch",
}  # fmt: skip
# Here an array is whatever was passed in. NumPy has no place, as there is no host edge.
CORE = (
    "activations", "backend/special", "backprop", "callbacks/early_stopping", "inference",
    "layers", "losses", "metrics", "model/model", "model/recorder", "model/summary", "network",
    "optimizers", "schedules", "training/loop", "training/runner", "training/step",
)  # fmt: skip


def imported(tree):
    """Give (name, node) of all that is imported anywhere, by a statement or by a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in ("import_module", "__import__"):
                yield from ((name, node) for name in called_for(node.args[0], tree))


def called_for(argument, tree):
    """Give the names that an import by a call may ask for: a word, or an entry of a table."""
    if isinstance(argument, ast.Constant):
        return [argument.value]
    table = getattr(getattr(argument, "value", None), "id", None)
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == table:
            return [getattr(value, "value", "unknown") for value in node.value.values]
    return ["unknown"]


def for_types_only(tree):
    """Give the nodes below ``if TYPE_CHECKING:``, which never run."""
    return {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", None) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }


def foreign_libraries(source):
    """Name the array libraries but NumPy that a module imports, in one way or another."""
    names = {name for name, _ in imported(ast.parse(source))}
    return {n for n in names if n == "unknown" or ARRAY_LIBRARIES.intersection(n.split("."))}


def beside_python(source):
    """Name what a module needs beside Python and bpnet; tqdm is the progress bar's."""
    tree = ast.parse(source)
    types_only = for_types_only(tree)
    names = {name for name, node in imported(tree) if node not in types_only}
    allowed = sys.stdlib_module_names | {"bpnet", "tqdm"}
    return {name for name in names if name.partition(".")[0] not in allowed}


def numpy_beside_xp(source):
    """Name the functions that use NumPy though they are given `xp`, or serve one that is."""
    tree = ast.parse(source)
    aliases = {"numpy"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if (getattr(node, "module", None) or alias.name).startswith("numpy"):
                    aliases.add(alias.asname or alias.name)
    names, given = {}, set()
    for f in ast.walk(tree):
        if isinstance(f, ast.FunctionDef):  # methods of several classes share their name
            used = {getattr(node, "id", getattr(node, "attr", None)) for node in ast.walk(f)}
            names[f.name] = names.get(f.name, set()) | used
            given |= {f.name} if "xp" in {a.arg for a in f.args.args} else set()
    for _ in names:  # whom these call, and whom those call, and so on
        given |= {used for name in given for used in names[name] & names.keys()}
    return {name for name in given if names[name] & aliases}


@pytest.mark.parametrize("module", SOURCES)
def test_no_array_library_but_numpy_is_imported(module):
    assert foreign_libraries(SOURCES[module]) == set()


@pytest.mark.parametrize("module", CORE)
def test_the_numerical_core_needs_python_alone(module):
    assert beside_python(SOURCES[module]) == set()


# An exercise is a learner's program, on NumPy.
@pytest.mark.parametrize("module", sorted(SOURCES.keys() - {"learn/exercises"}))
def test_who_is_given_a_namespace_uses_no_other(module):
    assert numpy_beside_xp(SOURCES[module]) == set()


@pytest.mark.parametrize(
    "bad",
    [
        "import torch",
        "import jax.numpy as jnp",
        "def f():\n    import cupy",
        "def f():\n    from cupy import ndarray",
        "try:\n    import torch\nexcept ImportError:\n    pass",
        "if TYPE_CHECKING:\n    from torch import Tensor",
        "from array_api_compat import torch as xp",
        "import array_api_compat.cupy as xp",
        "from bpnet_backends import numpy",
        "importlib.import_module('jax')",
        "import_module('array_api_strict')",
        "__import__('torch.cuda')",
        "importlib.import_module(name)",
    ],
)
def test_the_check_of_libraries_can_fail(bad):
    assert len(foreign_libraries(bad)) == 1
    assert foreign_libraries("import numpy as np\nname = 'torch'  # import torch") == set()


@pytest.mark.parametrize(
    "bad",
    [
        "import numpy as np",
        "from numpy import exp",
        "def f():\n    import numpy.linalg",
        "import scipy.special",
        "if DEBUG:\n    import numpy",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import numpy",
    ],
)
def test_the_check_of_the_core_can_fail(bad):
    assert len(beside_python(bad)) == 1
    assert beside_python("import math\nif TYPE_CHECKING:\n    import numpy") == set()


CHAIN = """
import numpy as np
def deepest(x): return np.exp(x)
def deeper(x): return deepest(x)
def f(xp, x): return deeper(x)
def host(x): return np.log(x)
"""


@pytest.mark.parametrize(
    ("bad", "blamed"),
    [
        ("import numpy as np\ndef f(xp, x): return np.exp(x)", {"f"}),
        ("import numpy\nclass A:\n  def f(self, xp, x): return numpy.exp(x)", {"f"}),
        ("from numpy import exp\ndef f(xp, x): return exp(x)", {"f"}),
        ("def f(xp, x):\n  from numpy import exp as e\n  return e(x)", {"f"}),
        (CHAIN, {"deepest"}),
    ],
)
def test_the_check_of_namespaces_can_fail(bad, blamed):
    assert numpy_beside_xp(bad) == blamed


def test_the_checks_see_the_core():
    assert SOURCES.keys() >= set(CORE)
    spoilt = re.sub(r"(def _mix.*\n)", r"\1    x = np.asarray(x)\n", SOURCES["random"])
    assert numpy_beside_xp(spoilt) == {"_mix"}  # which uniform_bits calls
    spoilt = SOURCES["activations"].replace("xp.tanh(z)", "np.tanh(z)")
    assert numpy_beside_xp(f"import numpy as np\n{spoilt}") == {"f"}


# --- import bpnet is light --------------------------------------------------------------------

HEAVY = {
    "array_api_compat", "array_api_strict", "cupy", "jax", "matplotlib", "pandas", "rich",
    "scipy", "sklearn", "torch", "tqdm",
}  # fmt: skip
SHOW = "import json, sys; print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
TRAIN = """
import bpnet
X, y = bpnet.datasets.make_spiral(20, seed=0)
net = bpnet.Network([bpnet.Dense(3, "gelu"), bpnet.Dense(1)], "binary_crossentropy", seed=0)
net.fit(X, y, epochs=2, validation_split=0.5)
net.predict(X)
assert bpnet.check_gradients(net, X, y).passed
"""


def loaded_by(program):
    """Run a program in a fresh interpreter; give the packages that it has loaded."""
    command = [sys.executable, "-c", f"{program}\n{SHOW}"]
    variables = {k: v for k, v in os.environ.items() if k != "BPNET_BACKEND"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    return set(json.loads(done.stdout))


def test_importing_bpnet_loads_nothing_but_numpy():
    loaded = loaded_by("import bpnet")
    assert loaded >= {"bpnet", "numpy"}
    assert loaded & HEAVY == set()


def test_training_on_numpy_loads_no_other_library():
    assert loaded_by(TRAIN) & HEAVY == {"array_api_compat"}


def test_what_is_loaded_would_be_seen():
    pytest.importorskip("matplotlib")
    assert "matplotlib" in loaded_by("import bpnet; bpnet.plot")


# --- the strictest array library, and the current device --------------------------------------


class Guard:
    """Lets arrays of array-api-strict be touched only while their device is current.

    CuPy allocates and launches on the current GPU, whichever GPU the arrays are on, so with
    several GPUs all work on an array must stand inside its backend's `activate`. Only to look
    at its shape, dtype and device is free, and to transpose it.
    """

    FREE = ("__array_namespace__", "__new__", "__reduce__", "__repr__", "__str__")

    def __init__(self, library):
        self.library = library
        self.array_type = type(library.ones(1))
        self.current = ["no device"]
        self.off = False
        self.checked = 0

    @contextlib.contextmanager
    def on(self, device):
        self.current.append(device)
        try:
            yield
        finally:
            self.current.pop()

    @contextlib.contextmanager
    def trusting(self):
        """Let the backend itself move arrays."""
        before, self.off = self.off, True
        try:
            yield
        finally:
            self.off = before

    def check(self, name, values):
        for value in () if self.off else values:
            if isinstance(value, list | tuple):
                self.check(name, value)
            elif isinstance(value, self.array_type):
                self.checked += 1
                device, current = self.backend.device_of(value), self.current[-1]
                assert device == current, f"{name} on {device}, but current is {current}"

    def guarded(self, name, function):
        @functools.wraps(function)
        def guarded(*args, **kwargs):
            self.check(name, [*args, *kwargs.values()])
            result = function(*args, **kwargs)
            self.check(name, [result])
            return result

        return guarded

    def namespace(self):
        namespace = types.ModuleType(self.library.__name__)
        for name, value in vars(self.library).items():
            public = inspect.isfunction(value) and not name.startswith("_")
            setattr(namespace, name, self.guarded(name, value) if public else value)
        return namespace

    def methods(self):
        for name, value in list(vars(self.array_type).items()):
            special = name.startswith("__") and name not in self.FREE
            if inspect.isfunction(value) and (special or name == "to_device"):
                yield name, self.guarded(name, value)


@pytest.fixture
def guard(monkeypatch):
    """Guard array-api-strict, and let bpnet find the guarded backend."""
    guard = Guard(pytest.importorskip("array_api_strict"))
    from bpnet_backends.array_api_strict import StrictBackend

    class Guarded(StrictBackend):
        xp = guard.namespace()
        room = 2**60

        def activate(self):
            return guard.on(self.device)

        def asarray(self, host_array, dtype=None):
            with guard.trusting():
                return super().asarray(host_array, dtype)

        def to_numpy(self, array):
            with guard.trusting():
                return super().to_numpy(array)

        def fits(self, nbytes):
            return nbytes <= self.room

    for name, method in guard.methods():
        monkeypatch.setattr(guard.array_type, name, method)
    monkeypatch.setattr(
        guard.array_type, "__array_namespace__", lambda self, api_version=None: Guarded.xp
    )
    points = dict(registry._entry_points())
    points["array_api_strict"] = types.SimpleNamespace(load=lambda: Guarded)
    monkeypatch.setattr(registry, "_entry_points", lambda: points)
    guard.backend = Guarded
    return guard


def test_the_flags_are_the_strictest(guard):
    assert guard.library.get_array_api_strict_flags() == {
        "api_version": guard.library.__array_api_version__,
        "boolean_indexing": False,
        "data_dependent_shapes": False,
        "enabled_extensions": (),
    }


def test_the_guard_sees_what_stands_outside(guard):
    here, there = guard.backend("device1"), guard.backend("device2")
    x = here.asarray([1.0, 2.0])
    uses = [
        lambda: x + 1.0,
        lambda: 1.0 - x,
        lambda: x[0],
        lambda: bool(x),
        lambda: float(here.xp.sum(x)),
        lambda: here.xp.exp(x),
        lambda: here.xp.stack([x, x]),
        lambda: here.xp.zeros(3),
    ]
    for use in uses:
        with pytest.raises(AssertionError, match="but current is no device"):
            use()
        with pytest.raises(AssertionError, match="but current is device2"), there.activate():
            use()
    with here.activate():
        assert float((x + here.xp.ones_like(x))[1]) == 3.0
    assert (x.shape, x.ndim, x.dtype) == ((2,), 1, here.xp.float64)


class Looks(bpnet.Callback):
    """Uses network and parameters in every hook, as a callback may."""

    def __init__(self, X):
        self.X, self.hooks = X, set()

    def look(self, training):
        self.hooks.add(sys._getframe(1).f_code.co_name)
        training.network.predict(self.X)
        (kept, *_), (W, *_) = (
            [layer["W"] for layer in parameters if layer]
            for parameters in (training.copy_parameters(), training.parameters)
        )
        assert float(training.backend.xp.max(kept - W)) == 0.0

    def on_train_begin(self, training):
        self.look(training)

    def on_epoch_begin(self, training):
        self.look(training)

    def on_batch_end(self, training):
        self.look(training)

    def on_epoch_end(self, training):
        self.look(training)

    def on_train_end(self, training):
        self.look(training)


CASES = {
    "binary": ("binary_crossentropy", 1, lambda y: y % 2),
    "labels": ("categorical_crossentropy", 3, lambda y: y),
    "regression": ("huber", 2, lambda y: np.stack([y, -y], axis=1) / 2.0),
    "one-hot": ("categorical_crossentropy", 3, lambda y: np.eye(3)[y]),
    "counts": ("poisson", 1, lambda y: y),
}
HOMES = {"of the host": None, "of the device": "device1", "of another device": "device2"}


def network(case):
    loss, units, _ = CASES[case]
    layers = [
        bpnet.Dense(5, "gelu", l2=0.01), bpnet.Dropout(0.2), bpnet.Dense(4, "selu", l1=0.01),
        bpnet.Dense(units),
    ]  # fmt: skip
    return bpnet.Network(layers, loss, seed=0, dtype="float64")


def examples(case, owner=None):
    """Give features, targets and weights on a backend, or on the host."""
    X, y = bpnet.datasets.make_spiral(40, 3, seed=0)
    arrays = X, CASES[case][2](y), np.linspace(0.5, 1.5, 40)
    return arrays if owner is None else tuple(owner.asarray(a) for a in arrays)


def train(net, X, y, w, backend):
    """Train with all that touches an array; give the history and the hooks that ran."""
    rate, looks = bpnet.schedules.ReduceOnPlateau(0.02), Looks(X)
    history = net.fit(
        X, y, sample_weight=w, validation_data=(X, y, w), epochs=3, batch_size=12,
        optimizer=bpnet.AdamW(rate, clip_value=0.5, clip_norm=1.0), backend=backend,
        callbacks=[looks, bpnet.GradientFlow(rows=16), bpnet.EarlyStopping(patience=1)],
    )  # fmt: skip
    return dict(history), looks.hooks


@functools.cache
def trained_on_numpy(case):
    net = network(case)
    return net, train(net, *examples(case), "numpy")[0]


@pytest.mark.full
@pytest.mark.parametrize("room", [2**60, 500], ids=["resident", "in pieces"])
@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("case", ["binary", "labels", "regression"])
def test_training_touches_arrays_on_their_device_only(case, home, room, guard):
    guard.backend.room = room
    place, owner = guard.backend("device1"), HOMES[home] and guard.backend(HOMES[home])
    net, (reference, expected) = network(case), trained_on_numpy(case)
    figures, hooks = train(net, *examples(case, owner), place)
    assert guard.checked > 1000
    assert len(hooks) == 5
    assert net.backend == place
    assert figures.keys() == expected.keys()
    for name, values in expected.items():
        assert_allclose(figures[name], values, rtol=1e-9)
    for layer, other in zip(net.parameters, reference.parameters, strict=True):
        for name, p in layer.items():
            assert place.device_of(p) == "device1"
            assert_allclose(place.to_numpy(p), other[name], rtol=1e-9, atol=1e-12)


@pytest.mark.full
@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("case", CASES)
def test_use_touches_arrays_on_their_device_only(case, home, guard, monkeypatch):
    monkeypatch.setattr("bpnet.inference.ROWS", 16)  # so that 40 rows are three blocks
    place, owner = guard.backend("device1"), HOMES[home] and guard.backend(HOMES[home])
    X, y, w = examples(case, owner)
    reference, host = trained_on_numpy(case)[0], examples(case)
    net, foreign = network(case).build(2, place), guard.backend("device2")
    for dtype in ("float32", "float64"):  # assign arrays of another device and dtype
        net.parameters = [
            {name: foreign.asarray(p, dtype) for name, p in layer.items()}
            for layer in reference.parameters
        ]

    def check(result, expected):
        result = result if owner is None else owner.to_numpy(result)
        assert_allclose(result, expected, rtol=1e-9, atol=1e-12)

    for backend in (None, place):
        for name in ("forward", "predict", *["predict_proba"] * net.is_classifier):
            result = getattr(net, name)(X, backend=backend)
            check(result, getattr(reference, name)(host[0]))
        measured = net.evaluate(X, y, w, backend=backend)
        assert measured == pytest.approx(reference.evaluate(*host), rel=1e-9)
        loss, gradients = net.loss_and_gradients(X, y, w, backend=backend)
        expected_loss, expected = reference.loss_and_gradients(*host)
        assert loss == pytest.approx(expected_loss, rel=1e-9)
        for layer, other in zip(gradients, expected, strict=True):
            for name, g in layer.items():
                check(g, other[name])
        assert bpnet.check_gradients(net, X, y, w, samples=2, backend=backend).passed
    assert net.backend == place


def test_moves_and_copies_touch_arrays_on_their_device_only(guard, monkeypatch):
    net = copy.deepcopy(trained_on_numpy("labels")[0])
    X = examples("labels")[0]
    expected = net.predict_proba(X)
    for home in ("array_api_strict:device1", "array_api_strict:device2", "numpy"):
        assert net.to(home) is net
        assert net.backend == bpnet.get_backend(home)
        assert_allclose(net.predict_proba(X), expected, rtol=1e-9)
        for twin in (copy.copy(net), copy.deepcopy(net)):
            assert_allclose(twin.predict_proba(X), expected, rtol=1e-9)
        for default in ("numpy", "array_api_strict:device2"):
            monkeypatch.setenv("BPNET_BACKEND", default)
            twin = pickle.loads(pickle.dumps(net))
            assert twin.backend == bpnet.get_backend(default)
            assert_allclose(twin.predict_proba(X), expected, rtol=1e-9)


@pytest.mark.full
def test_pictures_touch_arrays_on_their_device_only(guard):
    pytest.importorskip("matplotlib")
    net = network("labels")
    train(net, *examples("labels", guard.backend("device1")), None)
    X, y, _ = examples("labels")
    bpnet.plot.decision_boundary(net, X, y)
    assert "array_api_strict:device1" in net.summary()


# --- what is public ---------------------------------------------------------------------------


def public(owner, name):
    """Give (name, object) of a public object and of all that is public in it."""
    yield name, owner
    if not (inspect.isclass(owner) or inspect.ismodule(owner)):
        return
    for member, value in vars(owner).items():
        if member.startswith("_"):
            continue
        if inspect.isclass(owner):
            if inspect.isroutine(value) or isinstance(value, property):
                yield f"{name}.{member}", value
        elif getattr(value, "__module__", None) == owner.__name__ and (
            inspect.isclass(value) or inspect.isfunction(value)
        ):
            yield from public(value, f"{name}.{member}")


def undocumented(owner, name):
    """Name what is public and has no docstring that begins with a sentence of two words."""
    return [
        full_name
        for full_name, value in public(owner, name)
        if not re.match(r"\S+ (.+\n)*.+[.:)](\n\n|$)", inspect.cleandoc(value.__doc__ or ""))
    ]


def test_all_public_names_exist():
    assert len(bpnet.__all__) == len(set(bpnet.__all__))
    assert {"Network", "Dense", "Adam", "get_backend", "diagnose"} <= set(bpnet.__all__)
    assert {"plot", "learn", "MLPClassifier"} <= set(dir(bpnet))  # for these need a library
    scope = {}
    exec("from bpnet import *", scope)
    assert set(bpnet.__all__) <= scope.keys()
    with pytest.raises(AttributeError, match="module 'bpnet' has no attribute 'nonsense'"):
        _ = bpnet.nonsense


@pytest.mark.parametrize("name", bpnet.__all__)
def test_all_that_is_public_says_what_it_is(name):
    assert undocumented(getattr(bpnet, name), name) == []


def test_what_says_nothing_would_be_seen():
    class Silent:
        """A class that says so."""

        def method(self):
            pass

        @property
        def told(self):
            """Two words."""

        @property
        def untold(self):
            """Word."""

        @classmethod
        def of_class(cls):
            pass

    expected = ["Silent.method", "Silent.untold", "Silent.of_class"]
    assert undocumented(Silent, "Silent") == expected
    assert undocumented(types.ModuleType("empty"), "empty") == ["empty"]
    names = {name for name, _ in public(bpnet.losses, "losses")}
    assert names >= {"losses.Huber", "losses.Huber.error", "losses.mean_loss"}
