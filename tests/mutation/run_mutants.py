"""Do the tests bite? Change the core's code in some 2000 places, and see which change is seen.

    pip install -e ".[measure]"
    python tests/mutation/run_mutants.py            # all, or what is not yet judged
    python tests/mutation/run_mutants.py losses     # these modules, anew

mutmut (configured in pyproject.toml) makes the mutants in `mutants/` and tries each in a fork
of a process that has run the tests. What that process had computed before, when it imported a
test file or cached a reference, no mutant can change. So each that survives is tried again in
a process that has imported neither bpnet nor a test, with more tests. What survives that too
is printed with its change.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTANTS = ROOT / "mutants"
VERDICTS = MUTANTS / "second-verdicts.json"
SECONDS = 1800  # a mutant that takes longer has made a loop endless

NEAREST = {
    "_parametrised": ("network", "network_home", "memory"),
    "backprop": ("gradients",),
    "_step": ("training",),
    "layers": ("layers", "random"),
    "training": ("training", "memory", "callbacks", "interrupt"),
}
MORE = (
    "training", "continuation", "optimizers", "losses", "layers", "network", "network_home",
    "memory", "numerics", "nonfinite", "callbacks", "checkpoint", "activations", "gradients",
    "backends", "random", "interrupt", "arguments", "estimators_equal",
)  # fmt: skip
PRELOADED = (
    "array_api_compat.torch", "array_api_strict", "safetensors", "scipy.stats",
    "sklearn.neural_network", "torch",
)  # fmt: skip
OPTIONS = ("-x", "-q", "-n", "0", "-p", "no:cacheprovider")
QUICK = "not torch:c and not jax and not cupy"  # NumPy, and array-api-strict for devices


def mutmut(*arguments: str, capture: bool = True) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE if capture else None
    )
    return done.stdout or ""


def first_verdicts() -> dict[str, str]:
    """The status of each mutant, such as "killed", "survived", "no tests" or "timeout"."""
    lines = mutmut("results", "--all", "true").splitlines()
    return dict(line.strip().rsplit(": ", 1) for line in lines if ": " in line)


def module_of(mutant: str) -> str:
    return mutant.split(".")[1]


def second_verdict(mutant: str) -> str:
    """Try a mutant on the nearest tests, and if it survives them on more."""
    module = module_of(mutant)
    verdict = verdict_of(mutant, NEAREST.get(module, (module.strip("_"),)))
    return verdict_of(mutant, MORE) if verdict == "survived" else verdict


def verdict_of(mutant: str, names: tuple[str, ...]) -> str:
    """Try a mutant on some tests, in a fork that has yet to import bpnet and them."""
    arguments = [*(f"tests/test_{name}.py" for name in names), "-k", QUICK, *OPTIONS]
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            return "timeout" if os.WTERMSIG(status) == signal.SIGALRM else "killed"
        return {0: "survived", 1: "killed", 2: "killed"}[os.WEXITSTATUS(status)]
    try:
        os.environ["MUTANT_UNDER_TEST"] = mutant
        os.environ["PYTHONPATH"] = str(MUTANTS)  # for the processes that tests start
        sys.path.insert(0, str(MUTANTS))
        os.chdir(MUTANTS)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        signal.alarm(SECONDS)
        os._exit(pytest.main(arguments))
    finally:
        os._exit(99)  # a mistake here, never a verdict


def judge(verdicts: dict[str, str]) -> dict[str, str]:
    """Give the final verdicts; those of the second pass are kept in a file as they come."""
    for name in PRELOADED:
        importlib.import_module(name)
    second: dict[str, str] = json.loads(VERDICTS.read_text()) if VERDICTS.exists() else {}
    for mutant, verdict in verdicts.items():
        if verdict in ("survived", "no tests") and mutant not in second:
            second[mutant] = second_verdict(mutant)
            print(second[mutant], mutant, flush=True)
            VERDICTS.write_text(json.dumps(second, indent=1))
    return verdicts | {mutant: v for mutant, v in second.items() if mutant in verdicts}


def change(mutant: str) -> str:
    """The lines that a mutant takes out and puts in."""
    lines = mutmut("show", mutant).splitlines()
    changed = [line for line in lines if line[:1] in "-+" and line[:3] not in ("---", "+++")]
    return "\n".join(f"    {line}" for line in changed)


def report(verdicts: dict[str, str]) -> None:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, verdict in verdicts.items():
        table[module_of(mutant)][verdict] += 1
    for mutant in sorted(m for m, verdict in verdicts.items() if verdict == "survived"):
        print(f"\n{mutant}\n{change(mutant)}")
    print("\n| module | mutants | killed | timeouts | survivors | killed |")
    print("|---|--:|--:|--:|--:|--:|")
    for module, counts in sorted(table.items()):
        total, killed = sum(counts.values()), counts["killed"]
        row = (module, total, killed, counts["timeout"], counts["survived"])
        print(f"| {' | '.join(map(str, row))} | {killed / total:.1%} |")


def main(modules: list[str]) -> None:
    if VERDICTS.exists() and modules:
        second = json.loads(VERDICTS.read_text())
        kept = {m: v for m, v in second.items() if module_of(m) not in modules}
        VERDICTS.write_text(json.dumps(kept, indent=1))
    mutmut("run", "--max-children=1", *(f"bpnet.{m}.*" for m in modules), capture=False)
    verdicts = judge(first_verdicts())
    report({m: v for m, v in verdicts.items() if not modules or module_of(m) in modules})


if __name__ == "__main__":
    main(sys.argv[1:])
