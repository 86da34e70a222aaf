"""Dask's arrays and frames train as the same rows in memory do, to the bit, block by block."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import bpnet

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")

M, N, BATCH = 230, 4, 16
NAMES = ["a", "b", "c", "d"]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, N)).astype("float32")
Y = RNG.integers(0, 3, M)
W = RNG.uniform(0.5, 2.0, M)
FRAME = pd.DataFrame(X, columns=NAMES).assign(label=Y, weight=W)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 40 rows at most, unless a chunk has more."""
    monkeypatch.setattr("bpnet.data.streams.source.BLOCK", 40 * 4 * N)


META = np.empty((0, 0), "float32")  # else dask calls the function to find out


def array():
    return da.from_array(X, chunks=(37, 3))


def frame(partitions=7):
    return dd.from_pandas(FRAME, npartitions=partitions)


FORMS = {
    "arrays": lambda: (array(), da.from_array(Y, chunks=50), da.from_array(W, chunks=230)),
    "an array, others in memory": lambda: (array(), Y.tolist(), W),
    "columns of a frame": lambda: (frame()[NAMES], frame()["label"], frame()["weight"]),
    "an array, columns of a frame": lambda: (array(), frame()["label"], frame()["weight"]),
    "a frame, an array and a column": lambda: (
        frame(3)[NAMES], da.from_array(Y[:, None], chunks=(9, 1)), FRAME["weight"]
    ),
}  # fmt: skip


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]()


def network():
    layers = [bpnet.Dense(6, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(3)]
    return bpnet.Network(layers, "categorical_crossentropy", seed=1)


def fitted(X, y=None, w=None, **settings):
    net = network()
    history = net.fit(X, y, sample_weight=w, epochs=2, **({"batch_size": BATCH} | settings))
    return net, history


def assert_same(net, other):
    for a, b in zip(net.get_weights(), other.get_weights(), strict=True):
        assert_array_equal(a, b)


def test_unshuffled_training(form):
    due, history = fitted(X, Y, W, shuffle=False)
    net, streamed = fitted(*form, shuffle=False)
    assert_same(net, due)
    assert streamed["loss"] == pytest.approx(history["loss"], rel=1e-6)
    assert net.feature_names == (tuple(NAMES) if hasattr(form[0], "columns") else None)


def test_shuffled_training_is_in_the_documented_order(form):
    net, _ = fitted(*form)
    sizes = bpnet.streams.Dask(*form).sizes
    assert len(sizes) >= 3

    class Replay(bpnet.Loader):
        def batches(self, epoch):
            order = bpnet.streams.row_order(sizes, 1, epoch)
            for start in range(0, M, BATCH):
                rows = order[start : start + BATCH]
                yield X[rows], Y[rows], W[rows]

    due = network()
    due.fit(Replay(M, N, BATCH, total_weight=float(W.sum())), epochs=2)
    assert_same(net, due)


def test_predictions_metrics_and_validation(form):
    net = network().build(N)
    assert_array_equal(net.predict_proba(form[0]), net.predict_proba(X))
    assert net.evaluate(*form, metrics="roc_auc") == net.evaluate(X, Y, W, metrics="roc_auc")
    names = FRAME[NAMES] if hasattr(form[0], "columns") else X
    _, due = fitted(names, Y, validation_data=(names, Y, W))
    _, history = fitted(names, Y, validation_data=form)
    assert history["val_loss"] == due["val_loss"]


def test_one_column_trains_a_network():
    single = bpnet.Network([bpnet.Dense(1)], "mse", seed=0)
    single.fit(frame()[["a"]], frame()["b"], epochs=1, shuffle=False)
    due = bpnet.Network([bpnet.Dense(1)], "mse", seed=0)
    due.fit(X[:, :1], X[:, 1], epochs=1, shuffle=False)
    assert_same(single, due)


def test_frames_of_a_single_partition():
    one = frame(1)
    due, _ = fitted(X, Y, W, shuffle=False)
    assert_same(fitted(one[NAMES], one["label"], one["weight"], shuffle=False)[0], due)
    assert_array_equal(due.predict(one[NAMES]), due.predict(X))


def sizes(*data):
    return bpnet.streams.Dask(*data).sizes


def test_blocks_are_whole_chunks_without_empty_ones():
    chunks = ((10, 0, 20, 15, 100, 0, 5, 80), (4,))
    assert sizes(da.from_array(X, chunks=chunks)) == (30, 15, 100, 5, 80)
    parts = frame().map_partitions(lambda part: part[part["label"] > 0], meta=FRAME)
    assert sum(sizes(parts)) == (Y > 0).sum()
    gaps = dd.concat([frame(2), frame(2)[frame(2)["label"] > 5], frame(1)])
    assert sizes(gaps[NAMES]) == (115, 115, 230)
    due, _ = fitted(np.concatenate([X, X]), np.concatenate([Y, Y]), shuffle=False)
    assert_same(fitted(gaps[NAMES], gaps["label"], shuffle=False)[0], due)


class Counter:
    """Counts the chunks that are computed."""

    def __init__(self):
        self.computed, self.lock = 0, threading.Lock()

    def __call__(self, chunk):
        with self.lock:
            self.computed += 1
        return chunk

    def of(self, chunks):
        return da.from_array(X, chunks=chunks).map_blocks(self, meta=META)


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_chunk_is_computed_once_an_epoch_and_few_ahead(shuffle):
    counter, ahead = Counter(), []
    stream = bpnet.streams.Dask(counter.of((10, N)), Y, buffer_blocks=1)
    assert (counter.computed, len(stream.sizes)) == (0, 6)

    class Look(bpnet.Callback):
        def on_train_begin(self, training):
            self.first, self.steps = counter.computed, 0

        def on_batch_end(self, training):
            self.steps += 1
            ahead.append(counter.computed - self.first - self.steps)

    look = Look()
    network().fit(stream, epochs=1, batch_size=10, shuffle=shuffle, callbacks=look)
    assert counter.computed - look.first == 23
    assert max(ahead) <= 4 * 4  # chunks of a block, blocks


# --- errors -----------------------------------------------------------------------------------


def unknown():
    return array()[array()[:, 0] > 0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: (unknown(), Y), r"^X must have chunks of known length.*X.compute_chunk_sizes"),
        (lambda: (array(), unknown()[:, 0]), r"^y must .* known length.*y.compute_chunk_sizes"),
        (lambda: (frame()[NAMES].values, Y), r"frame.to_dask_array\(lengths=True\)"),
        (lambda: (array(), Y[:-1]), r"^y must have one entry for each of 230.*\(229,\)"),
        (lambda: (array(), da.ones(99)), r"^y must have one entry for each of 230.*\(99,\)"),
        (lambda: (array(), Y, frame()["weight"].loc[:98]), r"^sample_weight must .*\(99,\)"),
        (lambda: (array()[:, 0], Y), r"^X must be 2-D .* Array of 1 dim"),
        (lambda: (frame()["a"], Y), r"^X must be 2-D .* Series of 1 dim"),
        (lambda: (array()[:, :0], Y), r"^X must be 2-D .* have features"),
        (lambda: (array()[:0], Y[:0]), r"^X must have at least one row"),
        (lambda: (frame()[NAMES], None), r"^X must have targets to train on"),
    ],
)
def test_arrays_that_cannot_be_read(data, message):
    net = network()
    X, y, w = (*data(), None)[:3]
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, sample_weight=w)
    assert not net.is_built


