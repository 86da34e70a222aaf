"""A component of the user's own that returns what it must not is named in the error."""

from __future__ import annotations

import re

import numpy as np
import pytest
from available import available
from own_components import Cubic, LogCosh, RowNorm, own_network

import bpnet
from bpnet.errors import ComponentError
from bpnet.optimizers import Optimizer

M, N_IN = 6, 3
X = np.random.default_rng(0).normal(size=(M, N_IN))
Y = X[:, 0] - 0.5


def other_dtype(xp, array):
    return xp.astype(array, xp.float32 if array.dtype == xp.float64 else xp.float64)


# The method, what is made of its result, and what the error must say of that.
FORWARD = r"a of shape \(6, 4\) and dtype .*; got "
BACKWARD = r"dL/da_previous of shape \(6, 4\) and dtype .*; got "
SCALE = r"the gradient of scale of shape \(4,\) .*; got "
KEYS = r"gradients in a dict with the keys \['scale', 'shift'\]; got "
PENALTY = "an array .* of shape .* and dtype .*; got "
LAYERS = {
    "a: width": ("forward", lambda xp, r: (r[0][:, :2], r[1]), FORWARD + r"shape \(6, 2\)"),
    "a: rank": ("forward", lambda xp, r: (r[0][:, 0], r[1]), FORWARD + r"shape \(6,\)"),
    "a: dtype": ("forward", lambda xp, r: (other_dtype(xp, r[0]), r[1]), FORWARD + ".*float"),
    "a: list": ("forward", lambda xp, r: ([0.0], r[1]), FORWARD + "list"),
    "a: None": ("forward", lambda xp, r: (None, r[1]), FORWARD + "NoneType"),
    "no cache": ("forward", lambda xp, r: r[0], r"a tuple \(a, cache\); got shape \(6, 4\)"),
    "too much": ("forward", lambda xp, r: (*r, 1), r"a tuple \(a, cache\); got tuple"),
    "error: width": (
        "backward", lambda xp, r: (r[0][:, :1], r[1]), BACKWARD + r"shape \(6, 1\)"
    ),
    "error: None": ("backward", lambda xp, r: (None, r[1]), BACKWARD + "NoneType"),
    "error alone": ("backward", lambda xp, r: r[0], r"a tuple \(dL/da_previous, gradients\)"),
    "gradients: None": ("backward", lambda xp, r: (r[0], None), KEYS + "NoneType"),
    "gradients: key": ("backward", lambda xp, r: (r[0], {"b": r[0]}), KEYS + r"\['b'\]"),
    "gradients: shape": (
        "backward", lambda xp, r: (r[0], r[1] | {"scale": r[0]}), SCALE + r"shape \(6, 4\)"
    ),
    "gradients: dtype": (
        "backward",
        lambda xp, r: (r[0], r[1] | {"scale": other_dtype(xp, r[1]["scale"])}),
        SCALE + ".*float",
    ),
    "gradients: number": (
        "backward", lambda xp, r: (r[0], r[1] | {"scale": 0.0}), SCALE + "float"
    ),
    "penalty: shape": ("penalty", lambda xp, r: xp.stack([r, r]), PENALTY + r"shape \(2,\)"),
    "penalty: dtype": ("penalty", other_dtype, PENALTY + ".*float"),
    "penalty: text": ("penalty", lambda xp, r: "0", "a number or a 0-d array.*; got str"),
    "extra: None": ("penalty_gradients", lambda xp, r: None, ".* a dict.* got NoneType"),
    "extra: key": (
        "penalty_gradients", lambda xp, r: {"w": r["scale"]}, r".*'shift'\] .*\['w'\]"
    ),
    "extra: shape": (
        "penalty_gradients",
        lambda xp, r: {"shift": xp.sum(r["scale"])},
        r"the gradient of shift of shape \(4,\).*got shape \(\)",
    ),
}  # fmt: skip


