"""Check a refusal: bpnet itself raises the error, and nothing has changed."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import bpnet_backends
import numpy as np
import pytest
import sklearn

import bpnet
from bpnet.backend import Backend
from bpnet.backend.registry import backend_of

CACHES = ("_compiled", "_is_own", "_network")
# The packages whose checks may raise: bpnet, and scikit-learn for estimators.
CHECKERS = tuple(Path(package.__file__).parent for package in (bpnet, bpnet_backends, sklearn))


class Unchanged:
    """Objects that a refusal must not change: networks, estimators, arrays, dicts of them."""

    def __init__(self, *objects):
        self.objects = objects
        self.before = bits(objects)

    def refuses(self, use, error, message):
        """Assert that ``use()`` raises and changes nothing."""
        with pytest.raises(error, match=message) as caught:
            use()
        assert bits(self.objects) == self.before
        assert_raised_by_a_check(caught.value)


def assert_raised_by_a_check(error):
    """Assert that the error comes from a `raise` statement in one of the CHECKERS."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    path, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
    assert any(Path(path).is_relative_to(folder) for folder in CHECKERS), (path, line)
    assert any(first <= line <= last for first, last in raises(path)), (path, line)


@functools.cache
def raises(path):
    """Return the first and last line of each `raise` in a file."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc)
    return [(node.lineno, node.end_lineno) for node in nodes]


def bits(value):
    """Return the state of an object as nested tuples, arrays bit for bit, without CACHES."""
    if isinstance(value, np.ndarray | np.generic):
        listed = value.tolist() if value.dtype.hasobject else value.tobytes()
        return type(value).__name__, str(value.dtype), value.shape, listed
    if isinstance(value, Backend | type | str | bytes | int | float | complex | None):
        return type(value).__name__, repr(value)
    if isinstance(value, dict):
        return tuple((key, bits(v)) for key, v in value.items() if key not in CACHES)
    if isinstance(value, list | tuple | set):
        return type(value).__name__, *map(bits, value)
    try:
        owner = backend_of(value=value)
        on_host = None if owner is None else owner.to_numpy(value)
    except Exception:  # not an array that bpnet accepts
        return id(value)
    if owner is not None:
        return owner.spec, bits(on_host)
    if type(value).__module__.startswith("bpnet") and hasattr(value, "__dict__"):
        return type(value).__name__, bits(vars(value))
    if isinstance(value, np.random.RandomState):
        return bits(value.get_state())
    return id(value)
