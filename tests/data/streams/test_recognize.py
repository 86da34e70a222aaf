"""Which arguments are streams: large arrays of files, torch's data sets, iterables."""

from __future__ import annotations

import re
import sys
from functools import partial

import numpy as np
import pytest

import bpnet
from bpnet.data.streams import recognize

M, N = 120, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, N)).astype("float32")
Y = RNG.integers(0, 2, M)


class Sliceable:
    """What HDF5, Zarr and others have in common."""

    def __init__(self, array):
        self.array, self.reads = array, []

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)

    def __getitem__(self, rows):
        self.reads.append(rows)
        return self.array[rows]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def network():
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "bce", seed=0)


def trained(*data, **settings):
    net = network()
    net.fit(*data, epochs=2, **settings)
    return net.get_weights()


def assert_same(a, b):
    for p, q in zip(a, b, strict=True):
        np.testing.assert_array_equal(p, q)


def test_small_arrays_of_files_are_read_at_once():
    assert_same(trained(Sliceable(X), Sliceable(Y)), trained(X, Y))


def test_large_arrays_of_files_are_read_in_blocks(monkeypatch):
    monkeypatch.setattr(recognize, "WHOLE", 100)
    monkeypatch.setattr("bpnet.data.streams.source.BLOCK", 40 * 4 * N)
    large, y = Sliceable(X), Sliceable(Y)
    due = trained(X, Y, shuffle=False)
    assert_same(trained(large, y, shuffle=False), due)
    assert {(r.start, r.stop) for r in large.reads} == {(0, 40), (40, 80), (80, 120)}
    held_out = network().fit(X, Y, epochs=1, validation_data=(large, y))
    assert (
        held_out["val_loss"]
        == network().fit(X, Y, epochs=1, validation_data=(X, Y))["val_loss"]
    )
    net = network().build(N)
    np.testing.assert_array_equal(net.predict_proba(large), net.predict_proba(X))
    assert net.evaluate(large, y) == net.evaluate(X, Y)
    with pytest.raises(ValueError, match="X must have targets"):
        net.fit(large)


def test_blocks_are_whole_chunks(monkeypatch):
    monkeypatch.setattr("bpnet.data.streams.source.BLOCK", 50 * 4 * N)
    array = Sliceable(X)
    array.chunks = (20, N)
    assert bpnet.streams.Arrays(array).sizes == (40, 40, 40)


class Rows:
    """What only has a length, and slices."""

    def __init__(self, array):
        self.array, self.reads = array, []

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        self.reads.append(rows)
        return self.array[rows]


def test_rows_without_a_shape_are_read_in_blocks():
    rows = Rows(X)
    stream = bpnet.streams.Arrays(rows, Rows(Y), block_rows=40)
    assert_same(trained(stream, shuffle=False), trained(X, Y, shuffle=False))
    assert {(r.start, r.stop) for r in rows.reads[1:]} == {(0, 40), (40, 80), (80, 120)}


@pytest.mark.parametrize("shape", [(M,), (M, N, 1), (0, N)])
def test_arrays_of_another_shape(shape):
    with pytest.raises(ValueError, match="X must be 2-D"):
        bpnet.streams.Arrays(np.zeros(shape))


def test_arrays_of_other_lengths():
    with pytest.raises(ValueError, match="y must have one entry for each of 120"):
        bpnet.streams.Arrays(X, Y[:-1])
    with pytest.raises(ValueError, match="sample_weight must have one entry"):
        bpnet.streams.Arrays(X, Y, Y[:-1])


@pytest.mark.parametrize(
    "value", [X.tolist(), [[1.0, 2.0], [3.0, 4.0]], {"a": 1}, {1, 2}, "text", None, 3.0]
)
def test_other_data_is_no_stream(value):
    assert recognize.as_source(value) is None


def test_data_frames_are_no_stream():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    assert recognize.as_source(pandas.DataFrame(X)) is None
    assert recognize.as_source(polars.DataFrame(X)) is None


def test_torch_data():
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, IterableDataset, TensorDataset

    dataset = TensorDataset(torch.asarray(X), torch.asarray(Y))
    due = trained(X, Y, shuffle=False, batch_size=16)
    assert_same(trained(DataLoader(dataset, batch_size=16)), due)
    assert_same(trained(dataset, shuffle=False, batch_size=16), due)
    history = network().fit(DataLoader(dataset, 16, shuffle=True), epochs=2)
    assert len(history["loss"]) == 2

    class Singles(IterableDataset):
        def __iter__(self):
            return iter(dataset)

    with pytest.raises(ValueError, match=r"must be 2-D .* DataLoader"):
        network().fit(Singles())


def test_examples_that_are_malformed():
    with pytest.raises(TypeError, match="dataset must have len"):
        bpnet.streams.Examples(iter([]))
    with pytest.raises(ValueError, match="at least one example"):
        bpnet.streams.Examples([])
    with pytest.raises(ValueError, match=r"x of shape \(n_0,\)"):
        bpnet.streams.Examples([(X, 1)])
    with pytest.raises(ValueError, match="of 4"):
        bpnet.streams.Examples([(X[0], 1, 1, 1)])


@pytest.mark.filterwarnings("ignore::bpnet.diagnosis.TrainingWarning")
def test_doctor_and_logs_take_streams(tmp_path):
    stream = bpnet.streams.Arrays(X, (X[:, 0] > 0).astype(int), block_rows=50)
    doctor = bpnet.Doctor()
    log = bpnet.CSVLogger(tmp_path / "log.csv")
    network().fit(stream, epochs=3, validation_data=stream, callbacks=[doctor, log])
    assert "val_loss" in (tmp_path / "log.csv").read_text()


class Whole(bpnet.Loader):
    """A loader of a single batch."""

    def __init__(self, weighted):
        super().__init__(len(X), X.shape[1], len(X), total_weight=1.0 if weighted else None)

    def batches(self, epoch):
        yield (X, Y, np.full(len(X), 1.0 / len(X)))[: 2 + self.weighted]


class Block(bpnet.streams.Source):
    """A stream of a single block."""

    def __init__(self):
        super().__init__([len(X)], X.shape[1])

    def read(self, block):
        return X, Y, None


def of_torch(iterates):
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.asarray(X), torch.asarray(Y))
    return torch.utils.data.DataLoader(dataset) if iterates else dataset


STREAMS = [
    (lambda: Whole(False), "X, y = loader.sample(32)"),
    (lambda: Whole(True), "X, y, w = loader.sample(32)"),
    (Block, "X, y, w = stream.read(0)"),
    (lambda: [(X, Y)], "X, y = next(iter(batches))"),
    (lambda: of_torch(True), "X, y = next(iter(batches))"),
    (lambda: of_torch(False), "X, y = next(iter(torch.utils.data.DataLoader(dataset, 32)))"),
]


@pytest.mark.parametrize(("make", "way"), STREAMS)
def test_where_only_arrays_are_taken_it_says_how_to_get_some_of_a_stream(make, way):
    net, stream = network(), make()
    message = f"^X must be an array here, not a loader or a stream; got .*{re.escape(way)}$"
    for use in (net.loss_and_gradients, partial(bpnet.check_gradients, net)):
        with pytest.raises(TypeError, match=message):
            use(stream)
    names = dict.fromkeys(("loader", "stream", "batches", "dataset"), stream)
    given = eval(way.partition(" = ")[2], names | {"torch": sys.modules.get("torch")})
    assert net.loss_and_gradients(*given)[0] > 0.0
