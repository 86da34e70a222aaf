"""Mutation testing: change the core in some 2000 places and see which changes fail a test.

    pip install -e ".[measure]"
    python tests/mutation/run_mutants.py                                # all modules below
    python tests/mutation/run_mutants.py losses.base layers.dense       # these

mutmut writes the mutants, copies of each function with one change each, to a copy of the
package in `mutants/`. The first pass collects the tests once and runs each mutant in a fork,
with the most relevant tests on NumPy, until one fails. In these forks a mutant cannot affect
what was computed on import, such as a table of optimizers, so each survivor is run again in a
fork that has not imported bpnet yet, with more tests and a second device. Mutants that survive
both passes are printed with their change.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import itertools
import json
import os
import resource
import shutil
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MUTANTS = ROOT / "mutants"
SECONDS = 120  # of CPU time; a mutant that takes longer is in an endless loop

# The modules, each with its most relevant tests.
MODULES = {
    "activations": ("activations",),
    "losses.base": ("losses", "numerics"),
    "losses.crossentropy": ("losses", "numerics"),
    "losses.regression": ("losses", "numerics"),
    "losses.poisson": ("losses", "numerics"),
    "layers.base": ("layers",),
    "layers.dense": ("layers", "initializers"),
    "layers.dropout": ("layers", "random"),
    "model.model": ("network", "model", "memory", "arguments"),
    "optimizers.base": ("optimizers",),
    "optimizers.sgd": ("optimizers",),
    "optimizers.adaptive": ("optimizers",),
    "optimizers.adam": ("optimizers",),
    "backprop": ("gradients", "layers", "state"),
    "training.step": ("loop", "random", "lr_finder"),
    "training.state": ("state",),
    "training.runner": ("loop", "memory", "nan_guard"),
    "training.loop": ("loop", "memory", "callbacks", "nan_guard"),
}
MORE = ("checkpoint", "backends", "interrupt")
FIRST = tuple(dict.fromkeys(name for names in MODULES.values() for name in names))

NUMPY = "not torch:c and not jax and not cupy and not array_api_strict"
STRICT_TOO = "not torch:c and not jax and not cupy"
OPTIONS = ("-x", "-n", "0", "-p", "no:cacheprovider", "-p", "no:terminal")
PRELOADED = (  # slow imports that no mutant can affect
    "array_api_compat.torch", "array_api_strict", "safetensors", "scipy.stats",
    "sklearn.neural_network", "torch",
)  # fmt: skip


def write_mutants(modules: list[str]) -> list[str]:
    """Write the package and tests with all mutants of some modules; return mutant names."""
    from mutmut.mutation.file_mutation import mutate_file_contents

    shutil.rmtree(MUTANTS, ignore_errors=True)
    for folder in ("bpnet", "tests"):
        shutil.copytree(ROOT / folder, MUTANTS / folder)
    shutil.copy(ROOT / "pyproject.toml", MUTANTS)
    names = []
    for module in modules:
        path = Path("bpnet", *module.split(".")).with_suffix(".py")
        mutated = mutate_file_contents(str(path), (ROOT / path).read_text())
        (MUTANTS / path).write_text(mutated.code)
        names += [f"bpnet.{module}.{name}" for name in mutated.mutant_names]
    return names


def module_of(mutant: str) -> str:
    return mutant.removeprefix("bpnet.").rpartition(".")[0]


def files(names: tuple[str, ...]) -> list[str]:
    return [str(next(ROOT.glob(f"tests/**/test_{name}.py"))) for name in names]


def forked(function: Callable[..., int], *arguments: Any) -> str:
    """Call a function in a fork and return a verdict from its exit status."""
    child = os.fork()
    if not child:
        try:
            os._exit(function(*arguments))
        finally:
            os._exit(99)  # an error in this file, not a verdict
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) == signal.SIGXCPU else "killed"
    return {0: "survived", 1: "killed", 2: "killed"}[os.WEXITSTATUS(status)]


def activate(mutant: str) -> None:
    """Activate a mutant here and in child processes; silence output and limit CPU time."""
    os.environ["MUTANT_UNDER_TEST"] = mutant
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))


class FirstPass:
    """A pytest plugin that runs the collected tests once per mutant."""

    def __init__(self, mutants: list[str]) -> None:
        self.mutants = mutants
        self.verdicts: dict[str, str] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for module, mutants in itertools.groupby(self.mutants, module_of):
            self.check(session, module)
            for mutant in mutants:
                self.verdicts[mutant] = forked(self.run, session, mutant)
            self.check(session, module)
        return True

    def check(self, session: pytest.Session, module: str) -> None:
        """Assert that the tests pass without a mutant."""
        assert forked(self.run, session, f"bpnet.{module}.none") == "survived", module

    def run(self, session: pytest.Session, mutant: str) -> int:
        activate(mutant)
        near = {f"test_{name}.py" for name in MODULES[module_of(mutant)]}
        items = [item for item in session.items if item.path.name in near]
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return 1
        return 0


def first_pass(mutants: list[str], path: Path) -> int:
    plugin = FirstPass(mutants)
    status = int(pytest.main([*files(FIRST), "-k", NUMPY, *OPTIONS], plugins=[plugin]))
    path.write_text(json.dumps(plugin.verdicts))
    return status


def run_in_full(mutant: str, names: tuple[str, ...]) -> int:
    activate(mutant)
    return int(pytest.main([*files(names), "-k", STRICT_TOO, *OPTIONS]))


def second_verdict(mutant: str) -> str:
    """Run a mutant active from import on: with the most relevant tests, then with all."""
    verdict = forked(run_in_full, mutant, MODULES[module_of(mutant)])
    return forked(run_in_full, mutant, (*FIRST, *MORE)) if verdict == "survived" else verdict


def change(mutant: str) -> str:
    """Return the lines that a mutant removes and adds."""
    code = (MUTANTS / "bpnet" / f"{module_of(mutant).replace('.', '/')}.py").read_text()
    name = mutant.rsplit(".", 1)[1]
    original = f"{name.rpartition('__mutmut_')[0]}__mutmut_orig"
    bodies = {
        node.name: (ast.get_source_segment(code, node) or "").splitlines()[1:]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef) and node.name in (name, original)
    }
    lines = list(difflib.unified_diff(bodies[original], bodies[name], n=0))[3:]
    return "\n".join(f"    {line[0]} {line[1:].strip()}" for line in lines if line[0] in "-+")


def report(verdicts: dict[str, str]) -> None:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, verdict in verdicts.items():
        table[module_of(mutant)][verdict] += 1
        if verdict != "killed":
            print(f"\n{verdict}: {mutant}\n{change(mutant)}")
    print("\n| module | mutants | killed | timeouts | survivors | killed |")
    print("|---|--:|--:|--:|--:|--:|")
    for module, counts in sorted(table.items()):
        total, killed = sum(counts.values()), counts["killed"]
        row = (module, total, killed, counts["timeout"], counts["survived"])
        print(f"| {' | '.join(map(str, row))} | {killed / total:.1%} |")


def main(modules: list[str]) -> None:
    os.chdir(ROOT)
    mutants = write_mutants(modules or list(MODULES))
    print(f"{len(mutants)} mutants", flush=True)
    for name in PRELOADED:
        importlib.import_module(name)
    os.chdir(MUTANTS)
    sys.path.insert(0, str(MUTANTS))
    os.environ["PYTHONPATH"] = str(MUTANTS)  # for the processes that tests start
    path = MUTANTS / "first.json"
    forked(first_pass, mutants, path)
    verdicts = json.loads(path.read_text())
    assert list(verdicts) == mutants, "the first pass did not finish"
    for mutant, verdict in verdicts.items():
        if verdict == "survived":
            verdicts[mutant] = second_verdict(mutant)
    report(verdicts)


if __name__ == "__main__":
    main(sys.argv[1:])
