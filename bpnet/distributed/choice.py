"""The communicator of a training run, from an argument or the environment."""

from __future__ import annotations

from bpnet.common.checks import kind_of
from bpnet.common.streams import complain
from bpnet.distributed.base import Communicator
from bpnet.distributed.launcher import launch
from bpnet.distributed.mpi import MPI
from bpnet.distributed.single import ALONE

_world: list[MPI] = []  # of all processes, once they are connected


def get_communicator(spec: str | Communicator | None = "auto") -> Communicator:
    """Return what connects this process with the others that train with it.

    Parameters
    ----------
    spec : "auto", Communicator or None, default "auto"
        As in :meth:`bpnet.Network.fit`. "auto" is :class:`MPI` in processes that a launcher of
        MPI has started, such as ``mpiexec -n 4``, else a process alone; so is None.

    Raises
    ------
    ImportError, RuntimeError
        As :class:`MPI`, for "auto" in several processes.
    TypeError, ValueError
        If `spec` is something else.

    Examples
    --------
    Let one process of a script write a file:

    >>> import bpnet
    >>> if bpnet.distributed.get_communicator().is_main:
    ...     pass  # net.save(path)
    """
    if isinstance(spec, Communicator):
        return spec
    if spec is None:
        return ALONE
    if not isinstance(spec, str):
        raise TypeError(
            f"communicator must be 'auto', None or a bpnet.distributed.Communicator, got "
            f"{kind_of(spec)}"
        )
    if spec != "auto":
        raise ValueError(
            f"communicator must be 'auto', None or a bpnet.distributed.Communicator, got "
            f"{spec!r}"
        )
    if launch().size == 1:
        return ALONE
    if not _world:
        _world.append(MPI())
        if _world[0].is_main:
            complain(
                f"bpnet: training in {_world[0].size} processes, each with its part of every "
                f"batch; communicator=None lets each train alone"
            )
    return _world[0]
