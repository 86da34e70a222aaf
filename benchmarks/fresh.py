"""Statements run in a fresh process, and its memory."""

from __future__ import annotations

import contextlib
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WARM_UP = 1  # rounds that bring the files into memory and do not count

# The clock starts before anything is imported; the interpreter itself is running by then.
PROGRAM = """
import time
start = time.perf_counter()
{statements}
seconds = time.perf_counter() - start
import json
print(json.dumps({{"seconds": seconds, "result": result}}))
"""


def run(statements: str) -> dict[str, Any]:
    """Run statements that may set `result`; give it, and the seconds that they took."""
    program = PROGRAM.format(statements=f"result = None\n{statements}")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"in a fresh process {statements!r} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def medians(programs: dict[str, str], rounds: int) -> dict[str, float]:
    """Run programs in turn, each in a fresh process, and give the seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(WARM_UP + rounds):
        for name, statements in programs.items():
            times[name].append(run(statements)["seconds"])
    return {name: statistics.median(found[WARM_UP:]) for name, found in times.items()}


def resident() -> int:
    """Bytes of this process that are in memory now; where the system does not say, the peak."""
    return _status("VmRSS") or peak()


def peak() -> int:
    """Most bytes of this process that were in memory at once.

    Linux counts in `ru_maxrss` what the parent had before the process began its own program.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak() -> None:
    """Let the peak start anew, where Linux allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(found[0]) if found else 0
