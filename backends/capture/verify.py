"""The first run of a step, in which fewer calls are tried: kernels, graphs.

They are kept only if they give what the calls of the recording give, from the same inputs and
to the bit. Where a compiler or a driver does not do what was expected of it, a step runs as
it was recorded; a message of logging's level DEBUG says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence

from bpnet.backend.typing import Array

from .graph import Bound
from .ops import Call, Library, Way, run_all

_log = logging.getLogger(__name__)

# One graph is captured at a time in a process: what waits for a whole GPU breaks another's.
_MAKING = threading.Lock()


def run_first(
    library: Library,
    ways: Sequence[Way],
    replaced: Sequence[Array],
    bound: Bound,
) -> Sequence[Call]:
    """Run the calls, and give those for the next runs.

    Parameters
    ----------
    library : Library
        The arrays' library.
    ways : sequence of callable
        Each makes calls that should do the same; the best first.
    replaced : sequence of array
        The inputs that a run overwrites.
    bound : Bound
        What the recording says, and its memory.
    """
    calls, outputs = bound.calls, list(bound.outputs.values())

    def copies(arrays: Sequence[Array]) -> list[Array] | None:
        try:
            return list(map(library.copy, arrays))
        except Exception as error:
            _log.debug("no memory to try fewer calls: %r", error)
            return None

    before = copies(replaced)
    run_all(calls)
    after = copies(outputs)
    if before is None or after is None:
        return calls
    for way in ways:
        try:
            with _MAKING:
                fewer = way()
            for array in bound.memory:  # which has the intermediate results of the calls
                library.clear(array)
            _store(library, outputs, [array == 0 for array in after])  # not what is wanted
            _store(library, replaced, before)
            run_all(fewer)
            if all(map(library.equal, outputs, after)):
                _log.debug("a step of %d calls runs as %d", len(calls), len(fewer))
                return fewer
            _log.debug("a step of %d calls is another one as %d", len(calls), len(fewer))
        except Exception as error:  # whatever a compiler or a driver has to say
            _log.debug("a step cannot be condensed: %r", error)
    _store(library, outputs, after)
    return calls


def _store(library: Library, arrays: Iterable[Array], values: Iterable[Array]) -> None:
    """Copy values into arrays."""
    for array, value in zip(arrays, values, strict=True):
        library.store(array, value)
