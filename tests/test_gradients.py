"""Every layer, activation and loss: backpropagation against autograd and finite differences."""

from __future__ import annotations

import functools

import array_api_compat.numpy
import numpy as np
import pytest
from numpy.testing import assert_allclose

import bpnet
from bpnet import backprop
from bpnet.activations import ACTIVATIONS, ELU, Activation, LeakyReLU
from bpnet.losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    Masked,
    MeanSquaredError,
    Quantile,
)
from bpnet.random import uniform_bits

M, N_IN, N_OUT = 7, 3, 4
RATE, STEP = 0.25, 3
rng = np.random.default_rng(1)
X = rng.normal(size=(M, N_IN))
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0, 1.0])
REAL = rng.normal(size=(M, N_OUT))
GAPS = np.where(np.arange(M * N_OUT).reshape(M, N_OUT) % 3 == 1, np.nan, REAL)
LABELS = rng.integers(0, N_OUT, M)

ACTIVATION_CASES = {repr(a): a for a in (*ACTIVATIONS.values(), LeakyReLU(0.2), ELU(0.5))}
LOSS_CASES = {
    "binary": (LOSSES["binary_crossentropy"], (REAL > 0.0).astype(float)),
    "labels": (LOSSES["categorical_crossentropy"], LABELS),
    "one-hot": (LOSSES["categorical_crossentropy"], np.eye(N_OUT)[LABELS]),
    "soft": (LOSSES["categorical_crossentropy"], rng.dirichlet(np.ones(N_OUT), M)),
    "binary smoothed": (BinaryCrossentropy(0.1), (REAL > 0.0).astype(float)),
    "labels smoothed": (CategoricalCrossentropy(0.1), LABELS),
    "binary weighted": (
        BinaryCrossentropy(positive_weight=(1.0, 3.0, 0.5, 2.0)),
        (REAL > 0.0).astype(float),
    ),
    "labels weighted": (CategoricalCrossentropy(class_weights=(1.0, 3.0, 0.5, 2.0)), LABELS),
    "quantile": (Quantile(0.7), REAL),
    "two quantiles": (Quantile((0.2, 0.7)), REAL[:, 1:3]),
    "masked": (Masked("huber", (1.0, 3.0, 0.5, 2.0)), GAPS),
    "squared": (LOSSES["mean_squared_error"], REAL),
    "absolute": (LOSSES["mean_absolute_error"], REAL),
    "huber": (Huber(0.5), REAL),
    "poisson": (LOSSES["poisson"], rng.poisson(2.0, (M, N_OUT)).astype(float)),
}


@functools.cache
def network(activation, loss, dtype="float64"):
    """Two hidden layers, penalties and dropout; the activation also last, if allowed."""
    activation, (loss, _) = ACTIVATION_CASES[activation], LOSS_CASES[loss]
    layers = [
        bpnet.Dense(5, activation, l2=0.01, bias_init="normal"),
        bpnet.Dropout(RATE),
        bpnet.Dense(4, activation, l1=0.01, bias_init="normal"),  # 0 would be a kink of relu
        bpnet.Dense(
            N_OUT, activation if loss.identity_link else "identity", bias_init="normal"
        ),
    ]
    return bpnet.Network(layers, loss, seed=5, dtype=dtype).build(N_IN)


# --- PyTorch's autograd -----------------------------------------------------------------------


def torch_activation(torch, activation):
    if activation.name == "hard_sigmoid":  # torch's own has float32(1/6) as its derivative
        return lambda z: torch.nn.functional.relu6(z + 3.0) / 6.0
    return getattr(torch.nn, type(activation).__name__)(**activation.config())


def torch_loss(F, loss, z, y):
    """Return the loss of each example."""
    match loss.name:
        case "binary_crossentropy":
            y = y * (1.0 - loss.label_smoothing) + loss.label_smoothing / 2.0
            c = None if loss.positive_weight is None else z.new_tensor(loss.positive_weight)
            of_each = F.binary_cross_entropy_with_logits(z, y, pos_weight=c, reduction="none")
            return of_each.mean(1)
        case "categorical_crossentropy":
            c = None if loss.class_weights is None else z.new_tensor(loss.class_weights)
            smoothing = loss.label_smoothing
            return F.cross_entropy(z, y, c, reduction="none", label_smoothing=smoothing)
        case "quantile":
            n = len(loss.quantiles)
            q, r = z.new_tensor(loss.quantiles), y[:, :, None] - z.reshape(M, -1, n)
            return (q * F.relu(r) + (1.0 - q) * F.relu(-r)).mean((1, 2))
        case "masked_huber":
            there = ~y.isnan()
            of_each = F.huber_loss(z, y.nan_to_num(), reduction="none")
            weights = z.new_tensor(loss.output_weights) * there
            return (of_each * weights).sum(1) / weights.sum(1)
        case "mean_squared_error":
            return F.mse_loss(z, y, reduction="none").mean(1)
        case "mean_absolute_error":
            return F.l1_loss(z, y, reduction="none").mean(1)
        case "huber":
            return F.huber_loss(z, y, reduction="none", delta=loss.delta).mean(1)
        case "poisson":
            return F.poisson_nll_loss(z, y, reduction="none").mean(1)


