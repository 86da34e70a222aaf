"""Numeric arrays that are invalid features, targets or weights for the network in `entries`."""

from __future__ import annotations

import numpy as np
from bad_values import NO_ARRAY, Bad, no_numbers

M, N_IN, N_OUT = 6, 2, 3
rng = np.random.default_rng(0)
X = rng.permutation(np.arange(-6, 6)).reshape(M, N_IN) / 4.0  # exact in every float
Y = np.array([0, 1, 2, 2, 1, 0])
ONE_HOT = np.eye(N_OUT)[Y]
W = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0])

FLOAT = r"float(32|64)"  # a gradient check computes in float64


def with_first(value, y=Y):
    """Return `y` as floats with the first one replaced."""
    y = y.astype(float)
    y[0] = value
    return y


def _values(cases):
    return {name: Bad(value, ValueError, message) for name, (value, message) in cases.items()}


# Arrays of any library that a network with two features must reject.
FEATURES = _values({
    "scalar": (np.array(2.0), r"^{name} must be 2-D \(examples, features\), got shape \(\)$"),
    "1-D": (X[:, 0], r"^{name} must be 2-D .* \(6,\); one feature: X.reshape\(-1, 1\), one ex"),
    "3-D": (X[None], r"^{name} must be 2-D .* \(1, 6, 2\); flatten .*: X.reshape\(len"),
    "no rows": (X[:0], r"^{name} must have at least one example and one .* \(0, 2\)"),
    "no features": (X[:, :0], r"^{name} must have at least one .* got shape \(6, 0\)"),
    "nothing": (X[:0, :0], r"^{name} must have at least one .* got shape \(0, 0\)"),
    "NaN": (np.where(X > 0.9, np.nan, X), f"^{{name}} must be finite in {FLOAT}, got 2 NaN"),
    "all NaN": (X * np.nan, f"^{{name}} must be finite in {FLOAT}, got 12 NaN or inf"),
    "infinite": (np.where(X < -1.4, -np.inf, X), f"^{{name}} must be finite in {FLOAT}, got 1"),
})  # fmt: skip
OVERFLOW = _values({
    "overflow": (X * 1e300, r"^{name} must be finite in float32, got \d+ NaN .* \(6, 2\)")
})  # fmt: skip
# Rejected only by a network that is already built.
WIDTHS = _values({
    "one feature": (X[:, :1], r"^{name} must have 2 features, as the network .*; got 1"),
    "four features": (np.hstack([X, X]), r"^{name} must have 2 features, .*; got 4"),
})  # fmt: skip

LABELS = _values({
    "scalar": (np.array(1), r"^{name} must be 1-D or 2-D, got shape \(\)"),
    "3-D": (Y[:, None, None], r"^{name} must be 1-D or 2-D, got shape \(6, 1, 1\)"),
    "too short": (Y[:5], "^{name} must have one entry for each of 6 examples, got 5"),
    "empty": (Y[:0], "^{name} must have one entry for each of 6 examples, got 0"),
    "a row": (Y[None, :], "^{name} must have one entry for each of 6 examples, got 1"),
    "negative": (Y - 1, "^{name} must hold labels 0 to 2, .* got labels from -1 to 1"),
    "from 1": (Y + 1, "^{name} must hold labels 0 to 2, .* got labels from 1 to 3"),
    "column from 1": (Y[:, None] + 1, "^{name} must hold labels 0 to 2.* from 1 to 3"),
    "negative float": (Y - 1.0, "^{name} must hold labels 0 to 2, .* from -1 to 1"),
    "far": (with_first(1e30), r"^{name} must hold labels 0 to 2, .* from 0 to 10{9,}"),
    "fractional": (Y + 0.5, "^{name} must hold integer labels .* got 6 value.* fractional"),
    "NaN": (with_first(np.nan), "^{name} must hold integer labels 0 to 2, got 1 value"),
    "infinite": (with_first(np.inf), "^{name} must hold integer labels .* got 1 value"),
    "columns": (ONE_HOT[:, :2], r"^{name} must have 3 column\(s\), .* shape \(6, 2\)"),
    "not one-hot": (0.75 * ONE_HOT, r"\b{name} must sum to 1, .* from 0.75 to 0.75"),
    "two labels": (np.ones((M, 3)), r"\b{name} must sum to 1, .* from 3 to 3"),
    "below 0": (2 * ONE_HOT - 1 / 3, "^{name} must be from 0 to 1 for loss 'cat.*, got -0.33"),
    "NaN share": (ONE_HOT * np.nan, f"^{{name}} must be finite in {FLOAT}, got 18 NaN"),
})  # fmt: skip

WEIGHTS = _values({
    "negative": (W - 1.0, r"^{name} must be >= 0, got -1$"),
    "all 0": (0.0 * W, f"^{{name}} must have a finite sum > 0 in {FLOAT}, got 0"),
    "NaN": (with_first(np.nan, W), f"^{{name}} must be finite in {FLOAT}, got 1 NaN"),
    "infinite": (with_first(np.inf, W), f"^{{name}} must be finite in {FLOAT}, got 1 NaN"),
    "scalar": (np.array(1.0), r"^{name} must have shape \(6,\), got \(\)"),
    "short": (W[:5], r"^{name} must have shape \(6,\), got \(5,\)"),
    "column": (W[:, None], r"^{name} must have shape \(6,\), got \(6, 1\)"),
})  # fmt: skip
SMALL_WEIGHTS = _values({
    "vanishing": (1e-60 * W, "^{name} must be 0 or at least .* number of float32; got 5e-61"),
    "subnormal": (1e-40 * W, "^{name} must be 0 or at least .* number of float32; got"),
    "of infinite sum": (
        np.full(M, 3e38), "^{name} must have a finite sum > 0 in float32, got inf"
    ),
    "overflow": (1e39 * W, "^{name} must be finite in float32, got 5 NaN or infinite"),
})  # fmt: skip

# Targets of other losses: (loss, outputs, value, message).
OTHER_TARGETS = {
    "-1 and 1": ("binary_crossentropy", 1, 2 * (Y % 2) - 1, "y must be from 0 to 1 .*-1 to 1"),
    "three classes": ("binary_crossentropy", 1, Y, "y must be from 0 to 1 for loss .* 0 to 2"),
    "two columns": ("binary_crossentropy", 1, ONE_HOT[:, :2], r"y must have 1 column\(s\), .*"),
    "NaN": ("binary_crossentropy", 1, with_first(np.nan, Y % 2), "y must be finite in float32"),
    "one column": ("mean_squared_error", 2, Y, r"y must have 2 column\(s\), .* \(6,\)"),
    "transposed": ("mean_squared_error", 2, X.T, "y must have one entry for each of 6 .* 2"),
    "overflow": ("huber", 2, np.full((M, 2), 1e39), "y must be finite in float32, got 12 NaN"),
    "infinite": ("mean_absolute_error", 2, np.full((M, 2), -np.inf), "y must be finite in fl"),
    "negative count": ("poisson", 1, Y - 1, "y must be >= 0 for loss 'poisson', got -1"),
    "NaN count": ("poisson", 1, with_first(np.nan), "y must be finite in float32, got 1 NaN"),
}


def features():
    return no_numbers(X) | {"None": Bad(None, TypeError, NO_ARRAY + "NoneType")} | FEATURES


def targets():
    return no_numbers(X) | {"None": Bad(None, TypeError, NO_ARRAY + "NoneType")} | LABELS


def weights():
    return no_numbers(X) | WEIGHTS
