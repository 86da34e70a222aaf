"""The processes that run one command together: process 0 speaks for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bpnet.cli.failures import CommandError, UserError
from bpnet.distributed import Communicator, get_communicator
from bpnet.errors import BackendError

T = TypeVar("T")


def connected() -> Communicator:
    """Return all processes that a launcher such as ``mpiexec -n 4`` has started."""
    try:
        return get_communicator()
    except (ImportError, RuntimeError) as error:
        raise UserError(str(error)) from error


def prepared(group: Communicator, prepare: Callable[[], T]) -> T:
    """Return what `prepare` returns, or let all processes fail if it fails in one of them.

    Else the others would wait for that one in the first step.
    """
    result, failure = None, None
    try:
        result = prepare()
    except (UserError, CommandError, BackendError, OSError) as error:
        failure = error
    every = group.all_gather(failure and f"process {group.rank}: {failure}")
    if failure is not None:
        raise failure
    if any(every):
        raise UserError(next(filter(None, every)))
    return result  # type: ignore[return-value]


def speaking(group: Communicator, run: Callable[[], int]) -> int:
    """Run a command; processes but 0 end without a word about what process 0 tells, too."""
    if group.is_main:
        return run()
    try:
        return run()
    except (UserError, CommandError, BackendError):
        return 2
    except KeyboardInterrupt:
        return 130
