"""What a model was trained with: the versions of libraries, and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform

from bpnet.backend.registry import get_backend
from bpnet.common.version import __version__

_LIBRARIES = ("numpy", "scikit-learn", "polars", "safetensors")


def environment(backend: str | None) -> dict[str, str]:
    """Return versions and the machine by name, as a report shows them."""
    spec = get_backend(backend)
    found = {
        "bpnet": __version__,
        "backend": f"{spec.spec}, {spec.name} {type(spec).version()}",
        "Python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
