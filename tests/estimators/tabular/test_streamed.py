"""Rows on disk: scattered at random, and trained on as arrays in the same order are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.data.dataset import Dataset
from bpnet.data.streams import scattered
from bpnet.data.streams.scattered import Scatter
from bpnet.estimators.tabular import member
from bpnet.estimators.tabular import rows as of_networks
from bpnet.estimators.tabular.rows import InMemory, Streamed
from bpnet.estimators.tabular.streamed import fit_streamed

SMALL = {"n_epochs": 3, "hidden_layer_sizes": (8,), "random_state": 0, "backend": "numpy"}


def filled(folder, rows=500, seed=0, target=("f8", (1,))):
    scatter = Scatter(str(folder), rows, 2, "float32", target, seed)
    X = np.stack([np.arange(rows), -np.arange(rows)], axis=1).astype("float32")
    y = np.arange(rows, dtype="f8").reshape(-1, *target[1])
    for start in range(0, rows, 300):
        scatter.add(X[start : start + 300], y[start : start + 300])
    return scatter.source()


def test_each_row_is_in_one_block_and_blocks_are_random(tmp_path, monkeypatch):
    monkeypatch.setattr(scattered, "BLOCK", 1600)
    source = filled(tmp_path)
    assert len(source.sizes) == 5
    parts = [source.read(block) for block in range(5)]
    assert_array_equal(np.sort(np.concatenate([X[:, 0] for X, _, _ in parts])), np.arange(500))
    for X, y, w in parts:
        assert w is None
        assert_array_equal(X[:, 0], y[:, 0])
        assert_array_equal(X[:, 0], -X[:, 1])
        assert abs(X[:, 0].mean() - 250) < 60  # of all, though the rows came in order
    assert sum(source.sizes) == source.n_rows == 500


def test_a_part_is_random_rows_of_each_block(tmp_path, monkeypatch):
    monkeypatch.setattr(scattered, "BLOCK", 4000)
    part = filled(tmp_path).part(0.4)
    rows = np.concatenate([part.read(block)[0][:, 0] for block in range(len(part.sizes))])
    assert len(rows) == part.n_rows == pytest.approx(200, abs=2)
    assert len(np.unique(rows)) == len(rows)
    assert rows.min() < 50
    assert rows.max() > 450
    assert_array_equal(part.read(0)[0], part.read(0)[0])


def test_few_rows_leave_no_block_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(scattered, "BLOCK", 16)
    source = filled(tmp_path, 4)
    assert 0 not in source.sizes
    rows = [source.read(block)[0][:, 0] for block in range(len(source.sizes))]
    assert sorted(np.concatenate(rows)) == [0, 1, 2, 3]


def test_a_file_that_was_cut_is_noticed(tmp_path):
    source = filled(tmp_path, target=("i8", ()))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-16])
    with pytest.raises(OSError, match="it has 499 rows instead of 500"):
        source.read(0)


def data(rows=700):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(rows, 3))
    return X, 2.0 * X[:, 0] + X[:, 1] ** 2


@pytest.mark.parametrize("kind", [bpnet.TabularRegressor, bpnet.TabularClassifier])
def test_the_weights_are_those_of_arrays_in_the_same_order(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(scattered, "BLOCK", 4000)
    X, y = data(640)
    y = y if kind is bpnet.TabularRegressor else (y > 1.0).astype(int)
    model = kind("td-s", **SMALL, batch_size=64, dropout=0.1)
    examples, _, plan, seed = model._prepared(X, y, None, None)
    inputs = plan.inputs_of(examples)
    whole = plan.dataset(inputs, examples)
    target = (whole.y.dtype.str, whole.y.shape[1:])
    scatter = Scatter(str(tmp_path), 640, whole.n_inputs, "float32", target, seed)
    scatter.add(whole.X, whole.y)
    source = scatter.source()
    assert len(source.sizes) > 2
    streamed = plan._run(inputs, Streamed(source, whole), None, seed, 3, None).network
    blocks = [source.read(block) for block in range(len(source.sizes))]
    arrays = [np.concatenate(parts) for parts in list(zip(*blocks, strict=True))[:2]]

    def shuffled(seed):
        return lambda epoch, rows: bpnet.streams.row_order(source.sizes, seed, epoch, 1)

    monkeypatch.setattr(of_networks, "Shuffled", shuffled)
    in_memory = InMemory(Dataset(*arrays, None, None, "float32"))
    twin = plan._run(inputs, in_memory, None, seed, 3, None).network
    for ours, theirs in zip(streamed.parameters, twin.parameters, strict=True):
        for name, array in ours.items():
            assert_array_equal(array, theirs[name])


def test_the_model_is_sensible_and_as_good_as_in_memory(tmp_path):
    X, y = data(1500)
    settings = {**SMALL, "n_epochs": 30, "validation_fraction": 0.2}
    train, test = slice(0, 1200), slice(1200, None)

    def rest(held):
        kept = np.setdiff1d(np.arange(1200), held)
        yield X[kept], y[kept]

    streamed = bpnet.TabularRegressor("td-s", **settings)
    fit_streamed(streamed, X[:400], y[:400], rest, 1200, str(tmp_path))
    whole = bpnet.TabularRegressor("td-s", **settings).fit(X[train], y[train])
    assert streamed.score(X[test], y[test]) > 0.95
    assert abs(streamed.score(X[test], y[test]) - whole.score(X[test], y[test])) < 0.02
    assert streamed.planned_epochs_ == 30


def test_predictions_are_clipped_to_the_range_of_all_rows(tmp_path):
    X, y = data(600)
    y[500], y[501] = 100.0, -100.0

    def rest(held):
        yield X, y

    model = bpnet.TabularRegressor("td", **SMALL)
    fit_streamed(model, X[:200], y[:200], rest, 600, str(tmp_path))
    assert_allclose([*model._members[0].scale.low, *model._members[0].scale.high], [-100, 100])


def test_an_ensemble_is_refused(tmp_path):
    X, y = data(100)
    model = bpnet.TabularRegressor(n_ensemble=2)
    with pytest.raises(ValueError, match="n_ensemble must be 1 for a stream; got 2"):
        fit_streamed(model, X, y, lambda held: iter([(X, y)]), 100, str(tmp_path))


def test_a_share_of_an_epoch_trains_on_as_many_rows():
    X, y = data(500)
    rows = []

    class Rows(bpnet.Callback):
        adds: ClassVar = {}

        def on_train_begin(self, training):
            rows.append(training.data.data.n_rows)

    settings = {**SMALL, "n_epochs": 0.5, "callbacks": Rows(), "batch_size": 20}
    model = bpnet.TabularRegressor("plain", **settings).fit(X, y)
    assert rows == [200]
    assert model.history_.epochs == 1
    assert model.planned_epochs_ == 0.5
    for given, due in ((True, int), (np.int64(2), int), (np.float32(0.5), float)):
        model.set_params(n_epochs=given).fit(X, y)
        assert type(model.planned_epochs_) is due  # also in the JSON of a report


def test_callbacks_see_that_the_time_is_over(monkeypatch):
    X, y = data(300)
    seen = []

    class Last(bpnet.Callback):
        adds: ClassVar = {}

        def on_epoch_end(self, training):
            seen.append(training.history.stopped)

    monkeypatch.setattr(member, "affordable", lambda *a: 10_000.0)
    settings = {**SMALL, "n_epochs": 10_000, "time_budget": 0.3, "callbacks": Last()}
    model = bpnet.TabularRegressor("plain", **settings).fit(X, y)
    assert seen[-1] == model.history_.stopped == "time_budget is spent"
    assert set(seen[:-1]) == {None}