class Wrong(RowNorm):
    """A layer of which one method returns something else."""

    def __init__(self, case):
        super().__init__(scale_penalty=0.1)
        self.case = case

    def _changed(self, method, xp, result):
        where, change, _ = LAYERS[self.case]
        return change(xp, result) if where == method else result

    def forward(self, xp, *arguments):
        return self._changed("forward", xp, super().forward(xp, *arguments))

    def backward(self, xp, *arguments, **more):
        return self._changed("backward", xp, super().backward(xp, *arguments, **more))

    def penalty(self, xp, parameters):
        return self._changed("penalty", xp, super().penalty(xp, parameters))

    def penalty_gradients(self, xp, parameters):
        gradients = super().penalty_gradients(xp, parameters)
        return self._changed("penalty_gradients", xp, gradients)


def with_layer(layer, **settings):
    layers = [bpnet.Dense(4, "tanh"), layer, bpnet.Dense(1)]
    return bpnet.Network(layers, "mean_squared_error", seed=0, **settings)


USES = {
    "fit": lambda net, on: net.fit(X, Y, epochs=1, backend=on),
    "gradients": lambda net, on: net.loss_and_gradients(X, Y, backend=on),
    "trace": lambda net, on: net.trace(X, Y, backend=on),
    "check": lambda net, on: bpnet.check_gradients(net, X, Y, samples=1, backend=on),
    "parity": lambda net, on: bpnet.parity(net, X, Y, on, epochs=1),
    "rates": lambda net, on: bpnet.find_learning_rate(net, X, Y, steps=10, backend=on),
}


@pytest.mark.parametrize("case", LAYERS)
def test_a_layer_is_named_wherever_gradients_are_computed(case, backend):
    method, _, message = LAYERS[case]
    message = f"^layer 2, Wrong.*: {method} must return .*{message}"
    for name in USES if backend.name == "numpy" else ("fit", "gradients"):
        net = with_layer(Wrong(case), dtype="float64")
        with pytest.raises(ComponentError, match=message):
            USES[name](net, backend)
        if name == "fit":  # a run that fails in its first step leaves the initial weights
            initial = with_layer(RowNorm(), dtype="float64").build(N_IN).parameters
            assert net.steps_taken == net.epochs_taken == 0
            for layer, reference in zip(net.parameters, initial, strict=True):
                for key, p in layer.items():
                    assert np.array_equal(backend.to_numpy(p), reference[key])


@pytest.mark.parametrize(
    "on", available("numpy", "torch:cpu", "jax", "array_api_strict:device1")
)
@pytest.mark.parametrize(
    "of", available("numpy", "torch:cpu", "jax", "array_api_strict:device1")
)
def test_an_array_of_another_library_is_refused(on, of):
    class Foreign(RowNorm):
        def forward(self, xp, parameters, a_previous, context):
            _, cache = super().forward(xp, parameters, a_previous, context)
            return bpnet.get_backend(of).asarray(np.ones((M, 4), np.float32)), cache

    if on == of:
        return
    library = of.partition(":")[0]
    with pytest.raises(ComponentError, match=rf"^layer 2, Foreign.*got .* \({library}\)"):
        with_layer(Foreign()).fit(X, Y, epochs=1, backend=on)


INITIAL = {
    "list": (
        lambda n: [np.ones(n)],
        "a dict of names and arrays, {} if there are none; got list",
    ),
    "None": (lambda n: None, "a dict of names and arrays, .*; got NoneType"),
    "number as name": (lambda n: {1: np.ones(n)}, r"a dict of names .*; got the keys \[1\]"),
    "text": (lambda n: {"scale": "one"}, "arrays of real numbers; got str for scale"),
    "ragged": (
        lambda n: {"scale": [[1.0], [1.0, 2.0]]},
        "arrays of real .* got list for scale",
    ),
    "other shapes": (
        lambda n: {"scale": np.ones(n), "shift": np.ones(n + 1)},
        r"shapes that parameter_shapes declares, .*'shift': \(4,\).*; got .*'shift': \(5,\)",
    ),
    "other names": (
        lambda n: {"scale": np.ones(n)},
        r"declares, .*'shift'.*got {'scale': \(4,",
    ),
}


