"""Arguments of everything that is not data: wrong types and values, each refused by name."""

from __future__ import annotations

import re

import numpy as np
import pytest
from refusals import Unchanged

import bpnet
from bpnet import Dense, Dropout, Network, initializers, losses

M, N_IN = 6, 3
rng = np.random.default_rng(0)
X = rng.normal(size=(M, N_IN))
Y = np.array([0, 1, 0, 1, 1, 0])
BINARY = "binary_crossentropy"


def network(**settings):
    return Network([Dense(4, "tanh"), Dropout(0.1), Dense(1)], BINARY, seed=0, **settings)


def both():
    """Before its first data, and after a training."""
    fresh, net = network(), network()
    return Unchanged(fresh), Unchanged(net, net.fit(X, Y, epochs=1))


# --- descriptions -----------------------------------------------------------------------------

OUT = [Dense(1)]
NO_INTEGER = {
    "half": (2.5, TypeError, r"must be an integer, got 2\.5 \(float\)"),
    "float": (2.0, TypeError, r"must be an integer, got 2\.0 \(float\)"),
    "text": ("3", TypeError, r"must be an integer, got '3' \(str\)"),
    "bool": (True, TypeError, r"must be an integer, got True \(bool\)"),
    "NumPy bool": (np.True_, TypeError, r"must be an integer, got np\.True_"),
    "list": ([3], TypeError, r"must be an integer, got \[3\] \(list\)"),
    "NaN": (np.nan, TypeError, r"must be an integer, got nan \(float\)"),
    "negative": (-1, ValueError, r"must be >= [01], got -1"),
}
NO_NUMBER = {
    "text": ("0.1", TypeError, r"must be a number, got '0\.1' \(str\)"),
    "None": (None, TypeError, r"must be a number, got None"),
    "bool": (False, TypeError, r"must be a number, got False \(bool\)"),
    "complex": (0.1j, TypeError, r"must be a number, got 0\.1j \(complex\)"),
    "array": (np.array(0.1), TypeError, r"must be a number, got array\(0\.1\) \(ndarray\)"),
    "NaN": (np.nan, ValueError, r"must be a finite number >= 0.*, got nan"),
    "infinite": (np.inf, ValueError, r"must be a finite number >= 0.*, got inf"),
    "overflow": (10**400, ValueError, r"must be a finite number >= 0.*, got 10000"),
    "negative": (-0.1, ValueError, r"must be a finite number >= 0.*, got -0\.1"),
}


@pytest.mark.parametrize("bad", NO_INTEGER)
def test_integers_are_integers(bad):
    value, error, message = NO_INTEGER[bad]
    with pytest.raises(error, match=f"^units {message}"):
        Dense(value)
    with pytest.raises(error, match=f"^seed {message}"):
        Network(OUT, BINARY, seed=value)
    for state in both():
        for name, use in {
            "n_inputs": lambda net: net.build(value),
            "epochs": lambda net: net.fit(X, Y, epochs=value),
            "batch_size": lambda net: net.fit(X, Y, batch_size=value),
            "samples": lambda net: bpnet.check_gradients(net, X, Y, samples=value),
            "seed": lambda net: bpnet.check_gradients(net, X, Y, seed=value),
        }.items():
            state.refuses(use, error, f"^{name} {message}")


def test_sizes_are_at_least_one():
    with pytest.raises(ValueError, match=r"^units must be >= 1, got 0"):
        Dense(0)
    for state in both():
        for name, use in {
            "n_inputs": lambda net: net.build(0),
            "epochs": lambda net: net.fit(X, Y, epochs=0),
            "batch_size": lambda net: net.fit(X, Y, batch_size=0),
            "samples": lambda net: bpnet.check_gradients(net, X, Y, samples=0),
        }.items():
            state.refuses(use, ValueError, f"^{name} must be >= 1, got 0")


@pytest.mark.parametrize("bad", NO_NUMBER)
def test_numbers_are_finite_and_in_range(bad):
    value, error, message = NO_NUMBER[bad]
    for name, make in {
        "l1": lambda: Dense(3, l1=value),
        "l2": lambda: Dense(3, l2=value),
        "rate": lambda: Dropout(value),
    }.items():
        with pytest.raises(error, match=f"^{name} {message}"):
            make()
    for state in both():
        state.refuses(
            lambda net: net.fit(X, Y, validation_split=value),
            error,
            f"^validation_split {message}",
        )


