"""Estimators in files: the same predictions and the same continuation, without pickle."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import pickle
import subprocess
import sys

import fuzz_estimatorfile as hostile
import fuzz_modelfile
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

import bpnet
from bpnet import MLPClassifier, MLPRegressor
from bpnet.estimators import _files
from bpnet.serialization import safetensors_file

pytestmark = [
    pytest.mark.few_on_jax,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.once_on_jax,
]

X, CODES = load_iris(return_X_y=True)
X, CODES = X[::3], CODES[::3]
SMALL = {"hidden_layer_sizes": (5,), "random_state": 0, "batch_size": 16, "max_iter": 4}
WORDS = np.array(["setosa", "versicolor", "virginica"])[CODES]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def saved(model, path, **options):
    model.save(path)
    return bpnet.load(path, **options)


def assert_same(a, b):
    assert_array_equal(a.predict(X), b.predict(X))
    if hasattr(a, "classes_"):
        assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert_array_equal(p, q)
        assert p.dtype == q.dtype
    assert getattr(a, "loss_curve_", None) == getattr(b, "loss_curve_", None)


LABELS = {
    "integers": CODES,
    "negative": CODES - 2,
    "small": CODES.astype("int8"),
    "large": np.array([2**62, 2**62 + 1, 2**62 + 2])[CODES],
    "unsigned": CODES.astype("uint16"),
    "floats": CODES * 1.0,
    "single": CODES.astype("float32"),
    "bools": CODES > 0,
    "strings": WORDS,
    "wide strings": WORDS.astype("U40"),
    "objects": WORDS.astype(object),
    "bytes": WORDS.astype("S"),
    "one class": CODES * 0,
    "multilabel": np.stack([CODES > 0, CODES == 1], 1).astype(int),
}


@pytest.mark.filterwarnings("ignore:y has a single class")
@pytest.mark.parametrize("labels", LABELS)
def test_a_classifier_is_the_same(labels, path):
    y = LABELS[labels]
    try:
        model = MLPClassifier(**SMALL).fit(X, y)
    except TypeError:  # of scikit-learn
        assert labels == "bytes"
        return
    loaded = saved(model, path)
    assert type(loaded) is MLPClassifier
    assert loaded.get_params() == model.get_params()
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.predict(X).dtype == model.predict(X).dtype
    assert loaded.score(X, y) == model.score(X, y)
    assert_same(loaded, model)


REGRESSORS = {
    "one output": ({}, CODES * 1.0),
    "two outputs": ({}, np.stack([CODES, X[:, 0]], 1)),
    "poisson": ({"loss": "poisson"}, CODES),
    "absolute error": ({"loss": "absolute_error"}, CODES),
    "Huber": ({"loss": bpnet.losses.Huber(2.0)}, CODES),
    "counts": ({"loss": bpnet.losses.Poisson()}, CODES),
    "lbfgs": ({"solver": "lbfgs", "batch_size": "auto"}, CODES),
    "float32": ({"dtype": "float32"}, CODES),
    "several layers": (
        {"hidden_layer_sizes": (4, 3), "activation": ["elu", bpnet.activations.ELU(0.5)],
         "dropout": [0.1, 0.0]}, CODES
    ),
    "no hidden layer": ({"hidden_layer_sizes": []}, CODES),
    "array of sizes": ({"hidden_layer_sizes": np.array([3, 2])}, CODES),
    "numbers of NumPy": ({"alpha": np.float32(0.5), "max_iter": np.int64(3)}, CODES),
}  # fmt: skip


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_is_the_same(name, path):
    parameters, y = REGRESSORS[name]
    model = MLPRegressor(**SMALL | parameters).fit(X, y)
    loaded = saved(model, path)
    assert type(loaded) is MLPRegressor
    np.testing.assert_equal(loaded.get_params(), model.get_params())
    assert loaded._architecture == model._architecture
    assert_same(loaded, model)
    state, kept = vars(loaded), vars(pickle.loads(pickle.dumps(model)))
    names = {name for name, value in kept.items() if value is not None}
    assert names <= state.keys() | {"_bpnet_version"}
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "loss_",
                 "out_activation_"):  # fmt: skip
        assert state[name] == kept[name]
        assert type(state[name]) is type(kept[name])


CONTINUED = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 9},
    "no shuffling": {"shuffle": False},
    "dropout": {"dropout": 0.3},
    "schedule": {"schedule": bpnet.schedules.Cosine(0.01, epochs=20)},
    "plateau": {
        "schedule": bpnet.schedules.WarmUp(
            bpnet.schedules.ReduceOnPlateau(0.1, patience=0, min_delta=0.9), 1
        )
    },
    "optimizer": {"optimizer": bpnet.RMSprop(bpnet.schedules.Step(0.01, every=3))},
    "init": {"init": bpnet.initializers.he_normal},
    "random state": {"random_state": np.random.RandomState(7)},
    "class weight": {"class_weight": {0: 2.0, 1: 1.0, 2: 0.5}},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.03},
}  # fmt: skip


@pytest.mark.parametrize("name", CONTINUED)
def test_a_loaded_estimator_goes_on_exactly(name, path):
    parameters = SMALL | {"warm_start": True, "n_iter_no_change": 1000} | CONTINUED[name]
    model = MLPClassifier(**copy.deepcopy(parameters)).fit(X, CODES)
    model.fit(X, CODES)
    loaded = saved(model, path)
    for estimator in (model, loaded):
        estimator.fit(X, CODES)
        if not estimator.early_stopping:
            estimator.set_params(learning_rate_init=0.02).partial_fit(X, CODES)
    assert_same(loaded, model)
    assert (loaded.t_, loaded.n_iter_) == (model.t_, model.n_iter_)
    assert loaded.validation_scores_ == model.validation_scores_
    assert_same(clone(loaded).fit(X, CODES), clone(model).fit(X, CODES))


@pytest.mark.filterwarnings("ignore:Training interrupted")
def test_an_interrupted_fit_can_be_saved(path):
    class Stop(bpnet.Callback):
        def on_epoch_begin(self, training):
            raise KeyboardInterrupt

    model = MLPClassifier(**SMALL, callbacks=Stop()).fit(X, CODES)
    loaded = saved(model, path)
    assert_same(loaded, model)
    assert loaded.n_iter_ == 0
    loaded.fit(X, CODES)


def test_arrays_of_every_library_are_loaded_as_numpy(backend, path):
    model = MLPClassifier(**SMALL, early_stopping=True, warm_start=True)
    model.fit(backend.asarray(X, "float32"), backend.asarray(CODES))
    loaded = saved(model, path)
    assert_same(loaded, pickle.loads(pickle.dumps(model)))
    assert type(loaded.classes_) is np.ndarray
    loaded.fit(X.astype("float32"), CODES)


def test_feature_names_are_kept(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "größe", ""])
    loaded = saved(MLPRegressor(**SMALL).fit(frame, CODES), path)
    assert loaded.feature_names_in_.tolist() == list(frame.columns)
    loaded.predict(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(frame.rename(columns={"a": "c"}))


def test_callbacks_and_backend_are_left_out(path):
    model = MLPRegressor(**SMALL, callbacks=[bpnet.Callback()], backend="numpy").fit(X, CODES)
    loaded = saved(model, path)
    assert loaded.callbacks is None
    assert loaded.backend is None
    assert saved(model, path, backend="numpy").backend == "numpy"
    with pytest.raises(bpnet.UnknownBackendError):
        bpnet.load(path, backend="nonsense")


def test_the_history_is_kept(path):
    model = MLPClassifier(**SMALL, early_stopping=True).fit(X, CODES)
    loaded = saved(model, path)
    assert isinstance(loaded.history_, bpnet.History)
    assert dict(loaded.history_) == dict(model.history_)
    assert loaded.history_.seconds == model.history_.seconds


def test_parameters_set_after_fit_are_kept(path):
    model = MLPRegressor(**SMALL).fit(X, CODES)
    model.set_params(loss="poisson", hidden_layer_sizes=(9,), alpha=1.0, init="zeros")
    loaded = saved(model, path)
    assert loaded.get_params() == model.get_params()
    assert_same(loaded, model)


class Mine(MLPClassifier):
    """An estimator of one's own."""


