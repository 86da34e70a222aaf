"""Large host features are cast where they are read, with the same results as at once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import bpnet
from bpnet.data import array_loaders, deferred
from bpnet.data.deferred import Deferred

pytestmark = pytest.mark.few_on_jax

M, N, BATCH = 90, 7, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(M, N))
LABELS = RNG.integers(0, 3, M)
W = RNG.uniform(0.5, 2.0, M)


def mapped(X, path):
    """Return a memory map of a file that holds the features."""
    np.save(path / "X.npy", X)
    return np.load(path / "X.npy", mmap_mode="r")


def frame(X, path):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])


FORMS = {
    "float64": lambda X, path: X,
    "float16": lambda X, path: X.astype("float16"),
    "uint8": lambda X, path: (20.0 * X).astype("uint8"),
    "bool": lambda X, path: X > 0.0,
    "big-endian": lambda X, path: X.astype(">f4"),
    "columns": lambda X, path: np.asfortranarray(X),
    "float32 columns": lambda X, path: np.asfortranarray(X.astype("float32")),
    "strided": lambda X, path: np.repeat(X, 2, axis=0)[::2][::-1],
    "frame": frame,
    "mapped": mapped,
    "mapped float32": lambda X, path: mapped(X.astype("float32"), path),
    "mapped columns": lambda X, path: mapped(np.asfortranarray(X), path),
}


@pytest.fixture
def large(monkeypatch):
    """Treat all features as large, with pieces of three batches, and reads of a few rows."""
    monkeypatch.setattr(deferred, "WHOLE", 0)
    monkeypatch.setattr(deferred, "CHECKED", 16)
    monkeypatch.setattr(deferred, "_GATHERED", 500)
    monkeypatch.setattr(deferred, "_MAPPED", 1000)
    monkeypatch.setattr(array_loaders, "PIECE", 3 * BATCH * 4 * (N + 3))


def network(**options):
    layers = [bpnet.Dense(6, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(3)]
    return bpnet.Network(layers, "categorical_crossentropy", seed=1, **options)


def results(X, backend, **settings):
    """Return everything that training and prediction compute, on the host."""
    net = network()
    flow = bpnet.GradientFlow(5)
    settings = {
        "epochs": 3,
        "batch_size": BATCH,
        "sample_weight": W,
        "callbacks": flow,
    } | settings
    history = net.fit(X, LABELS, backend=backend, **settings)
    found = {name: history[name] for name in history}
    found |= {
        f"{k}{name}": np.array(backend.to_numpy(p))
        for k, layer in enumerate(net.parameters)
        for name, p in layer.items()
    }
    found["p"] = net.predict_proba(X)
    return found | net.evaluate(X, LABELS, W)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture
def plain(backend):
    """Return the results of features that are cast at once."""

    def of(X, **settings):
        X = np.ascontiguousarray(np.asarray(X), "float32")
        return results(X, backend, **settings)

    return of


@pytest.mark.once_on_jax
@pytest.mark.parametrize("form", FORMS)
def test_every_form_trains_to_the_same_bits(form, plain, backend, tmp_path, request):
    features = FORMS[form](X, tmp_path)
    expected = plain(features)
    request.getfixturevalue("large")
    assert_same(results(features, backend), expected)


@pytest.mark.once_on_jax
@pytest.mark.parametrize(
    "settings",
    [
        {"validation_split": 0.3},
        {"shuffle": False},
        {"batch_size": 7},  # the last of 13 batches has 6 rows
        {"batch_size": None},
        {"run_eagerly": True},
        {"training_metrics": True, "validation_data": (X, LABELS)},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_every_setting_trains_to_the_same_bits(settings, plain, backend, request):
    expected = plain(X, **settings)
    request.getfixturevalue("large")
    assert_same(results(X, backend, **settings), expected)


def test_the_loader_of_large_features_has_one_buffer(large):
    place = bpnet.get_backend("numpy")
    data = network().check_data(X, LABELS, None)
    assert isinstance(data.X, Deferred)
    loader = array_loaders.loader_for(data, place, BATCH, lambda epoch, rows: np.arange(rows))
    loader.begin_epoch(0)
    rows, arrays = [], set()
    for piece in loader.pieces(place):
        arrays.add(id(piece.arrays["X"]))
        n = sum(piece.sizes)
        assert len(piece.sizes) == 3
        rows.append(piece.arrays["X"][piece.arrays["order"][:n]].copy())
    assert len(arrays) == 1
    assert_array_equal(np.concatenate(rows), X.astype("float32"))


def test_fingerprints_are_those_of_cast_features(request):
    def prints():
        data = network().check_data(X, LABELS, W)
        return data.fingerprint(), data.sampled_fingerprint()

    expected = prints()
    request.getfixturevalue("large")
    assert prints() == expected


def test_a_run_that_was_stored_resumes_with_deferred_features(tmp_path, request):
    pytest.importorskip("safetensors")
    path = tmp_path / "run.safetensors"
    whole = network().fit(X, LABELS, epochs=4, batch_size=BATCH)
    network().fit(X, LABELS, epochs=2, batch_size=BATCH, callbacks=bpnet.Checkpoint(path))
    request.getfixturevalue("large")
    resumed = network().fit(X, LABELS, epochs=4, batch_size=BATCH, resume_from=path)
    assert resumed["loss"] == whole["loss"]


@pytest.mark.parametrize("form", ["float64", "columns", "frame", "mapped"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_what_is_not_finite_is_counted_in_the_dtype(form, value, large, tmp_path):
    bad = X.copy()
    bad[[3, 50, 89], [0, 6, 2]] = value
    with pytest.raises(ValueError, match=r"^X must be finite in float32, got 3 "):
        network().fit(FORMS[form](bad, tmp_path), LABELS)
    net = network(dtype="float64")
    if value == 1e39:
        net.fit(FORMS[form](bad, tmp_path), LABELS, on_nonfinite="ignore")


@given(st.lists(st.integers(0, M - 1), min_size=1, max_size=40), st.data())
def test_rows_of_rows_are_those_of_an_array(indices, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deferred, "WHOLE", 0)
        patch.setattr(deferred, "_GATHERED", 3 * 8 * N)
        rows = Deferred(X, "float32").take(indices)
        assert isinstance(rows, Deferred)
        expected = X[indices].astype("float32")
        some = data.draw(st.lists(st.integers(0, len(indices) - 1), min_size=1))
        out = np.empty((len(some), N), "float32")
        rows.read(np.asarray(some), out)
        assert_array_equal(out, expected[some])
        assert_array_equal(rows.take(some)[:, 2], expected[some][:, 2])
        assert_array_equal(np.asarray(rows), expected)
        assert_array_equal(rows[1:3, ...], expected[1:3])


def test_an_overflow_of_features_cast_at_once_is_an_error_too():
    bad = np.ones((20_000, 4))
    bad[7, 1] = 1e39
    with pytest.raises(ValueError, match=r"^X must be finite in float32, got 1 NaN"):
        network().fit(bad, np.zeros(20_000))


def test_changes_of_a_private_map_are_not_lost(large, tmp_path):
    np.save(tmp_path / "X.npy", X)
    private = np.load(tmp_path / "X.npy", mmap_mode="c")
    private[:] = 1.0
    network().fit(private, LABELS, epochs=1)
    assert np.all(private == 1.0)


# --- memory -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def features():
    """Features of 24 MB as float32."""
    return np.random.default_rng(0).normal(size=(20_000, 300)).astype("float32")


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["float32", "float64", "float32 columns", "uint8", "mapped"])
def test_training_and_prediction_copy_no_large_features(form, features, monkeypatch, tmp_path):
    monkeypatch.setattr(deferred, "WHOLE", 2**22)
    monkeypatch.setattr(deferred, "_MAPPED", 2**20)
    monkeypatch.setattr(array_loaders, "PIECE", 2**20)
    forms = FORMS | {"float32": lambda X, path: X, "float64": lambda X, path: X.astype("f8")}
    given_X = forms[form](features, tmp_path)
    y = np.arange(len(features)) % 3
    net = network()
    net.fit(features[:500], y[:500], epochs=1, batch_size=256)
    net.predict(features[:500])
    calls = {
        "fit": lambda: net.fit(given_X, y, epochs=1, batch_size=256),
        "predict": lambda: net.predict(given_X),
        "evaluate": lambda: net.evaluate(given_X, y),
    }
    for name, call in calls.items():  # a block of 4096 rows is 4.9 MB, its float64 9.8
        assert peak(call) < (0.2 if name == "fit" else 0.45) * features.nbytes, name


def test_a_view_of_a_private_map_keeps_what_was_written(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((100, 3), "float32"))
    private = np.load(tmp_path / "X.npy", mmap_mode="c")
    private[:] = 1.0
    shared = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert deferred._map_of(np.asarray(private).view(np.memmap)) is None  # knows no mode
    assert deferred._map_of(np.asarray(shared)) is not None