def test_what_is_not_dask():
    with pytest.raises(TypeError, match=r"^X must be a dask array or DataFrame, got "):
        bpnet.streams.Dask(X)
    with pytest.raises(bpnet.UnknownBackendError, match=r"convert it: np.asarray\(y\)"):
        network().fit(X, da.from_array(Y))


def test_text_in_a_column_is_refused_before_anything_changes():
    net = network()
    words = frame()[NAMES].assign(word="a")
    with pytest.raises(TypeError, match=r"X of block 0 .* text in column 'word'"):
        net.fit(words, Y)
    assert not net.is_built


def test_a_value_that_is_not_finite_is_named_by_block_and_row():
    bad = X.copy()
    bad[117, 2] = np.nan
    with pytest.raises(ValueError, match=r"^X of block 3 \(rows 111 to 147\).*in row 117"):
        fitted(da.from_array(bad, chunks=(37, 4)), Y, shuffle=False)


def fail(chunk, block_info=None):
    if block_info and block_info[0]["chunk-location"][0] == 2:
        raise KeyError("gone")
    return chunk


def test_a_task_that_fails_is_named_by_block():
    with pytest.raises(OSError, match=r"^block 2 \(rows 74 to 110\) cannot be read: KeyError"):
        fitted(array().map_blocks(fail, meta=META), Y)


# --- a cluster --------------------------------------------------------------------------------

BOTH = threading.Barrier(2, timeout=10.0)


def with_another(chunk):
    """Return the chunk when another one is computed at the same time."""
    BOTH.wait()
    return chunk


@pytest.fixture(scope="module")
def workers():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=4, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture
def cluster(workers):
    """Let the workers compute what dask is asked for."""
    with workers.get_client() as client:
        yield client


@pytest.mark.usefixtures("cluster")
def test_a_cluster_trains_to_the_same_bits():
    due, _ = fitted(X, Y, W, shuffle=False)
    for name in ("arrays", "an array, columns of a frame"):
        assert_same(fitted(*FORMS[name](), shuffle=False)[0], due)


@pytest.mark.usefixtures("cluster")
def test_workers_compute_several_blocks_at_once():
    def slow(rows):
        return da.from_array(rows, chunks=(50, N)).map_blocks(with_another, meta=META)

    stream = bpnet.streams.Dask(slow(X[:200]), Y[:200])
    assert len(list(stream.read_blocks([0, 3, 1, 2]))) == 4
    net, others = network().build(N), -X[:200]  # blocks that the workers cannot hold yet
    assert_array_equal(net.predict(slow(others)), net.predict(others))


@pytest.mark.usefixtures("cluster")
def test_a_task_that_fails_on_a_worker_is_named_by_block():
    with pytest.raises(OSError, match=r"^block 2 \(rows 74 to 110\) cannot be read: KeyError"):
        fitted(array().map_blocks(fail, meta=META), Y)
