"""Values and estimators in files: what any class of estimators can store, and how."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from on_host import host
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

import bpnet
from bpnet.diagnosis.profile_file import described, profile_from
from bpnet.estimators import _files
from bpnet.estimators._files import FileState, StoredEstimator
from bpnet.estimators._packing import pack, unpack
from bpnet.serialization import safetensors_file

X = np.random.default_rng(0).normal(size=(12, 3))


def there_and_back(value):
    tensors = {}
    plain = json.loads(json.dumps(pack(value, tensors, "value")))
    content = b"".join(safetensors_file.encode({"value": plain}, tensors))
    assert content
    found = unpack(plain, tensors, {})
    assert not tensors
    return found


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype.hasobject:
            assert_same(a.reshape(-1).tolist(), b.reshape(-1).tolist())
        else:
            assert a.tobytes() == b.tobytes()
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for p, q in zip(a, b, strict=True):
            assert_same(p, q)
    elif isinstance(a, dict):
        assert_same(list(a), list(b))
        assert_same(list(a.values()), list(b.values()))
    else:
        assert repr(a) == repr(b)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
dtypes = (
    arrays.boolean_dtypes() | arrays.integer_dtypes(endianness="=")
    | arrays.unsigned_integer_dtypes(endianness="=") | arrays.floating_dtypes(
        endianness="=", sizes=(16, 32, 64))
    | arrays.unicode_string_dtypes(endianness="=", max_len=5)
    | arrays.byte_string_dtypes(max_len=5)
)  # fmt: skip
any_array = arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, min_side=0, max_dims=3))
objects = st.lists(scalars, max_size=3).map(
    lambda values: np.array([*values, None], dtype=object)
)
values = st.recursive(
    scalars | any_array | objects,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.dictionaries(st.integers() | st.text() | st.binary(), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


@given(values)
def test_values_are_the_same_after_a_file(value):
    assert_same(there_and_back(value), value)


@pytest.mark.parametrize(
    "value",
    {
        "large integers": np.array([2**53 + 1, -(2**63)]),
        "unsigned": np.array([2**64 - 1], dtype="uint64"),
        "wide text": np.array(["a", "b"], dtype="U9"),
        "components": [bpnet.activations.ELU(0.5), bpnet.schedules.Cosine(0.1, 5)],
        "an initializer": bpnet.initializers.he_normal,
        "keys of several types": {1: "a", "1": "b", 2.0: np.arange(3)},
    }.values(),
)
def test_special_values_are_the_same(value):
    found = there_and_back(value)
    if isinstance(value, list) or callable(value):
        assert found == value
    else:
        assert_same(found, value)


def test_numbers_of_numpy_are_pythons():
    assert_same(there_and_back([np.float32(0.5), np.int8(3), np.str_("a")]), [0.5, 3, "a"])


def test_random_states_go_on_alike():
    state = np.random.RandomState(3)
    state.normal(size=3)  # leaves one behind
    found = there_and_back(state)
    np.testing.assert_array_equal(found.normal(size=9), state.normal(size=9))


def test_histories_are_the_same():
    net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0)
    history = net.fit(X, X[:, 0], epochs=3, callbacks=[bpnet.EarlyStopping("loss")])
    found = there_and_back(history)
    assert dict(found) == dict(history)
    assert found.seconds == history.seconds
    assert (found.stopped, found.best_epoch) == (history.stopped, history.best_epoch)


@pytest.fixture(scope="module")
def diagnosed():
    """A history with a data profile: of classes, with a constant and a repeated feature."""
    net = bpnet.Network([bpnet.Dense(3)], "categorical_crossentropy", seed=0)
    rows = np.random.default_rng(0).normal(size=(60, 3))
    rows = np.column_stack([rows, rows[:, 0], np.ones(60)])
    return net.fit(rows, np.arange(60) % 3, epochs=2, callbacks=[bpnet.GradientFlow()])


def test_the_data_profile_of_a_history_is_the_same(diagnosed):
    found = there_and_back(diagnosed)
    assert type(found.facts) is type(diagnosed.facts)
    assert_same(found.facts._asdict(), diagnosed.facts._asdict())
    assert str(bpnet.diagnose(found)) == str(bpnet.diagnose(diagnosed))


@pytest.mark.parametrize(
    "change",
    [
        {"n_rows": 60.0}, {"class_shares": (1,)}, {"class_shares": [0.5, 0.5]},
        {"duplicate_features": ((0, 1, 2),)}, {"outcome": {"loss": "low"}},
        {"start": {"data_loss": 1.0}}, {"agreement": {"linear": 0.0}}, {"one_target": 0},
        {"other": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_malformed_data_profile_is_refused(diagnosed, change):
    assert profile_from(described(diagnosed.facts))
    with pytest.raises(ValueError, match=r"data profile|agreement"):
        profile_from(described(diagnosed.facts) | change)


def test_a_data_profile_of_an_earlier_version_is_read(diagnosed):
    parts = described(diagnosed.facts)
    assert profile_from(parts) == diagnosed.facts
    del parts["is_multilabel"]
    assert profile_from(parts) == diagnosed.facts
    del parts["outcome"]
    with pytest.raises(ValueError, match="the data profile must have the entries"):
        profile_from(parts)


def test_arrays_of_any_library_are_numpy_arrays(backend):
    array = backend.asarray(X, "float32")
    assert_same(there_and_back({"a": [array]}), {"a": [X.astype("float32")]})


@pytest.mark.parametrize(
    ("value", "message"),
    {
        "a date": (np.array(["2020-01-01"], "datetime64[D]"), "dtype datetime64"),
        "an object": (object(), "contains no code; got <object"),
        "a lambda": (lambda: 0, "a function with a name"),
        "a class": (bpnet.Adam, "contains no code"),
        "a set": ({1}, "contains no code"),
        "records": (np.zeros(2, "i4,f4"), "arrays of numbers"),
        "objects among": (np.array([object()], object), "contains no code"),
        "another generator": (
            np.random.RandomState(np.random.PCG64(0)), "MT19937.* got PCG64"
        ),
    }.values(),
)  # fmt: skip
def test_other_values_are_refused(value, message):
    with pytest.raises(TypeError, match=message):
        pack([value], {}, "value")


@pytest.mark.parametrize(
    "plain",
    {
        "no kind": {"else": 1},
        "two kinds": {"tuple": [], "dict": {}},
        "no tensor": {"array": "none"},
        "not integral": {"array": "half", "dtype": "int64"},
        "too large": {"array": "large", "dtype": "int8"},
        "no dtype": {"array": "half", "dtype": "datetime64"},
        "matrix of floats": {"floats": "matrix"},
        "too wide": {"values": ["a"], "shape": [1], "dtype": f"U{2**40}"},
        "too narrow": {"values": ["abc"], "shape": [1], "dtype": "U2"},
        "no text": {"values": [1], "shape": [1], "dtype": "U2"},
        "shape": {"values": ["a"], "shape": [2], "dtype": "U1"},
        "dtype": {"values": [1], "shape": [1], "dtype": "float128"},
        "code": {"class": "os.system"},
        "not hexadecimal": {"bytes": "xy"},
        "unhashable": {"pairs": [[[], 1]]},
        "position": {"random_state": [{"array": "key", "dtype": "uint32"}, 625, 0, 0.0]},
        "key": {"random_state": [{"array": "half"}, 1, 0, 0.0]},
    }.values(),
    ids=str,
)
def test_malformed_values_are_refused(plain):
    tensors = {
        "half": np.array([0.5]), "large": np.array([1000.0]), "matrix": np.zeros((2, 2)),
        "key": np.zeros(624),
    }  # fmt: skip
    with pytest.raises((ValueError, TypeError, LookupError)):
        unpack(plain, tensors, {})


# --- a class of estimators --------------------------------------------------------------------


class Scaled(StoredEstimator, BaseEstimator):
    """A network whose inputs are scaled."""

    not_in_files = ("where",)
    _parameter_constraints: ClassVar = {"units": [int, list], "where": [str, None]}

    def __init__(self, units=4, where=None):
        self.units, self.where = units, where

    def fit(self, X, y):
        self._validate_params()
        self.mean_ = X.mean(axis=0)
        layers = [bpnet.Dense(self.units, "tanh"), bpnet.Dense(1)]
        self.network_ = bpnet.Network(layers, "huber", seed=0)
        self.network_.fit(X - self.mean_, y, epochs=2)
        self.categories_ = [np.array(["a", "b"]), np.array([1, 2], dtype="int32")]
        return self

    def predict(self, X):
        return self.network_.predict(X - self.mean_)

    def _file_state(self):
        return {"network_": self.network_, "mean_": self.mean_, "categories_": self.categories_}

    def _restore_file_state(self, state):
        self.network_ = state.take("network_", bpnet.Network)
        self.mean_ = state.array("mean_", (self.network_.n_inputs,), "float64")
        self.categories_ = state.take("categories_", list)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scaled.safetensors"


def test_an_estimator_of_ones_own_is_loaded_by_its_name(path):
    model = Scaled(3, where="here").fit(X, X[:, 0])
    model.save(path)
    with pytest.raises(bpnet.ModelFileError, match=r"custom=\{'Scaled': its class"):
        bpnet.load(path)
    loaded = bpnet.load(path, custom={"Scaled": Scaled})
    assert type(loaded) is Scaled
    assert loaded.get_params() == {"units": 3, "where": None}
    assert_same(loaded.categories_, model.categories_)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    for p, q in zip(
        host(loaded.network_.backend, loaded.network_.parameters),
        host(model.network_.backend, model.network_.parameters), strict=True,
    ):  # fmt: skip
        assert_same(p, q)
    with pytest.raises(bpnet.ModelFileError, match="class derived from an estimator"):
        bpnet.load(path, custom={"Scaled": dict})


def test_it_must_be_fitted(path):
    with pytest.raises(NotFittedError):
        Scaled().save(path)
    assert not path.exists()


def test_bpnets_own_names_are_taken(path, monkeypatch):
    monkeypatch.setitem(_files._OWN, "Scaled", type("Scaled", (Scaled,), {}))
    with pytest.raises(TypeError, match="name of bpnet's own Scaled"):
        Scaled().fit(X, X[:, 0]).save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    {
        "parameter": (lambda d: d["parameters"].update(more=1), "no parameter 'more'; bpnet"),
        "left out": (lambda d: d["parameters"].update(where="x"), "a file holds no where"),
        "invalid": (lambda d: d["parameters"].update(units="x"), "'units' parameter"),
        "attribute": (lambda d: d["state"].update(more=1), "unexpected attribute 'more'"),
        "missing": (lambda d: d["state"].pop("categories_"), "lacks 'categories_'"),
        "type": (lambda d: d["state"].update(categories_=1), "categories_ must be list, got 1"),
        "no network": (lambda d: d["state"].update(network_=None), "must be Network, got None"),
        "class": (lambda d: d.update({"class": "Other"}), "custom={'Other': its class}"),
    }.values(),
)
def test_a_malformed_document_is_refused(path, change, message):
    document, tensors = _files.contents(Scaled().fit(X, X[:, 0]))
    document = json.loads(json.dumps(document))
    change(document["estimator"])
    safetensors_file.write(path, safetensors_file.encode(document, tensors))
    with pytest.raises(bpnet.ModelFileError, match=message):
        bpnet.load(path, custom={"Scaled": Scaled})


def test_a_state_is_checked_as_it_is_taken():
    state = FileState(count=3, flag=True, array=np.zeros((2, 3)), nothing=None, number=2)
    assert state.count("count") == 3
    assert state.take("nothing", int, type(None)) is None
    assert state.number("number") == 2.0
    with pytest.raises(ValueError, match=r"array must have shape \(2,\) in None"):
        FileState(state).array("array", (2,))
    with pytest.raises(ValueError, match="in float32"):
        FileState(state).array("array", (2, None), "float32")
    assert state.array("array", (2, None), "float64").shape == (2, 3)
    with pytest.raises(ValueError, match="flag must be int, got True"):
        state.take("flag", int)
    assert not state
    with pytest.raises(KeyError):
        state.take("count", int)
    with pytest.raises(ValueError, match="too large"):
        FileState(n=2**53).count("n")
