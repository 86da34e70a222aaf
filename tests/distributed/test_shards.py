"""Each process with examples of its own."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from thread_group import run_together

import bpnet
from bpnet import Dense, Dropout, Network

X, Y = bpnet.datasets.make_spiral(60, seed=0)
W = np.linspace(0.5, 2.0, 60)
CLOSE = {"rtol": 1e-10, "atol": 1e-13}


class Batches(bpnet.Loader):
    """Given rows of the examples, as batches."""

    def __init__(self, rows, weighted=False):
        self.rows, given = rows, W[np.concatenate(rows)]
        sizes = sorted({len(batch) for batch in rows})
        super().__init__(
            len(given), 2, max(sizes), sizes=sizes, n_batches=len(rows),
            total_weight=given.sum() if weighted else None,
        )  # fmt: skip

    def batches(self, epoch):
        for rows in self.rows:
            yield (X[rows], Y[rows], W[rows]) if self.weighted else (X[rows], Y[rows])


def trained(group, *data, dropout=True, **options):
    layers = [Dense(5, "tanh"), *([Dropout(0.3)] if dropout else []), Dense(1)]
    net = Network(layers, "bce", seed=3, dtype="float64")
    settings = {"epochs": 3, "communicator": group, "shuffle": False}
    if isinstance(data[0], bpnet.Loader):
        del settings["shuffle"]
    history = net.fit(*data, **(settings | options))
    arrays = [net.backend.to_numpy(p) for layer in net.parameters for p in layer.values()]
    return arrays, history["loss"]


def assert_equal_runs(every, expected):
    for arrays, losses in every:
        assert_allclose(losses, expected[1], **CLOSE)
        for got, due in zip(arrays, expected[0], strict=True):
            assert_allclose(got, due, **CLOSE)


@pytest.mark.parametrize("weighted", [False, True])
def test_batches_have_the_next_rows_of_each_shard(backend, weighted):
    """20 rows a batch: 10 from each process, with the masks of these rows."""
    shards = [np.arange(0, 30), np.arange(30, 60)]
    together = [np.concatenate([s[k : k + 10] for s in shards]) for k in (0, 10, 20)]
    expected = trained(None, Batches(together, weighted), backend=backend)

    def run(group):
        mine = shards[group.rank]
        weights = {"sample_weight": W[mine]} if weighted else {}
        return trained(group, X[mine], Y[mine], batch_size=20, backend=backend, **weights)

    assert_equal_runs(run_together(2, run, shards=True), expected)


def test_a_smaller_shard_ends_its_epochs_with_empty_batches():
    shards = [np.arange(0, 35), np.arange(35, 50), np.arange(50, 60)]
    pieces = [[s[k : k + 5] for k in range(0, len(s), 5)] for s in shards]
    together = [np.concatenate([p[k] for p in pieces if k < len(p)]) for k in range(7)]
    expected = trained(None, Batches(together), dropout=False)

    def run(group):
        mine = shards[group.rank]
        return trained(group, X[mine], Y[mine], batch_size=15, dropout=False)

    assert_equal_runs(run_together(3, run, shards=True), expected)


def test_loaders_of_shards():
    mine = [[np.arange(0, 8), np.arange(8, 16)], [np.arange(20, 24), np.arange(24, 27)]]
    together = [np.concatenate(parts) for parts in zip(*mine, strict=True)]
    expected = trained(None, Batches(together), dropout=False)
    every = run_together(
        2, lambda group: trained(group, Batches(mine[group.rank]), dropout=False), shards=True
    )
    assert_equal_runs(every, expected)


def test_weights_in_some_shards_only_are_refused_in_all_processes():
    def run(group):
        weights = {"sample_weight": W} if group.rank == 1 else {}
        trained(group, X, Y, **weights)

    with pytest.raises(ValueError, match=r"or none of them; got .* the processes \[1\]"):
        run_together(2, run, shards=True)


def test_training_metrics_would_be_of_one_shard():
    def run(group):
        trained(group, X, Y, training_metrics=True)

    with pytest.raises(ValueError, match="training_metrics must be False if each process has"):
        run_together(2, run, shards=True)


def test_a_checkpoint_of_shards_resumes(tmp_path):
    path = tmp_path / "run.safetensors"
    shards = [np.arange(0, 30), np.arange(30, 60)]

    def run(group, **options):
        mine = shards[group.rank]
        checkpoint = bpnet.Checkpoint(path)
        options |= {"shuffle": True, "callbacks": [checkpoint]}
        return trained(group, X[mine], Y[mine], batch_size=7, **options)

    run_together(2, lambda group: run(group, epochs=3), shards=True)
    resumed = run_together(2, lambda group: run(group, epochs=5, resume_from=path), shards=True)
    whole = run_together(2, lambda group: run(group, epochs=5), shards=True)
    assert_equal_runs(resumed, whole[0])
