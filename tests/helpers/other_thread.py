"""What another thread holds while a test runs."""

from __future__ import annotations

import contextlib
import threading


@contextlib.contextmanager
def held_by_another_thread(context):
    """Let another thread be inside a context until this block ends."""
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with context:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    try:
        yield
    finally:
        leave.set()
        thread.join()