@pytest.mark.parametrize("one", [1, 1.0, 1.5])
def test_shares_are_below_one(one):
    message = f"must be a finite number >= 0 and < 1, got {one}"
    with pytest.raises(ValueError, match=f"^rate {message}"):
        Dropout(one)
    for state in both():
        state.refuses(
            lambda net: net.fit(X, Y, validation_split=one),
            ValueError,
            f"^validation_split {message}",
        )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"activation": "Tanh"}, ValueError, "unknown activation 'Tanh'; allowed are .* tanh"),
        ({"activation": None}, TypeError, "a name or a bpnet Activation, got NoneType"),
        ({"activation": np.tanh}, TypeError, "a name or a bpnet Activation, got ufunc"),
        (
            {"activation": bpnet.activations.Tanh},
            TypeError,
            "a name or a bpnet Activation, got the class Tanh",
        ),
        ({"init": "he"}, ValueError, "unknown init 'he'; allowed are .*he_normal"),
        ({"init": 0.1}, TypeError, "init is a name or a function .*, got float"),
        ({"init": np.zeros((2, 3))}, TypeError, "init is a name or a function .*, got ndarray"),
        ({"init": initializers.Constant}, TypeError, "function .*, got the class Constant"),
        ({"bias_init": "zero"}, ValueError, "unknown bias_init 'zero'; allowed are .*zeros"),
        ({"bias_init": None}, TypeError, "bias_init is a name or a function .*, got NoneType"),
    ],
)
def test_a_dense_layer_names_what_is_wrong(settings, error, message):
    with pytest.raises(error, match=message):
        Dense(3, **settings)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (None, TypeError, r"layers must be a list of bpnet layers such as .*, got None"),
        (3, TypeError, r"layers must be a list of bpnet layers such as .*, got 3"),
        (Dense(1), TypeError, r"must be a list of bpnet layers .*, got Dense\(1, 'identity'\)"),
        ([], ValueError, "layers must end with a Dense, .*; got no layer"),
        (
            [Dense(1), Dropout(0.5)],
            ValueError,
            r"must end with a Dense, .*; got Dropout\(0.5\)",
        ),
        ([3, Dense(1)], TypeError, "layers must be bpnet layers, got 3"),
        ([Dense], TypeError, "layers must be bpnet layers, got <class 'bpnet.layers.Dense'>"),
        ([[Dense(1)]], TypeError, r"layers must be bpnet layers, got \[Dense"),
        ("tanh", TypeError, "layers must be bpnet layers, got 't'"),
        ([Dense(1, "sigmoid")], ValueError, "must be linear, as the loss .* got .* 'sigmoid'"),
    ],
)
def test_layers_are_a_list_that_ends_with_a_linear_dense(layers, error, message):
    with pytest.raises(error, match=message):
        Network(layers, BINARY)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        ("mse", ValueError, "unknown loss 'mse'; allowed are .*mean_squared_error"),
        (None, TypeError, "a name or a bpnet Loss, got NoneType"),
        (losses.Huber, TypeError, "a name or a bpnet Loss, got the class Huber"),
        (np.square, TypeError, "a name or a bpnet Loss, got ufunc"),
        ("categorical_crossentropy", ValueError, "one unit for each class, >= 2, got 1; .*bin"),
    ],
)
def test_a_loss_is_one_that_fits_the_outputs(loss, error, message):
    with pytest.raises(error, match=message):
        Network([Dense(1)], loss)


@pytest.mark.parametrize(
    ("dtype", "error", "message"),
    [
        ("float16", ValueError, "dtype must be one of float32, float64; got 'float16'"),
        ("float", ValueError, "dtype must be one of float32, float64; got 'float'"),
        (np.float32, TypeError, "dtype must be a string, one of float32, float64; got <class"),
        (np.dtype("f4"), TypeError, "must be a string, one of float32, float64; got dtype"),
        (None, TypeError, "dtype must be a string, one of float32, float64; got None"),
    ],
)
def test_a_dtype_is_one_of_two_names(dtype, error, message):
    with pytest.raises(error, match=message):
        Network([Dense(1)], BINARY, dtype=dtype)


def test_what_stands_for_a_number_or_a_flag_is_taken():
    """NumPy's scalars, as they come out of a computation or a search over parameters."""
    layers = (layer for layer in (Dense(np.int64(4), l2=np.float32(0.1)), Dense(np.uint8(1))))
    net = Network(layers, BINARY, seed=np.int32(3)).build(np.int16(N_IN))
    assert type(net.seed) is type(net.n_inputs) is type(net.layers[0].units) is int
    assert type(net.layers[0].l2) is float
    net.fit(X, Y, epochs=np.int64(1), batch_size=np.int64(2), shuffle=np.False_)
    assert Network([Dense(1)], BINARY, seed=2**100).build(2).seed == 2**100


# --- what an initialiser gives ----------------------------------------------------------------


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
    ],
)
def test_weights_of_another_shape_or_type_are_refused(argument, function, message):
    n_in = N_IN if argument == "init" else 1
    message = rf"^{argument} must give real numbers of shape \({n_in}, 4\); got .*{message}"
    layers = [Dense(4, **{argument: function}), Dense(1)]
    state = Unchanged(Network(layers, BINARY, seed=0))
    for use in (lambda net: net.build(N_IN), lambda net: net.fit(X, Y)):
        state.refuses(use, ValueError, message)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_weights_that_are_not_finite_are_refused(value):
    def init(rng, n_in, n_out):
        return np.full((n_in, n_out), value if n_in == 5 else 0.0)

    state = Unchanged(Network([Dense(5), Dense(1, init=init)], BINARY, seed=0))
    message = r"init of Dense\(1, 'identity'\) gave NaN or infinite values for W, in float32"
    for use in (lambda net: net.build(N_IN), lambda net: net.predict(X)):
        state.refuses(use, ValueError, message)