@pytest.mark.parametrize("drawn_only", [False, True])
@pytest.mark.parametrize("case", INITIAL)
def test_initial_parameters_are_named(case, drawn_only):
    make, message = INITIAL[case]

    class Own(RowNorm):
        def initial_parameters(self, rng, n_inputs):
            return make(n_inputs)

    if drawn_only:
        Own.parameter_shapes = bpnet.layers.Layer.parameter_shapes
        if case.startswith("other"):
            return  # then there is nothing else to compare with
    with pytest.raises(
        ComponentError, match=rf"^layer 2, Own.*initial_parameters must.*{message}"
    ):
        with_layer(Own()).build(N_IN)


@pytest.mark.parametrize("width", [0, -1, 2.0, None, "4", True])
def test_a_wrong_width_is_named(width):
    class Own(RowNorm):
        def n_outputs(self, n_inputs):
            return width

    got = re.escape(repr(width))
    for use in (lambda net: net.build(N_IN), lambda net: net.fit(X, Y)):
        with pytest.raises(ComponentError, match=rf"^layer 2, Own.*integer >= 1; got {got}$"):
            use(with_layer(Own()))


# --- activations and losses -------------------------------------------------------------------


class WrongCubic(Cubic):
    def __init__(self, method, wrong):
        super().__init__()
        self.method, self.wrong = method, wrong

    def f(self, xp, z):
        return WRONG[self.wrong](xp, z) if self.method == "f" else super().f(xp, z)

    def df(self, xp, z, a):
        return WRONG[self.wrong](xp, z) if self.method == "df" else super().df(xp, z, a)


WRONG = {
    "shape": lambda xp, z: z[:, :1],
    "dtype": lambda xp, z: xp.astype(z, xp.float32),
    "number": lambda xp, z: 1.0,
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("method", ["f", "df"])
def test_an_activation_is_named(method, wrong, backend):
    layers = [bpnet.Dense(4, WrongCubic(method, wrong)), bpnet.Dense(1)]
    message = (
        rf"^activation WrongCubic\(.*\) of layer 1: {method} must return an array like z of "
        rf"shape \(6, 4\) and dtype .*float64.*; got "
    )
    for name in USES if backend.name == "numpy" else ("gradients",):
        net = bpnet.Network(layers, "mean_squared_error", seed=0, dtype="float64")
        with pytest.raises(ComponentError, match=message):
            USES[name](net, backend)


class WrongLoss(LogCosh):
    def __init__(self, method, wrong):
        self.method, self.wrong = method, wrong

    def _changed(self, method, xp, z, result):
        return WRONG[self.wrong](xp, z) if method == self.method else result

    def link(self, xp, z):
        return self._changed("link", xp, z, z)

    def value(self, xp, y, z):
        return self._changed("value", xp, z, super().value(xp, y, z))

    def error(self, xp, y, z):
        return self._changed("error", xp, z, super().error(xp, y, z))

    def value_and_error(self, xp, y, z):
        both = super().value(xp, y, z), super().error(xp, y, z)
        return self._changed("value_and_error", xp, z, both)


@pytest.mark.parametrize(
    ("method", "use", "due"),
    [
        ("link", lambda net: net.predict(X), r"predictions of shape \(6, 2\)"),
        (
            "value",
            lambda net: net.evaluate(X, TWO),
            r"the loss of each example of shape \(6,\)",
        ),
        ("error", lambda net: net.trace(X, TWO), r"dl/dz of shape \(6, 2\)"),
        (
            "value_and_error",
            lambda net: net.loss_and_gradients(X, TWO),
            r"a tuple \(value, error",
        ),
    ],
)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_loss_is_named(method, use, due, wrong):
    net = bpnet.Network([bpnet.Dense(2)], WrongLoss(method, wrong), seed=0, dtype="float64")
    net.build(X.shape[1])
    with pytest.raises(
        ComponentError, match=rf"^loss WrongLoss\(.*\): {method} .*{due}.*; got "
    ):
        use(net)


TWO = np.stack([Y, Y], axis=1)


# --- optimizers -------------------------------------------------------------------------------


class OneState(Optimizer):
    n_state = 1

    def __init__(self, case):
        super().__init__(0.1)
        self.case = case

    def rule(self, xp, p, g, *numbers):
        state, learning_rate = numbers
        return RULES[self.case][0](xp, p - learning_rate * g, state)


COUNT = r"rule must return a tuple of 2, the new parameter and its 1 state arrays.*; got "
LIKE = r"must return arrays like the parameters and its state, .*: "
RULES = {
    "bare": (lambda xp, p, s: p, COUNT),
    "None": (lambda xp, p, s: None, COUNT + "NoneType"),
    "no state": (lambda xp, p, s: (p,), COUNT + "1 values"),
    "more": (lambda xp, p, s: (p, s, s), COUNT + "3 values"),
    "shape": (
        lambda xp, p, s: (p[..., :1], s),
        LIKE + r"\[0\]\[0\]\['W'\] .*\(3, 4\).*\(3, 1\)",
    ),
    "state": (lambda xp, p, s: (p, xp.sum(s)), LIKE + r"\[1\]\[0\]\['W'\]\['state0'\] .*got"),
    "dtype": (
        lambda xp, p, s: (xp.astype(p, xp.float64), s),
        LIKE + ".*float32; got .*float64",
    ),
    "number": (lambda xp, p, s: (0.0, s), LIKE + ".*float32; got float"),
}


@pytest.mark.parametrize("case", RULES)
def test_an_optimizer_is_named_and_the_network_unchanged(case, backend):
    net = bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "huber", seed=0).build(N_IN)
    before = [p.tobytes() for layer in net.parameters for p in layer.values()]
    with pytest.raises(
        ComponentError, match=rf"^the optimizer OneState\(0\.1\).*{RULES[case][1]}"
    ):
        net.fit(X, Y, epochs=1, optimizer=OneState(case), backend=backend)
    assert net.backend == backend
    after = [backend.to_numpy(p).tobytes() for layer in net.parameters for p in layer.values()]
    assert after == before
    assert net.steps_taken == net.epochs_taken == 0


