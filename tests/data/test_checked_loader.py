"""Loaders of one's own: the bits of arrays, promises kept, and places to resume from."""

from __future__ import annotations

import contextlib
import os
import signal

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from refusals import Unchanged

import bpnet
from bpnet.data.loader import Piece
from bpnet.random import generator

pytestmark = pytest.mark.few_on_jax

M, N, BATCH, EPOCHS, SEED = 26, 5, 4, 3, 1  # 6 batches of 4, and one of 2
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, N))
LABELS = RNG.integers(0, 3, M)
W = RNG.uniform(0.0, 2.0, M)
W[:BATCH] = 0.0  # also a batch, if not shuffled


class Same(bpnet.Loader):
    """The batches that fit makes of arrays."""

    def __init__(self, w=W, batch_size=BATCH, **numbers):
        self.w = w
        total = None if w is None else w.sum()
        numbers = {"n_rows": M, "n_inputs": N, "total_weight": total} | numbers
        super().__init__(batch_size=batch_size, **numbers)

    def order(self, epoch):
        return generator(SEED, "shuffle", epoch).permutation(M)

    def batches(self, epoch):
        order = self.order(epoch) if self.batch_size < M else np.arange(M)
        for start in range(0, M, self.batch_size):
            rows = order[start : start + self.batch_size]
            yield (X[rows], LABELS[rows], *([] if self.w is None else [self.w[rows]]))


class InPieces(Same):
    """The same batches, three at a time, moved by the loader itself."""

    def pieces(self, backend):
        order = self.order(self._epoch)
        for start in range(0, M, 3 * BATCH):
            rows = order[start : start + 3 * BATCH]
            sizes = [BATCH] * 3 if len(rows) == 3 * BATCH else [2]
            arrays = {"X": backend.asarray(X[rows]), "y": LABELS[rows], "w": self.w[rows]}
            yield Piece(arrays, sizes)


class Stream(bpnet.Loader):
    """Examples that continue from epoch to epoch, whatever its number."""

    def __init__(self):
        super().__init__(12, N, 5)
        self.position = 0

    def begin_epoch(self, epoch):
        super().begin_epoch(epoch)
        self.start = self.position

    def batches(self, epoch):
        self.position = self.start
        for rows in (5, 5, 2):
            drawn = np.random.default_rng(self.position)
            self.position += rows
            features = drawn.normal(size=(rows, N))
            yield features, features[:, 0] > 0.0

    def sample(self, rows):
        return X[:rows], LABELS[:rows] > 0

    def place(self):
        return {"position": self.position}

    def seek(self, place):
        self.position = place["position"]


def network(dtype="float64"):
    layers = [bpnet.Dense(6, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(3)]
    return bpnet.Network(layers, "categorical_crossentropy", seed=SEED, dtype=dtype)


def binary():
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "binary_crossentropy", 2)


def on_host(net):
    return [
        np.array(net.backend.to_numpy(p)) for layer in net.parameters for p in layer.values()
    ]


def assert_same_bits(net, other):
    for p, q in zip(on_host(net), on_host(other), strict=True):
        assert_array_equal(p, q, strict=True)


# --- the same results as with arrays ----------------------------------------------------------


def assert_same_run(loader, w, batch_size, dtype, backend):
    net, expected = network(dtype), network(dtype)
    settings = {
        "optimizer": bpnet.SGD(bpnet.schedules.Exponential(0.1, 0.7), momentum=0.9),
        "epochs": EPOCHS, "backend": backend,
    }  # fmt: skip
    history = net.fit(loader(w, batch_size), **settings)
    due = expected.fit(X, LABELS, sample_weight=w, batch_size=batch_size, **settings)
    assert_same_bits(net, expected)
    assert_allclose(history["loss"], due["loss"], rtol=1e-15 if dtype == "float64" else 1e-6)


def test_a_loader_trains_bit_for_bit_like_arrays(backend):
    assert_same_run(Same, W, BATCH, "float64", backend)


@pytest.mark.parametrize(
    ("loader", "w", "batch_size"),
    [(Same, None, BATCH), (Same, W, M), (InPieces, W, BATCH)],
    ids=["unweighted", "one batch", "pieces"],
)
def test_other_loaders_do_too(loader, w, batch_size):
    assert_same_run(loader, w, batch_size, "float32", "numpy")