def test_own_classes_and_functions_are_passed_to_load(path):
    def small(rng, n_in, n_out):
        return 0.1 * rng.normal(size=(n_in, n_out))

    model = Mine(**SMALL, init=small).fit(X, CODES)
    model.save(path)
    with pytest.raises(bpnet.ModelFileError, match=r"custom=\{'Mine': its class"):
        bpnet.load(path)
    with pytest.raises(bpnet.ModelFileError, match=r"initializers\.small.*custom="):
        bpnet.load(path, custom={"Mine": Mine})
    loaded = bpnet.load(path, custom={"Mine": Mine, "small": small})
    assert type(loaded) is Mine
    assert_same(loaded, model)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    {
        "lambda": (
            {"init": lambda *_: 0}, TypeError,
            "the parameter init cannot be saved: .*function with a name",
        ),
        "generator": (
            {"random_state": np.random.RandomState(np.random.PCG64(0))}, TypeError,
            "the parameter random_state cannot be saved: .*MT19937",
        ),
        "invalid": ({"alpha": -1.0}, ValueError, "'alpha' parameter"),
    }.values(),
)  # fmt: skip
def test_what_cannot_be_stored_leaves_the_file_alone(change, error, message, path):
    path.write_bytes(b"before")
    model = MLPClassifier(**SMALL).fit(X, CODES).set_params(**change)
    with pytest.raises(error, match=message):
        model.save(path)
    assert path.read_bytes() == b"before"
    with pytest.raises(NotFittedError):
        MLPClassifier().save(path)
    assert path.read_bytes() == b"before"
    with pytest.raises(TypeError, match="path"):
        MLPClassifier(**SMALL).fit(X, CODES).save(3)


