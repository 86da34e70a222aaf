"""Run statements in a fresh process; read a process's memory."""

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
WARM_UP = 1  # untimed rounds that fill the file cache

# The clock starts before any import, but after the interpreter has started.
PROGRAM = """
import time
start = time.perf_counter()
{statements}
seconds = time.perf_counter() - start
import json
print(json.dumps({{"seconds": seconds, "result": result}}))
"""


def run(statements: str) -> dict[str, Any]:
    """Run statements that may set `result`; return it and the seconds they took."""
    program = PROGRAM.format(statements=f"result = None\n{statements}")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{statements!r} failed in a fresh process:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def medians(programs: dict[str, str], rounds: int) -> dict[str, float]:
    """Run programs in turn, each in a fresh process; return their median seconds."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(WARM_UP + rounds):
        for name, statements in programs.items():
            times[name].append(run(statements)["seconds"])
    return {name: statistics.median(found[WARM_UP:]) for name, found in times.items()}


def resident() -> int:
    """Return this process's resident bytes, or their peak where the system hides them."""
    return _status("VmRSS") or peak()


def peak() -> int:
    """Return this process's peak resident bytes.

    On Linux `ru_maxrss` includes the parent's memory before exec, so VmHWM is preferred.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def reset_peak() -> None:
    """Reset the peak, where Linux allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(found[0]) if found else 0
