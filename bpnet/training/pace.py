"""How many steps training takes before it looks up: at Ctrl-C, and at other threads."""

from __future__ import annotations

import time

# Seconds between two looks. Each costs 0.1 to 0.3 ms on JAX, which waits for the device.
SECONDS = 0.1


class Pace:
    """Chooses runs of steps that take about SECONDS, as long as those before in an epoch."""

    def __init__(self) -> None:
        self._steps, self._begun, self._before = 1.0, 0.0, 0.0
        self._count, self._start = 0, 0.0

    def begin(self) -> None:
        """Begin an epoch, whose first run follows work of other kinds."""
        self._count, self._start = 0, 0.0
        self._before, self._begun = self._begun, time.perf_counter()

    def is_slow(self, steps: int) -> bool:
        """Whether an epoch of so many steps took longer than SECONDS for each."""
        return 0.0 < self._before < self._begun - steps * SECONDS

    @property
    def is_timing(self) -> bool:
        """Whether steps run whose time :meth:`next` will find."""
        return self._count > 0

    def next(self, left: int) -> int:
        """Return the number of the next steps, of which so many are left."""
        now = time.perf_counter()
        if self._count:
            self._steps = self._count * SECONDS / max(now - self._start, 1e-9)
        self._count, self._start = max(1, min(left, int(self._steps))), now
        return self._count
