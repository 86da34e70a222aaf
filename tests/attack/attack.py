"""An attack on what could go silently wrong: seeded inputs of many kinds, each with an oracle.

A kind yields probes. A probe is an input and what must come of it: an error that says certain
words, a warning, or a right value. It passes if its function returns; whatever it raises is
a finding. Only names of the public interface are used, so that the attack also runs on other
versions:

    python tests/attack/attack.py                       # every kind, with the seed of the tests
    python tests/attack/attack.py --seed 7 threads files
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# The seed with which the tests run the attack.
SEED = 15


class Probe(NamedTuple):
    """An input: its name, and a function that raises if what comes of it is wrong."""

    name: str
    run: Callable[[], Any]


Kind = Callable[[np.random.Generator], Iterator[Probe]]
KINDS: dict[str, Kind] = {}
# The backends without which a kind has too few probes.
NEEDS: dict[str, tuple[str, ...]] = {}
# The kinds that take more than five seconds.
SLOW: set[str] = set()


def kind(name: str, *needs: str, slow: bool = False) -> Callable[[Kind], Kind]:
    """Return a decorator that registers a generator of probes, and the backends it needs."""

    def register(probes: Kind) -> Kind:
        KINDS[name], NEEDS[name] = probes, needs
        SLOW.update({name} if slow else ())
        return probes

    return register


def load_kinds() -> dict[str, Kind]:
    """Import every module of this folder that defines kinds, and return them."""
    here = Path(__file__).parent
    for folder in (here, here.parent / "helpers"):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    for path in sorted(here.glob("kinds_*.py")):
        importlib.import_module(path.stem)
    return dict(sorted(KINDS.items()))


def probes_of(name: str, seed: int) -> list[Probe]:
    """Return the probes of a kind, the same for equal seeds."""
    return list(KINDS[name](np.random.default_rng([seed, *name.encode()])))


def finding(probe: Probe) -> str | None:
    """Run a probe; return what is wrong, in one line, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probe.run()
    except Exception as error:
        return f"{probe.name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None


# --- oracles ------------------------------------------------------------------------------


def must_refuse(
    action: Callable[[], Any], *words: str, errors: Any = (ValueError, TypeError)
) -> str:
    """Run an action that must raise one of these errors, with all words in its message."""
    try:
        action()
    except errors as error:
        message = str(error)
        missing = [word for word in words if word.lower() not in message.lower()]
        assert not missing, f"the error does not say {missing}: {message}"
        return message
    raise AssertionError("accepted")


def must_warn(action: Callable[[], Any], *words: str, category: Any = Warning) -> Any:
    """Run an action that must warn, in one warning, with all these words; return its result."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = action()
    texts = [str(w.message) for w in seen if issubclass(w.category, category)]
    found = any(all(word.lower() in text.lower() for word in words) for text in texts)
    assert found, f"no warning says {words}; got {texts}"
    return result


def must_not_warn(action: Callable[[], Any]) -> Any:
    """Run an action that must not warn; return its result."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return action()


def must_equal(found: Any, expected: Any) -> None:
    """Compare two arrays or numbers bit by bit; NaN equals NaN."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype, f"dtype {found.dtype}, expected {expected.dtype}"
    same = np.array_equal(found, expected, equal_nan=found.dtype.kind == "f")
    assert same, f"got {found!r:.80}, expected {expected!r:.80}"


def all_of(*checks: Callable[[], Any]) -> Callable[[], None]:
    """Return a function that runs several checks."""

    def run() -> None:
        for check in checks:
            check()

    return run


def bind(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[[], Any]:
    """Return a call, bound to what loop variables are now."""
    return functools.partial(function, *args, **kwargs)


# --- the command --------------------------------------------------------------------------


def main() -> int:
    """Run the attack; the exit status is 1 if it finds something."""
    parser = argparse.ArgumentParser(description="Attack bpnet with inputs of many kinds.")
    parser.add_argument("kinds", nargs="*", help="some of the kinds; without any, all")
    parser.add_argument("--seed", type=int, default=SEED, help="of the inputs")
    options = parser.parse_args()
    known = load_kinds()
    if unknown := set(options.kinds) - known.keys():
        parser.error(f"unknown kinds {sorted(unknown)}; there are {', '.join(known)}")
    total = wrong = 0
    for name in options.kinds or known:
        probes = probes_of(name, options.seed)
        findings = [text for probe in probes if (text := finding(probe)) is not None]
        total, wrong = total + len(probes), wrong + len(findings)
        print(f"{name}: {len(probes)} inputs, {len(findings)} wrong")
        for text in findings:
            print(f"    {text}")
    print(f"{total} inputs, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.modules["attack"] = sys.modules["__main__"]  # kinds register in this very module
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
