"""What a figure was measured on."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import version

import bpnet


def describe(*distributions: str) -> str:
    """Name date, processor, number of cores and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", *distributions))
    return (
        f"{datetime.date.today().isoformat()}, {processor()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, bpnet {bpnet.__version__}, {versions}"
    )


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
