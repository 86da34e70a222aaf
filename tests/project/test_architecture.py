"""The structure: imports point down, few modules on top, a short way from fit to backprop."""

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
MOST_MODULES, MOST_LINES, MOST_STEPS = 16, 420, 7


@pytest.fixture(scope="module")
def graph():
    """All imports, those under TYPE_CHECKING and within functions included."""
    return grimp.build_graph("bpnet", "bpnet_backends", exclude_type_checking_imports=False)


def circles(graph):
    """Return the sets of modules that import each other, directly or through others."""
    found = set()
    for module in graph.modules:
        both = graph.find_upstream_modules(module) & graph.find_downstream_modules(module)
        if both:
            found.add(frozenset(both | {module}))
    return found


def test_no_modules_import_each_other_in_a_circle(graph):
    assert len(graph.modules) > 100
    assert circles(graph) == set()


def test_a_circle_would_be_seen(graph):
    longer = grimp.build_graph("bpnet", exclude_type_checking_imports=False)
    longer.add_import(importer="bpnet.common.checks", imported="bpnet.network")
    (circle,) = circles(longer)
    assert {"bpnet.common.checks", "bpnet.network", "bpnet.model.model"} <= circle


def test_the_contracts_of_the_project_are_kept(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert cli.lint_imports(no_logo=True) == cli.EXIT_STATUS_SUCCESS


def test_nothing_inside_imports_the_face(graph):
    assert graph.find_modules_that_directly_import("bpnet") <= {
        module for module in graph.modules if module.startswith("bpnet_backends")
    }


def test_few_modules_stand_directly_in_the_package():
    modules = sorted(path.stem for path in FOLDERS["bpnet"].glob("*.py"))
    assert len(modules) <= MOST_MODULES
    assert [name for name in modules if name.startswith("_")] == ["__init__", "__main__"]


@pytest.mark.parametrize("package", FOLDERS)
def test_no_module_is_too_long(package):
    lines = {
        path: len(path.read_text().splitlines()) for path in FOLDERS[package].rglob("*.py")
    }
    assert {str(path): n for path, n in lines.items() if n > MOST_LINES} == {}


def test_the_way_from_fit_to_backprop_is_short_and_leads_down(graph):
    """Each module on the stack between the call and backprop imports the next one."""
    stacks = set()

    def look(frame, event, argument):
        if event == "call" and frame.f_globals.get("__name__") == "bpnet.backprop":
            stack = []
            while frame is not None:
                name = frame.f_globals.get("__name__", "")
                if name.startswith("bpnet.") and name not in stack[-1:]:
                    stack.append(name)
                frame = frame.f_back
            stacks.add(tuple(reversed(stack)))

    X, y = bpnet.datasets.make_xor(40, seed=0)
    layers = [bpnet.Dense(3, "tanh"), bpnet.Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0)
    before = sys.getprofile()
    sys.setprofile(look)
    try:
        net.fit(X, y, epochs=2, backend="numpy")
    finally:
        sys.setprofile(before)
    assert stacks
    for stack in stacks:
        assert (stack[0], stack[-1]) == ("bpnet.network", "bpnet.backprop")
        assert len(stack) - 2 <= MOST_STEPS
        for above, below in itertools.pairwise(stack):
            assert graph.chain_exists(importer=above, imported=below), stack
            assert not graph.chain_exists(importer=below, imported=above), stack
