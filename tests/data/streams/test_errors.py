"""What is wrong with a stream is one error that says where, and no thread outlives it."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

import bpnet

M, N = 200, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, N)).astype("float32")
Y = RNG.integers(0, 2, M)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.enumerate()
    yield
    assert set(threading.enumerate()) <= set(before)


class Blocks(bpnet.streams.Source):
    """Blocks of 50 rows, which a function may change."""

    def __init__(self, change=lambda block, X, y, w: (X, y, w), **settings):
        super().__init__([50] * 4, N, **settings)
        self.change, self.reads = change, []

    def read(self, block):
        self.reads.append(block)
        rows = slice(50 * block, 50 * (block + 1))
        return self.change(block, X[rows].copy(), Y[rows].copy(), None)


def network():
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "bce", seed=0)


def fit(stream, **settings):
    return network().fit(stream, **({"epochs": 2, "batch_size": 10} | settings))


def with_value(block, row, value, of="X"):
    def change(number, X, y, w):
        y = y.astype(float)
        if number == block:
            (X if of == "X" else y)[row] = value
        return X, y, w

    return change


@pytest.mark.parametrize("of", ["X", "y"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_named_by_block_and_row(of, value):
    stream = Blocks(with_value(2, 17, value, of))
    for call in (fit, lambda s: network().build(N).evaluate(s)):
        with pytest.raises(
            ValueError, match=rf"^{of} of block 2 \(rows 100 to 149\) must be finite"
        ) as raised:
            call(stream)
        assert "the first in row 117" in str(raised.value)
    if of == "X":
        with pytest.raises(ValueError, match="the first in row 117"):
            network().build(N).predict(stream)


def test_first_block_is_refused_before_anything_changes():
    net = network()
    with pytest.raises(ValueError, match="block 0"):
        net.fit(Blocks(with_value(0, 3, np.nan)))
    assert not net.is_built


def test_error_leaves_the_weights_of_the_last_good_epoch():
    stream, net, due = Blocks(), network(), network()
    due.fit(Blocks(), epochs=1, batch_size=10)

    class Spoil(bpnet.Callback):
        def on_epoch_end(self, training):
            stream.change = with_value(3, 0, np.nan)

    with pytest.raises(ValueError, match="block 3"):
        net.fit(stream, epochs=2, batch_size=10, callbacks=Spoil())
    for a, b in zip(net.get_weights(), due.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_blocks_that_cannot_be_read():
    def fail(block, X, y, w):
        if block == 1:
            raise KeyError("gone")
        return X, y, w

    with pytest.raises(OSError, match=r"block 1 \(rows 50 to 99\) cannot be read: KeyError"):
        fit(Blocks(fail))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b, X, y, w: (X, y[:-1], w), "y of block 0 .* one entry for each of 50"),
        (lambda b, X, y, w: (X[:, :2], y, w), "X of block 0 .* must have 3 features"),
        (lambda b, X, y, w: (X, y, y * 1.0), "sample_weight of block 0 .* weighted is False"),
        (lambda b, X, y, w: (X[b:], y[b:], w), r"block [1-3] .* must have 50 rows"),
        (lambda b, X, y, w: (X.astype(str), y, w), "X of block 0 .* must hold real numbers"),
    ],
)
def test_ragged_blocks(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fit(Blocks(change))


def test_error_of_a_callback_ends_the_thread():
    class Fail(bpnet.Callback):
        def on_batch_end(self, training):
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as raised:
        fit(Blocks(), callbacks=Fail())
    assert raised.value.__traceback__ is not None  # which keeps all frames
    assert not [t for t in threading.enumerate() if t.name.startswith("bpnet-stream")]


@pytest.fixture
def own_interrupts():
    """Handle Ctrl-C as in a shell's foreground, whatever has started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("own_interrupts")
def test_interrupt_ends_training():
    def interrupt(block, X, y, w):
        if len(stream.reads) == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return X, y, w

    stream = Blocks(interrupt)
    history = fit(stream, epochs=50)
    assert history.stopped == "interrupted"
    assert len(history["loss"]) < 50


@pytest.mark.parametrize("buffer", [1, 2])
@pytest.mark.parametrize("shuffle", [True, False])
def test_few_blocks_are_read_ahead(buffer, shuffle):
    ahead = []

    class Many(bpnet.streams.Source):
        def __init__(self):
            super().__init__([50] * 40, N, buffer_blocks=buffer)
            self.reads = 0

        def read(self, block):
            self.reads += 1
            return X[:50], Y[:50], None

    class Look(bpnet.Callback):
        def on_batch_end(self, training):
            taken = 50 * len(ahead) // 50
            ahead.append(stream.reads - first - taken)

        def on_train_begin(self, training):
            nonlocal first
            first = stream.reads

    first, stream = 0, Many()
    fit(stream, epochs=1, batch_size=50, callbacks=Look(), shuffle=shuffle)
    assert max(ahead) <= 2 * buffer + 2


# --- arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"y": Y}, "y must be None if X is a stream"),
        ({"sample_weight": Y}, "sample_weight must be None if X is a stream"),
        ({"validation_split": 0.2}, "validation_split must be left at 0.0"),
        ({"stratify": True}, "stratify must be left at False"),
        ({"batch_size": 0}, "batch_size"),
        ({"training_metrics": True}, "training_metrics must be False"),
    ],
)
def test_arguments_that_a_stream_excludes(settings, message):
    with pytest.raises(ValueError, match=message):
        fit(Blocks(), **settings)


def test_stream_without_targets_only_predicts():
    stream = bpnet.streams.Arrays(X, block_rows=50)
    for call in (network().fit, network().build(N).evaluate):
        with pytest.raises(ValueError, match="X must have targets"):
            call(stream)
    assert network().build(N).predict(stream).shape == (M,)


