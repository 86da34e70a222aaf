"""Shared fixtures: the available backends, and deterministic hypothesis without deadlines.

A test that takes `backend` runs once per backend below; unavailable ones are skipped with the
reason. A test that takes `xp` runs in the context of that backend.
"""

from __future__ import annotations

import os

# The arrays are small and the tests run in several processes: more threads would only collide.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
# Several libraries and processes share one GPU, so none may take all of its memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import pytest
from hypothesis import settings
from available import backend_or_skip

SPECS = (
    "numpy",
    "array_api_strict:device1",
    "torch:cpu",
    "torch:cuda:0",
    "jax",
    "cupy",
)

settings.register_profile("bpnet", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("bpnet")

try:
    import array_api_strict
except ImportError:
    pass  # the `backend` fixture will say so
else:
    array_api_strict.set_array_api_strict_flags(
        api_version=array_api_strict.__array_api_version__,  # the newest that is not a draft
        boolean_indexing=False,
        data_dependent_shapes=False,
        enabled_extensions=(),
    )


@pytest.fixture(scope="module", params=SPECS)
def backend(request):
    """Each backend of `SPECS`, bound to its device."""
    return backend_or_skip(request.param)


@pytest.fixture
def xp(backend):
    """The namespace of `backend`, with its device and precision current during the test."""
    with backend.activate():
        yield backend.xp


def pytest_make_parametrize_id(val, argname):
    """Name bytes by their argument, as their text may differ between processes."""
    return argname if isinstance(val, bytes) else None