def test_validation_data_work_with_a_loader():
    net, expected = network(), network()
    settings = {"validation_data": (X[:9], LABELS[:9]), "epochs": EPOCHS}
    history = net.fit(Same(None), **settings)
    due = expected.fit(X, LABELS, batch_size=BATCH, **settings)
    assert dict(history) == dict(due)


def test_a_batch_may_have_no_weight():
    loader, net = Same(), network()
    loader.order = lambda epoch: np.arange(M)
    net.fit(loader, epochs=1)
    expected = network()
    expected.fit(X, LABELS, sample_weight=W, batch_size=BATCH, epochs=1, shuffle=False)
    assert_same_bits(net, expected)


def test_arrays_of_a_device_and_sizes_that_vary_are_taken():
    backend = bpnet.get_backend("array_api_strict:device1")

    class Varied(bpnet.Loader):
        def batches(self, epoch):
            for rows in (slice(0, 2), slice(2, 7), slice(7, 10)):
                yield backend.asarray(X[rows]), backend.asarray(LABELS[rows])

    net = network()
    net.fit(Varied(10, N, 5, sizes=[2, 5, 3], n_batches=3), epochs=2, backend=backend)
    assert net.backend == backend
    assert net.steps_taken == 6


def test_each_epoch_begins_once_and_counts_over_all_runs():
    begun = []

    class Counting(Same):
        def begin_epoch(self, epoch):
            super().begin_epoch(epoch)
            begun.append(epoch)

    net, loader = network(), Counting()
    net.fit(loader, epochs=2)
    net.fit(loader, epochs=1)
    assert begun == [0, 1, 2]


# --- promises ---------------------------------------------------------------------------------


def yields(*batches, **numbers):
    """Return a loader that keeps its promise in the first epoch, and then yields these."""

    class Given(bpnet.Loader):
        def batches(self, epoch):
            if epoch == 0:
                return [(X[:4], LABELS[:4]), (X[4:6], LABELS[4:6])]
            return batches

    return Given(**{"n_rows": 6, "n_inputs": N, "batch_size": 4} | numbers)


FOUR, TWO = (X[:4], LABELS[:4]), (X[4:6], LABELS[4:6])
WHERE = r" of batch 1 in epoch 1 \(both from 0\) of the loader Given"


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([FOUR], r"must yield 2 batches with 6 examples .* got 1 batches with 4 .*epoch 1"),
        ([FOUR, FOUR], "must yield 2 batches with 6 examples .* got 2 batches with 8 examples"),
        ([FOUR, TWO, TWO], "2 batches with 6 examples .* got 3 batches with 8 examples, or"),
        ([FOUR, (X[:3], LABELS[:3])], rf"sizes \[2, 4\], as given in __init__; got 3{WHERE}$"),
        ([FOUR, (X[:2] * np.nan, LABELS[:2])], f"^X{WHERE} must be finite in float64, got 10"),
        ([FOUR, (X[:2, :4], LABELS[:2])], f"^X{WHERE} must have 5 features, .* got 4"),
        ([FOUR, (X[:2], LABELS[:2] + 3)], f"^y{WHERE} must hold labels 0 to 2"),
        ([FOUR, (X[:2], LABELS[:4])], f"^y{WHERE} must have one entry for each of 2 .* got 4"),
        ([FOUR, (X[:2], np.eye(3)[:2])], rf"^y{WHERE} must be labels or rows .* \(2, 3\)"),
        ([FOUR, (*TWO, W[4:6])], f"^batches must have no weights, .*None; got nda.*{WHERE}"),
        ([FOUR, ("text", LABELS[:2])], f"^X{WHERE} must be an array of numbers, got str"),
        ([FOUR, X[:2]], r"must yield \(X, y\) or .*; got ndarray as batch 1 in epoch 1 \(both"),
        ([FOUR, (X,)], r"must yield \(X, y\) or .*; got tuple of 1 as batch 1 in epoch 1"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_named_and_the_last_good_epoch_kept(batches, message):
    net, expected = network(), network()
    expected.fit(yields(), epochs=1)
    with pytest.raises(bpnet.ComponentError, match=message):
        net.fit(yields(*batches), epochs=3)
    assert_same_bits(net, expected)
    assert (net.steps_taken, net.epochs_taken) == (2, 1)


def test_weights_must_have_their_sum():
    loader = Same(total_weight=2.0 * W.sum())
    with pytest.raises(bpnet.ComponentError, match=r"sum total_weight=.* got .* in epoch 0"):
        network().fit(loader, epochs=1)
    with pytest.raises(bpnet.ComponentError, match=r"batches must have weights, .* NoneType"):
        network().fit(Same(None, total_weight=3.0), epochs=1)


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        (X, r"must be a Piece of the arrays X, y .*; got ndarray of batch 0 in epoch 0"),
        (Piece({"X": X}, []), "must be a Piece of the arrays X, y and perhaps w; got Piece"),
        (
            Piece({"X": X[:6], "y": LABELS[:6], "w": W[:6]}, [2, 4]),
            "but the last 4; .*2, 4",
        ),
        (Piece({"X": X[:6], "y": LABELS[:6], "w": W[:6]}, [4, 4]), "sum to its 6 rows, .*4, 4"),
    ],
)
def test_a_wrong_piece_is_refused(piece, message):
    class Pieces(bpnet.Loader):
        def pieces(self, backend):
            yield piece

    with pytest.raises(bpnet.ComponentError, match=message):
        network().fit(Pieces(M, N, BATCH, total_weight=1.0), epochs=1)


