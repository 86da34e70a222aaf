"""The core as a whole: the libraries it imports and loads, and the devices it uses."""

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

# --- the core imports no array library --------------------------------------------------------

FOLDER = Path(bpnet.__file__).parent
SOURCES = {
    path.relative_to(FOLDER).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(FOLDER.rglob("*.py"))
}
ARRAY_LIBRARIES = {
    "array_api_strict", "bpnet_backends", "cupy", "cupyx", "dask", "jax", "jaxlib", "mlx",
    "ndonnx", "tensorflow", "torch",
}  # fmt: skip
# What has dask compute the arrays that a user passes; it makes none.
SCHEDULING = {"dask.compute", "dask.persist"}
# These modules compute on any array type and never touch the host, so they must not use NumPy.
CORE_FOLDERS = ("layers", "losses", "optimizers", "schedules")
CORE = (
    "activations", "backend/special", "backprop", "callbacks/early_stopping", "inference",
    "metrics/base", "metrics/classification", "metrics/evaluation", "metrics/ranking",
    "metrics/regression", "metrics/table", "model/model", "model/recorder", "model/summary",
    "network", "training/loop", "training/monitors", "training/runner", "training/step",
    *(name for name in SOURCES if name.partition("/")[0] in CORE_FOLDERS),
)  # fmt: skip


def imported(tree):
    """Yield (name, node) for every import, by statement or by call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in ("import_module", "__import__"):
                yield from ((name, node) for name in names_of_call(node.args[0], tree))


def names_of_call(argument, tree):
    """Return the names that an import call may import: a constant, or a table's entries."""
    if isinstance(argument, ast.Constant):
        return [argument.value]
    table = getattr(getattr(argument, "value", None), "id", None)
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == table:
            return [getattr(value, "value", "unknown") for value in node.value.values]
    return ["unknown"]


