"""Training in several processes, on one machine or many: each takes its part of every batch.

``mpiexec -n 4 python train.py`` trains as one process would, in parallel: the gradients of the
parts are summed by one all-reduce in each step, so all processes have the same weights. A
:class:`Communicator` connects the processes: :class:`MPI`, for whatever a launcher of MPI has
started, :class:`NCCL` for CuPy's GPUs, or one of your own. ``fit(communicator=...)`` chooses.
"""

from bpnet.distributed.base import Communicator
from bpnet.distributed.choice import get_communicator
from bpnet.distributed.mpi import MPI
from bpnet.distributed.nccl import NCCL
from bpnet.distributed.single import SingleProcess

__all__ = ["MPI", "NCCL", "Communicator", "SingleProcess", "get_communicator"]
