"""Input data of any library, and the array types returned by the estimators."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction

import joblib
import numpy as np
import pytest
import sklearn.exceptions
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification, make_regression

import bpnet
from bpnet import MLPClassifier, MLPRegressor
from bpnet.backend.transfer import to_host
from bpnet.data import array_loaders, deferred
from bpnet.estimators import _inputs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X_IRIS, Y_IRIS = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
SMALL = {"hidden_layer_sizes": (8,), "random_state": 0, "batch_size": 75, "max_iter": 3}


def kind(array):
    return type(array).__module__.partition(".")[0]


# --- arrays of a device -----------------------------------------------------------------------


@pytest.mark.once_on_jax
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_classifying_arrays_where_they_live(backend, dtype, solver):
    X, y = backend.asarray(X_IRIS, dtype), backend.asarray(Y_IRIS, "int64")
    parameters = SMALL | {"solver": solver}
    model = MLPClassifier(**parameters).fit(X, y)
    reference = MLPClassifier(**parameters).fit(X_IRIS.astype(dtype), Y_IRIS)
    tolerance = 1e-4 if dtype == "float32" else 1e-9
    results = [*model.coefs_, *model.intercepts_, model.classes_, model.predict(X)]
    results += [model.predict_proba(X), model.predict_log_proba(X)]
    for array in results:
        assert kind(array) == kind(X)
        assert backend.device_of(array) == backend.device
    assert to_host(model.coefs_[0]).dtype == to_host(model.predict_proba(X)).dtype == dtype
    for p, q in zip(model.coefs_, reference.coefs_, strict=True):
        assert_allclose(to_host(p), q, rtol=tolerance, atol=tolerance)
    assert_allclose(model.loss_, reference.loss_, rtol=tolerance)
    assert_array_equal(to_host(model.predict(X)), reference.predict(X_IRIS.astype(dtype)))
    assert model.score(X, y) == reference.score(X_IRIS.astype(dtype), Y_IRIS)


def test_regression_with_weights_and_early_stopping(backend):
    X_host, y_host = make_regression(120, 5, n_targets=2, random_state=0)
    y_host = y_host / np.std(y_host)
    w_host = np.linspace(0.5, 2.0, 120)
    parameters = SMALL | {"early_stopping": True, "batch_size": 54}
    reference = MLPRegressor(**parameters).fit(X_host, y_host, w_host)
    X, y, w = (backend.asarray(a, "float64") for a in (X_host, y_host, w_host))
    model = MLPRegressor(**parameters).fit(X, y, w)
    assert kind(model.predict(X)) == kind(X)
    assert_allclose(to_host(model.predict(X)), reference.predict(X_host), rtol=1e-9, atol=1e-12)
    for name in ("loss_curve_", "validation_scores_", "validation_loss_curve_"):
        assert_allclose(getattr(model, name), getattr(reference, name), rtol=1e-9)
    assert_allclose(model.score(X, y, w), reference.score(X_host, y_host, w_host), rtol=1e-9)


def test_labels_that_are_no_numbers_are_numpys(backend):
    X = backend.asarray(X_IRIS, "float64")
    model = MLPClassifier(**SMALL).fit(X, NAMES[Y_IRIS])
    assert_array_equal(model.classes_, NAMES)
    assert isinstance(model.predict(X), np.ndarray)
    assert set(model.predict(X)) <= set(NAMES)


def test_several_labels_are_answered_in_kind(backend):
    X_host, y_host = make_multilabel_classification(75, 5, n_classes=3, random_state=0)
    model = MLPClassifier(**SMALL).fit(
        backend.asarray(X_host, "float64"), backend.asarray(y_host, "int64")
    )
    predicted = model.predict(backend.asarray(X_host, "float64"))
    assert kind(predicted) == kind(backend.asarray(X_host))
    expected = MLPClassifier(**SMALL).fit(X_host, y_host).predict(X_host)
    assert_array_equal(to_host(predicted), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_model_predicts_alike_on_all_libraries(backend, dtype):
    model = MLPClassifier(**SMALL, dtype=dtype).fit(X_IRIS, Y_IRIS)
    X = backend.asarray(X_IRIS, dtype)
    assert_allclose(to_host(model.predict_proba(X)), model.predict_proba(X_IRIS), atol=1e-6)
    assert kind(model.predict_proba(X)) == kind(X)


def test_the_backend_parameter_computes_there_and_answers_in_kind(backend):
    places = []

    class Look(bpnet.Callback):
        def on_train_begin(self, training):
            places.append((training.backend, kind(training.parameters[0]["W"])))

    model = MLPClassifier(**SMALL, backend=backend.spec, callbacks=Look()).fit(X_IRIS, Y_IRIS)
    assert places == [(backend, kind(backend.asarray(X_IRIS)))]
    assert isinstance(model.coefs_[0], np.ndarray)
    assert isinstance(model.predict_proba(X_IRIS), np.ndarray)
    expected = MLPClassifier(**SMALL).fit(X_IRIS, Y_IRIS).predict_proba(X_IRIS)
    assert_allclose(model.predict_proba(X_IRIS), expected, rtol=1e-9)


def test_the_number_of_features_is_checked_on_devices(backend):
    model = MLPClassifier(**SMALL).fit(backend.asarray(X_IRIS, "float64"), Y_IRIS)
    assert model.n_features_in_ == 4
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
        model.predict(backend.asarray(X_IRIS[:, :3], "float64"))
    bad = X_IRIS.copy()
    bad[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"X must be finite|Input X contains NaN"):
        model.predict(backend.asarray(bad, "float64"))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(backend.asarray(X_IRIS, "float64"), Y_IRIS[:-1])


# --- pickling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("travel", ["pickle", "joblib", "deepcopy"])
def test_a_model_travels_as_arrays_of_the_host(backend, travel, tmp_path):
    X = backend.asarray(X_IRIS, "float64")
    model = MLPClassifier(**SMALL, early_stopping=True, warm_start=True).fit(
        X, backend.asarray(Y_IRIS, "int64")
    )
    if travel == "pickle":
        opened = pickle.loads(pickle.dumps(model))
    elif travel == "joblib":
        joblib.dump(model, tmp_path / "model")
        opened = joblib.load(tmp_path / "model")
    else:
        opened = copy.deepcopy(model)
    assert {kind(a) for a in arrays_in(vars(opened))} <= {"numpy"}
    assert_allclose(opened.predict_proba(X_IRIS), to_host(model.predict_proba(X)), rtol=1e-9)


def arrays_in(value):
    """Yield all arrays in nested containers and bpnet objects."""
    if isinstance(value, dict):
        return [a for item in value.values() for a in arrays_in(item)]
    if isinstance(value, list | tuple):
        return [a for item in value for a in arrays_in(item)]
    if type(value).__module__.startswith("bpnet"):
        return arrays_in(vars(value)) if hasattr(value, "__dict__") else []
    return [value] if hasattr(value, "shape") else []


# --- data of the host -------------------------------------------------------------------------


def memory_mapped(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


LAYOUTS = {
    "list": lambda X, _: X.tolist(),
    "Fortran": lambda X, _: np.asfortranarray(X),
    "reversed": lambda X, _: X[::-1].copy()[::-1],
    "columns of more": lambda X, _: np.hstack([X, X])[:, :4],
    "read-only": lambda X, _: np.lib.stride_tricks.as_strided(X, writeable=False),
    "memory-mapped": memory_mapped,
    "CSR matrix": lambda X, _: sparse.csr_matrix(X),
    "CSC matrix": lambda X, _: sparse.csc_matrix(X),
    "CSR array": lambda X, _: sparse.csr_array(X),
    "CSC array": lambda X, _: sparse.csc_array(X),
    "COO array": lambda X, _: sparse.coo_array(X),
}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_model(layout, solver, tmp_path):
    X = LAYOUTS[layout](X_IRIS, tmp_path)
    parameters = SMALL | {"solver": solver, "batch_size": 40}
    model = MLPClassifier(**parameters).fit(X, Y_IRIS)
    reference = MLPClassifier(**parameters).fit(X_IRIS, Y_IRIS)
    assert_allclose(model.loss_, reference.loss_, rtol=1e-9)
    assert_allclose(model.predict_proba(X), reference.predict_proba(X_IRIS), rtol=1e-6)
    assert_array_equal(model.predict(X), reference.predict(X_IRIS))


def test_sparse_features_on_every_backend(backend):
    parameters = SMALL | {"batch_size": 60, "early_stopping": True, "backend": backend.spec}
    X = sparse.random_array((200, 9), density=0.3, random_state=0, format="csr")
    y = (X.sum(axis=1) > np.median(X.sum(axis=1))).astype(int)
    for solver in ("adam", "lbfgs"):
        model = MLPClassifier(**parameters | {"solver": solver}).fit(X, y)
        reference = MLPClassifier(**parameters | {"solver": solver, "backend": None})
        reference.fit(X.toarray(), y)
        assert_allclose(model.predict_proba(X), reference.predict_proba(X.toarray()), rtol=1e-6)


@pytest.fixture
def made_dense(monkeypatch):
    """Record how many rows of a CSR array become dense at a time."""
    sizes, toarray = [], sparse.csr_array.toarray

    def watched(self, *args, **options):
        sizes.append(self.shape[0])
        return toarray(self, *args, **options)

    monkeypatch.setattr(sparse.csr_array, "toarray", watched)
    return sizes


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_large_sparse_features_become_dense_a_few_batches_at_a_time(
    solver, made_dense, monkeypatch
):
    monkeypatch.setattr(deferred, "WHOLE", 0)
    monkeypatch.setattr(array_loaders, "PIECE", 2 * 75 * 8 * 8)  # with y, 8 columns
    X = sparse.random_array((600, 7), density=0.3, random_state=0, format="csr")
    model = MLPRegressor(**SMALL | {"solver": solver}).fit(X, X.sum(axis=1))
    model.predict(X)
    assert max(made_dense) == 256
    assert made_dense.count(150) == (4 * SMALL["max_iter"] if solver == "adam" else 0)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_small_sparse_features_become_dense_once(solver, made_dense):
    X = sparse.random_array((600, 7), density=0.3, random_state=0, format="csr")
    MLPRegressor(**SMALL | {"solver": solver}).fit(X, X.sum(axis=1))
    assert sum(made_dense) == 600


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_the_size_of_sparse_features_does_not_change_the_bits(solver, monkeypatch):
    X = sparse.random_array((600, 7), density=0.3, random_state=0, format="csr")
    y, settings = X.sum(axis=1), SMALL | {"solver": solver, "early_stopping": True}
    expected = MLPRegressor(**settings).fit(X, y)
    monkeypatch.setattr(deferred, "WHOLE", 0)
    found = MLPRegressor(**settings).fit(X, y)
    for W, V in zip(found.coefs_, expected.coefs_, strict=True):
        assert_array_equal(W, V)
    assert_array_equal(found.predict(X), expected.predict(X))


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = MLPClassifier(**SMALL).fit(X, y.map(dict(enumerate(NAMES))))
    assert_array_equal(model.feature_names_in_, X.columns)
    assert_array_equal(
        model.predict_proba(X), MLPClassifier(**SMALL).fit(X_IRIS, Y_IRIS).predict_proba(X_IRIS)
    )
    assert_array_equal(model.classes_, NAMES)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[X.columns[::-1]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X_IRIS)
    several = pandas.DataFrame({"a": Y_IRIS, "b": 2 * Y_IRIS})
    assert MLPRegressor(**SMALL).fit(X, several).predict(X).shape == (150, 2)


def test_frames_of_polars():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    X = polars.DataFrame({f"x{i}": column for i, column in enumerate(X_IRIS.T)})
    y = polars.Series("y", NAMES[Y_IRIS].tolist())
    model = MLPClassifier(**SMALL).fit(X, y)
    assert_array_equal(model.feature_names_in_, X.columns)
    reference = MLPClassifier(**SMALL).fit(X_IRIS, Y_IRIS)
    assert_array_equal(model.predict_proba(X), reference.predict_proba(X_IRIS))
    assert model.score(X, y) == reference.score(X_IRIS, Y_IRIS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("name", ["MLPRegressor", "TabularRegressor"])
def test_sparse_targets_are_numbers(name, columns):
    y = X_IRIS[:, :columns] * (X_IRIS[:, :columns] > 3.0)
    settings = SMALL if name == "MLPRegressor" else {"preset": "plain", "n_epochs": 2}
    model = getattr(bpnet, name)(**settings | {"random_state": 0})
    for form in (sparse.csr_array, sparse.coo_matrix):
        score = model.fit(X_IRIS, form(y)).score(X_IRIS, form(y))
        assert score == clone(model).fit(X_IRIS, y).score(X_IRIS, y)


@pytest.mark.parametrize("name", ["MLPClassifier", "TabularClassifier"])
def test_a_frame_that_is_still_to_be_computed_is_refused(name):
    polars = pytest.importorskip("polars")
    settings = SMALL if name == "MLPClassifier" else {"preset": "plain", "n_epochs": 1}
    clf = getattr(bpnet, name)(**settings).fit(X_IRIS, Y_IRIS)
    X, y = polars.DataFrame(X_IRIS).lazy(), polars.DataFrame({"y": Y_IRIS}).lazy()
    for argument, use in (
        ("X", lambda: clf.fit(X, Y_IRIS)),
        ("X", lambda: clf.predict(X)),
        ("y", lambda: clf.fit(X_IRIS, y)),
        ("y", lambda: clf.score(X_IRIS, y)),
        ("sample_weight", lambda: clf.fit(X_IRIS, Y_IRIS, y)),
    ):
        with pytest.raises(TypeError, match=rf"{argument} must be in memory, got LazyFrame, .*"
                           rf"pass {argument}\.collect"):  # fmt: skip
            use()


def test_every_path_refuses_another_order_of_features():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    X = polars.DataFrame({f"x{i}": column for i, column in enumerate(X_IRIS.T)})
    for frame in (X, load_iris(as_frame=True).data):
        other = frame[list(frame.columns)[::-1]]
        for make in (MLPClassifier, MLPRegressor):
            model = make(**SMALL, warm_start=True).fit(frame, Y_IRIS)
            for use in (model.predict, lambda F, m=model: m.score(F, Y_IRIS)):
                with pytest.raises(ValueError, match="feature names should match"):
                    use(other)
            for use in (model.fit, model.partial_fit):
                with pytest.raises(ValueError, match="feature names should match"):
                    use(other, Y_IRIS)


LETTERS = NAMES[Y_IRIS].tolist()


def with_gap(gap, values=LETTERS):
    return [gap, *values[1:]]


def gapped():
    """Yield labels of which the first is missing."""
    for gap in (None, float("nan"), np.float32("nan"), np.datetime64("NaT", "s")):
        yield with_gap(gap)
        yield np.array(with_gap(gap), object)
    yield with_gap(float("nan"), Y_IRIS.tolist())
    yield np.array(with_gap(np.nan, Y_IRIS.tolist()))
    yield np.array(with_gap(np.nan, Y_IRIS.tolist()))[:, None]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    yield pandas.Series(with_gap(pandas.NA), dtype=object)
    yield pandas.Series(with_gap(None), dtype="string")
    yield pandas.Series(with_gap(None), dtype="category")
    yield pandas.Series(with_gap(None, Y_IRIS.tolist()), dtype="Int64")
    polars = pytest.importorskip("polars", reason="polars is not installed")
    yield polars.Series(with_gap(None))


def test_missing_labels_are_no_class():
    """NumPy would make the text "nan" or "None" of them."""
    message = r"must have a value for each example, got 1 missing \(None, NaN, NaT or pd.NA\)"
    fitted = MLPClassifier(**SMALL).fit(X_IRIS, LETTERS)
    for y in gapped():
        model = MLPClassifier(**SMALL)
        for use in (
            lambda y=y, m=model: m.fit(X_IRIS, y),
            lambda y=y, m=model: m.partial_fit(X_IRIS, y, classes=NAMES),
            lambda y=y: fitted.score(X_IRIS, y),
        ):
            with pytest.raises(ValueError, match=f"^y {message}"):
                use()
        with pytest.raises(ValueError, match=f"^classes {message}"):
            model.partial_fit(X_IRIS, LETTERS, classes=y)
        assert not hasattr(model, "classes_")
    with pytest.raises(ValueError, match=f"^y {message}"):
        MLPRegressor(**SMALL).fit(X_IRIS, with_gap(None, Y_IRIS.tolist()))


@pytest.mark.parametrize("y", [with_gap(1), np.array(with_gap(b"x"), object), with_gap(1.5)])
def test_numbers_beside_text_are_no_labels(y):
    with pytest.raises(TypeError, match=r"^y must hold labels of one type, got "):
        MLPClassifier(**SMALL).fit(X_IRIS, y)


OBJECTS = {
    "int": ([1, 2, 3], "int64"),
    "bool": ([False, True, True], "bool"),
    "float, int": ([1, 2.0, 3.0], "float64"),
    "Fraction": ([Fraction(1, 2), Fraction(1), Fraction(3, 2)], "str"),
}


@pytest.mark.parametrize("kinds", OBJECTS)
def test_python_objects_are_no_labels(kinds):
    """scikit-learn refuses them, too, without a way out."""
    labels, dtype = OBJECTS[kinds]
    y = np.array(labels, object)[Y_IRIS]
    fitted = MLPClassifier(**SMALL).fit(X_IRIS, Y_IRIS)
    tabular = bpnet.TabularClassifier("plain", n_epochs=1, random_state=0)
    for use in (
        lambda: MLPClassifier(**SMALL).fit(X_IRIS, y),
        lambda: fitted.partial_fit(X_IRIS, y),
        lambda: fitted.score(X_IRIS, y),
        lambda: fitted.fit(X_IRIS, Y_IRIS, validation_data=(X_IRIS, y)),
        lambda: MLPClassifier(**SMALL).partial_fit(X_IRIS, Y_IRIS, classes=y),
        lambda: tabular.fit(X_IRIS, y),
    ):
        message = rf"objects \(dtype object\) of type {kinds}, .*\.astype\('{dtype}'\)"
        with pytest.raises(ValueError, match=message):
            use()
    tabular.fit(X_IRIS, y.astype(dtype)).score(X_IRIS, y.astype(dtype))
    with pytest.raises(ValueError, match=message):
        tabular.score(X_IRIS, y)


REAL = np.linspace(0.25, 3.25, 150)
NO_LABELS = {
    "real numbers": (REAL, r"Unknown label type: y must hold class labels.*a regressor"),
    "several classes": (np.stack([Y_IRIS] * 2, axis=1), "Multioutput.*MultiOutputClassifier"),
    "several names": (np.stack([NAMES[Y_IRIS]] * 2, axis=1), "Multioutput.*-multioutput; fit"),
}


@pytest.mark.parametrize("kinds", NO_LABELS)
def test_numbers_and_several_classes_are_no_labels(kinds):
    """scikit-learn prints them all, and says no more."""
    y, message = NO_LABELS[kinds]
    fitted = MLPClassifier(**SMALL).fit(X_IRIS, Y_IRIS)
    for use in (
        lambda: MLPClassifier(**SMALL).fit(X_IRIS, y),
        lambda: fitted.partial_fit(X_IRIS, y),
        lambda: MLPClassifier(**SMALL).partial_fit(X_IRIS, y, classes=[0, 1, 2]),
    ):
        with pytest.raises(ValueError, match=message) as refused:
            use()
        assert len(str(refused.value)) < 300
    if kinds == "real numbers":  # several columns have an error of their own
        with pytest.raises(ValueError, match=message):
            bpnet.TabularClassifier("plain", n_epochs=1).fit(X_IRIS, y)


def test_text_that_looks_missing_is_a_class():
    for words in (["nan", "None", ""], np.array(["nan", "NaT", "<NA>"], object)):
        labels = np.asarray(words)[Y_IRIS]
        assert set(MLPClassifier(**SMALL).fit(X_IRIS, labels).classes_) == set(words)


def test_dates_and_durations_are_no_features():
    """scikit-learn would train on numbers of nanoseconds."""
    days = np.arange(150).astype("M8[s]")[:, None]
    for X in (
        days, days - days[0], days.tolist(), list(days), [[day[0]] for day in days],
        (days - days[0]).astype(object), np.array([[day[0]] for day in days], object),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"\bX\b"):
            MLPClassifier(**SMALL).fit(X, Y_IRIS)
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    for column in (days[:, 0], days[:, 0] - days[0, 0]):
        frame = pandas.DataFrame({"when": column})
        with pytest.raises(TypeError, match=r"^X must hold real numbers, got .* column 'when'"):
            MLPRegressor(**SMALL).fit(frame, Y_IRIS)


@pytest.mark.parametrize(
    "labels",
    [np.array([10, 20, 30]), np.array([-1.0, 0.0, 1.0]), NAMES, NAMES.astype(object)],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_of_every_kind(labels):
    model = MLPClassifier(**SMALL).fit(X_IRIS, labels[Y_IRIS])
    reference = MLPClassifier(**SMALL).fit(X_IRIS, Y_IRIS)
    assert_array_equal(model.predict(X_IRIS), labels[reference.predict(X_IRIS)])
    assert model.predict(X_IRIS).dtype == np.asarray(labels.tolist()).dtype


def test_bools_and_one_class():
    model = MLPClassifier(**SMALL).fit(X_IRIS, Y_IRIS == 1)
    assert model.predict(X_IRIS).dtype == bool
    with pytest.warns(RuntimeWarning, match="single class"):
        model.fit(X_IRIS, np.full(150, 7))
    assert set(model.predict(X_IRIS)) == {7}


def test_the_dtype_parameter_decides():
    model = MLPRegressor(**SMALL, dtype="float32").fit(X_IRIS, Y_IRIS)
    assert model.coefs_[0].dtype == model.predict(X_IRIS).dtype == np.float32
    expected = MLPRegressor(**SMALL).fit(X_IRIS.astype("float32"), Y_IRIS).predict(X_IRIS)
    assert_array_equal(model.predict(X_IRIS), expected)
    with pytest.raises(ValueError, match="infinity or a value too large"):
        model.fit(1e300 * X_IRIS, Y_IRIS)


# --- single rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_plain_row_is_not_checked_by_scikit_learn(dtype, monkeypatch):
    """Whose checks take ten times as long as the prediction."""
    features = np.random.default_rng(0).normal(size=(60, 3))
    clf = MLPClassifier((5,), max_iter=2, random_state=0).fit(features, features[:, 0] > 0.0)
    expected = clf.predict_proba(features)
    checked, original = [], _inputs.validate_data
    monkeypatch.setattr(
        _inputs, "validate_data", lambda *a, **k: checked.append(1) or original(*a, **k)
    )
    for row in range(20):
        proba = clf.predict_proba(features[row : row + 1].astype(dtype))
        assert_allclose(proba, expected[row : row + 1], rtol=1e-6)
    assert not checked
    clf.predict_proba(features[:1].tolist())
    assert checked == [1]


def test_what_is_no_plain_row_meets_scikit_learns_checks():
    pandas = pytest.importorskip("pandas")
    features = np.random.default_rng(0).normal(size=(60, 3))
    clf = MLPClassifier((5,), max_iter=2, random_state=0)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        clf.predict(features[:1])
    clf.fit(features, features[:, 0] > 0.0)
    with pytest.raises(ValueError, match="X contains NaN"):
        clf.predict(np.full((1, 3), np.nan))
    with pytest.raises(ValueError, match="X has 2 features, but MLPClassifier is expecting 3"):
        clf.predict(features[:1, :2])
    clf.fit(pandas.DataFrame(features, columns=list("abc")), features[:, 0] > 0.0)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        clf.predict(features[:1])
