"""The architecture: imports point down, few top-level modules, few steps to backprop."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import grimp
import pytest
from importlinter import cli

import bpnet

ROOT = Path(__file__).parents[2]
FOLDERS = {"bpnet": ROOT / "bpnet", "bpnet_backends": ROOT / "backends"}
MAX_MODULES, MAX_LINES, MAX_STEPS = 16, 420, 7


@pytest.fixture(scope="module")
def graph():
    """All imports, including those under TYPE_CHECKING and inside functions."""
    return grimp.build_graph("bpnet", "bpnet_backends", exclude_type_checking_imports=False)


def cycles(graph):
    """Return the sets of modules that import each other, directly or indirectly."""
    found = set()
    for module in graph.modules:
        both = graph.find_upstream_modules(module) & graph.find_downstream_modules(module)
        if both:
            found.add(frozenset(both | {module}))
    return found


def test_there_are_no_import_cycles(graph):
    assert len(graph.modules) > 100
    assert cycles(graph) == set()


def test_an_import_cycle_is_detected(graph):
    extended = grimp.build_graph("bpnet", exclude_type_checking_imports=False)
    extended.add_import(importer="bpnet.common.checks", imported="bpnet.network")
    (cycle,) = cycles(extended)
    assert {"bpnet.common.checks", "bpnet.network", "bpnet.model.model"} <= cycle


def test_the_import_contracts_hold(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert cli.lint_imports() == cli.EXIT_STATUS_SUCCESS


def test_only_backends_import_the_top_level_package(graph):
    assert graph.find_modules_that_directly_import("bpnet") <= {
        module for module in graph.modules if module.startswith("bpnet_backends")
    }


def test_the_package_has_few_top_level_modules():
    modules = sorted(path.stem for path in FOLDERS["bpnet"].glob("*.py"))
    assert len(modules) <= MAX_MODULES
    assert [name for name in modules if name.startswith("_")] == ["__init__", "__main__"]


@pytest.mark.parametrize("package", FOLDERS)
def test_no_module_is_too_long(package):
    lines = {
        path: len(path.read_text().splitlines()) for path in FOLDERS[package].rglob("*.py")
    }
    assert {str(path): n for path, n in lines.items() if n > MAX_LINES} == {}


def test_the_path_from_fit_to_backprop_is_short_and_points_down(graph):
    """Each module on the call stack from fit to backprop imports the next one."""
    stacks = set()

    def profile(frame, event, argument):
        if event == "call" and frame.f_globals.get("__name__") == "bpnet.backprop":
            stack = []
            while frame is not None:
                name = frame.f_globals.get("__name__", "")
                if name.startswith("bpnet.") and name not in stack[-1:]:
                    stack.append(name)
                frame = frame.f_back
            begin = stack.index("bpnet.network") + 1  # decorators are called before fit
            stacks.add(tuple(reversed(stack[:begin])))

    X, y = bpnet.datasets.make_xor(40, seed=0)
    layers = [bpnet.Dense(3, "tanh"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0)
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        net.fit(X, y, epochs=2, backend="numpy")
    finally:
        sys.setprofile(before)
    assert stacks
    for stack in stacks:
        assert (stack[0], stack[-1]) == ("bpnet.network", "bpnet.backprop")
        assert len(stack) - 2 <= MAX_STEPS
        for above, below in itertools.pairwise(stack):
            assert graph.chain_exists(importer=above, imported=below), stack
            assert not graph.chain_exists(importer=below, imported=above), stack