@pytest.mark.parametrize("update", [None, "parameters", "three"])
def test_an_update_of_its_own_is_checked_too(update):
    class Own(OneState):
        def update(self, xp, rule, parameters, gradients, state, *rest):
            results = {None: None, "parameters": parameters, "three": (parameters, state, 1)}
            return results[update]

    net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0)
    with pytest.raises(ComponentError, match=r"^the optimizer Own.* must return arrays like"):
        net.fit(X, Y, epochs=1, optimizer=Own("bare"))


# --- what is right is left alone --------------------------------------------------------------


def test_right_components_are_trained_and_checked(backend):
    net = own_network(dtype="float64")
    assert bpnet.check_gradients(net, X, Y, samples=2, backend=backend).passed
    history = net.fit(X, Y, epochs=3, backend=backend)
    assert history["loss"][-1] < history["loss"][0]
    if backend.name == "numpy":
        table = str(net.trace(X, Y))
        assert "own_components.py" in table
        assert "checked.py" not in table


class Rescaled(bpnet.Dense):
    """A Dense with a cache of its own, and gradients that are not in a dict display."""

    def forward(self, xp, parameters, a_previous, context):
        a, cache = super().forward(xp, parameters, a_previous, context)
        return 2.0 * a, [cache]

    def backward(self, xp, parameters, cache, error, propagate=True):
        return super().backward(xp, parameters, cache[0], 2.0 * error, propagate)


def test_a_dense_of_another_cache_is_measured_and_traced():
    """The trace, the gradient flow and the search for a NaN read the cache of Dense only."""
    net = bpnet.Network([Rescaled(4, "tanh"), bpnet.Dense(1)], "huber", seed=0)
    assert {"a1", "dL/da1", "dW1", "z2"} <= set(net.trace(X, Y))
    assert "z1" not in net.trace(X, Y)
    assert "gradient_norm/1" in net.fit(X, Y, epochs=1, callbacks=[bpnet.GradientFlow()])
    with np.errstate(all="ignore"), pytest.raises(bpnet.NonFiniteError, match="layer"):
        net.fit(X, Y, epochs=9, optimizer=bpnet.SGD(1e38))


