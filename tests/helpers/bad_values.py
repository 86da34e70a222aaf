"""Invalid values for each kind of argument, by name, with the expected error.

A kind is a function of what is allowed that returns a dict of cases; in the pattern of an
error, {name} stands for the argument.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

import bpnet


class Bad(NamedTuple):
    """An invalid value, the expected error and the pattern of its message."""

    value: Any
    error: type[Exception] | tuple[type[Exception], ...]
    message: str


def each(values, error, message):
    """Return a case for each value, all with the same error."""
    return {name: Bad(value, error, message) for name, value in values.items()}


HUGE = 10**18
UNKNOWN = {"unknown": "nonsense", "empty": "", "foreign": "größe"}

# --- numbers and words ------------------------------------------------------------------------


def integer(minimum, *, none=False, huge=False):
    wrong = {
        "half": 2.5, "float": 3.0, "text": "3", "digits": "٣", "bool": True,
        "NumPy bool": np.True_, "list": [3], "array": np.array(3), "NaN": math.nan,
    }  # fmt: skip
    cases = each(wrong, TypeError, r"^{name} must be an integer, got")
    if not none:
        cases["None"] = Bad(None, TypeError, r"^{name} must be an integer, got None")
    below = minimum - 1
    cases["too small"] = Bad(
        below, ValueError, rf"^{{name}} must be >= {minimum}, got {below}$"
    )
    if huge:
        for name, value in {"huge": HUGE, "beyond": HUGE**9}.items():
            cases[name] = Bad(value, bpnet.OutOfMemoryError, r"\b{name}\b")
    return cases


def number(minimum=-math.inf, maximum=math.inf, *, above=False, below=False, none=False):
    wrong = {
        "text": "0.1", "bool": False, "complex": 0.1j, "array": np.array(0.1),
        "decimal": Decimal(1),
    }  # fmt: skip
    cases = each(wrong, TypeError, r"^{name} must be a number, got")
    if not none:
        cases["None"] = Bad(None, TypeError, r"^{name} must be a number, got None")
    outside = {"NaN": math.nan, "infinite": math.inf, "overflow": 10**400}
    if minimum > -math.inf:
        outside["too small"] = minimum if above else minimum - 0.1
    if maximum < math.inf:
        outside["too large"] = maximum if below else maximum + 0.1
    for name, value in outside.items():
        cases[name] = Bad(value, ValueError, r"^{name} must be a finite number.*, got")
    return cases


def flag():
    wrong = {"1": 1, "0.0": 0.0, "text": "no", "None": None, "array": np.array(True)}
    return each(wrong, TypeError, r"^{name} must be True or False, got")


def choice(*, none=False):
    wrong = {"number": 3, "bytes": b"min", "list": ["min"], "class": str}
    if not none:
        wrong["None"] = None
    return each(wrong, TypeError, r"^{name} must be a string, one of") | each(
        UNKNOWN, ValueError, r"^{name} must be one of .*; got"
    )


def text():
    wrong = {"None": None, "number": 3, "bytes": b"loss", "list": ["loss"], "class": str}
    return each(wrong, TypeError, r"^{name} must be a string.*, got")


def named(what, *, none=False):
    """Return cases for an argument that is a name or an object of its own class."""
    wrong = {"number": 0.1, "array": np.zeros(2), "list": ["tanh"], "bytes": b"relu"}
    if not none:
        wrong["None"] = None
    return {
        name: Bad(value, TypeError, rf"{what}\b.*, got {type(value).__name__}")
        for name, value in wrong.items()
    } | each(
        UNKNOWN | {"unknown": "Nonsense"}, ValueError, rf"unknown {what} '.*'; available: "
    )


def metrics(*, none=True):
    """Return cases for metrics of a network of classes, 3 at most."""
    wrong = {"number": 3, "list of numbers": [3], "bytes": b"f1", "layer": bpnet.Dense(1)}
    if not none:
        wrong["None"] = None
    cases = each(wrong, TypeError, r"^{name} must be names or bpnet metrics .*, got \w+$")
    hint = r"^{name} must be .* the class F1; pass an instance, F1\(\)"
    cases["its class"] = Bad(bpnet.metrics.F1, TypeError, hint)
    cases["twice"] = Bad(["f1", "f1"], ValueError, "^{name} must have different names; got")
    return cases | each(UNKNOWN, ValueError, "^unknown {name} '.*'; available: ")


# --- bpnet's own objects ----------------------------------------------------------------------


def instance(pattern, *, none=False):
    """Return cases for an argument that must be an instance, with a message pattern."""
    wrong = {
        "number": 3, "text": "adam", "list": [1], "class": bpnet.Network, "array": np.ones(2),
    }  # fmt: skip
    if not none:
        wrong["None"] = None
    return each(wrong, TypeError, pattern)


def network():
    return instance("^net must be a bpnet Network, got") | {
        "layer": Bad(bpnet.Dense(1), TypeError, "net must be a bpnet Network, got Dense")
    }


def optimizer():
    cases = instance("^optimizer must be a name or a bpnet optimizer", none=True)
    cases.pop("text")  # a name
    return cases | {
        "its class": Bad(bpnet.Adam, TypeError, "an instance, Adam\\(0.001\\)"),
        "misspelt": Bad("Adam", ValueError, "unknown optimizer 'Adam'.*did you mean 'adam'"),
    }


def backend(*, none=True):
    message = r"\b({name}|backend) (must be a|must be) spec strings? such as '.*got"
    wrong = {"number": 3, "bytes": b"numpy", "module": np, "class": str}
    if not none:
        wrong["None"] = None
    cases = each(wrong, TypeError, message)
    unknown = bpnet.UnknownBackendError
    return cases | {
        "unknown": Bad(
            "nonsense", unknown, "unknown backend 'nonsense'; known backends: .*numpy"
        ),
        "NUL": Bad("numpy\0", unknown, r"unknown backend 'numpy\\x00'"),
        "no device": Bad(
            "numpy:gpu", bpnet.NoDeviceError, "backend 'numpy' has no device 'gpu'"
        ),
    }


def communicator():
    """Return what connects no processes; the argument may be called `spec`."""
    message = r"\bcommunicator must be 'auto', None or a bpnet.distributed.Communicator, got"
    wrong = {"number": 2, "flag": True, "class": bpnet.distributed.SingleProcess}
    return each(wrong, TypeError, message) | each({"word": "mpi"}, ValueError, message)


def mapping():
    wrong = {"None": None, "number": 3, "text": "loss", "list": [0.1], "array": np.ones(2)}
    return each(wrong, TypeError, r"^history must be what fit returned.*got")


def axes():
    return instance("^ax must be a matplotlib Axes, got", none=True)


def path(*, none=False, nul=True):
    wrong = {"number": 3, "float": 3.5, "list": ["a"], "object": object()}
    if not none:
        wrong["None"] = None
    cases = each(wrong, TypeError, r"^{name} must be a str or a Path, got")
    if nul:
        cases["NUL"] = Bad("a\0.gif", ValueError, r"^{name} must have no NUL character, got")
    return cases


def sequence(numbers, minimum=1, *, rising=True):
    """Return cases for a sequence of numbers, given the cases `numbers` for each of them."""
    wrong = {"None": None, "number": 3, "text": "12", "function": len}
    cases = each(wrong, TypeError, r"^{name} must be a sequence, got")
    cases["empty"] = Bad((), ValueError, rf"^{{name}} must have {minimum} or more values")
    if rising:
        cases["falling"] = Bad((3, 2), ValueError, r"^{name} must have .*, rising; got")
    return cases | {
        f"among: {name}": bad._replace(value=(bad.value, bad.value))
        for name, bad in numbers.items()
    }


def words():
    """Return cases for a sequence of activation names."""
    wrong = {"None": None, "number": 3, "text": "tanh", "function": len}
    cases = each(wrong, TypeError, r"^{name} must be a sequence, got")
    cases["empty"] = Bad((), ValueError, "^{name} must have 1 or more values")
    cases["unknown among"] = Bad(["tanh", "Nonsense"], ValueError, "unknown activation")
    cases["number among"] = Bad(["tanh", 3], TypeError, "^{name} must be a string, got 3")
    return cases


# --- arrays -----------------------------------------------------------------------------------


class Frame:
    """What pandas' and polars' frames have in common."""

    def __init__(self, data):
        self.data = data

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.data, Exception):
            raise self.data
        return np.asarray(self.data, dtype)


class Foreign:
    """An array of a library without a backend."""

    __module__ = "dask.array.core"
    shape, ndim, dtype = (6, 2), 2, np.dtype(float)

    def __array_namespace__(self, api_version=None):
        import types

        return types.ModuleType("dask.array")


NUMBERS = r"^{name} must hold real numbers, got dtype "
NO_ARRAY = r"^{name} must be an array of numbers, got "
CONVERT = (
    r"object \(\w.*\); if all of it is numbers, convert it with np.asarray\(..., dtype=float"
)
TEXT = r"<U\d+; encode text as numbers, labels as 0, 1, ..."


# The cases of `no_numbers` that are tried on every entry.
FEW = (
    "generator", "string", "text", "objects", "ragged", "complex", "masked", "csr_matrix",
    "unknown library", "torch meta",
)  # fmt: skip


def few_of(cases):
    """Return the cases without those of `no_numbers` that need only be tried on one entry."""
    left_out = no_numbers(np.ones((6, 2))).keys() - FEW
    return {name: case for name, case in cases.items() if name not in left_out}


def no_numbers(X):
    """Return values that are not arrays of real numbers, for X, y and sample_weight."""
    m = len(X)
    return {
        "dict": Bad({"a": X}, TypeError, NO_ARRAY + "dict"),
        "set": Bad({1, 2}, TypeError, NO_ARRAY + "set"),
        "generator": Bad(
            (row for row in X),
            TypeError,
            NO_ARRAY + r"generator; collect its rows .* list\(|"
            r"^X must be an iterable that can be read again .* got generator, .* list\(",
        ),
        "string": Bad("balanced", TypeError, NO_ARRAY + "str"),
        "bytes": Bad(b"abc", TypeError, NO_ARRAY + "bytes"),
        "class": Bad(int, TypeError, NO_ARRAY + "the class int"),
        "layer": Bad(bpnet.Dense(1), TypeError, NO_ARRAY + "Dense"),
        "text": Bad([["a", "b"]] * m, TypeError, NUMBERS + TEXT),
        "numbers as text": Bad(X.astype(str), TypeError, NUMBERS + TEXT),
        "text in bytes": Bad(X.astype("S"), TypeError, NUMBERS + r"\|S\d+; encode text"),
        "objects": Bad(X.astype(object), TypeError, NUMBERS + CONVERT),
        "a None inside": Bad([[1.0, None]] * m, TypeError, NUMBERS + CONVERT),
        "fractions": Bad([[Fraction(1, 2)] * 2] * m, TypeError, NUMBERS + CONVERT),
        "huge ints": Bad([[10**30, 1]] * m, TypeError, NUMBERS + CONVERT),
        "ragged": Bad([[1.0, 2.0], [1.0]], ValueError, "^{name} must be a rectangular array"),
        "complex": Bad(X + 0j, TypeError, NUMBERS + "complex128"),
        "dates": Bad(X.astype("datetime64[s]"), TypeError, NUMBERS + r"datetime64\[s\]"),
        "durations": Bad(X.astype("timedelta64[s]"), TypeError, NUMBERS + "timedelta64"),
        "records": Bad(np.zeros(m, [("a", float)]), TypeError, NUMBERS),
        "void": Bad(np.zeros((m, 2), "V8"), TypeError, NUMBERS),
        "masked": Bad(np.ma.array(X), TypeError, "^{name} is a masked array, .*; fill it"),
        "csr_matrix": Bad(sparse.csr_matrix(X), TypeError, r"^{name} is sparse \(csr_matrix\)"),
        "coo_array": Bad(sparse.coo_array(X), TypeError, r"^{name} is sparse .*; pass .*toarr"),
        "frame of objects": Bad(Frame(X.astype(object)), TypeError, NUMBERS + CONVERT),
        "frame of text": Bad(Frame([["a"]] * m), TypeError, NUMBERS + TEXT),
        "frame that fails": Bad(Frame(RuntimeError("lost")), ValueError, "^{name} .*: lost"),
        "unknown library": Bad(
            Foreign(), bpnet.UnknownBackendError, "^{name}: unknown backend 'dask'.*convert it"
        ),
        **_of_libraries(X),
    }


def _of_libraries(X):
    """Return such values of pandas, PyTorch and JAX, where these are installed."""
    cases = {}
    try:
        import pandas
    except ImportError:
        pass
    else:
        mixed = pandas.DataFrame({"a": list("abcdef"), "b": X[:, 1]})
        missing = pandas.DataFrame({"a": pandas.array([1, None] * 3, "Int64")})
        cases["pandas text"] = Bad(
            mixed,
            TypeError,
            r"^{name} must hold real numbers, got \w+ in column 'a' \(.*encode|float",
        )
        cases["pandas NA"] = Bad(
            missing, (TypeError, ValueError), "^{name} must (be|have|hold) "
        )
    try:
        import torch
    except ImportError:
        pass
    else:
        coo = torch.tensor(X).to_sparse()
        rows = [torch.ones(2, requires_grad=True)] * len(X)
        meta = torch.empty((len(X), 2), device="meta")
        cases["torch sparse"] = Bad(coo, TypeError, r"^{name} is sparse .*to_dense\(\)")
        cases["torch list"] = Bad(rows, ValueError, "^{name} must be a rectangular .*detach")
        cases["torch meta"] = Bad(meta, bpnet.NoDeviceError, "^{name}: .*no device 'meta'")
    try:
        from jax.experimental import sparse as jax_sparse
    except ImportError:
        pass
    else:
        bcoo = jax_sparse.BCOO.fromdense(X)
        cases["jax sparse"] = Bad(bcoo, TypeError, r"^{name} is sparse .*todense\(\)")
    return cases
