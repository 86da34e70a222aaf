"""Verified capture: try kernels and CUDA graphs in the first run of a step.

A capture is used only if it reproduces the results of the traced calls bit for bit, from the
same inputs. Otherwise the step runs as traced, and a DEBUG message is logged.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence

from bpnet.backend.typing import Array

from .graph import BoundGraph
from .ops import ArrayOps, Call, Candidate, run_all

_log = logging.getLogger(__name__)

# One capture at a time per process: a call that waits for the whole GPU breaks other captures.
_CAPTURE_LOCK = threading.Lock()


def run_first(
    ops: ArrayOps, candidates: Sequence[Candidate], donors: Sequence[Array], bound: BoundGraph
) -> Sequence[Call]:
    """Run the calls of a graph, and return the calls for later runs.

    Parameters
    ----------
    ops : ArrayOps
        The array library.
    candidates : sequence of callable
        Each returns calls that should be equivalent; the best first.
    donors : sequence of array
        The inputs that a run overwrites.
    bound : BoundGraph
        The traced calls, their outputs and their memory.
    """
    calls, outputs = bound.calls, list(bound.outputs.values())

    def copies(arrays: Sequence[Array]) -> list[Array] | None:
        try:
            return list(map(ops.copy, arrays))
        except Exception as error:
            _log.debug("no memory to verify captures: %r", error)
            return None

    before = copies(donors)
    run_all(calls)
    after = copies(outputs)
    if before is None or after is None:
        return calls
    for candidate in candidates:
        try:
            with _CAPTURE_LOCK:
                fewer = candidate()
            for array in bound.memory:  # clear the intermediate results of the first run
                ops.fill_zeros(array)
            _store(ops, outputs, [array == 0 for array in after])  # differs from `after`
            _store(ops, donors, before)
            run_all(fewer)
            if all(map(ops.equal, outputs, after)):
                _log.debug("a step of %d calls runs as %d", len(calls), len(fewer))
                return fewer
            _log.debug("a step of %d calls has other results as %d", len(calls), len(fewer))
        except Exception as error:  # from a compiler or a driver
            _log.debug("a step cannot be captured: %r", error)
    _store(ops, outputs, after)
    return calls


def _store(ops: ArrayOps, arrays: Iterable[Array], values: Iterable[Array]) -> None:
    for array, value in zip(arrays, values, strict=True):
        ops.store(array, value)
