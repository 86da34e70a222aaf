"""The gradient check itself: what it samples, weights, retries and reports.

test_gradients.py applies it to every layer, activation and loss, correct and wrong.
"""

from __future__ import annotations

import numpy as np
import pytest
from refusals import bits

import bpnet
from bpnet import backprop, check_gradients
from bpnet.activations import ReLU
from bpnet.testing import gradcheck

M, N_IN, N_OUT = 7, 3, 2
rng = np.random.default_rng(0)
X = rng.normal(size=(M, N_IN))
Y = rng.normal(size=(M, N_OUT))
WEIGHTS = rng.uniform(size=M)


def network(*hidden, **settings):
    layers = [*(hidden or [bpnet.Dense(4, "tanh")]), bpnet.Dense(N_OUT)]
    return bpnet.Network(layers, "mean_squared_error", seed=0, **settings)


class OneWrong(bpnet.Dense):
    """A layer whose gradient is wrong in one element, W[0, 0]."""

    def backward(self, xp, parameters, cache, error, propagate=True):
        back, gradients = super().backward(xp, parameters, cache, error, propagate)
        rows, columns = (xp.arange(n) for n in gradients["W"].shape)
        corner = xp.astype((rows[:, None] + columns[None, :]) == 0, gradients["W"].dtype)
        return back, gradients | {"W": gradients["W"] + corner}


# --- which elements ---------------------------------------------------------------------------


def test_without_samples_every_element_is_compared():
    report = check_gradients(network(), X, Y)
    sizes = {"layer 1 W": 12, "layer 1 b": 4, "layer 2 W": 8, "layer 2 b": 2}
    assert report.n_checked == sizes
    assert report.per_parameter.keys() == sizes.keys()
    assert report.passed
    assert not check_gradients(network(OneWrong(4, "tanh")), X, Y).passed


def test_samples_bound_how_many_are_compared(monkeypatch):
    measured = []
    loss = gradcheck._Perturbed.loss
    monkeypatch.setattr(
        gradcheck._Perturbed,
        "loss",
        lambda self, number, name, index, value: (
            measured.append((number, name, index)) or loss(self, number, name, index, value)
        ),
    )
    report = check_gradients(network(), X, Y, samples=5)
    assert report.n_checked == {
        "layer 1 W": 5, "layer 1 b": 4, "layer 2 W": 5, "layer 2 b": 2
    }  # fmt: skip
    drawn = set(measured)
    assert len(drawn) == 5 + 4 + 5 + 2  # none of them twice
    measured.clear()
    check_gradients(network(), X, Y, samples=5)
    assert set(measured) == drawn  # the seed decides
    measured.clear()
    check_gradients(network(), X, Y, samples=5, seed=1)
    assert set(measured) != drawn


def test_a_sample_finds_what_it_draws():
    net = network(OneWrong(4, "tanh"))
    found = [not check_gradients(net, X, Y, samples=4, seed=s).passed for s in range(12)]
    again = [not check_gradients(net, X, Y, samples=4, seed=s).passed for s in range(12)]
    assert found == again
    assert 0 < sum(found) < 12


# --- what it computes -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_computes_in_float64_and_changes_nothing(dtype, backend):
    net = network(dtype=dtype).build(N_IN, backend)
    history = net.fit(X, Y, epochs=1, batch_size=None)
    before = bits((net, history))
    report = check_gradients(net, X, Y, WEIGHTS, samples=2)
    assert report.max_relative_error < 1e-7  # float32 could not
    assert bits((net, history)) == before


def test_a_network_that_is_not_built_is_built(backend):
    net = network()
    assert check_gradients(net, backend.asarray(X), backend.asarray(Y), samples=2).passed
    assert net.is_built
    assert net.backend == backend
    assert net.n_inputs == N_IN
    expected = network().build(N_IN).parameters[0]["W"]
    assert np.array_equal(backend.to_numpy(net.parameters[0]["W"]), expected)


def test_weights_are_those_of_both_sides(monkeypatch):
    net = network()
    assert check_gradients(net, X, Y, WEIGHTS).passed
    exact = backprop.output_error
    monkeypatch.setattr(backprop, "output_error", lambda xp, errors, w: exact(xp, errors, None))
    assert check_gradients(net, X, Y).passed
    net = network()  # compiles what it computes once
    assert not check_gradients(net, X, Y, WEIGHTS).passed


def test_dropout_is_active():
    """A layer after dropout sees the same masks in both losses, unlike in inference."""
    net = network(bpnet.Dense(4, "tanh"), bpnet.Dropout(0.5))
    assert check_gradients(net, X, Y).passed
    arguments = net.backend.xp, net.spec, net.placement.parameters, X, Y, None
    active = gradcheck.training_loss(*arguments, net.contexts(net.backend, 1, "float64"))
    passive = gradcheck.training_loss(*arguments, None)
    assert abs(float(active) - float(passive)) > 1e-3


