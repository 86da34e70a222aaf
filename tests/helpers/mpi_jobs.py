"""Jobs of several processes that MPI connects, for tests; run as a program, one of these."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

# That of the environment, which belongs to the library that mpi4py finds first.
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which(
    "mpiexec"
)
WHY_NOT = (
    "mpi4py is not installed" if find_spec("mpi4py") is None
    else "mpiexec is not installed" if MPIEXEC is None
    else None
)  # fmt: skip
# Seconds in which a job must end after a failure.
LIMIT = 10.0
# For Open MPI, which refuses root and more processes than cores.
_ALLOWED = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


class Job:
    """A job, running; `output` is what it has written when it has ended."""

    def __init__(self, size, program, *arguments, **environment):
        command = [sys.executable, __file__, program, *map(str, arguments)]
        launcher = [] if size is None else [MPIEXEC, "-n", str(size)]
        self.process = subprocess.Popen(
            [*launcher, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | _ALLOWED | environment,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def wait(self, timeout=60.0):
        """Return the exit status; fail if the job is still running after some seconds."""
        try:
            self.output, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError("the job hangs") from None
        return self.process.returncode


def run(size, program, *arguments, **environment):
    """Run a job to its end; return its exit status and output."""
    with Job(size, program, *arguments, **environment) as job:
        return job.wait(), job.output


# --- programs ---------------------------------------------------------------------------------


def network(dropout=0.1):
    """Return a network and examples for it."""
    import bpnet

    X, y = bpnet.datasets.make_spiral(120, seed=0)
    layers = [bpnet.Dense(8, "tanh"), bpnet.Dropout(dropout), bpnet.Dense(1)]
    return bpnet.Network(layers, "bce", seed=1, dtype="float64"), X, y


def write_files(folder, lengths):
    """Write the examples as one Parquet file, and some of them for each process."""
    import pyarrow
    from pyarrow import parquet

    _, X, y = network()
    table = pyarrow.table([*X.T, y], names=["x0", "x1", "y"])
    starts = np.cumsum([0, *lengths])
    parts = {rank: table.slice(starts[rank], rows) for rank, rows in enumerate(lengths)}
    for name, part in ({"all": table} | parts).items():
        parquet.write_table(part, Path(folder) / f"{name}.parquet", row_group_size=16)


def train(folder):
    """Train on arrays, on a file that all read, and on one of each process; write the ends."""
    import bpnet

    class Slow(bpnet.streams.Parquet):
        """Of which process 1 is slow to read its blocks."""

        def read(self, block):
            time.sleep(0.01 * (mine.rank == 1))
            return super().read(block)

    mine = bpnet.distributed.MPI(shards=True)
    for name, communicator in (("arrays", "auto"), ("all", "auto"), (mine.rank, mine)):
        net, *data = network(dropout=0.0 if name == mine.rank else 0.1)
        if name != "arrays":
            data = [Slow(Path(folder) / f"{name}.parquet", "y", buffer_blocks=2)]
        settings = {"batch_size": 8 if name == mine.rank else 26}
        if name == "arrays":
            settings["validation_split"] = 0.2
        history = net.fit(*data, epochs=3, communicator=communicator, **settings)
        kind = "own" if name == mine.rank else name
        arrays = [p for layer in net.parameters for p in layer.values()]
        np.savez(Path(folder) / f"{kind}-{mine.rank}.npz", *arrays, loss=history["loss"])


def spoil(folder, how):
    """Train on a file of each process, of which process 1 loses its own after an epoch."""
    import bpnet

    class Spoil(bpnet.Callback):
        def on_epoch_end(self, training):
            if training.communicator.rank == 1:
                path.unlink() if how == "vanish" else os.truncate(path, 500)

    mine = bpnet.distributed.MPI(shards=True)
    path = Path(folder) / f"{mine.rank}.parquet"
    stream = bpnet.streams.Parquet(path, "y", buffer_blocks=2)
    network()[0].fit(stream, epochs=1000, communicator=mine, callbacks=[Spoil()])


def fail(where):
    """Raise an error in process 1: in `fit`, before it, or by leaving it."""
    import bpnet
    from bpnet.distributed import get_communicator

    rank = get_communicator().rank

    class Fail(bpnet.Callback):
        def on_epoch_end(self, training):
            if rank == 1 and training.epoch == 3:
                raise SystemExit(0) if where == "exit" else RuntimeError("a broken pump")

    net, X, y = network()
    if where == "before" and rank == 1:
        raise RuntimeError("a broken pump")
    net.fit(X, y, epochs=1000, callbacks=[Fail()])


def busy():
    """Fail in process 1, while its parent, which passes on what it prints, is busy."""
    from bpnet.distributed import get_communicator

    communicator, parent = get_communicator(), os.getppid()
    if communicator.rank == 0:
        time.sleep(60.0)
    if os.fork() == 0:
        time.sleep(0.05)
        os.kill(parent, signal.SIGCONT)
        os._exit(0)
    os.kill(parent, signal.SIGSTOP)
    communicator.abort(RuntimeError("a broken pump"))


def interrupted(folder):
    """Train until Ctrl-C, and say after how many steps."""
    import bpnet
    from bpnet.distributed import get_communicator

    class Ready(bpnet.Callback):
        def on_epoch_end(self, training):
            if training.epoch == 2:
                (Path(folder) / f"{training.communicator.rank}").write_text(str(os.getpid()))

    net, X, y = network()
    history = net.fit(X, y, epochs=10**6, callbacks=[Ready()])
    communicator = get_communicator()
    every = communicator.all_gather((history.stopped, net.steps_taken))
    if communicator.is_main:
        print(every, len(set(every)))


def resumable(path, epochs):
    """Train with a checkpoint of each epoch, or continue from it; print pids and all losses."""
    import bpnet

    class Report(bpnet.Callback):
        def on_train_begin(self, training):
            os.write(1, f"pid {os.getpid()}\n".encode())  # at once: others write, too

        def on_epoch_recorded(self, training):
            time.sleep(0.002)
            if training.communicator.is_main:
                os.write(1, f"epoch {training.epoch}\n".encode())

    net, X, y = network()
    resume = path if os.path.exists(path) else None
    callbacks = [bpnet.Checkpoint(path), Report()]
    history = net.fit(
        X, y, epochs=int(epochs), batch_size=25, callbacks=callbacks, resume_from=resume
    )
    if bpnet.distributed.get_communicator().is_main:
        print("losses", *history["loss"])


def wrong():
    """Pass something else than a communicator of mpi4py."""
    from bpnet.distributed import MPI

    MPI(5)


def command(*arguments):
    """Run the command ``bpnet``."""
    from bpnet.cli import main

    sys.exit(main(arguments))


def signal_when_ready(folder, size, number, pid=None):
    """Wait until all processes train, then send a signal to one of them, or to another."""
    files = [Path(folder) / str(rank) for rank in range(size)]
    deadline = time.monotonic() + 60.0
    while not all(file.exists() and file.read_text() for file in files):
        assert time.monotonic() < deadline, "the job does not begin"
        time.sleep(0.02)
    os.kill(pid or int(files[-1].read_text()), number)


if __name__ == "__main__":
    programs = (train, busy, command, fail, interrupted, resumable, spoil, wrong)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    {program.__name__: program for program in programs}[sys.argv[1]](*sys.argv[2:])
