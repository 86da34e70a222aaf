"""A stream trains, evaluates and predicts as the same rows do in arrays, to the bit."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import bpnet

pytestmark = pytest.mark.few_on_jax

M, N, BATCH = 230, 5, 16
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, N)).astype("float32")
Y = RNG.integers(0, 3, M)
W = RNG.uniform(0.5, 2.0, M)


class Batched:
    """Batches in the order of the rows."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __iter__(self):
        for start in range(0, M, BATCH):
            yield tuple(a[start : start + BATCH] for a in self.arrays)


class Rows:
    """Rows one by one, as a torch Dataset has them."""

    def __len__(self):
        return M

    def __getitem__(self, i):
        return X[i], Y[i], W[i]


def npy(folder):
    np.save(folder / "X.npy", X)
    return bpnet.streams.Arrays(np.load(folder / "X.npy", mmap_mode="r"), Y, W, block_rows=37)


def hdf5(folder):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(folder / "data.h5", "w")
    arrays = [
        file.create_dataset(n, data=a, chunks=True) for n, a in (("X", X), ("y", Y), ("w", W))
    ]
    return bpnet.streams.Arrays(*arrays, block_rows=50)


def zarr(folder):
    library = pytest.importorskip("zarr")
    array = library.create_array(store=str(folder / "X.zarr"), data=X, chunks=(20, N))
    return bpnet.streams.Arrays(array, Y, W, block_rows=40)


def table():
    pyarrow = pytest.importorskip("pyarrow")
    names = [f"x{j}" for j in range(N)]
    return pyarrow.table([*X.T, Y, W], names=[*names, "class", "weight"])


def parquet(folder):
    library = pytest.importorskip("pyarrow.parquet")
    library.write_table(table(), folder / "data.parquet", row_group_size=60)
    return bpnet.streams.Parquet(folder / "data.parquet", "class", weight="weight")


def parquet_files(folder):
    library = pytest.importorskip("pyarrow.parquet")
    (folder / "parts").mkdir()
    for number, start in enumerate(range(0, M, 100)):
        part = table().slice(start, 100)
        library.write_table(part, folder / "parts" / f"{number}.parquet", row_group_size=30)
    return bpnet.streams.Parquet(folder / "parts", "class", weight="weight")


def examples(folder):
    return bpnet.streams.Examples(Rows(), block_rows=33)


class Columns(bpnet.streams.Source):
    """Blocks in Fortran order, as frames of pandas have them."""

    def __init__(self):
        super().__init__([23] * 10, N, weighted=True)

    def read(self, block):
        rows = slice(23 * block, 23 * (block + 1))
        return np.asfortranarray(X[rows]), Y[rows], W[rows]


def columns(folder):
    return Columns()


def iterable(folder):
    return Batched(X, Y, W)


def batches(folder):
    return list(Batched(X, Y, W))


KINDS = [npy, hdf5, zarr, parquet, parquet_files, examples, columns, iterable, batches]
BLOCKS = [kind for kind in KINDS if kind not in (iterable, batches)]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def stream(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture(params=BLOCKS, ids=lambda kind: kind.__name__)
def blocks(request, tmp_path):
    return request.param(tmp_path)


def network(**changes):
    layers = [bpnet.Dense(6, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(3)]
    return bpnet.Network(layers, "categorical_crossentropy", **({"seed": 1} | changes))


def fitted(X, y=None, w=None, **settings):
    net = network()
    if not isinstance(X, Batched | list):
        settings = {"batch_size": BATCH} | settings
    history = net.fit(X, y, sample_weight=w, epochs=2, **settings)
    return net, history


def assert_same(net, other):
    for a, b in zip(net.get_weights(), other.get_weights(), strict=True):
        assert_array_equal(a, b)


def test_unshuffled_training(stream, backend):
    given = {} if isinstance(stream, Batched | list) else {"shuffle": False}
    due, history = fitted(X, Y, W, shuffle=False, backend=backend)
    net, streamed = fitted(stream, backend=backend, **given)
    assert_same(net, due)
    assert streamed["loss"] == pytest.approx(history["loss"], rel=1e-6)


def test_shuffled_training_is_in_the_documented_order(blocks, backend):
    net, _ = fitted(blocks, backend=backend)
    orders = [bpnet.streams.row_order(blocks.sizes, net.seed, epoch) for epoch in range(2)]
    assert_same(net, _replay(network(), orders, backend))


def _replay(net, orders, backend):
    """Train on arrays in given orders."""

    class Replay(bpnet.Loader):
        def batches(self, epoch):
            for start in range(0, M, BATCH):
                rows = orders[epoch][start : start + BATCH]
                yield X[rows], Y[rows], W[rows]

    net.fit(Replay(M, N, BATCH, total_weight=float(W.sum())), epochs=2, backend=backend)
    return net


def test_one_batch_takes_all_rows_in_order(blocks):
    due, _ = fitted(X, Y, W, batch_size=None)
    assert_same(fitted(blocks, batch_size=None)[0], due)


def test_predictions_and_metrics(stream, backend):
    net = network().build(N, backend)
    names = ["accuracy", "balanced_accuracy", "roc_auc", "log_loss"]
    assert_array_equal(net.predict_proba(stream), net.predict_proba(X))
    assert_array_equal(net.predict(stream), net.predict(X))
    assert net.evaluate(stream, metrics=names) == net.evaluate(X, Y, W, metrics=names)


def test_validation(stream):
    _, due = fitted(X, Y, validation_data=(X, Y, W))
    _, history = fitted(X, Y, validation_data=stream)
    assert history["val_loss"] == due["val_loss"]
    assert history["val_accuracy"] == due["val_accuracy"]


def test_no_thread_is_left(stream):
    before = threading.enumerate()
    net, _ = fitted(stream, validation_data=stream)
    net.predict(stream)
    net.evaluate(stream)
    assert set(threading.enumerate()) <= set(before)
