"""What all tests share: the available backends, the quick and the full run, hypothesis.

A test that takes `backend` runs once on every available backend of `SPECS`; a test that takes
`xp` computes inside that backend's context. Tests marked `full` run with ``--full`` only. What
did not run is summed up in the end, a line for each reason.
"""

from __future__ import annotations

import collections
import os
import tempfile

# The arrays are small and the tests run in several processes: more threads would only collide.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
# Several libraries and processes share one GPU, so none may take all of its memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# Many tests need the same programs of JAX: all processes share what one of them has compiled.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    JAX_CACHE = tempfile.TemporaryDirectory(prefix="bpnet-jax-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = JAX_CACHE.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import pytest
from available import available, why_not
from hypothesis import settings

import bpnet

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
    pass  # the summary will say so
else:
    array_api_strict.set_array_api_strict_flags(
        api_version=array_api_strict.__array_api_version__,  # the newest that is not a draft
        boolean_indexing=False,
        data_dependent_shapes=False,
        enabled_extensions=(),
    )


@pytest.fixture(scope="module", params=available(*SPECS))
def backend(request):
    """Each available backend of `SPECS`, bound to its device."""
    return bpnet.get_backend(request.param)


@pytest.fixture
def xp(backend):
    """The namespace of `backend`; its device and precision are current in the whole test."""
    with backend.activate():
        yield backend.xp


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also run the tests marked full")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: takes long; runs with --full only")


def pytest_collection_modifyitems(config, items):
    """Leave tests marked `full` to the full run."""
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def pytest_terminal_summary(terminalreporter, config):
    """Sum up what did not run, a line for each reason."""
    skipped = collections.Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
    )
    lines = [f"no {spec}: {reason}" for spec in SPECS if (reason := why_not(spec))]
    lines += [f"{count} skipped: {reason}" for reason, count in skipped.most_common()]
    if not config.getoption("--full"):
        lines.append("the tests marked full: run them with --full")
    terminalreporter.section("not run")
    for line in lines:
        terminalreporter.write_line(" ".join(line.split()))


def pytest_make_parametrize_id(val, argname):
    """Name bytes by their argument: their own text may differ from one process to the next."""
    return argname if isinstance(val, bytes) else None