class Steeper(ReLU):
    """relu with a wrong slope."""

    def df(self, xp, z, a):
        return 1.1 * super().df(xp, z, a)


def test_a_kink_that_the_step_crosses_is_tried_again():
    """Two units at 2e-6, one falling, one rising: a step of 6e-6 hits a kink either way."""
    h = gradcheck._STEP
    output = {b: max(2e-6 + b, 0.0) + 2.0 * max(2e-6 - b, 0.0) for b in (-h, h)}
    assert abs((output[h] - output[-h]) / (2.0 * h) + 1.0) > 0.1  # the slope is -1
    for activation, right in (ReLU(), True), (Steeper(), False):
        layers = [bpnet.Dense(1), bpnet.Dense(2, activation), bpnet.Dense(1)]
        net = bpnet.Network(layers, "mean_squared_error", seed=0, dtype="float64").build(1)
        net.parameters = [
            {"W": [[1.0]], "b": [0.0]},
            {"W": [[1.0, -1.0]], "b": [2e-6, 2e-6]},
            {"W": [[1.0], [2.0]], "b": [0.0]},
        ]
        report = check_gradients(net, [[0.0]], [1.0])
        assert (report.per_parameter["layer 1 b"] < 1e-6) is right
        assert report.passed is right


class SkewedAtZero(ReLU):
    """relu with a slope at its kink that is outside its one-sided slopes."""

    def df(self, xp, z, a):
        return xp.where(z == 0.0, 1.25, super().df(xp, z, a))


def test_on_a_kink_a_slope_between_those_of_its_sides_is_right(backend):
    """The corners of XOR, with relu and biases of 0: at the corner (0, 0) each z is 0."""
    corners, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
    for activation, wrong in (ReLU(), set()), (SkewedAtZero(), {"layer 1 b"}):
        layers = [bpnet.Dense(4, activation), bpnet.Dense(1)]
        net = bpnet.Network(layers, "binary_crossentropy", seed=0)
        report = check_gradients(net, corners, y, backend=backend)
        found = {name for name, error in report.per_parameter.items() if error > 1e-6}
        assert found == wrong


def test_parameters_without_effect_pass():
    """All gradients are 0, and so is their scale."""
    net = network(bpnet.Dense(4, "relu", bias_init=lambda rng, n_in, n_out: [[-9.0] * n_out]))
    report = check_gradients(net, 0.1 * X, Y)
    assert report.passed
    assert report.per_parameter["layer 1 W"] == 0.0


# --- what it prints ---------------------------------------------------------------------------


def test_the_report_is_a_table():
    report = bpnet.GradientReport(
        0.25,
        {"layer 1 W": 3.2e-10, "layer 1 b": 0.25},
        {"layer 1 W": 12, "layer 1 b": 4},
        kinks={"layer 1 W": 0, "layer 1 b": 3},
        scales={"layer 1 W": 0.5, "layer 1 b": 0.02},
        tolerance=1e-6,
        regularizer=True,
    )
    assert not report.passed
    assert str(report).splitlines() == [
        "parameter   elements   kinks   scale     relative error",
        "layer 1 W   12         0       5.0e-01   3.2e-10          ok",
        "layer 1 b   4          3       2.0e-02   2.5e-01          WRONG",
        "On the way back, layer 1 b goes wrong first: as layer 1 W is right, look at how that "
        "gradient alone is computed.",
        "backpropagation and finite differences DISAGREE: largest relative error 2.5e-01, "
        "allowed 1e-06, regularizer on",
    ]
    right = report._replace(max_relative_error=3.2e-10, per_parameter={"layer 1 W": 3.2e-10})
    assert right.passed
    assert str(right).splitlines()[-1] == (
        "backpropagation and finite differences agree: largest relative error 3.2e-10, "
        "allowed 1e-06, regularizer on"
    )


class Broken(bpnet.Dense):
    """A layer whose gradient of one parameter is NaN."""

    def __init__(self, units, parameter):
        super().__init__(units, "tanh")
        self.parameter = parameter

    def backward(self, xp, parameters, cache, error, propagate=True):
        back, gradients = super().backward(xp, parameters, cache, error, propagate)
        return back, gradients | {self.parameter: gradients[self.parameter] * float("nan")}


@pytest.mark.parametrize("parameter", ["W", "b"])
def test_a_nan_gradient_is_wrong(parameter):
    """Wherever it is: NaN compares as neither larger nor smaller than another error."""
    report = check_gradients(network(Broken(4, parameter)), X, Y)
    assert np.isnan(report.max_relative_error)
    assert not report.passed
    *rows, verdict = str(report).splitlines()
    assert [row for row in rows if row.endswith("WRONG")] == [
        row for row in rows if row.startswith(f"layer 1 {parameter}")
    ]
    assert "DISAGREE" in verdict