# --- methods ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"optimizer": "adam"}, TypeError, r"optimizer must be .* bpnet.Adam\(.*, got 'adam'"),
        (
            {"optimizer": bpnet.Adam},
            TypeError,
            "optimizer must be a bpnet optimizer .* got <cl",
        ),
        ({"optimizer": 0.1}, TypeError, r"optimizer must be a bpnet optimizer .*, got 0\.1"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
        ({"shuffle": "no"}, TypeError, "shuffle must be True or False, got 'no'"),
        ({"progress": None}, TypeError, "progress must be True or False, got None"),
        ({"callbacks": None}, TypeError, "callbacks must be bpnet callbacks, got None"),
        ({"callbacks": print}, TypeError, "callbacks must be bpnet callbacks, got <built-in"),
        ({"callbacks": [print]}, TypeError, "callbacks must be bpnet callbacks, got <built-in"),
        ({"callbacks": bpnet.Callback}, TypeError, "must be bpnet callbacks, got <class"),
        ({"callbacks": [bpnet.Callback]}, TypeError, "must be bpnet callbacks, got <class"),
        ({"callbacks": "early"}, TypeError, "callbacks must be bpnet callbacks, got 'e'"),
        ({"validation_split": 0.01}, ValueError, "validation_split must .* 0.01 of 6 .* is 0"),
        ({"validation_split": 0.99}, ValueError, "validation_split must .* 0.99 of 6 .* is 6"),
        ({"validation_data": X}, TypeError, r"validation_data must be a tuple \(X, y\) or"),
        ({"validation_data": (X,)}, TypeError, r"validation_data must be a tuple \(X, y\) or"),
        ({"validation_data": 0.2}, TypeError, r"validation_data must be a tuple \(X, y\) or"),
        (
            {"validation_data": (X, Y), "validation_split": 0.5},
            ValueError,
            "validation_data or validation_split, not both",
        ),
    ],
)
def test_fit_names_what_is_wrong(settings, error, message):
    for state in both():
        state.refuses(lambda net: net.fit(X, Y, **settings), error, message)


USES = {
    "forward": lambda backend: lambda net: net.forward(X, backend=backend),
    "predict": lambda backend: lambda net: net.predict(X, backend=backend),
    "predict_proba": lambda backend: lambda net: net.predict_proba(X, backend=backend),
    "evaluate": lambda backend: lambda net: net.evaluate(X, Y, backend=backend),
    "gradients": lambda backend: lambda net: net.loss_and_gradients(X, Y, backend=backend),
    "fit": lambda backend: lambda net: net.fit(X, Y, backend=backend),
    "build": lambda backend: lambda net: net.build(N_IN, backend),
    "to": lambda backend: lambda net: net.to(backend),
    "check": lambda backend: lambda net: bpnet.check_gradients(net, X, Y, backend=backend),
}


@pytest.mark.parametrize("use", USES)
def test_a_backend_that_cannot_be_had_is_refused(use):
    fresh, built = both()
    for state in (built,) if use == "to" else (fresh, built):
        for backend, error, message in (
            (
                "nonsense",
                bpnet.UnknownBackendError,
                "unknown backend 'nonsense'; known are .*nu",
            ),
            ("numpy:gpu", bpnet.NoDeviceError, "'numpy' has no device 'gpu'.*that answer: cpu"),
            (3, TypeError, "backend is a spec string such as 'numpy' .* got int"),
            (np, TypeError, "backend is a spec string such as 'numpy' .* got module"),
        ):
            state.refuses(USES[use](backend), error, message)


def test_to_needs_a_backend():
    _, state = both()
    message = "backend must be a spec string such as 'torch', got None"
    state.refuses(lambda net: net.to(None), TypeError, message)


@pytest.mark.parametrize("net", [None, "net", Network, Dense(1), X])
def test_only_a_network_has_gradients_to_check(net):
    kind = re.escape(type(net).__name__)
    with pytest.raises(TypeError, match=f"net must be a bpnet Network, got {kind}"):
        bpnet.check_gradients(net, X, Y)


# --- the parameters setter --------------------------------------------------------------------

GOOD = [
    {"W": np.ones((N_IN, 4)), "b": np.zeros(4)},
    {"W": np.ones((4, 1)), "b": np.zeros(1)},
]
FIRST, LAST = GOOD
LIST = r"parameters must be a list of 2 dicts, one for each layer that has parameters; got "


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (None, TypeError, f"{LIST}NoneType"),
        (FIRST, TypeError, f"{LIST}dict"),
        ((layer for layer in GOOD), TypeError, f"{LIST}generator"),
        (np.ones(4), TypeError, f"{LIST}ndarray"),
        ([], ValueError, "parameters must have 2 dicts, .* got 0"),
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
    state = Unchanged(net)
    assert net.backend == backend
    state.refuses(lambda net: setattr(net, "parameters", values), error, message)


def test_the_structure_that_is_refused_above_is_else_taken(backend):
    net = network().build(N_IN, backend)
    net.parameters = GOOD
    assert np.array_equal(backend.to_numpy(net.parameters[0]["W"]), FIRST["W"])
