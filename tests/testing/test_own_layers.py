"""What a student is told whose own layer breaks the contract."""

from __future__ import annotations

import re

import numpy as np
import pytest

import bpnet
from bpnet.activations import Activation, Tanh

X, Y = bpnet.datasets.make_moons(20, seed=0)


class Linear(bpnet.Layer):
    """z = a W, as a student writes it."""

    def __init__(self, units=3):
        self.units = units

    def n_outputs(self, n_inputs):
        return self.units

    def parameter_shapes(self, n_inputs):
        return {"W": (n_inputs, self.units)}

    def initial_parameters(self, rng, n_inputs):
        return {"W": rng.normal(size=(n_inputs, self.units))}

    def forward(self, xp, parameters, a_previous, context):
        return a_previous @ parameters["W"], a_previous

    def backward(self, xp, parameters, cache, error, propagate=True):
        return error @ parameters["W"].T, {"W": cache.T @ error}


class Forgetful(Linear):
    def forward(self, xp, parameters, a_previous, context):
        a_previous @ parameters["W"]


class NoReturn(Linear):
    def backward(self, xp, parameters, cache, error, propagate=True):
        error @ parameters["W"].T


class NoWidth(Linear):
    def n_outputs(self, n_inputs):
        return n_inputs


class Turned(Linear):
    def backward(self, xp, parameters, cache, error, propagate=True):
        return error @ parameters["W"].T, {"W": error.T @ cache}


class Stuck(Linear):
    def backward(self, xp, parameters, cache, error, propagate=True):
        return error, {"W": cache.T @ error}


class Double(Linear):
    def forward(self, xp, parameters, a_previous, context):
        return np.asarray(a_previous @ parameters["W"], float), a_previous


class Foreign(Linear):
    def forward(self, xp, parameters, a_previous, context):
        return np.ones((a_previous.shape[0], self.units), np.float32), a_previous


class Remembering(Linear):
    def forward(self, xp, parameters, a_previous, context):
        self.a_previous = a_previous
        return a_previous @ parameters["W"], None


class Misnamed(Linear):
    def forward(self, xp, parameters, a_previous, context):
        return a_previous @ parameters["weights"], a_previous


class Short(Linear):
    def forward(self, parameters, a_previous):
        return a_previous @ parameters["W"], a_previous


def with_layer(layer, *more, **settings):
    layers = [bpnet.Dense(4, "tanh"), layer, *more, bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=0, **settings)


@pytest.mark.parametrize(
    ("layer", "hint"),
    [
        (Forgetful(), r"got NoneType \(is there no return statement\?\)"),
        (NoReturn(), r"got NoneType \(is there no return statement\?\)"),
        (NoWidth(), r"\(a layer of another width than its input defines n_outputs\(self, n_in"),
        (Turned(), r"\(it is transposed: it has the shape of W\)"),
        (Stuck(), "has the shape of the layer's input, one derivative for each"),
        (Double(), r"\(compute with the arrays that are given, xp and Python's numbers\)"),
    ],
)
def test_an_error_says_what_is_likely_wrong(layer, hint):
    with pytest.raises(bpnet.ComponentError, match=rf"^layer 2, .*{hint}"):
        with_layer(layer).fit(X, Y, epochs=1, backend="numpy")


def test_an_array_of_another_library_is_to_be_computed_with_xp():
    pytest.importorskip("array_api_strict")
    with pytest.raises(bpnet.ComponentError, match="compute with xp instead of numpy"):
        with_layer(Foreign()).fit(X, Y, epochs=1, backend="array_api_strict")


@pytest.mark.parametrize(
    ("layer", "kind", "note"),
    [
        (Misnamed(), KeyError, r"forward.*a_previous \(20, 4\); parameters: W \(4, 3\)"),
        (Short(), TypeError, r"called as forward\(xp, parameters, a_previous, context\)"),
        (Remembering(), AttributeError, r"in layer 2, Remembering"),
    ],
)
def test_an_error_of_its_own_code_is_noted_with_the_shapes(layer, kind, note):
    with pytest.raises(kind) as caught:
        with_layer(layer).fit(X, Y, epochs=1, batch_size=None, backend="numpy")
    (text,) = caught.value.__notes__
    assert re.search(note, text), text


