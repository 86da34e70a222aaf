"""Data that does not fit on the device is moved in pieces, with the same training results."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import inference
from bpnet.data.array_loaders import loader_for
from bpnet.data.dataset import Dataset
from bpnet.data.loader import Shuffled

pytestmark = pytest.mark.few_on_jax

M, N, BATCH, EPOCHS = 26, 5, 4, 3  # 6 batches of 4, and one of 2
ROW = 8 * (N + 2)  # bytes of one example: features, target (or label), weight
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, N))
LABELS = RNG.integers(0, 3, M)
W = RNG.uniform(0.0, 2.0, M)


@pytest.fixture
def watch(backend, monkeypatch):
    """Call a function with each array moved to the device."""

    def watch_with(look):
        original = type(backend).asarray

        def watched(self, host_array, dtype=None):
            look(host_array)
            return original(self, host_array, dtype)

        monkeypatch.setattr(type(backend), "asarray", watched)

    return watch_with


@pytest.fixture
def moved(watch):
    """Record the number of examples that each call moves from the host to the device."""
    rows = []

    def look(host_array):
        if isinstance(host_array, np.ndarray) and host_array.shape[1:] == (N,):
            rows.append(len(host_array))

    watch(look)
    return rows


@pytest.fixture
def room(backend, monkeypatch):
    """Limit how many bytes fit on the device."""

    def set_room(nbytes):
        monkeypatch.setattr(type(backend), "fits", lambda self, n: n <= nbytes)

    return set_room


def trained(backend, **settings):
    layers = [bpnet.Dense(6, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(3)]
    net = bpnet.Network(layers, "categorical_crossentropy", seed=1, dtype="float64")
    settings = {
        "optimizer": bpnet.SGD(bpnet.schedules.Exponential(0.1, 0.7), momentum=0.9),
        "sample_weight": W,
        "batch_size": BATCH,
        "epochs": EPOCHS,
    } | settings
    history = net.fit(X, LABELS, backend=backend, **settings)
    parameters = [
        np.array(backend.to_numpy(p)) for layer in net.parameters for p in layer.values()
    ]
    return parameters, history


@functools.cache
def trained_at_once(backend):
    return trained(backend)


def assert_same(backend, result, expected):
    """Assert equal bits; a compiler such as XLA may round other shapes differently."""
    (parameters, history), (expected_parameters, expected_history) = result, expected
    assert history.keys() == expected_history.keys()
    pairs = [*zip(parameters, expected_parameters, strict=True)]
    pairs += [(history[name], expected_history[name]) for name in history]
    for p, q in pairs:
        if backend.name in ("numpy", "array_api_strict"):
            assert_array_equal(p, q)
        else:
            assert_allclose(p, q, rtol=1e-12, atol=1e-15)


# --- training ---------------------------------------------------------------------------------


@pytest.mark.once_on_jax
@pytest.mark.parametrize(
    ("nbytes", "pieces"),
    [
        (M * ROW, [M]),
        (M * ROW - 1, [16, 10]),
        (3 * BATCH * ROW, [8, 8, 8, 2]),
        (0, [4, 4, 4, 4, 4, 4, 2]),  # not even one batch, which is tried nevertheless
    ],
    ids=["all", "two-pieces", "two-batches", "none"],
)
def test_pieces_of_whole_batches_train_the_same(nbytes, pieces, moved, room, backend):
    expected = trained_at_once(backend)
    room(nbytes)
    moved.clear()
    assert_same(backend, trained(backend), expected)
    if len(pieces) > 1:
        assert moved == pieces * EPOCHS
    elif backend.name != "numpy":  # where the array on the device is the host's
        assert moved == pieces


def test_a_full_batch_that_does_not_fit_is_moved_in_each_epoch(moved, room, backend):
    expected = trained(backend, batch_size=None)
    room(0)
    moved.clear()
    assert_same(backend, trained(backend, batch_size=None), expected)
    assert moved == [M] * EPOCHS


@pytest.mark.parametrize(
    ("rate", "times"), [(0.1, 1), (bpnet.schedules.Exponential(0.1, 0.7), EPOCHS)]
)
def test_rates_are_put_on_the_device_when_they_change(rate, times, backend, watch):
    placed = []
    watch(lambda host_array: placed.append(np.shape(host_array)))
    trained(backend, batch_size=2, optimizer=bpnet.SGD(rate))
    assert placed.count((M // 2,)) == times


def test_a_schedule_may_give_arrays(backend):
    class Falling(bpnet.schedules.Schedule):
        rate = np.ones(())

        def __call__(self, epoch):
            self.rate[...] = 0.1 * 0.5 ** int(epoch)  # the same array each time
            return self.rate

    rates = bpnet.schedules.Step(0.1, every=1, factor=0.5)
    results = [
        trained(backend, batch_size=None, optimizer=bpnet.SGD(rate))[1]["loss"]
        for rate in (Falling(), rates)
    ]
    assert results[0] == results[1]


def test_targets_without_weights():
    X_host, y = X.astype("float32"), X[:, :2].astype("float32")

    def losses(batch_size):
        net = bpnet.Network([bpnet.Dense(2)], "huber", seed=1)
        return net.fit(X_host, y, epochs=EPOCHS, batch_size=batch_size)["loss"]

    expected = [losses(BATCH), losses(M)]
    place = type(bpnet.get_backend("numpy"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "fits", lambda self, nbytes: nbytes <= 8 * 4 * (N + 2))
        assert [losses(BATCH), losses(M)] == expected


def test_validation_data_that_does_not_fit_is_moved_in_blocks(
    moved, room, backend, monkeypatch
):
    settings = {"validation_data": (X[:20], LABELS[:20], W[:20]), "batch_size": 13}
    expected_parameters, expected_history = trained(backend, **settings)
    monkeypatch.setattr(inference, "ROWS", 9)
    room(13 * ROW)
    moved.clear()
    parameters, history = trained(backend, **settings)
    assert moved == [13, 13, 9, 9, 2] * EPOCHS
    for p, expected in zip(parameters, expected_parameters, strict=True):
        assert_allclose(p, expected, rtol=1e-12, atol=1e-15)
    for name, figures in expected_history.items():  # sums of three blocks round differently
        assert_allclose(history[name], figures, rtol=1e-12)


def test_a_validation_split_and_a_sample_of_the_gradients_too(room, backend):
    def settings():
        flow = bpnet.GradientFlow(7)  # 20 of 26 examples are left to train on
        return {"validation_split": 0.25, "batch_size": 10, "callbacks": flow}

    expected = trained(backend, **settings())
    room(10 * ROW)
    result = trained(backend, **settings())
    assert_same(backend, result, expected)
    assert "gradient_norm/2" in result[1]


def test_arrays_of_another_library_go_by_way_of_the_host(moved, room, backend):
    strict = bpnet.get_backend("array_api_strict:device2")
    net, expected = (
        bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=1, dtype="float64")
        for _ in range(2)
    )
    settings = {"epochs": 2, "batch_size": 13, "backend": backend}
    expected.fit(X, X[:, 0], **settings)
    room(13 * ROW)
    X_there, y_there = strict.asarray(X), strict.asarray(X[:, 0])
    moved.clear()
    net.fit(X_there, y_there, **settings)
    assert moved == [13, 13] * 2
    for name, p in net.parameters[0].items():
        reference = backend.to_numpy(expected.parameters[0][name])
        assert_allclose(backend.to_numpy(p), reference, rtol=1e-12)


def test_arrays_that_are_on_the_device_stay_there(moved, room, backend):
    room(0)  # they fit, as they are on the device
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=1, dtype="float64")
    X_there, y_there = backend.asarray(X), backend.asarray(X[:, 0])
    moved.clear()
    net.fit(X_there, y_there, epochs=2, batch_size=13)
    assert moved == ([13, 13] * 2 if backend.name == "numpy" else [])  # NumPy is the host
    assert net.backend == backend


# --- the law of the passes --------------------------------------------------------------------


@given(
    m=st.integers(1, 40),
    batch_size=st.integers(1, 40),
    room_for=st.integers(0, 50),
    shuffle=st.booleans(),
    weighted=st.booleans(),
)
def test_passes_hold_each_example_once_in_its_order(m, batch_size, room_for, shuffle, weighted):
    place = type(bpnet.get_backend("numpy"))("cpu")
    place.fits = lambda nbytes: nbytes <= 8 * (2 + weighted) * room_for
    batch_size = min(batch_size, m)
    order = np.random.default_rng(m).permutation(m) if shuffle else np.arange(m)
    features = np.arange(float(m))[:, None]
    w = features[:, 0] + 1.0 if weighted else None
    examples = Dataset(features, -features, w, None, "float64")
    source = loader_for(examples, place, batch_size, lambda epoch, rows: order)
    source.begin_epoch(0)
    seen, sizes = [], []
    for data, piece_sizes in source.pieces(place):
        rows = slice(None) if data["order"] is None else data["order"]
        assert_array_equal(data["y"], -data["X"])
        if weighted:
            assert_array_equal(data["w"], data["X"][:, 0] + 1.0)
        else:
            assert data["w"] is None
        seen += data["X"][rows, 0].tolist()
        sizes += piece_sizes
        whole = room_for >= m or len(piece_sizes) == 1
        assert whole or len(piece_sizes) * batch_size <= room_for
    assert source.total_weight == (m * (m + 1) / 2 if weighted else m)
    assert seen == (list(range(m)) if batch_size == m else order.tolist())
    assert set(sizes) == source.sizes
    assert sizes[:-1] == [batch_size] * (source.n_batches - 1)
    assert sum(sizes) == m


@pytest.mark.parametrize("m", [9, 10, 12, 4, 3])
@pytest.mark.parametrize("room_for", [1, 8, None])
def test_a_short_last_batch_can_be_left_out(m, room_for, backend, monkeypatch):
    """Another one in each epoch; a batch of all examples is none."""
    if room_for is not None:
        monkeypatch.setattr(type(backend), "fits", lambda self, n: n <= room_for * 8 * 2)
    X = np.arange(float(m))[:, None]
    data = Dataset(X, X, None, None, "float64")
    loader = loader_for(data, backend, min(4, m), Shuffled(0), drop_last=True)
    due = m if m < 4 else m // 4 * 4
    assert (loader.n_rows, loader.n_batches) == (due, max(1, m // 4))
    assert loader.sizes == {min(4, m)}
    seen = [rows_of(loader, backend, epoch) for epoch in range(2)]
    for epoch, rows in enumerate(seen):
        order = Shuffled(0)(epoch, m)[:due].tolist()
        assert rows == (order if due < m or m > 4 else list(range(m)))


def rows_of(loader, backend, epoch):
    """Return the examples of an epoch, in their order."""
    loader.begin_epoch(epoch)
    rows = []
    with backend.activate():
        for piece in loader.pieces(backend):
            X, order = backend.to_numpy(piece.arrays["X"])[:, 0], piece.arrays["order"]
            order = range(len(X)) if order is None else np.asarray(order)
            rows += [int(X[place]) for place in order][: sum(piece.sizes)]
    return rows
