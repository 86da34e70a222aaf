"""ONNX files of the estimators: ONNX Runtime computes what they predict."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

import bpnet

pytest.importorskip("ndonnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"  # all are trained for a few epochs only
)

rng = np.random.default_rng(0)
M = 80
X = rng.normal(size=(M, 4))
TARGETS = {
    "text": np.where(X[:, 0] > 0.0, "no", "yes"),
    "objects": np.where(X[:, 0] > 0.0, "no", "yes").astype(object),
    "bools": X[:, 0] > 0.0,
    "integers": np.digitize(X[:, 0], [-1.0, 0.0, 1.0]) - 5,
    "floats": np.where(X[:, 0] > 0.0, 1.0, 2.0),
}
FEW = {"n_epochs": 2, "random_state": 0, "hidden_layer_sizes": (8,)}


def computed(estimator, path, inputs):
    """Write the estimator to a file; return what ONNX Runtime computes, by name."""
    estimator.to_onnx(path)
    session = onnxruntime.InferenceSession(os.fspath(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "estimator.onnx"


def check_classifier(estimator, path, inputs, X):
    found = computed(estimator, path, inputs)
    assert list(found) == ["label", "probabilities"]
    assert_array_equal(found["label"], estimator.predict(X))
    p = estimator.predict_proba(X)
    assert_allclose(found["probabilities"], p, 1e-5, 1e-6, strict=True)


def mlp(kind=bpnet.MLPClassifier, **settings):
    return kind(hidden_layer_sizes=(5,), max_iter=3, random_state=0, **settings)


@pytest.mark.parametrize("labels", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mlp_classifier(labels, dtype, path):
    clf = mlp(dtype=dtype).fit(X, TARGETS[labels])
    check_classifier(clf, path, {"X": X.astype(dtype)}, X)


@pytest.mark.filterwarnings("ignore:y has a single class")
@pytest.mark.parametrize("kind", [bpnet.MLPClassifier, bpnet.TabularClassifier])
def test_a_single_class(kind, path):
    if kind is bpnet.MLPClassifier:
        check_classifier(mlp(kind).fit(X, ["only"] * M), path, {"X": X}, X)
    else:
        inputs = {f"x{k}": X[:, k] for k in range(4)}
        check_classifier(kind("td-s", **FEW).fit(X, ["only"] * M), path, inputs, X)


def test_mlp_classifier_of_several_labels(path):
    check_classifier(mlp().fit(X, X[:, :3] > 0.0), path, {"X": X}, X)


@pytest.mark.parametrize("y", [X[:, 0], X[:, :2]], ids=["1-D", "2-D"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_mlp_regressor(y, loss, path):
    reg = mlp(bpnet.MLPRegressor, loss=loss).fit(X, abs(y))
    (found,) = computed(reg, path, {"X": X}).items()
    assert found[0] == "prediction"
    assert_allclose(found[1], reg.predict(X), 1e-9, 1e-9, strict=True)


def test_mlp_with_dropout_and_a_loaded_one(path, tmp_path):
    clf = mlp(dropout=0.5).fit(X, TARGETS["text"])
    check_classifier(clf, path, {"X": X}, X)
    clf.save(tmp_path / "clf.safetensors")
    check_classifier(bpnet.load(tmp_path / "clf.safetensors"), path, {"X": X}, X)


# --- tables -----------------------------------------------------------------------------------


def table():
    """Return a table of every kind of column, with gaps."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "number": rng.normal(0.0, 1e6, M),
            "gaps": np.where(rng.random(M) < 0.2, np.nan, rng.normal(size=M)),
            "many": rng.choice(list("abcdefghijklmnop"), M),
            "few": rng.choice(["x", "y", "z"], M),
            "two": rng.choice(["x", "y"], M),
            "flag": rng.random(M) < 0.5,
            "code": pandas.Categorical(rng.integers(0, 4, M)),
            "half": pandas.Categorical(rng.integers(0, 4, M) / 2.0),
        }
    )
    frame.loc[3:9, "few"] = None
    return frame


def columns_of(frame):
    """Return the columns as the inputs of an ONNX file."""
    text = {"many": object, "few": object, "two": object, "flag": bool, "code": np.int64}
    columns = {}
    for name, column in frame.items():
        missing = "" if text.get(name) is object else np.nan
        values = column.astype(object).where(column.notna(), missing).to_numpy()
        columns[name] = values.astype(text.get(name, np.float64))
    return columns


def unseen(frame):
    """Return the table with gaps and levels that were not in training."""
    new = frame.copy()
    new.loc[0, "many"], new.loc[1, "few"], new.loc[2, "two"] = "new", "new", None
    new.loc[4, "number"] = np.nan
    return new


@pytest.mark.parametrize("preset", ["td", "td-s", "plain"])
def test_tabular_classifier(preset, path):
    frame = table()
    clf = bpnet.TabularClassifier(preset, **FEW).fit(frame, TARGETS["text"])
    new = unseen(frame)
    check_classifier(clf, path, columns_of(new), new)


@pytest.mark.parametrize("y", [X[:, 0] * 100.0, X[:, :2]], ids=["1-D", "2-D"])
def test_tabular_regressor_ensemble(y, path):
    frame = table()
    reg = bpnet.TabularRegressor("td", n_ensemble=2, ensemble="bag", **FEW).fit(frame, y)
    new = unseen(frame)
    (found,) = computed(reg, path, columns_of(new)).items()
    assert found[0] == "prediction"
    assert_allclose(found[1], reg.predict(new), 1e-4, 1e-4, strict=True)


def test_a_table_of_categories_only(path):
    frame = table()[["many"]]
    clf = bpnet.TabularClassifier("td", **FEW).fit(frame, TARGETS["bools"])
    check_classifier(clf, path, columns_of(frame), frame)


def test_inputs_of_an_array_are_numbered(path):
    clf = bpnet.TabularClassifier("td-s", **FEW).fit(X, TARGETS["integers"])
    check_classifier(clf, path, {f"x{k}": X[:, k] for k in range(4)}, X)


def test_metadata(path):
    clf = bpnet.TabularClassifier("td-s", **FEW).fit(
        table()[["number", "two"]], TARGETS["text"]
    )
    clf.to_onnx(path)
    session = onnxruntime.InferenceSession(os.fspath(path))
    assert {i.name: (i.type, i.shape) for i in session.get_inputs()} == {
        "number": ("tensor(double)", ["batch"]), "two": ("tensor(string)", ["batch"]),
    }  # fmt: skip
    found = session.get_modelmeta().custom_metadata_map
    assert (found["bpnet"], found["kind"]) == (bpnet.__version__, "TabularClassifier")
    assert json.loads(found["classes"]) == ["no", "yes"]
    assert json.loads(found["feature_names"]) == ["number", "two"]


def test_what_has_no_type_in_onnx_is_refused(path):
    odd = np.array([["a", 1], [2, 2], ["b", 3], [4, 4]] * 20, dtype=object)
    mixed = bpnet.TabularClassifier("td-s", **FEW).fit(odd, TARGETS["bools"])
    with pytest.raises(TypeError, match=r"of one type in a column; column 'x0' has int, str"):
        mixed.to_onnx(path)
    frame = table()[["number"]].rename(columns={"number": "label"})
    named = bpnet.TabularClassifier("td-s", **FEW).fit(frame, TARGETS["bools"])
    with pytest.raises(ValueError, match="rename the column 'label'"):
        named.to_onnx(path)
    with pytest.raises(NotFittedError):
        bpnet.MLPClassifier().to_onnx(path)
    assert not path.exists()