def test_a_choice_by_a_value_is_noted_with_what_jax_does():
    class Choosing(bpnet.Layer):
        def forward(self, xp, parameters, a_previous, context):
            return (-a_previous if xp.max(a_previous) > 0.0 else a_previous), None

        def backward(self, xp, parameters, cache, error, propagate=True):
            return error, {}

    errors = pytest.importorskip("jax").errors
    net = with_layer(Choosing())
    with pytest.raises(errors.TracerBoolConversionError) as caught:
        net.fit(X, Y, epochs=1, backend="jax")
    note = r"in layer 2, Choosing\(\): forward, .* choose with xp.where instead of if"
    assert re.match(note, caught.value.__notes__[0])
    net.fit(X, Y, epochs=1, backend="jax", run_eagerly=True)


def test_what_backward_needs_is_returned_and_not_kept():
    with pytest.raises(AttributeError, match="returned by forward as the cache: return a, ca"):
        with_layer(Remembering()).fit(X, Y, epochs=1, backend="numpy")
    with pytest.raises(AttributeError) as caught:
        bpnet.Adam().beta1 = 0.5
    assert "cache" not in str(caught.value)


def test_a_method_that_is_missing_is_named():
    class Half(bpnet.Layer):
        def forward(self, xp, parameters, a_previous, context):
            return a_previous, None

    class Empty(Activation):
        pass

    with pytest.raises(TypeError, match=r"^Half is abstract: define backward as well"):
        Half()
    with pytest.raises(TypeError, match=r"^Empty is abstract: define df and f as"):
        Empty()


@pytest.mark.parametrize(
    ("activation", "advice"),
    [
        (Tanh, r"the class Tanh; write Tanh\(\)$"),
        (np.tanh, "; write 'tanh'$"),
        (
            lambda z: z * z,
            "a function has no derivative: define a class with the methods f",
        ),
    ],
)
def test_an_activation_that_is_none_is_answered(activation, advice):
    with pytest.raises(TypeError, match=advice):
        bpnet.Dense(3, activation)


# --- where a wrong gradient comes from --------------------------------------------------------


class Twice(Linear):
    def backward(self, xp, parameters, cache, error, propagate=True):
        previous, gradients = super().backward(xp, parameters, cache, error)
        return previous, {"W": 2.0 * gradients["W"]}


class Lost(Linear):
    def backward(self, xp, parameters, cache, error, propagate=True):
        previous, gradients = super().backward(xp, parameters, cache, error)
        return 3.0 * previous, gradients


@pytest.mark.parametrize(
    ("layer", "advice"),
    [
        (
            Twice(),
            "layer 2 W goes wrong first: as layer 1 b is right, look at how that",
        ),
        (
            Lost(),
            "layer 1 W and layer 1 b go wrong first: look at the backward",
        ),
    ],
)
def test_a_gradient_check_says_where_to_look(layer, advice):
    report = str(bpnet.check_gradients(with_layer(layer), X, Y))
    assert report.splitlines()[-2].startswith(f"On the way back, {advice}")
    assert "way back" not in str(bpnet.check_gradients(with_layer(Linear()), X, Y))


# --- names ------------------------------------------------------------------------------------


class MyTanh(Tanh):
    def df(self, xp, z, a):
        return 1.0 - a * a


class MyDense(bpnet.Dense):
    pass


class MyNorm(bpnet.LayerNorm):
    pass


class MyDrop(bpnet.Dropout):
    pass


def test_own_layers_print_as_their_class():
    net = with_layer(MyDense(3, MyTanh()), MyNorm(), MyDrop(0.1), Linear()).build(2)
    names = [line.split("(")[0] for line in net.summary().splitlines()[1:-1]]
    own = ["2  MyDense", "3  MyNorm", "4  MyDrop", "5  Linear"]
    assert names == ["1  Dense", *own, "6  Dense"]
    assert repr(MyDense(3, MyTanh())) == "MyDense(3, 'MyTanh')"
    assert repr(bpnet.Dense(3, "tanh")) == "Dense(3, 'tanh')"
    equations = [entry.equation for entry in net.trace(X[0], Y[0]).entries]
    assert {"a2 = MyTanh(z2)", "a3 = MyNorm of a2", "a5 = Linear of a4",
            "dL/da2 = dL/da3 through MyNorm", "dW5 by Linear"} <= set(equations)  # fmt: skip


def test_a_long_layer_is_cut_in_the_summary():
    many = bpnet.Residual([bpnet.Dense(4, "tanh") for _ in range(9)])
    row = with_layer(many).build(2).summary().splitlines()[2]
    assert row.startswith("2  Residual([Dense(4, 'tanh'), ")
    assert len(row) < 140
    assert row.count("...") == 2