@functools.cache
def torch_gradients(activation, loss, dtype):
    """Loss and gradients in float64, from the network's initial parameters."""
    import torch

    net, y = network(activation, loss, dtype), torch.tensor(LOSS_CASES[loss][1])
    parameters = [
        {name: torch.tensor(p.astype(float), requires_grad=True) for name, p in layer.items()}
        for layer in net.parameters
    ]
    bits = uniform_bits(array_api_compat.numpy, (M, 5), net.keys[1], np.asarray(STEP))
    mask = torch.tensor((bits >= RATE * 2**32 - 2**31) / (1.0 - RATE))
    a = torch.tensor(X.astype(dtype).astype(float))
    dense = [layer for layer in net.layers if isinstance(layer, bpnet.Dense)]
    penalty = 0.0
    for number, (layer, p) in enumerate(zip(dense, parameters, strict=True)):
        a = torch_activation(torch, layer.activation)(a @ p["W"] + p["b"])
        a = a * mask if number == 0 else a
        penalty = penalty + layer.l1 * p["W"].abs().sum() + layer.l2 / 2 * (p["W"] ** 2).sum()
    w = torch.tensor(WEIGHTS)
    value = (w * torch_loss(torch.nn.functional, net.loss, a, y)).sum() / w.sum() + penalty
    value.backward()
    gradients = [{name: p.grad.numpy() for name, p in layer.items()} for layer in parameters]
    return value.item(), gradients


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-10)])
@pytest.mark.parametrize("activation", ACTIVATION_CASES)
def test_gradients_are_those_of_autograd_with_every_loss(
    activation, dtype, tolerance, backend, xp
):
    """Uses the pure functions, as compiling 200 networks with JAX would take minutes."""
    pytest.importorskip("torch")
    placed = [backend.asarray(array, dtype) for array in (X, WEIGHTS)]
    for loss, (_, y) in LOSS_CASES.items():
        net = network(activation, loss, dtype)
        parameters = net.placement.moved(backend).parameters
        y = backend.asarray(y, "int64" if y.ndim == 1 else dtype)
        value, gradients = backprop.loss_and_gradients(
            xp,
            net.spec,
            parameters,
            placed[0],
            y,
            placed[1],
            net.contexts(backend, STEP, dtype),
        )
        expected_value, expected = torch_gradients(activation, loss, dtype)
        assert_allclose(float(value), expected_value, rtol=tolerance, err_msg=loss)
        for layer, reference in zip([g for g in gradients if g], expected, strict=True):
            assert layer.keys() == reference.keys()
            for name, gradient in layer.items():
                host, exact = backend.to_numpy(gradient), reference[name]
                assert host.dtype == dtype
                error = np.max(np.abs(host - exact)) / np.max(np.abs(exact))
                assert error < tolerance, f"{loss}, {name} {host.shape}"


@pytest.mark.once_on_jax
@pytest.mark.parametrize("loss", LOSS_CASES)
def test_the_networks_own_gradients_are_those_of_its_pure_function(loss, backend):
    """`loss_and_gradients`: compiled, without dropout, as NumPy arrays."""
    net, y = network("Tanh()", loss), LOSS_CASES[loss][1]
    value, gradients = net.loss_and_gradients(X, y, WEIGHTS, backend=backend)
    expected_value, expected = backprop.loss_and_gradients(
        array_api_compat.numpy, net.spec, net.placement.parameters, X, y, WEIGHTS
    )
    assert_allclose(value, expected_value, rtol=1e-12)
    for layer, reference in zip(gradients, (g for g in expected if g), strict=True):
        for name, gradient in layer.items():
            assert isinstance(gradient, np.ndarray)
            assert_allclose(gradient, reference[name], rtol=1e-10, atol=1e-13)


def test_parameters_of_another_number_of_layers_are_refused():
    xp, net = array_api_compat.numpy, network("Tanh()", "squared")
    fewer = net.placement.parameters[:-1]
    with pytest.raises(ValueError, match="shorter"):
        backprop.forward(xp, net.spec, fewer, X)
    with pytest.raises(ValueError, match="shorter"):
        backprop.penalty(xp, net.spec, fewer, 1.0)
    with pytest.raises(ValueError, match="shorter"):
        backprop.add_penalties(xp, net.spec, net.placement.parameters, 0.0, fewer, 1.0)


# --- finite differences -----------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSS_CASES)
@pytest.mark.parametrize("activation", ACTIVATION_CASES)
def test_gradients_are_those_of_finite_differences(activation, loss):
    net, y = network(activation, loss), LOSS_CASES[loss][1]
    report = bpnet.check_gradients(net, X, y, WEIGHTS, samples=4)
    assert report.passed, str(report)
    assert report.tolerance == 1e-6