def test_other_number_of_features():
    for call in (network().build(2).predict, network().build(2).fit):
        with pytest.raises(ValueError, match="X must have 2 features"):
            call(Blocks())
    with pytest.raises(ValueError, match="X of validation_data must have 2 features"):
        network().fit(X[:, :2], Y, validation_data=Blocks())


# --- iterables ------------------------------------------------------------------------------


class Batched:
    def __init__(self, *parts):
        self.parts, self.epochs = parts, []

    def __iter__(self):
        for part in self.parts[len(self.epochs) - 1] if self.epochs else self.parts[0]:
            if isinstance(part, Exception):
                raise part
            yield part

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


PAIRS = [(X[:50], Y[:50]), (X[50:90], Y[50:90])]


def test_generator_is_refused():
    for call in (network().fit, network().build(N).evaluate, network().build(N).predict):
        with pytest.raises(TypeError, match="got generator, which can be read only once"):
            call(pair for pair in PAIRS)


def test_iterable_that_changes():
    with pytest.raises(
        bpnet.ComponentError,
        match="the iterable Batched must yield 2 batches with 90 examples in each epoch, as it "
        "did when it was first read; got 1 batches",
    ):
        network().fit(Batched(PAIRS, PAIRS[:1]), epochs=2)


def test_iterable_is_told_the_epoch():
    batches = Batched(PAIRS, PAIRS, PAIRS)
    network().fit(batches, epochs=3)
    assert batches.epochs == [0, 1, 2]


def test_error_of_an_iterable_has_a_note():
    with pytest.raises(KeyError) as raised:
        network().fit(Batched(PAIRS, [PAIRS[0], KeyError("x")], PAIRS), epochs=3)
    assert raised.value.__notes__ == ["raised by batch 1 (from 0) of the iterable Batched"]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (Batched([]), "must yield at least one batch"),
        (Batched([(X[0], Y[0])]), "must be 2-D"),
        (Batched([(X, Y, Y, Y)]), r"must yield \(X, y\)"),
        (Batched([X]), r"must yield \(X, y\)"),
        (Batched([PAIRS[0], (X[:5], Y[:4])]), "y of batch 1"),
    ],
)
def test_malformed_batches(batches, message):
    with pytest.raises((ValueError, TypeError), match=message):
        network().fit(batches)


def test_arguments_that_batches_determine():
    with pytest.raises(ValueError, match="batch_size must be left at 32 if X is the iterable"):
        network().fit(Batched(PAIRS), batch_size=5)


# --- Parquet ----------------------------------------------------------------------------------


@pytest.fixture
def table():
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table([*X.T, Y, ["a"] * M], names=["x0", "x1", "x2", "y", "name"])


@pytest.fixture
def path(table, tmp_path):
    from pyarrow import parquet

    path = tmp_path / "data.parquet"
    parquet.write_table(table, path, row_group_size=50)
    return path


def test_columns_that_are_no_numbers_are_named(path):
    with pytest.raises(TypeError, match=r"text in column 'name'.*columns=\[\.\.\.\]"):
        bpnet.streams.Parquet(path, "y")
    assert bpnet.streams.Parquet(path, "y", columns=["x2", "x0"]).n_inputs == 2


def test_missing_columns_are_named(path):
    with pytest.raises(ValueError, match="lacks 'z', 'price' and has 'x0', 'x1'"):
        bpnet.streams.Parquet(path, "price", columns=["x0", "z"])


def test_file_that_is_no_parquet(path):
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(OSError, match=r"data\.parquet cannot be read"):
        bpnet.streams.Parquet(path, "y")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        bpnet.streams.Parquet(tmp_path / "none.parquet", "y")


def vanish(path):
    path.unlink()


def truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("spoil", [vanish, truncate])
def test_file_that_changes_while_it_is_read(path, spoil):
    stream = bpnet.streams.Parquet(path, "y", columns=["x0", "x1", "x2"])

    class Spoil(bpnet.Callback):
        def on_epoch_end(self, training):
            spoil(path)

    with pytest.raises(OSError, match=r"block [0-3] .* of .*data\.parquet cannot be read"):
        fit(stream, callbacks=Spoil())


def test_missing_value_is_named_by_row(table, tmp_path):
    from pyarrow import compute, parquet

    rows = compute.equal(np.arange(M), 120)
    column = compute.if_else(rows, None, table.column("x1"))
    parquet.write_table(
        table.set_column(1, "x1", column), tmp_path / "gap.parquet", row_group_size=50
    )
    stream = bpnet.streams.Parquet(tmp_path / "gap.parquet", "y", columns=["x0", "x1"])
    with pytest.raises(ValueError, match=r"1 in column 'x1'; the first in row 120"):
        fit(stream)


def test_url(path):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://streams/data.parquet", "wb") as file:
        file.write(path.read_bytes())
    columns = ["x0", "x1", "x2"]
    stream = bpnet.streams.Parquet("memory://streams/data.parquet", "y", columns=columns)
    assert stream.sizes == (50,) * 4
    there = fit(stream)
    assert there["loss"] == fit(bpnet.streams.Parquet(path, "y", columns=columns))["loss"]


def test_feature_names_are_remembered(path, table):
    net = network()
    net.fit(bpnet.streams.Parquet(path, "y", columns=["x0", "x2"]))
    assert net.feature_names == ("x0", "x2")
    with pytest.raises(ValueError, match="must have the features"):
        net.predict(bpnet.streams.Parquet(path, columns=["x2", "x0"]))
    several = bpnet.streams.Parquet(path, ["x0", "y"], columns=["x1", "x2"])
    regression = bpnet.Network([bpnet.Dense(2)], "mse", seed=0)
    assert len(regression.fit(several, epochs=2)["loss"]) == 2
