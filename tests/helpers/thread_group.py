"""Processes that train together, played by threads of one process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bpnet.distributed import Communicator

SECONDS = 120  # until a thread that waits for the others gives up


class ThreadCommunicator(Communicator):
    """One of several threads; `aborted` has the errors that ended the others."""

    def __init__(self, rank, slots, barrier, shards=False):
        self.rank, self.local_rank, self.size, self.shards = rank, rank, len(slots), shards
        self._slots, self._barrier = slots, barrier
        self.aborted, self.n_sums = [], 0

    def all_gather(self, value):
        self._slots[self.rank] = value
        self._barrier.wait()
        every = list(self._slots)
        self._barrier.wait()
        return every

    def all_reduce(self, array, backend):
        self.n_sums += 1
        every = self.all_gather(np.array(backend.to_numpy(array)))
        return backend.asarray(np.sum(every, axis=0, dtype=every[0].dtype))

    def broadcast(self, array, backend):
        return backend.asarray(self.all_gather(np.array(backend.to_numpy(array)))[0])

    def abort(self, error):
        self.aborted.append(error)
        self._barrier.abort()


def run_together(size, function, shards=False):
    """Return what ``function(communicator)`` returns in each of several threads, by rank.

    If some raise errors, the first that is not due to another one is raised.
    """
    slots, barrier = [None] * size, threading.Barrier(size, timeout=SECONDS)
    group = [ThreadCommunicator(rank, slots, barrier, shards) for rank in range(size)]

    def run(communicator):
        try:
            return function(communicator)
        except Exception:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(run, communicator) for communicator in group]
    errors = [error for future in futures if (error := future.exception())]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    return [future.result() for future in futures]
