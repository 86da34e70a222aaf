"""Describe the machine and library versions, without host or user names."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

import bpnet


def facts(*distributions: str) -> dict[str, str]:
    """Return date, processor, number of cores and installed versions."""
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
    """Return the facts as one line."""
    return ", ".join(f"{name} {value}" for name, value in facts(*distributions).items())


def processor() -> str:
    """Return the processor's model name, as far as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
