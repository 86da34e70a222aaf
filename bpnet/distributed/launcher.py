"""What the environment says about the program that has started this process."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

# The number of processes, as launchers tell it: Open MPI's; those of MPICH, Intel MPI and Cray,
# and Slurm's srun --mpi=pmi2; MVAPICH's.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")


class Launch(NamedTuple):
    """How this process was started.

    Attributes
    ----------
    size : int
        The number of processes that were started together; 1 without a launcher.
    variable : str
        The environment variable that says so.
    """

    size: int = 1
    variable: str = ""


def launch() -> Launch:
    """Return how a launcher of MPI has started this process.

    A process that Python's multiprocessing or joblib has started only inherits the variables.
    """
    pools = sys.modules.get("multiprocessing.process")  # takes 10 ms to import
    if pools is not None and pools.parent_process() is not None:
        return Launch()
    for variable in _SIZES:
        size = os.environ.get(variable, "")
        if size.isdigit() and int(size) > 1:
            return Launch(int(size), variable)
    return Launch()
