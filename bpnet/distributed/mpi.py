"""Processes that MPI connects, by mpi4py."""

from __future__ import annotations

import sys
import time
import traceback
from types import TracebackType
from typing import Any

import numpy as np

from bpnet.backend import Backend
from bpnet.backend.typing import Array
from bpnet.common.checks import check_flag, kind_of
from bpnet.distributed.base import Communicator
from bpnet.distributed.launcher import launch

PIP_LINE = "pip install mpi4py mpich"
# Seconds for the launcher to pass on what was printed. If it is busy, and finds that and the
# end of the job at once, it may do the latter first.
PRINTING = 0.2


class MPI(Communicator):
    """The processes that a launcher of MPI has started, such as ``mpiexec -n 4``.

    Sums go through the memory of the host. Requires mpi4py, and an implementation of MPI, such
    as MPICH or Open MPI.

    An error that leaves ``fit``, or that nothing catches, ends all processes after its
    traceback is printed, as the others would wait for this one forever.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm or None, default None
        The processes that train together. None is all of them: ``MPI.COMM_WORLD``.
    shards : bool, default False
        Whether each process passes examples of its own to ``fit``, such as those in its part
        of the files. A batch of ``batch_size`` examples then has the next
        ``batch_size / size`` (rounded) of each process; one that has run out of examples waits
        until the others have, too.

    Raises
    ------
    ImportError
        If mpi4py is not installed, or finds no implementation of MPI.
    RuntimeError
        If a launcher of another implementation of MPI has started the processes, so that each
        would be alone.
    TypeError
        If `comm` is not a communicator of mpi4py.
    """

    def __init__(self, comm: Any = None, *, shards: bool = False) -> None:
        mpi = _mpi4py()
        if comm is None:
            comm = mpi.COMM_WORLD
            _check_launcher(comm.size, mpi.Get_library_version())
        if not isinstance(comm, mpi.Intracomm):
            raise TypeError(f"comm must be an mpi4py.MPI.Intracomm, got {kind_of(comm)}")
        self.shards = check_flag("shards", shards)
        self.comm = comm
        self.rank, self.size = int(comm.rank), int(comm.size)
        local = comm.Split_type(mpi.COMM_TYPE_SHARED)
        self.local_rank = int(local.rank)
        local.Free()
        self._in_place, self._machine = mpi.IN_PLACE, mpi.Get_processor_name()
        if self.size > 1:
            _end_all_on_uncaught(self)

    def all_reduce(self, array: Array, backend: Backend) -> Array:
        """Return the sum, computed in the memory of the array if it is on the host."""
        return self._on_host(self.comm.Allreduce, array, backend)

    def broadcast(self, array: Array, backend: Backend) -> Array:
        """Return the array of process 0."""
        return self._on_host(lambda _, host: self.comm.Bcast(host), array, backend)

    def _on_host(self, operation: Any, array: Array, backend: Backend) -> Array:
        """Run an operation of MPI in place on a host array."""
        host = backend.to_numpy(array)
        is_shared = backend.on_host and host.flags.writeable and host.flags.c_contiguous
        host = host if is_shared else np.array(host, order="C")
        operation(self._in_place, host)
        return array if is_shared else backend.asarray(host)

    def all_gather(self, value: Any) -> list[Any]:
        """Return the values of all processes."""
        return list(self.comm.allgather(value))

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.comm.Barrier()

    def abort(self, error: BaseException) -> None:
        """Print the traceback with rank and machine, and end all processes at once."""
        report = "".join(traceback.format_exception(error))
        name = f"process {self.rank} of {self.size} on {self._machine}"
        if sys.stderr is not None:
            sys.stderr.write(f"bpnet: {name} failed and ends all others:\n{report}")
            sys.stderr.flush()
            time.sleep(PRINTING)
        self.comm.Abort(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank={self.rank}, size={self.size})"


def _mpi4py() -> Any:
    """Import mpi4py, which starts MPI."""
    try:
        import mpi4py.MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"training in several processes needs mpi4py and an implementation of MPI "
            f"({error}); install both with: {PIP_LINE}. Or pass communicator=None to let each "
            f"process train alone"
        ) from error
    return mpi4py.MPI


def _check_launcher(size: int, library: str) -> None:
    """Refuse that each process believes to be alone."""
    expected, variable = launch()
    if expected > 1 and size == 1:
        version = " ".join(library.split("\n")[0].split())
        raise RuntimeError(
            f"the launcher has started {expected} processes ({variable}={expected}), but "
            f"mpi4py sees only one: it uses {version}, so start the program with its "
            f"mpiexec, or install mpi4py for the other. Or pass communicator=None "
            f"to let each process train alone"
        )


def _end_all_on_uncaught(communicator: MPI) -> None:
    """Let an error that nothing catches end all processes, and not only this one."""

    def hook(
        kind: type[BaseException], error: BaseException, where: TracebackType | None
    ) -> None:
        communicator.abort(error)

    sys.excepthook = hook
