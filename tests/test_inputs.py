"""Users' data that are refused, by name and before anything has changed."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from refusals import Unchanged
from scipy import sparse

import bpnet

M, N_IN, N_OUT = 6, 3, 3
rng = np.random.default_rng(0)
X = rng.integers(-8, 8, (M, N_IN)) / 4.0  # exact in every float, down to float16
LABELS = np.array([0, 1, 2, 2, 1, 0])
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0])

# Targets of each loss, and its number of outputs.
TARGETS = {
    "binary_crossentropy": (LABELS % 2, 1),
    "categorical_crossentropy": (LABELS, N_OUT),
    "mean_squared_error": (X[:, :2], 2),
    "poisson": (LABELS, 1),
}


def network(loss="categorical_crossentropy"):
    layers = [bpnet.Dense(4, "tanh"), bpnet.Dense(TARGETS[loss][1])]
    return bpnet.Network(layers, loss, seed=0)


def trained(loss="categorical_crossentropy"):
    """A network that has something to lose."""
    net = network(loss)
    return Unchanged(net, net.fit(X, TARGETS[loss][0], epochs=1))


def both(loss="categorical_crossentropy"):
    """Before its first data, and after a training."""
    return Unchanged(network(loss)), trained(loss)


def fit(**settings):
    return lambda net: net.fit(X, LABELS, **settings)


# --- bad features -----------------------------------------------------------------------------


class Frame:
    """What pandas' and polars' frames have in common."""

    def __init__(self, data):
        self.data = data

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.data, Exception):
            raise self.data
        return np.asarray(self.data, dtype)


NUMBERS = r"must hold real numbers, got dtype "
NO_ARRAY = r"must be an array of numbers, got "
CONVERT = r"object; if all of it is numbers, convert it with np.asarray\(..., dtype=float\)"
TEXT = r"<U\d+; encode text as numbers, labels as 0, 1, ..."

# What only the host has: neither numbers nor an array, so none of X, y and sample_weight.
NO_NUMBERS = {
    "None": (None, TypeError, NO_ARRAY + "NoneType"),
    "dict": ({"a": X}, TypeError, NO_ARRAY + "dict"),
    "set": ({1, 2}, TypeError, NO_ARRAY + "set"),
    "generator": ((row for row in X), TypeError, NO_ARRAY + "generator"),
    "string": ("balanced", TypeError, NO_ARRAY + "str"),
    "bytes": (b"abc", TypeError, NO_ARRAY + "bytes"),
    "class": (int, TypeError, NO_ARRAY + "the class int"),
    "network": (network(), TypeError, NO_ARRAY + "Network"),
    "text": ([["a", "b", "c"]] * M, TypeError, NUMBERS + TEXT),
    "numbers as text": (X.astype(str), TypeError, NUMBERS + TEXT),
    "text in bytes": (X.astype("S"), TypeError, NUMBERS + r"\|S\d+; encode text"),
    "objects": (X.astype(object), TypeError, NUMBERS + CONVERT),
    "a None inside": ([[1.0, None, 2.0]] * M, TypeError, NUMBERS + CONVERT),
    "fractions": ([[Fraction(1, 2)] * 3] * M, TypeError, NUMBERS + CONVERT),
    "decimals": ([[Decimal(1)] * 3] * M, TypeError, NUMBERS + CONVERT),
    "huge ints": ([[10**30, 1, 2]] * M, TypeError, NUMBERS + CONVERT),
    "ragged": ([[1.0, 2.0, 3.0], [1.0]], ValueError, "must be a rectangular array of numbers"),
    "complex": (X + 0j, TypeError, NUMBERS + "complex128"),
    "dates": (X.astype("datetime64[s]"), TypeError, NUMBERS + r"datetime64\[s\]"),
    "durations": (X.astype("timedelta64[s]"), TypeError, NUMBERS + "timedelta64"),
    "records": (np.zeros(M, [("a", float)]), TypeError, NUMBERS),
    "masked": (np.ma.array(X), TypeError, r"masked array, whose mask would be lost; fill it"),
    "csr_matrix": (sparse.csr_matrix(X), TypeError, r"is sparse \(csr_matrix\); pass .*array"),
    "coo_array": (sparse.coo_array(X), TypeError, r"is sparse \(coo_array\); pass .*toarray"),
    "frame of objects": (Frame(X.astype(object)), TypeError, NUMBERS + CONVERT),
    "frame of text": (Frame([["a"]] * M), TypeError, NUMBERS + TEXT),
    "frame that fails": (Frame(RuntimeError("lost")), ValueError, "array of numbers: lost"),
}  # fmt: skip


@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_what_holds_no_numbers_is_refused(bad):
    value, error, message = NO_NUMBERS[bad]
    uses = {
        "X": lambda net: net.forward(value),
        "y": lambda net: net.evaluate(X, value),
        "sample_weight": lambda net: net.fit(X, LABELS, sample_weight=value),
    }
    if value is None:
        del uses["sample_weight"]
    for state in both():
        for name, use in uses.items():
            state.refuses(use, error, rf"^{name} .*{message}")


# Features that any backend can hold; a network for 3 features, or one that is not built.
BAD_X = {
    "scalar": (np.array(2.0), r"must be 2-D \(examples, features\), got shape \(\)$"),
    "one row": (X[0], r"must be 2-D .*got shape \(3,\); for one feature use X.reshape\("),
    "3-D": (X[None], r"must be 2-D \(examples, features\), got shape \(1, 6, 3\)$"),
    "no rows": (X[:0], r"must have at least one example and one feature, got shape \(0, 3\)"),
    "no features": (X[:, :0], r"must have at least one .* got shape \(6, 0\)"),
    "NaN": (np.where(X > 1.0, np.nan, X), "must be finite in float32, got 4 NaN or inf"),
    "infinite": (np.where(X < -1.7, -np.inf, X), "must be finite in float32, got 3 NaN or inf"),
    "overflow": (X * 1e300, r"must be finite in float32, got \d+ NaN .* of shape \(6, 3\)"),
}  # fmt: skip

ENTRIES = {
    "forward": lambda X: lambda net: net.forward(X),
    "predict": lambda X: lambda net: net.predict(X),
    "predict_proba": lambda X: lambda net: net.predict_proba(X),
    "evaluate": lambda X: lambda net: net.evaluate(X, LABELS),
    "loss_and_gradients": lambda X: lambda net: net.loss_and_gradients(X, LABELS),
    "fit": lambda X: lambda net: net.fit(X, LABELS),
    "check_gradients": lambda X: lambda net: bpnet.check_gradients(net, X, LABELS),
}


@pytest.mark.parametrize("bad", BAD_X)
def test_bad_features_are_refused_at_every_entry(bad, backend):
    value, message = BAD_X[bad]
    value = backend.asarray(value)
    for state in both():
        for name, enter in ENTRIES.items():
            if name != "check_gradients":
                state.refuses(enter(value), ValueError, f"^X {message}")
            elif bad != "overflow":  # this check computes in float64
                own = message.replace("float32", "float64")
                state.refuses(enter(value), ValueError, f"^X {own}")


def test_another_number_of_features_is_refused_by_a_built_network(backend):
    state = trained()
    for wrong in (backend.asarray(X[:, :2]), backend.asarray(np.hstack([X, X]))):
        message = rf"X must have 3 features, as the network was built for; got {wrong.shape[1]}"
        for enter in ENTRIES.values():
            state.refuses(enter(wrong), ValueError, message)


def test_complex_arrays_of_a_library_are_refused(backend, xp):
    value = xp.astype(backend.asarray(X), xp.complex64)
    for state in both():
        state.refuses(lambda net: net.predict(value), TypeError, f"X {NUMBERS}.*complex64")
        state.refuses(lambda net: net.fit(X, value), TypeError, f"y {NUMBERS}.*complex64")


def test_sparse_and_listed_tensors_are_refused():
    torch = pytest.importorskip("torch")
    state = trained()
    coo = torch.eye(N_IN).to_sparse()
    state.refuses(lambda net: net.predict(coo), TypeError, r"X is sparse .*X.to_dense\(\)")
    rows = [torch.ones(N_IN, requires_grad=True)] * M
    message = r"X must be a rectangular array of numbers: .*detach"
    state.refuses(lambda net: net.predict(rows), ValueError, message)


def test_sparse_arrays_of_jax_are_refused():
    jax_sparse = pytest.importorskip("jax.experimental.sparse")
    state, value = trained(), jax_sparse.BCOO.fromdense(X)
    message = r"X is sparse \(BCOO\); pass X.todense\(\)"
    state.refuses(lambda net: net.predict(value), TypeError, message)


# --- bad targets ------------------------------------------------------------------------------

BINARY, MANY, REAL, COUNTS = TARGETS
ONE_HOT = np.eye(N_OUT)[LABELS]


def with_first(value, y=LABELS):
    """Targets as floats, the first of them replaced."""
    y = y.astype(float)
    y[0] = value
    return y


BAD_Y = {
    "scalar": (MANY, np.array(1), r"must be 1-D or 2-D, got shape \(\)"),
    "3-D": (MANY, LABELS[:, None, None], r"must be 1-D or 2-D, got shape \(6, 1, 1\)"),
    "too short": (MANY, LABELS[:5], "must have one entry for each of 6 examples, got 5"),
    "none": (MANY, LABELS[:0], "must have one entry for each of 6 examples, got 0"),
    "a row": (MANY, LABELS[None, :], "must have one entry for each of 6 examples, got 1"),
    "negative label": (MANY, LABELS - 1, "must hold labels 0 to 2, .* got labels from -1 to 1"),
    "labels from 1": (MANY, LABELS + 1, "must hold labels 0 to 2, .* got labels from 1 to 3"),
    "column from 1": (MANY, LABELS[:, None] + 1, "must hold labels 0 to 2.* from 1 to 3"),
    "negative float": (MANY, LABELS - 1.0, "must hold labels 0 to 2, .* from -1 to 1"),
    "far label": (MANY, with_first(1e30), r"must hold labels 0 to 2, .* from 0 to 10{9,}"),
    "fractional": (MANY, LABELS + 0.5, "must hold integer labels .* got 6 value.* fractional"),
    "NaN label": (MANY, with_first(np.nan), "must hold integer labels 0 to 2, got 1 value"),
    "infinite label": (MANY, with_first(np.inf), "must hold integer labels .* got 1 value"),
    "columns": (MANY, ONE_HOT[:, :2], r"must have 3 column\(s\), .* got shape \(6, 2\)"),
    "not one-hot": (MANY, 0.75 * ONE_HOT, r"must sum to 1, .* from 0.75 to 0.75"),
    "two labels": (MANY, np.ones((M, 3)), r"must sum to 1, .* from 3 to 3"),
    "below 0": (MANY, 2 * ONE_HOT - 1 / 3, "must be from 0 to 1 for loss 'cat.*, got -0.333"),
    "NaN share": (MANY, ONE_HOT * np.nan, "must be finite in float32, got 18 NaN"),
    "-1 and 1": (BINARY, 2 * (LABELS % 2) - 1, "must be from 0 to 1 for loss .*, got -1 to 1"),
    "three classes": (BINARY, LABELS, "must be from 0 to 1 for loss 'binary.*, got 0 to 2"),
    "two columns": (BINARY, ONE_HOT[:, :2], r"must have 1 column\(s\), .* shape \(6, 2\)"),
    "NaN": (BINARY, with_first(np.nan, LABELS % 2), "must be finite in float32, got 1 NaN"),
    "one column": (REAL, LABELS, r"must have 2 column\(s\), .* got shape \(6,\)"),
    "transposed": (REAL, np.ones((2, M)), "must have one entry for each of 6 examples, got 2"),
    "overflow": (REAL, np.full((M, 2), 1e39), "must be finite in float32, got 12 NaN or inf"),
    "infinite": (REAL, np.full((M, 2), -np.inf), "must be finite in float32, got 12 NaN"),
    "negative count": (COUNTS, LABELS - 1, "must be >= 0 for loss 'poisson', got -1"),
    "NaN count": (COUNTS, with_first(np.nan), "must be finite in float32, got 1 NaN"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD_Y)
def test_bad_targets_are_refused_at_every_entry(bad, backend):
    loss, value, message = BAD_Y[bad]
    value = backend.asarray(value)
    for state in both(loss):
        for use in (
            lambda net: net.evaluate(X, value),
            lambda net: net.loss_and_gradients(X, value),
            lambda net: net.fit(X, value),
        ):
            state.refuses(use, ValueError, rf"\by {message}")
        if bad != "overflow":  # this check computes in float64
            own = message.replace("float32", "float64")
            state.refuses(lambda net: bpnet.check_gradients(net, X, value), ValueError, own)


# --- bad weights ------------------------------------------------------------------------------

BAD_WEIGHTS = {
    "negative": (WEIGHTS - 1.0, r"must be >= 0, got -1$"),
    "all 0": (0.0 * WEIGHTS, "sum in float32 that is > 0 and finite, got 0"),
    "vanishing": (1e-60 * WEIGHTS, "sum in float32 that is > 0 and finite, got 0"),
    "of infinite sum": (np.full(M, 3e38), "sum in float32 that is > 0 and finite, got inf"),
    "NaN": (with_first(np.nan, WEIGHTS), "must be finite in float32, got 1 NaN"),
    "infinite": (with_first(np.inf, WEIGHTS), "must be finite in float32, got 1 NaN or inf"),
    "overflow": (1e39 * WEIGHTS, "must be finite in float32, got 5 NaN or infinite"),
    "scalar": (np.array(1.0), r"must have shape \(6,\), got \(\)"),
    "short": (WEIGHTS[:5], r"must have shape \(6,\), got \(5,\)"),
    "column": (WEIGHTS[:, None], r"must have shape \(6,\), got \(6, 1\)"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD_WEIGHTS)
def test_bad_weights_are_refused_at_every_entry(bad, backend):
    value, message = BAD_WEIGHTS[bad]
    value = backend.asarray(value)
    for state in both():
        for use in (
            lambda net: net.evaluate(X, LABELS, value),
            lambda net: net.loss_and_gradients(X, LABELS, value),
            lambda net: net.fit(X, LABELS, sample_weight=value),
            lambda net: net.fit(X, LABELS, validation_data=(X, LABELS, value)),
        ):
            state.refuses(use, ValueError, f"^sample_weight( of validation_data)? .*{message}")


# --- libraries and devices --------------------------------------------------------------------


def test_arrays_of_two_libraries_or_devices_are_refused(backend):
    strict = pytest.importorskip("bpnet_backends.array_api_strict").StrictBackend("device2")
    here, there = backend.asarray, strict.asarray
    validation = {"validation_data": (here(X), there(LABELS))}
    pairs = [
        ("X", "y", lambda net: net.evaluate(here(X), there(LABELS))),
        ("X", "y", lambda net: net.fit(here(X), there(LABELS), epochs=1)),
        ("X", "sample_weight", lambda net: net.evaluate(here(X), LABELS, there(WEIGHTS))),
        ("y", "sample_weight", lambda net: net.evaluate(X, here(LABELS), there(WEIGHTS))),
        ("X of validation_data", "y of validation_data",
         lambda net: net.fit(X, LABELS, epochs=1, **validation)),
    ]  # fmt: skip
    state = trained()
    for first, second, use in pairs:
        if backend.name == "numpy":  # arrays of the host mix with any others
            use(network())
            continue
        message = f"{first} lives on {backend.spec} and {second} on {strict.spec}; pass arrays"
        state.refuses(use, ValueError, f"^{re.escape(message)} of one library on one device")


def test_validation_data_are_named_as_such():
    state = trained()
    for data, name in (
        ((X * np.nan, LABELS, WEIGHTS), "X"),
        ((X, LABELS + 1, WEIGHTS), "y"),
        ((X, LABELS, -WEIGHTS), "sample_weight"),
    ):
        state.refuses(fit(validation_data=data), ValueError, f"^{name} of validation_data must")
    for state in both():  # a network that is not built yet takes them from X
        state.refuses(
            fit(validation_data=(X[:, :2], LABELS)),
            ValueError,
            "X of validation_data must have 3 features",
        )