@pytest.mark.parametrize(
    ("loader", "error", "message"),
    [
        (bpnet.Loader(M, N, BATCH), bpnet.ComponentError, "Loader must define batches"),
        (type("No", (Same,), {"__init__": lambda self: None})(), bpnet.ComponentError,
         r"the loader No has no numbers; call super\(\).__init__"),
        (Same, TypeError, "X must be an array of numbers, got the class Same"),
        (Same(n_inputs=4), ValueError, "must have n_inputs=5, as the network .* n_inputs=4"),
    ],
)  # fmt: skip
def test_an_unsuitable_loader_is_refused_before_training(loader, error, message):
    net = network().build(N)
    Unchanged(net).refuses(lambda: net.fit(loader), error, message)


# --- resuming ---------------------------------------------------------------------------------


class Killed(bpnet.Callback):
    def on_epoch_begin(self, training):
        if training.epoch == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("loader", [Same, Stream])
def test_a_run_that_was_killed_is_resumed_bit_for_bit(loader, tmp_path):
    path = tmp_path / "net.safetensors"

    def train(*callbacks, resume_from=None):
        net = network() if loader is Same else binary()
        callbacks = [bpnet.GradientFlow(8), *callbacks]
        return net, net.fit(loader(), epochs=5, callbacks=callbacks, resume_from=resume_from)

    whole, due = train()
    with pytest.raises(KeyboardInterrupt):
        train(bpnet.Checkpoint(path), Killed())
    net, history = train(resume_from=path)
    assert_same_bits(net, whole)
    assert dict(history) == dict(due)
    assert history.facts == due.facts


def test_the_examples_of_a_resumed_run_must_be_the_same(tmp_path):
    path = tmp_path / "net.safetensors"
    net = network()
    net.fit(Same(), epochs=1)
    net.save(path)
    with pytest.raises(ValueError, match="batch_size must be the same"):
        network().fit(Same(batch_size=5), epochs=2, resume_from=path)
    network().fit(Same(), epochs=2, callbacks=[bpnet.Checkpoint(path)])
    with pytest.raises(ValueError, match="the training examples must be the same"):
        network().fit(Same(W + 1.0), epochs=3, resume_from=path)
    with pytest.raises(ValueError, match="the training examples must be the same"):
        network().fit(X, LABELS, batch_size=BATCH, epochs=3, resume_from=path)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ([3], r"place\(\) of the loader Bad must return a dict, got list"),
        ({"at": (1, 2)}, r"place\(\) .* must return what JSON can store, .* tuples"),
        ({"at": np.int64(3)}, r"place\(\) .* int64 is not JSON serializable"),
    ],
)
def test_a_place_must_survive_in_a_file(place, message):
    bad = type("Bad", (Same,), {"place": lambda self: place})()
    net = network()
    with pytest.raises(bpnet.ComponentError, match=message):
        net.fit(bad, epochs=2)
    assert (net.steps_taken, net.epochs_taken) == (0, 0)


