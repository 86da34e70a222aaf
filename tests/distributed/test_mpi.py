"""Real processes that MPI connects: results, failures, and launchers that do not fit."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import sys
import time

import numpy as np
import pytest
from mpi_jobs import LIMIT, WHY_NOT, Job, network, run, signal_when_ready, write_files
from numpy.testing import assert_allclose

import bpnet
from bpnet.distributed import SingleProcess, get_communicator
from bpnet.distributed.launcher import launch

needs_mpi = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
BROKEN = "a broken pump"
# Of the jobs that are killed: their number, and the epochs of all together.
KILLS = int(os.environ.get("BPNET_TEST_KILLS", "4"))
EPOCHS, SEED = 60 * (KILLS + 2), 0


@needs_mpi
@pytest.mark.parametrize("lengths", [(70, 50), (50, 40, 25, 5)])
def test_the_launcher_suffices(tmp_path, lengths):
    """Of arrays, of a stream that all read, and of shards, whose last batches are empty."""
    pytest.importorskip("pyarrow")
    write_files(tmp_path, lengths)
    size = len(lengths)
    status, output = run(size, "train", tmp_path)
    assert (status, output.count(f"training in {size} processes")) == (0, 1), output
    net, X, y = network()
    assert_ends(tmp_path, "arrays", net, X, y, batch_size=26, validation_split=0.2)
    net, *_ = network()
    whole = bpnet.streams.Parquet(tmp_path / "all.parquet", "y", buffer_blocks=2)
    assert_ends(tmp_path, "all", net, whole, batch_size=26)
    net, *_ = network(dropout=0.0)
    assert_ends(tmp_path, "own", net, Shards(X, y, lengths))


class Shards(bpnet.Loader):
    """Batches of the next 8 rows of each shard, in the order of its stream."""

    def __init__(self, X, y, lengths):
        self.X, self.y, self.lengths = X, y, lengths
        rows = [len(batch) for batch in self.orders(0)]
        super().__init__(len(X), 2, max(rows), sizes=set(rows), n_batches=len(rows))

    def orders(self, epoch):
        start, pieces = 0, []
        for rows in self.lengths:
            sizes = [min(16, rows - k) for k in range(0, rows, 16)]
            order = start + bpnet.streams.row_order(sizes, 1, epoch, buffer_blocks=2)
            pieces.append([order[k : k + 8] for k in range(0, rows, 8)])
            start += rows
        return [
            np.concatenate([batch for batch in batches if batch is not None])
            for batches in itertools.zip_longest(*pieces)
        ]

    def batches(self, epoch):
        return ((self.X[rows], self.y[rows]) for rows in self.orders(epoch))


def assert_ends(folder, kind, net, *data, **settings):
    """Check that all processes have the weights and losses of this one, to rounding."""
    losses = net.fit(*data, epochs=3, **settings)["loss"]
    due = [p for layer in net.parameters for p in layer.values()]
    first, *others = (np.load(path) for path in folder.glob(f"{kind}-*.npz"))
    for other in others:
        assert all(np.array_equal(first[name], other[name]) for name in first.files)
    assert_allclose(first["loss"], losses, rtol=1e-10)
    for k, expected in enumerate(due):
        assert_allclose(first[f"arr_{k}"], expected, rtol=1e-10)


@needs_mpi
@pytest.mark.parametrize("how", ["vanish", "truncate"])
def test_a_file_that_one_process_loses_ends_the_job(tmp_path, how):
    pytest.importorskip("pyarrow")
    write_files(tmp_path, (70, 50))
    with Job(2, "spoil", tmp_path, how) as job:
        assert job.wait(LIMIT) != 0
    assert "process 1 of 2 on" in job.output, job.output
    assert re.search(r"OSError: block \d \(.*\) of .*1\.parquet cannot be read", job.output)


@needs_mpi
@pytest.mark.parametrize("where", ["fit", "before", "exit"])
def test_an_error_in_one_process_ends_the_job(where):
    status, output = run(2, "fail", where)
    assert status != 0
    assert "process 1 of 2 on" in output, output
    assert ("SystemExit" if where == "exit" else BROKEN) in output
    assert "process 0 of 2" not in output


@needs_mpi
@pytest.mark.full
def test_a_busy_launcher_loses_no_error():
    for _ in range(10):
        status, output = run(2, "busy")
        assert status != 0
        assert "process 1 of 2 on" in output
        assert BROKEN in output, output


@needs_mpi
@pytest.mark.parametrize("whom", ["all", "one"])
def test_ctrl_c_stops_all_after_the_same_step(tmp_path, whom):
    with Job(2, "interrupted", tmp_path) as job:
        pid = job.process.pid if whom == "all" else None
        signal_when_ready(tmp_path, 2, signal.SIGINT, pid)
        job.wait(30.0)
    line = next(line for line in job.output.splitlines() if "interrupted" in line)
    assert line.endswith(" 1"), job.output


@needs_mpi
def test_a_killed_process_ends_the_job(tmp_path):
    with Job(2, "interrupted", tmp_path) as job:
        signal_when_ready(tmp_path, 2, signal.SIGKILL)
        assert job.wait(LIMIT) != 0


@needs_mpi
@pytest.mark.full
def test_killed_jobs_resume_in_other_numbers_of_processes(tmp_path):
    """Processes are killed at random moments; the losses are those of a run without."""
    whole = losses(1, tmp_path / "whole.safetensors")
    path, rng = tmp_path / "run.safetensors", random.Random(SEED)
    for size in itertools.islice(itertools.cycle((2, 3, 1)), KILLS):
        with Job(size, "resumable", path, EPOCHS) as job:
            kill_one(job, size, rng)
            started = time.monotonic()
            assert job.wait(LIMIT) != 0
            print(f"{size} processes, down after {time.monotonic() - started:.2f} s")
        bpnet.load(path)  # intact
    assert_allclose(losses(2, path), whole, rtol=1e-9)


def kill_one(job, size, rng):
    """Kill one of the processes after a random number of epochs."""
    pids, last = [], rng.randrange(3, EPOCHS // (KILLS + 2))
    for line in job.process.stdout:
        if line.startswith("pid "):
            pids.append(int(line.split()[1]))
        last -= line.startswith("epoch ")
        if last <= 0 and len(pids) == size:
            break
    time.sleep(rng.random() * 0.01)
    os.kill(rng.choice(pids), signal.SIGKILL)


def losses(size, path):
    """Let a job run to its end, and return the losses of all epochs."""
    status, output = run(size, "resumable", path, EPOCHS)
    assert status == 0, output
    (line,) = [line for line in output.splitlines() if line.startswith("losses ")]
    found = [float(loss) for loss in line.split()[1:]]
    assert len(found) == EPOCHS
    return found


@needs_mpi
def test_a_launcher_of_another_implementation_is_refused():
    status, output = run(None, "train", ".", OMPI_COMM_WORLD_SIZE="4")
    assert status != 0
    assert (
        "has started 4 processes (OMPI_COMM_WORLD_SIZE=4), but mpi4py sees only one" in output
    )
    assert "communicator=None" in output


def test_mpi4py_is_missing(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    net, X, y = network()
    with pytest.raises(ImportError, match=r"pip install mpi4py mpich.*communicator=None"):
        net.fit(X, y)
    assert not net.is_built
    net.fit(X, y, epochs=1, communicator=None)


def test_without_a_launcher_a_process_is_alone(monkeypatch):
    assert launch().size == 1
    assert get_communicator().size == get_communicator(None).size == 1
    assert get_communicator(alone := SingleProcess()) is alone
    monkeypatch.setenv("PMI_SIZE", "3")
    assert launch() == (3, "PMI_SIZE")
    monkeypatch.setattr("multiprocessing.process.parent_process", object)
    assert launch().size == 1  # a worker of a pool inherits the variables


def test_what_is_no_communicator_is_refused():
    with pytest.raises(ValueError, match=r"communicator must be 'auto', None or .* got 'mpi'"):
        get_communicator("mpi")
    with pytest.raises(TypeError, match=r"communicator must be 'auto', None or .* got int"):
        get_communicator(2)


@needs_mpi
def test_what_is_no_communicator_of_mpi4py_is_refused():
    status, output = run(None, "wrong")  # which starts MPI
    assert status != 0
    assert "TypeError: comm must be an mpi4py.MPI.Intracomm, got int" in output
