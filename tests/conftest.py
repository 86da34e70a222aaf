"""Shared test setup: available backends, quick and full runs, hypothesis.

A test that takes `backend` runs once on every available backend of `SPECS`; a test that takes
`xp` runs inside that backend's context. Tests marked `full` run only with ``--full``, and so do
all cases on JAX but the first of tests marked `once_on_jax`, and two of three cases on JAX of
modules marked `few_on_jax`. The last lines of the output list what was not run, one line per
reason.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import sys
import tempfile

# A shell lets what it starts in the background ignore Ctrl-C, which some tests send themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Arrays are small and tests run in parallel processes, so more threads would only compete.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
# Several libraries and processes share one GPU, so none may reserve all of its memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# Many tests compile the same JAX programs, so all processes share one compilation cache.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    JAX_CACHE = tempfile.TemporaryDirectory(prefix="bpnet-jax-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = JAX_CACHE.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# LLVM's optimizations of JAX's programs take a fifth of the time of their tests.
if "--full" not in sys.argv and "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true"
    )

import pytest
from available import available, why_not
from hypothesis import settings

import bpnet
from bpnet.model.compiled import FUNCTIONS

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
    pass  # listed in the summary
else:
    array_api_strict.set_array_api_strict_flags(
        api_version=array_api_strict.__array_api_version__,  # the newest released version
        boolean_indexing=False,
        data_dependent_shapes=False,
        enabled_extensions=(),
    )


# Packages of the extra "test"; without one, the modules of tests that import it are skipped.
OPTIONAL = {
    "grimp", "importlinter", "joblib", "matplotlib", "nbformat", "pandas", "polars", "PIL",
    "rich", "safetensors", "scipy", "setuptools", "sklearn", "tqdm", "typer",
}  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Skip a module that needs an optional package, rather than abort the whole run."""
    report = yield
    error = report.call.excinfo and report.call.excinfo.value
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__ or error.__context__
    if error is not None and error.name in OPTIONAL:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: a module without {error.name}")
    return report


@pytest.fixture(scope="module", params=available(*SPECS))
def backend(request):
    """Each available backend of `SPECS`, bound to its device."""
    return bpnet.get_backend(request.param)


@pytest.fixture
def xp(backend):
    """The namespace of `backend`; its device and precision are active during the test."""
    with backend.activate():
        yield backend.xp


@pytest.fixture
def nothing_compiled():
    """Nothing is compiled yet, by other tests with networks of equal description."""
    FUNCTIONS.clear()
    yield
    FUNCTIONS.clear()


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also run the tests marked full")


class ExamplesInAFolder:
    """Examples of docstrings run in a folder of their own, as some write files.

    A plugin, as the hooks of this file see no tests beside its folder.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        if not isinstance(item, pytest.DoctestItem):
            return (yield)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            return (yield)


def pytest_configure(config):
    config.pluginmanager.register(ExamplesInAFolder())
    config.addinivalue_line("markers", "full: slow; runs only with --full")
    config.addinivalue_line(
        "markers",
        "once_on_jax: of its cases on JAX, which compiles each, only the first runs without "
        "--full",
    )
    config.addinivalue_line(
        "markers",
        "few_on_jax: of the module's cases on JAX only each third runs without --full",
    )


def pytest_collection_modifyitems(config, items):
    """Deselect tests marked `full`, and further cases on JAX, unless --full is passed."""
    if config.getoption("--full"):
        return
    first, numbers, kept, deselected = set(), collections.Counter(), [], []
    for item in items:
        function = item.nodeid.partition("[")[0]
        callspec = getattr(item, "callspec", None)
        is_on_jax = callspec is not None and callspec.params.get("backend") == "jax"
        is_repeated = is_on_jax and item.get_closest_marker("once_on_jax")
        is_left_out = item.get_closest_marker("full") or (is_repeated and function in first)
        if is_repeated:
            first.add(function)
        if is_on_jax and not is_left_out and item.get_closest_marker("few_on_jax"):
            is_left_out = numbers[item.path] % 3
            numbers[item.path] += 1
        (deselected if is_left_out else kept).append(item)
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = kept


def pytest_terminal_summary(terminalreporter, config):
    """List what was not run, one line per reason."""
    skipped = collections.Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
    )
    lines = [f"no {spec}: {reason}" for spec in SPECS if (reason := why_not(spec))]
    lines += [f"{count} skipped: {reason}" for reason, count in skipped.most_common()]
    if not config.getoption("--full"):
        lines.append("the tests marked full, and further cases on JAX: run them with --full")
    terminalreporter.section("not run")
    for line in lines:
        terminalreporter.write_line(" ".join(line.split()))


def pytest_make_parametrize_id(val, argname):
    """Use the argument name as the id of bytes, whose repr may differ between processes."""
    return argname if isinstance(val, bytes) else None