def test_it_cannot_be_saved_while_it_trains(path):
    class Save(bpnet.Callback):
        def on_epoch_end(self, training):
            model.save(path)

    model = MLPClassifier(**SMALL).fit(X, CODES)
    model.set_params(callbacks=Save())
    with pytest.raises(RuntimeError, match="save"):
        model.fit(X, CODES)
    assert not path.exists()


def test_equal_estimators_are_equal_bytes(path):
    one, two = (MLPClassifier(**SMALL).fit(X, CODES) for _ in range(2))
    two.history_.seconds = one.history_.seconds
    contents = []
    for model in (one, two):
        model.save(path)
        contents.append(path.read_bytes())
    bpnet.load(path).save(path)
    assert contents == [path.read_bytes()] * 2


def test_a_network_does_not_resume_from_it(path):
    MLPClassifier(**SMALL).fit(X, CODES).save(path)
    net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0)
    with pytest.raises(bpnet.ModelFileError, match="holds an estimator"):
        net.fit(X, CODES, resume_from=path)


# --- damaged files ----------------------------------------------------------------------------


def changed(name, change):
    document, tensors = hostile.genuine(name)
    document, tensors = json.loads(json.dumps(document)), dict(tensors)
    change(document["estimator"]["state"], tensors)
    return fuzz_modelfile.sign(document, tensors)


def put(*place):
    *way, last, value = place

    def change(state, tensors):
        for key in way:
            state = state[key]
        state[last] = value

    return change


def tensor(name, value):
    return lambda state, tensors: tensors.update({f"state.{name}": value})


ARCHITECTURE = ("architecture", "dict")