class Gain(bpnet.layers.Layer):
    """Multiplies by a vector of the name that matrices have."""

    def initial_parameters(self, rng, n_inputs):
        return {"W": np.ones(n_inputs)}

    def forward(self, xp, parameters, a_previous, context):
        return a_previous * parameters["W"], a_previous

    def backward(self, xp, parameters, cache, error, propagate=True):
        return error * parameters["W"], {"W": xp.sum(error * cache, axis=0)}


def test_a_vector_of_the_name_of_a_matrix_is_not_measured():
    net = with_layer(Gain())
    history = net.fit(X, Y, epochs=1, callbacks=[bpnet.Doctor()])
    assert "gradient_norm/2" in history
    assert "gradient_norm/3" not in history


class Wraps(bpnet.layers.Layer):
    """Contains a layer, and says nothing of its schedules."""

    def __init__(self, inner):
        self.inner = inner

    def forward(self, xp, parameters, a_previous, context):
        return self.inner.forward(xp, parameters, a_previous, context)

    def backward(self, xp, parameters, cache, error, propagate=True):
        return self.inner.backward(xp, parameters, cache, error, propagate)


class WrapsAndSays(Wraps):
    def schedules(self):
        return self.inner.schedules()


def test_a_layer_that_contains_another_passes_its_schedules_on():
    dropout = bpnet.Dropout(bpnet.schedules.Constant(0.5))
    with pytest.raises(ComponentError, match=r"^Dropout\(0\.5\) needs .*its own schedules\(\)"):
        with_layer(Wraps(dropout)).fit(X, Y, epochs=1)
    losses = [
        with_layer(layer).fit(X, Y, epochs=2)["loss"]
        for layer in (WrapsAndSays(dropout), dropout)
    ]
    assert losses[0] == losses[1]


def test_an_optimizer_without_its_base_class_is_named():
    class Own(Optimizer):
        def __init__(self):
            self.rate = 0.1

        def rule(self, xp, p, g, *numbers):
            return (p,)

    with pytest.raises(ComponentError, match=r"Own has no learning_rate.*super\(\)\.__init__"):
        with_layer(RowNorm()).fit(X, Y, optimizer=Own())


class InPlace(bpnet.Layer):
    """Modifies what it is given."""

    def forward(self, xp, parameters, a_previous, context):
        a_previous *= 2.0
        return a_previous, None

    def backward(self, xp, parameters, cache, error, propagate=True):
        return error * 2.0, {}


def test_an_input_is_not_modified():
    X = np.ones((3, 2), "float32")
    net = bpnet.Network([InPlace(), bpnet.Dense(1)], "mean_squared_error", seed=0).build(2)
    with pytest.raises(ValueError, match="read-only"):
        net.predict(X, backend="numpy")
    assert np.all(X == 1.0)


def test_an_input_that_was_modified_is_noticed_on_pytorch():
    pytest.importorskip("torch")
    net = bpnet.Network([InPlace(), bpnet.Dense(1)], "mean_squared_error", seed=0).build(2)
    with pytest.raises(bpnet.ComponentError, match=r"layer 1, InPlace.*must not modify"):
        net.predict(np.ones((3, 2)), backend="torch")


@pytest.mark.parametrize("shapes", [None, {"s": 3}, [("s", (3,))]])
def test_shapes_of_parameters_are_a_dict_of_tuples(shapes):
    kind = type("Own", (InPlace,), {"parameter_shapes": lambda self, n_inputs: shapes})
    net = bpnet.Network([kind(), bpnet.Dense(1)], "mean_squared_error", seed=0)
    with pytest.raises(bpnet.ComponentError, match=r"layer 1, Own.*must return a dict"):
        net.build(2)


def test_the_targets_of_a_loss_are_known():
    kind = type("Own", (bpnet.losses.MeanSquaredError,), {"targets": "label"})
    with pytest.raises(bpnet.ComponentError, match=r"must be one of labels, .*; got 'label'"):
        bpnet.Network([bpnet.Dense(1)], kind())
