"""Processes with a GPU of CuPy each, whose sums stay on the GPUs."""

from __future__ import annotations

from typing import Any

from bpnet.backend import Backend
from bpnet.backend.typing import Array
from bpnet.distributed.mpi import MPI


class NCCL(MPI):
    """Processes that MPI starts, and whose GPUs NCCL connects: for CuPy.

    Sums go from GPU to GPU, by NVLink or InfiniBand where there is one. MPI only lets the
    processes find each other, and agree on what is small. Requires mpi4py, and CuPy with NCCL
    (``pip install nvidia-nccl-cu12``, or ``-cu13``, after CuPy).

    Each process needs a GPU of its own. The parameters are those of :class:`MPI`.

    Notes
    -----
    The calls follow CuPy's documentation, and are tested with a stand-in for its binding. They
    have not been run yet on a machine with several GPUs. If something fails, ``MPI()`` trains
    the same, with sums in the memory of the host.
    """

    def __init__(self, comm: Any = None, *, shards: bool = False) -> None:
        super().__init__(comm, shards=shards)
        self._groups: dict[Backend, Any] = {}

    def all_reduce(self, array: Array, backend: Backend) -> Array:
        """Return the sum, computed in the memory of the array."""
        return self._group(backend).all_reduce(array)

    def broadcast(self, array: Array, backend: Backend) -> Array:
        """Return the array of process 0."""
        return self._group(backend).broadcast(array)

    def _group(self, backend: Backend) -> Any:
        """Return what connects the devices of a backend, made when it is first used."""
        if backend not in self._groups:
            group = backend.device_group(self.rank, self.size, lambda v: self.all_gather(v)[0])
            if group is None:
                raise ValueError(
                    f"NCCL connects GPUs of CuPy, but the backend is {backend.spec!r}; pass "
                    f"backend='cupy', or communicator=bpnet.distributed.MPI()"
                )
            self._groups[backend] = group
        return self._groups[backend]
