"""What a figure was measured on; no names of hosts or users."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

import bpnet


def facts(*distributions: str) -> dict[str, str]:
    """Give date, processor, number of cores and versions of what is installed."""
    found = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        "bpnet": bpnet.__version__,
    }
    for name in ("numpy", *distributions):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe(*distributions: str) -> str:
    """Write the facts in a line."""
    return ", ".join(f"{name} {value}" for name, value in facts(*distributions).items())


def processor() -> str:
    """Name the model of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