@pytest.mark.parametrize(
    ("change", "message"),
    {
        "units": (put(*ARCHITECTURE, "hidden", {"tuple": [-1]}), "hidden must be >= 1"),
        "more layers": (put(*ARCHITECTURE, "hidden", {"tuple": [3, 3]}), "malformed"),
        "activation": (put(*ARCHITECTURE, "activations", {"tuple": [1]}), "hold activations"),
        "dropout": (put(*ARCHITECTURE, "dropout", {"tuple": [1.0]}), "dropout must be"),
        "loss": (put(*ARCHITECTURE, "loss", "poisson"), "do not match the classes"),
        "no loss": (put(*ARCHITECTURE, "loss", 1), "loss is malformed"),
        "dtype": (put(*ARCHITECTURE, "dtype", "float16"), "dtype must be"),
        "init": (put(*ARCHITECTURE, "init", "os.system"), "initializer is malformed"),
        "inputs": (put(*ARCHITECTURE, "n_inputs", 3), r"coefs_\[0\] must have shape \(3, 3\)"),
        "weights": (tensor("coefs_.0", np.zeros((3, 3))), r"coefs_\[0\] must have shape"),
        "precision": (tensor("coefs_.0", np.zeros((2, 3), "f4")), "in float64, got"),
        "biases": (put("intercepts_", []), "zip"),
        "classes": (put("classes_", "values", ["a", "c", "b"]), "do not match the classes"),
        "fewer": (
            put("classes_", {"values": ["a"], "shape": [1], "dtype": "U1"}), "do not match"
        ),
        "kind": (put("_kind", "binary"), "do not match the classes"),
        "counter": (put("t_", -1), "t_ must be >= 0"),
        "names": (put("feature_names_in_", [1]), "feature_names_in_ must be"),
        "scores": (put("validation_scores_", ["a"]), "must hold floats"),
        "best": (tensor("_best.0.W", np.zeros((1, 3))), r"_best\[W\] must have shape"),
        "order": (tensor("_order", np.zeros(14)), "must be a permutation"),
        "memory": (
            put("_optimizer", "dict", "schedules", "dict", "learning_rate", "dict", "memory",
                {"dict": {"rate": 0.1, "best": "x", "waited": 0}}), "best must be a float",
        ),
        "other memory": (
            put("_optimizer", "dict", "schedules", "dict", "learning_rate", "dict", "memory",
                {"dict": {}}), "memory of learning_rate is malformed",
        ),
        "no schedules": (
            put("_optimizer", "dict", "schedules", {"dict": {}}), "do not match the optimizer"
        ),
        "settings": (put("_settings", "dict", "beta_1", 2.0), "'beta_1' parameter"),
        "moments": (
            tensor("_optimizer.arrays.0.W.m", np.zeros(2)), r"_optimizer\[W\.m\] must have"
        ),
        "fewer moments": (
            put("_optimizer", "dict", "arrays", []), "zip"
        ),
        "random state": (put("_random_state", 1), "must be RandomState"),
    }.values(),
)  # fmt: skip
def test_a_malformed_state_is_refused(change, message, path):
    path.write_bytes(changed("classifier", change))
    with pytest.raises(bpnet.ModelFileError, match=message):
        bpnet.load(path)


def test_a_loss_of_classes_is_refused(path):
    path.write_bytes(changed("regressor", put(*ARCHITECTURE, "loss", "log_loss")))
    with pytest.raises(bpnet.ModelFileError, match="not one of a regression"):
        bpnet.load(path)


def test_the_genuine_files_are_trained_further(path):
    for name in ("classifier", "regressor"):
        content = fuzz_modelfile.sign(*hostile.genuine(name))
        assert hostile.check(content, path) == "trained"


@pytest.mark.full
@pytest.mark.parametrize("name", ["classifier", "regressor"])
def test_fuzz(name, tmp_path):
    for contents in hostile.changed_files(name):
        outcomes = fuzz_modelfile.fuzz(contents, 100, tmp_path, hostile.check)
        assert outcomes["refused"] > 30


def test_loading_executes_nothing(path):
    MLPClassifier(**SMALL).fit(X, CODES).save(path)
    folder = pathlib.Path(hostile.__file__).parent
    program = """
import sys
import numpy as np
import bpnet, bpnet.estimators, fuzz_estimatorfile as hostile
bpnet.load(sys.argv[1])
seen, events = [], {
    "exec", "compile", "marshal.loads", "pickle.find_class", "code.__new__", "ctypes.dlopen",
    "os.exec", "os.system", "os.posix_spawn", "subprocess.Popen",
}
sys.addaudithook(lambda event, arguments: seen.append(event) if event in events else None)
model = bpnet.load(sys.argv[1])
print(type(model).__name__, seen)
"""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    run = subprocess.run(
        [sys.executable, "-c", program, path], env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert run.stdout == "MLPClassifier []\n"


def test_without_scikit_learn_the_error_names_it(path):
    MLPClassifier(**SMALL).fit(X, CODES).save(path)
    program = """
import sys
sys.modules["sklearn"] = None
import bpnet
try:
    bpnet.load(sys.argv[1])
except ImportError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert "holds an estimator" in run.stdout
    assert "pip install 'scikit-learn>=1.7'" in run.stdout


def test_the_document_says_who_wrote_it(path):
    MLPClassifier(**SMALL).fit(X, CODES).save(path)
    described = safetensors_file.read(path)[0]["estimator"]
    assert described["class"] == "MLPClassifier"
    assert described["bpnet"] == bpnet.__version__
    assert _files.contents(bpnet.load(path))[0]["estimator"] == described
