"""Real processes that MPI connects: results, failures, and launchers that do not fit."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time

import numpy as np
import pytest
from mpi_jobs import LIMIT, WHY_NOT, Job, network, run, signal_when_ready
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
def test_the_launcher_suffices(tmp_path):
    status, output = run(2, "train", tmp_path)
    assert (status, output.count("training in 2 processes")) == (0, 1), output
    net, X, y = network()
    history = net.fit(X, y, epochs=3, batch_size=25, validation_split=0.2)
    expected = [p for layer in net.parameters for p in layer.values()]
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in range(2))
    for name in first.files:
        assert np.array_equal(first[name], second[name])
    assert_allclose(first["loss"], history["val_loss"], rtol=1e-10)
    for k, due in enumerate(expected):
        assert_allclose(first[f"arr_{k}"], due, rtol=1e-10)


@needs_mpi
@pytest.mark.parametrize("where", ["fit", "before", "exit"])
def test_an_error_in_one_process_ends_the_job(where):
    status, output = run(2, "fail", where)
    assert status != 0
    assert "process 1 of 2 on" in output, output
    assert ("SystemExit" if where == "exit" else BROKEN) in output
    assert "process 0 of 2" not in output


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
