"""Structured arguments: weights, parameters and contradictory combinations."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import Unchanged

from bpnet import Dense, Dropout, Network

M, N_IN = 6, 3
rng = np.random.default_rng(0)
X = rng.normal(size=(M, N_IN))
Y = np.array([0, 1, 0, 1, 1, 0])
BINARY = "binary_crossentropy"


def network(**settings):
    return Network([Dense(4, "tanh"), Dropout(0.1), Dense(1)], BINARY, seed=0, **settings)


def test_what_stands_for_a_number_or_a_flag_is_taken():
    """NumPy scalars, as returned by computations and parameter searches."""
    layers = (layer for layer in (Dense(np.int64(4), l2=np.float32(0.1)), Dense(np.uint8(1))))
    net = Network(layers, BINARY, seed=np.int32(3)).build(np.int16(N_IN))
    assert type(net.seed) is type(net.n_inputs) is type(net.layers[0].units) is int
    assert type(net.layers[0].l2) is float
    net.fit(X, Y, epochs=np.int64(1), batch_size=np.int64(2), shuffle=np.False_)
    assert Network([Dense(1)], BINARY, seed=2**100).build(2).seed == 2**100


# --- what an initializer returns --------------------------------------------------------------


@pytest.mark.parametrize("argument", ["init", "bias_init"])
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rng, n_in, n_out: np.zeros((n_out, n_in)), r"shape \(4, [13]\) of float64"),
        (lambda rng, n_in, n_out: np.zeros(n_out), r"shape \(4,\) of float64"),
        (lambda rng, n_in, n_out: 0.0, r"shape \(\) of float64"),
        (lambda rng, n_in, n_out: None, r"shape \(\) of object"),
        (lambda rng, n_in, n_out: np.zeros((n_in, n_out), complex), "of complex128"),
        (lambda rng, n_in, n_out: np.zeros((n_in, n_out), str), "of <U1"),
        (lambda rng, n_in, n_out: [[1.0], [1.0, 2.0]], "inhomogeneous"),
    ],
)
def test_weights_of_another_shape_or_type_are_refused(argument, function, message):
    n_in = N_IN if argument == "init" else 1
    message = (
        rf"^layer 1, Dense.*: {argument} <lambda> must return real numbers of shape "
        rf"\({n_in}, 4\); got .*{message}"
    )
    layers = [Dense(4, **{argument: function}), Dense(1)]
    net = Network(layers, BINARY, seed=0)
    for use in (lambda: net.build(N_IN), lambda: net.fit(X, Y)):
        Unchanged(net).refuses(use, ValueError, message)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_weights_that_are_not_finite_are_refused(value):
    def init(rng, n_in, n_out):
        return np.full((n_in, n_out), value if n_in == 5 else 0.0)

    net = Network([Dense(5), Dense(1, init=init)], BINARY, seed=0)
    message = (
        r"^layer 2, Dense\(1, 'identity'\): init init returned NaN or infinite values for W, "
        r"in float32"
    )
    for use in (lambda: net.build(N_IN), lambda: net.fit(X, Y)):
        Unchanged(net).refuses(use, ValueError, message)


# --- contradictory arguments ------------------------------------------------------------------


def test_validation_data_and_a_split_are_one_too_many():
    net = network()
    Unchanged(net).refuses(
        lambda: net.fit(X, Y, validation_data=(X, Y), validation_split=0.5),
        ValueError,
        "validation_data or validation_split, not both",
    )


# --- the parameters setter --------------------------------------------------------------------

GOOD = [
    {"W": np.ones((N_IN, 4)), "b": np.zeros(4)},
    {"W": np.ones((4, 1)), "b": np.zeros(1)},
]
FIRST, LAST = GOOD
LIST = r"parameters must be a list of 2 dicts, one for each layer with parameters; got "


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (FIRST, TypeError, f"{LIST}dict"),
        ((layer for layer in GOOD), TypeError, f"{LIST}generator"),
        ([FIRST, {}, LAST], ValueError, "parameters must have 2 dicts, .* got 3"),
        ([FIRST, LAST["W"]], TypeError, r"parameters\[1\] must be a dict .* W, b; got ndarray"),
        ([FIRST, {"W": LAST["W"]}], ValueError, r"parameters\[1\] must have .* W, b; got W$"),
        ([FIRST | {"c": 0}, LAST], ValueError, r"\[0\] must have the keys W, b; got W, b, c"),
        ([{"w": 0, "b": 0}, LAST], ValueError, r"\[0\] must have the keys W, b; got b, w"),
        ([FIRST, {1: 0, 2: 0}], ValueError, r"\[1\] must have the keys W, b; got 1, 2"),
        (
            [FIRST | {"W": np.ones((4, N_IN))}, LAST],
            ValueError,
            r"parameters\[0\]\['W'\] must have shape \(3, 4\), got \(4, 3\)",
        ),
        (
            [FIRST | {"b": 0.0}, LAST],
            ValueError,
            r"\[0\]\['b'\] must have shape \(4,\), got \(\)",
        ),
        ([FIRST | {"b": None}, LAST], TypeError, r"\[0\]\['b'\] must be an array of numbers"),
        ([FIRST, LAST | {"b": ["a"]}], TypeError, r"\[1\]\['b'\] must hold real numbers"),
        ([FIRST, LAST | {"b": [1j]}], TypeError, r"\[1\]\['b'\] must hold real .* complex128"),
        (
            [FIRST, LAST | {"b": [np.nan]}],
            ValueError,
            r"\['b'\] must be finite in float32, got 1",
        ),
        (
            [FIRST, LAST | {"b": [1e39]}],
            ValueError,
            r"\['b'\] must be finite in float32, got 1",
        ),
    ],
)
def test_parameters_are_checked_before_any_is_taken(values, error, message, backend):
    net = network()
    net.parameters_on(backend, X)
    assert net.backend == backend
    Unchanged(net).refuses(lambda: setattr(net, "parameters", values), error, message)


def test_the_structure_that_is_refused_above_is_else_taken(backend):
    net = network().build(N_IN, backend)
    net.parameters = GOOD
    assert np.array_equal(backend.to_numpy(net.parameters[0]["W"]), FIRST["W"])
