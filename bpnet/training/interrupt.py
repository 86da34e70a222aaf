"""Ctrl-C handling that never leaves a step half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from bpnet.common.history import History

INTERRUPTED = "interrupted"  # as History.stopped


class Interrupt:
    """A context in which the first Ctrl-C sets `requested`, and a second one raises.

    The second raises at the end of the context, or where it is not :meth:`postponed`; a third
    one at once. Signals reach the main thread only, so in other threads this does nothing.
    """

    def __init__(self) -> None:
        self.requested = self._is_due = False
        self._postpones = True

    def __enter__(self) -> Interrupt:
        self._previous: Any = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGINT)
            if self._previous is not signal.default_int_handler:
                self._previous = None  # the program has its own Ctrl-C handler
            else:
                signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        if self._is_due:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def postponed(self, postpones: bool = True) -> Iterator[None]:
        """Let the second Ctrl-C raise after this block, or at once; to be nested by turns."""
        before, self._postpones = self._postpones, postpones
        try:
            yield
        finally:
            self._postpones = before
            if self._is_due and not before:
                self._is_due = False
                raise KeyboardInterrupt

    def _request(self, signum: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested = True
        elif self._postpones and not self._is_due:
            self._is_due = True
        else:
            self._is_due = False
            raise KeyboardInterrupt


def uninterrupted(history: History) -> History:
    """Return the history of a run that is a part of something longer.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C has ended it: the rest would take what is half trained for a result.
    """
    if history.stopped == INTERRUPTED:
        raise KeyboardInterrupt
    return history
