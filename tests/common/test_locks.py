"""Locks after a fork, and in copies."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import pytest
from other_thread import held_by_another_thread

from bpnet.common.locks import Lock


def is_free(lock):
    """Whether another thread can take the lock."""
    taken = []

    def take():
        taken.append(lock._lock.acquire(timeout=0.05))
        if taken[0]:
            lock._lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken[0]


def test_it_is_reentrant_and_exclusive():
    lock = Lock()
    with lock, lock:
        assert not is_free(lock)
    assert is_free(lock)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda lock: pickle.loads(pickle.dumps(lock))]
)
def test_a_copy_is_another_lock(duplicate):
    lock = Lock()
    with lock:
        assert is_free(duplicate(lock))


def test_one_that_another_thread_holds_is_freed():
    """As in a forked child, in which there is no such thread."""
    lock = Lock()
    old = lock._lock
    with held_by_another_thread(old):
        assert not is_free(lock)
        lock.free_if_stuck()
        assert lock._lock is not old
        assert is_free(lock)


def test_one_s_own_is_kept():
    lock = Lock()
    with lock:
        lock.free_if_stuck()
        assert not is_free(lock)
    assert is_free(lock)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore")  # of forks beside threads, by Python and JAX
def test_a_forked_child_can_take_what_another_thread_holds():
    lock = Lock()
    with held_by_another_thread(lock):
        child = os.fork()
        if child == 0:
            os._exit(0 if lock._lock.acquire(timeout=5.0) else 1)
    assert os.waitpid(child, 0)[1] == 0
