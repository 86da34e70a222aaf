"""Describe the machine and library versions, without host or user names."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

import bpnet
from bpnet.cli.kernels import blas_of_numpy


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
    if (kernels := blas()) is not None:
        found["BLAS"] = kernels
    return found


def blas() -> str | None:
    """Return the library of NumPy's products and the kernels it has chosen, if they tell."""
    try:
        library = blas_of_numpy()
    except ImportError:
        return None
    kernels = library.get("architecture", "unknown kernels")
    return f"{library['internal_api']} {library['version']} ({kernels})" if library else None


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
