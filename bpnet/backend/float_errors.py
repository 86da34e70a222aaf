"""NumPy's floating-point errors, which a program may turn into exceptions for its own code."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

_DEFAULT = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_NOTHING = contextlib.nullcontext()


def without_float_errors() -> AbstractContextManager[Any]:
    """Return a context in which NumPy raises no errors: underflow is ignored, others may warn.

    Underflow is part of many functions (a sigmoid's flat side), and bpnet checks itself for
    NaNs and infinities.
    """
    errors = np.geterr()
    if errors == _DEFAULT:
        return _NOTHING
    calm: dict[str, Any] = {
        name: "warn" if reaction in ("raise", "call") else reaction
        for name, reaction in errors.items()
    }
    return np.errstate(**calm | {"under": "ignore"})


def without_float_warnings(reported: bool = True) -> AbstractContextManager[Any]:
    """Return a context in which NumPy does not warn of what bpnet reports itself.

    `reported` says whether it does: then a diverging run ends in bpnet's message alone.
    """
    if not reported:
        return _NOTHING
    return np.errstate(divide="ignore", over="ignore", invalid="ignore")