def for_types_only(tree):
    """Return the nodes below ``if TYPE_CHECKING:``, which never run."""
    return {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", None) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }


def foreign_libraries(source):
    """Return the array libraries other than NumPy that a module imports in any way."""
    names = {name for name, _ in imported(ast.parse(source))} - SCHEDULING
    return {n for n in names if n == "unknown" or ARRAY_LIBRARIES.intersection(n.split("."))}


def beyond_python(source):
    """Return what a module needs besides Python and bpnet; tqdm draws the progress bar."""
    tree = ast.parse(source)
    types_only = for_types_only(tree)
    names = {name for name, node in imported(tree) if node not in types_only}
    allowed = sys.stdlib_module_names | {"bpnet", "tqdm"}
    return {name for name in names if name.partition(".")[0] not in allowed}


def numpy_despite_xp(source):
    """Return the functions that use NumPy although they, or a caller, take `xp`."""
    tree = ast.parse(source)
    aliases = {"numpy"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if (getattr(node, "module", None) or alias.name).startswith("numpy"):
                    aliases.add(alias.asname or alias.name)
    names, given = {}, set()
    for f in ast.walk(tree):
        if isinstance(f, ast.FunctionDef):  # classes may share method names
            used = {getattr(node, "id", getattr(node, "attr", None)) for node in ast.walk(f)}
            names[f.name] = names.get(f.name, set()) | used
            given |= {f.name} if "xp" in {a.arg for a in f.args.args} else set()
    for _ in names:  # the transitive closure of calls
        given |= {used for name in given for used in names[name] & names.keys()}
    return {name for name in given if names[name] & aliases}


@pytest.mark.parametrize("module", SOURCES)
def test_no_array_library_except_numpy_is_imported(module):
    assert foreign_libraries(SOURCES[module]) == set()


@pytest.mark.parametrize("module", CORE)
def test_the_numerical_core_needs_only_python(module):
    assert beyond_python(SOURCES[module]) == set()


# An exercise is a learner's program in NumPy.
EXERCISES = {"learn/exercises", "learn/softmax_exercise", "learn/adam_exercise"}


@pytest.mark.parametrize("module", sorted(SOURCES.keys() - EXERCISES))
def test_functions_that_take_xp_do_not_use_numpy(module):
    assert numpy_despite_xp(SOURCES[module]) == set()


@pytest.mark.parametrize(
    "bad",
    [
        "import torch",
        "import jax.numpy as jnp",
        "def f():\n    import cupy",
        "def f():\n    from cupy import ndarray",
        "import dask",
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
    assert len(beyond_python(bad)) == 1
    assert beyond_python("import math\nif TYPE_CHECKING:\n    import numpy") == set()


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
    assert numpy_despite_xp(bad) == blamed


def test_the_checks_see_the_core():
    assert SOURCES.keys() >= set(CORE)
    assert {"layers/dense", "losses/base", "optimizers/adam", "schedules/decay"} <= set(CORE)
    spoilt = re.sub(r"(def _mix\(.*\n)", r"\1    x = np.asarray(x)\n", SOURCES["random"])
    assert numpy_despite_xp(spoilt) == {"_mix"}  # which uniform_bits calls
    spoilt = SOURCES["activations"].replace("xp.tanh(z)", "np.tanh(z)")
    assert numpy_despite_xp(f"import numpy as np\n{spoilt}") == {"f"}


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
    """Run a program in a fresh interpreter and return the packages it loads."""
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


def test_the_check_of_loaded_packages_can_fail():
    pytest.importorskip("matplotlib")
    assert "matplotlib" in loaded_by("import bpnet; bpnet.plot")


# --- the strictest array library, and the current device --------------------------------------


class Guard:
    """Allow use of array-api-strict arrays only while their device is current.

    CuPy allocates and launches on the current GPU, whichever GPU the arrays are on, so with
    several GPUs all work on an array must happen inside its backend's `activate`. Reading its
    shape, dtype and device and transposing it are exempt.
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
        """Suspend the checks while the backend itself moves arrays."""
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
    """Guard array-api-strict and register the guarded backend with bpnet."""
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


def test_the_guard_detects_use_outside_activate(guard):
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


class UseEverything(bpnet.Callback):
    """Use network and parameters in every hook, as a callback may."""

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
DATA_ON = {"host": None, "same device": "device1", "other device": "device2"}


def network(case):
    loss, units, _ = CASES[case]
    layers = [
        bpnet.Dense(5, "gelu", l2=0.01), bpnet.Dropout(0.2), bpnet.Dense(4, "selu", l1=0.01),
        bpnet.Dense(units),
    ]  # fmt: skip
    return bpnet.Network(layers, loss, seed=0, dtype="float64")


def examples(case, owner=None):
    """Return features, targets and weights on a backend, or on the host."""
    X, y = bpnet.datasets.make_spiral(40, 3, seed=0)
    arrays = X, CASES[case][2](y), np.linspace(0.5, 1.5, 40)
    return arrays if owner is None else tuple(owner.asarray(a) for a in arrays)


def train(net, X, y, w, backend):
    """Train with every feature that touches arrays; return the metrics and the hooks run."""
    rate, callback = bpnet.schedules.ReduceOnPlateau(0.02), UseEverything(X)
    history = net.fit(
        X, y, sample_weight=w, validation_data=(X, y, w), epochs=3, batch_size=12,
        optimizer=bpnet.AdamW(rate, clip_value=0.5, clip_norm=1.0), backend=backend,
        callbacks=[callback, bpnet.GradientFlow(rows=16), bpnet.EarlyStopping(patience=1)],
    )  # fmt: skip
    return dict(history), callback.hooks


@functools.cache
def trained_on_numpy(case):
    net = network(case)
    return net, train(net, *examples(case), "numpy")[0]


@pytest.mark.full
@pytest.mark.parametrize("room", [2**60, 500], ids=["resident", "in pieces"])
@pytest.mark.parametrize("data_on", DATA_ON)
@pytest.mark.parametrize("case", ["binary", "labels", "regression"])
def test_training_uses_arrays_only_on_their_device(case, data_on, room, guard):
    guard.backend.room = room
    backend = guard.backend("device1")
    owner = DATA_ON[data_on] and guard.backend(DATA_ON[data_on])
    net, (reference, expected) = network(case), trained_on_numpy(case)
    metrics, hooks = train(net, *examples(case, owner), backend)
    assert guard.checked > 1000
    assert len(hooks) == 5
    assert net.backend == backend
    assert metrics.keys() == expected.keys()
    for name, values in expected.items():
        assert_allclose(metrics[name], values, rtol=1e-9)
    for layer, other in zip(net.parameters, reference.parameters, strict=True):
        for name, p in layer.items():
            assert backend.device_of(p) == "device1"
            assert_allclose(backend.to_numpy(p), other[name], rtol=1e-9, atol=1e-12)


@pytest.mark.full
@pytest.mark.parametrize("data_on", DATA_ON)
@pytest.mark.parametrize("case", CASES)
def test_inference_uses_arrays_only_on_their_device(case, data_on, guard, monkeypatch):
    monkeypatch.setattr("bpnet.inference.ROWS", 16)  # so that 40 rows are three blocks
    device1 = guard.backend("device1")
    owner = DATA_ON[data_on] and guard.backend(DATA_ON[data_on])
    X, y, w = examples(case, owner)
    reference, host = trained_on_numpy(case)[0], examples(case)
    net, foreign = network(case).build(2, device1), guard.backend("device2")
    for dtype in ("float32", "float64"):  # assign arrays of another device and dtype
        net.parameters = [
            {name: foreign.asarray(p, dtype) for name, p in layer.items()}
            for layer in reference.parameters
        ]

    def check(result, expected):
        result = result if owner is None else owner.to_numpy(result)
        assert_allclose(result, expected, rtol=1e-9, atol=1e-12)

    for backend in (None, device1):
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
    assert net.backend == device1


def test_moves_and_copies_use_arrays_only_on_their_device(guard, monkeypatch):
    net = copy.deepcopy(trained_on_numpy("labels")[0])
    X = examples("labels")[0]
    expected = net.predict_proba(X)
    for spec in ("array_api_strict:device1", "array_api_strict:device2", "numpy"):
        assert net.to(spec) is net
        assert net.backend == bpnet.get_backend(spec)
        assert_allclose(net.predict_proba(X), expected, rtol=1e-9)
        for clone in (copy.copy(net), copy.deepcopy(net)):
            assert_allclose(clone.predict_proba(X), expected, rtol=1e-9)
        for default in ("numpy", "array_api_strict:device2"):
            monkeypatch.setenv("BPNET_BACKEND", default)
            clone = pickle.loads(pickle.dumps(net))
            assert clone.backend == bpnet.get_backend(default)
            assert_allclose(clone.predict_proba(X), expected, rtol=1e-9)


@pytest.mark.full
def test_plots_use_arrays_only_on_their_device(guard):
    pytest.importorskip("matplotlib")
    net = network("labels")
    train(net, *examples("labels", guard.backend("device1")), None)
    X, y, _ = examples("labels")
    bpnet.plot.decision_boundary(net, X, y)
    assert "array_api_strict:device1" in net.summary()


# --- what is public ---------------------------------------------------------------------------


def public(owner, name):
    """Yield (name, object) for a public object and everything public in it."""
    yield name, owner
    if not (inspect.isclass(owner) or inspect.ismodule(owner)):
        return
    for member, value in vars(owner).items():
        if member.startswith("_"):
            continue
        if inspect.isclass(owner):
            if inspect.isroutine(value) or isinstance(value, property):
                yield f"{name}.{member}", value
        elif (inspect.isclass(value) or inspect.isfunction(value)) and (
            f"{value.__module__}.".startswith(f"{owner.__name__}.")
        ):
            yield from public(value, f"{name}.{member}")


def undocumented(owner, name):
    """Return the public names whose docstring does not begin with at least two words."""
    return [
        full_name
        for full_name, value in public(owner, name)
        if not re.match(r"\S+ (.+\n)*.+[.:)](\n\n|$)", inspect.cleandoc(value.__doc__ or ""))
    ]


def test_all_public_names_exist():
    assert len(bpnet.__all__) == len(set(bpnet.__all__))
    assert {"Network", "Dense", "Adam", "get_backend", "diagnose"} <= set(bpnet.__all__)
    assert {"plot", "learn", "MLPClassifier"} <= set(dir(bpnet))  # need optional libraries
    scope = {}
    exec("from bpnet import *", scope)
    assert set(bpnet.__all__) <= scope.keys()
    with pytest.raises(AttributeError, match="module 'bpnet' has no attribute 'nonsense'"):
        _ = bpnet.nonsense


@pytest.mark.parametrize("name", bpnet.__all__)
def test_everything_public_has_a_docstring(name):
    assert undocumented(getattr(bpnet, name), name) == []


def test_the_check_of_docstrings_can_fail():
    class Silent:
        """A documented class."""

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