# --- NaN guard, Ctrl-C and callbacks ----------------------------------------------------------


def test_a_nan_is_found_by_reading_the_epoch_again():
    class Exploding(Stream):
        def batches(self, epoch):
            for number, (features, y) in enumerate(super().batches(epoch)):
                yield features * (1e30 if (epoch, number) == (1, 1) else 1.0), y

    net, expected = (bpnet.Network([bpnet.Dense(1)], "mean_squared_error", 2) for _ in "12")
    expected.fit(Stream(), epochs=1)
    with pytest.raises(bpnet.NonFiniteError) as caught, np.errstate(all="ignore"):
        net.fit(Exploding(), epochs=3)
    assert (caught.value.found.epoch, caught.value.found.step) == (2, 2)
    assert "features up to" in caught.value.found.cause
    assert_same_bits(net, expected)


def test_ctrl_c_stops_between_batches():
    class Interrupting(Same):
        def batches(self, epoch):
            for number, batch in enumerate(super().batches(epoch)):
                if (epoch, number) == (1, 2):
                    os.kill(os.getpid(), signal.SIGINT)
                yield batch

    net = network()
    history = net.fit(Interrupting(), epochs=4)
    assert history.stopped == "interrupted"
    assert (net.epochs_taken, net.steps_taken) == (1, 7 + 2)
    net.fit(Same(), epochs=1)


def test_the_doctor_examines_a_sample(backend):
    history = network().fit(
        Same(), epochs=3, callbacks=[bpnet.GradientFlow(10)], backend=backend
    )
    assert history.facts.n_rows == M
    assert history.facts.n_batches == 7
    assert_allclose(sum(history.facts.class_shares), 1.0)
    assert "gradient_norm/2" in history
    assert "diagnosis" in str(bpnet.diagnose(history))


def test_a_sample_is_the_beginning_of_the_first_epoch():
    first = [np.concatenate(part) for part in zip(*Same().batches(0), strict=True)]
    for rows in (3, 10, M, M + 9):
        for part, expected in zip(Same().sample(rows), first, strict=True):
            assert_array_equal(part, expected[:rows])


def test_pieces_alone_have_no_sample():
    class Alone(bpnet.Loader):
        def pieces(self, backend):
            yield Piece({"X": X, "y": LABELS}, [])

    net = network()
    net.fit(Alone(M, N, M), epochs=1)
    with pytest.raises(NotImplementedError, match=r"Alone must define batches.*and sample"):
        net.fit(Alone(M, N, M), epochs=1, callbacks=[bpnet.GradientFlow()])


def test_a_reader_that_fails_leaves_the_last_good_epoch():
    """Else a retry would take the first batches of the epoch twice."""

    class Failing(bpnet.Loader):
        def __init__(self, epochs):
            super().__init__(n_rows=20, n_inputs=2, batch_size=5)
            self.epochs = epochs

        def batches(self, epoch):
            rng = np.random.default_rng(epoch)
            for number in range(4):
                if (epoch, number) == (self.epochs, 2):
                    raise OSError("the disk is gone")
                yield rng.normal(size=(5, 2)), rng.normal(size=5)

    def fit(loader, epochs):
        net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
        with contextlib.suppress(OSError):
            net.fit(loader, epochs=epochs)
        return net

    failed, whole = fit(Failing(1), 3), fit(Failing(9), 1)
    assert (failed.epochs_taken, failed.steps_taken) == (1, 4)
    assert np.array_equal(failed.parameters[0]["W"], whole.parameters[0]["W"])


def test_a_loader_without_yield_is_named():
    class Silent(bpnet.Loader):
        def __init__(self):
            super().__init__(n_rows=20, n_inputs=2, batch_size=5)

        def batches(self, epoch):
            pass

    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
    with pytest.raises(bpnet.ComponentError, match=r"Silent must yield batches.*NoneType"):
        net.fit(Silent())