# Pairs of activations, each with a loss: every one of both appears on every backend.
names = list(ACTIVATION_CASES)
PAIRS = list(zip(names[::2], names[1::2], LOSS_CASES, strict=False))


@pytest.mark.once_on_jax
@pytest.mark.parametrize(("first", "second", "loss"), [*PAIRS, (*names[2:4], "poisson")])
def test_gradients_are_those_of_finite_differences_everywhere(first, second, loss, backend):
    loss, y = LOSS_CASES[loss]
    layers = [
        bpnet.Dense(4, ACTIVATION_CASES[first], l2=0.01),
        bpnet.Dropout(RATE),
        bpnet.Dense(3, ACTIVATION_CASES[second], l1=0.01),
        bpnet.Dense(N_OUT),
    ]
    net = bpnet.Network(layers, loss, seed=0)
    report = bpnet.check_gradients(net, X, y, WEIGHTS, samples=3, backend=backend)
    assert report.passed, str(report)
    assert set(report.n_checked) == {f"layer {n} {p}" for n in (1, 3, 4) for p in "Wb"}
    assert set(report.n_checked.values()) == {3}


def test_every_activation_and_loss_is_in_the_matrix():
    assert {a.name for a in ACTIVATION_CASES.values()} == set(ACTIVATIONS)
    assert {loss.unmasked.name for loss, _ in LOSS_CASES.values()} == set(LOSSES)


# --- the check finds wrong gradients ----------------------------------------------------------


class WrongTanh(Activation):
    """tanh with the derivative 1 - a."""

    def f(self, xp, z):
        return xp.tanh(z)

    def df(self, xp, z, a):
        return 1.0 - a


class AlmostTanh(WrongTanh):
    """tanh with a derivative that is wrong by 1e-5."""

    def df(self, xp, z, a):
        return (1.0 - a * a) * (1.0 + 1e-5)


class HalvedSquaredError(MeanSquaredError):
    """The squared error without its factor 2."""

    def error(self, xp, y, z):
        return (z - y) / z.shape[1]


class WrongDense(bpnet.Dense):
    """A layer that forgets its penalty, or its weights on the way back."""

    def __init__(self, *arguments, forgets, **settings):
        super().__init__(*arguments, **settings)
        self.forgets = forgets

    def penalty_gradients(self, xp, parameters):
        return {} if self.forgets == "penalty" else super().penalty_gradients(xp, parameters)

    def backward(self, xp, parameters, cache, error, propagate=True):
        back, gradients = super().backward(xp, parameters, cache, error, propagate)
        if self.forgets == "bias":
            gradients = gradients | {"b": 0.0 * gradients["b"]}
        return -back if self.forgets == "sign" and propagate else back, gradients


def wrong_parameters(layers, loss="mean_squared_error"):
    net = bpnet.Network(layers, loss, seed=0)
    report = bpnet.check_gradients(net, X, REAL)
    assert not report.passed
    assert report.max_relative_error > report.tolerance
    assert report.max_relative_error == max(report.per_parameter.values())
    text = str(report)
    assert "WRONG" in text
    assert "DISAGREE" in text
    return {name for name, error in report.per_parameter.items() if error > report.tolerance}


@pytest.mark.parametrize("activation", [WrongTanh(), AlmostTanh()])
def test_a_wrong_derivative_is_found_in_the_layers_that_it_reaches(activation):
    layers = [bpnet.Dense(5), bpnet.Dense(3, activation), bpnet.Dense(N_OUT)]
    assert wrong_parameters(layers) == {f"layer {n} {p}" for n in (1, 2) for p in "Wb"}


def test_a_wrong_output_error_is_found_in_every_layer():
    layers = [bpnet.Dense(3, "tanh"), bpnet.Dense(N_OUT)]
    wrong = wrong_parameters(layers, HalvedSquaredError())
    assert wrong == {f"layer {n} {p}" for n in (1, 2) for p in "Wb"}


@pytest.mark.parametrize(
    ("forgets", "found"),
    [
        ("penalty", {"layer 2 W"}),
        ("bias", {"layer 2 b"}),
        ("sign", {"layer 1 W", "layer 1 b"}),
    ],
)
def test_a_wrong_layer_is_found_and_named(forgets, found):
    wrong = WrongDense(4, "tanh", l2=0.1, forgets=forgets)
    assert wrong_parameters([bpnet.Dense(5, "tanh"), wrong, bpnet.Dense(N_OUT)]) == found


def test_a_right_network_passes_and_is_not_changed():
    net = bpnet.Network(
        [bpnet.Dense(3, "tanh"), bpnet.Dense(N_OUT)], "mean_squared_error", seed=0
    )
    net.build(N_IN)
    before = [{name: p.copy() for name, p in layer.items()} for layer in net.parameters]
    report = bpnet.check_gradients(net, X, REAL)
    assert report.passed
    assert "WRONG" not in str(report)
    assert report.n_checked["layer 1 W"] == 9
    for layer, old in zip(net.parameters, before, strict=True):
        for name, p in layer.items():
            assert p.dtype == np.float32
            assert np.array_equal(p, old[name])
