"""Optimizers in the real training step, against PyTorch and NumPy loops."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import SGD, Adagrad, Adam, AdamW, RMSprop
from bpnet.optimizers import global_norm

pytestmark = pytest.mark.once_on_jax  # it compiles each case

EPOCHS = 50
rng = np.random.default_rng(0)
X = rng.normal(size=(10, 3))
Y = rng.normal(size=(10, 2))

OPTIMIZERS = {
    "sgd": SGD(0.1),
    "momentum": SGD(0.05, momentum=0.9),
    "nesterov": SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": RMSprop(0.01),
    "rmsprop, other numbers": RMSprop(0.01, rho=0.99, epsilon=1e-3),
    "adagrad": Adagrad(0.1),
    "adagrad, other numbers": Adagrad(0.1, epsilon=1e-2),
    "adam": Adam(0.02),
    "adam, other numbers": Adam(0.02, beta1=0.8, beta2=0.9, epsilon=1e-2),
    "adam without memory": Adam(0.02, beta1=0.0, beta2=0.0),
    "adamw": AdamW(0.02),
    "adamw, other numbers": AdamW(0.02, weight_decay=0.5, beta1=0.8, beta2=0.9, epsilon=1e-3),
    "sgd with decay": SGD(0.1, weight_decay=0.2),
    "momentum with decay": SGD(0.05, momentum=0.9, weight_decay=0.2),
    "sgd clipped by value": SGD(0.1, clip_value=0.05),
    "sgd clipped by norm at first": SGD(0.1, clip_norm=0.4),
    "adam clipped by norm": Adam(0.02, clip_norm=0.1, epsilon=1e-2),
    "sgd clipped by both": SGD(0.1, clip_value=0.1, clip_norm=0.2),
}


def network():
    layers = [bpnet.Dense(4, "tanh"), bpnet.Dense(2)]
    return bpnet.Network(layers, "mean_squared_error", seed=0, dtype="float64").build(3)


@functools.cache
def initial():
    """Return W and b of the first and second layer, as float64 on the host."""
    return [layer[name] for layer in network().parameters for name in ("W", "b")]


@functools.cache
def trained(name, backend):
    """Train by `fit` in full batches; return the parameters like `initial`."""
    net = network()
    net.fit(X, Y, optimizer=OPTIMIZERS[name], epochs=EPOCHS, batch_size=None, backend=backend)
    return [backend.to_numpy(layer[key]) for layer in net.parameters for key in ("W", "b")]


def assert_same(result, expected):
    for value, reference, start in zip(result, expected, initial(), strict=True):
        assert np.max(np.abs(reference - start)) > 1e-2  # the parameters have changed
        assert_allclose(value, reference, rtol=1e-10, atol=1e-12)


# --- PyTorch ----------------------------------------------------------------------------------


def torch_optimizer(torch, optimizer, parameters):
    """Return PyTorch's counterpart, without decay and clipping."""
    eta = optimizer.learning_rate(0.0)
    match optimizer:
        case SGD():
            return torch.optim.SGD(
                parameters, eta, momentum=optimizer.momentum, nesterov=optimizer.nesterov
            )
        case RMSprop():
            return torch.optim.RMSprop(
                parameters, eta, alpha=optimizer.rho, eps=optimizer.epsilon
            )
        case Adagrad():
            return torch.optim.Adagrad(parameters, eta, eps=optimizer.epsilon)
        case Adam():
            kind = torch.optim.AdamW if isinstance(optimizer, AdamW) else torch.optim.Adam
            return kind(
                parameters,
                eta,
                betas=(optimizer.beta1, optimizer.beta2),
                eps=optimizer.epsilon,
                weight_decay=optimizer.weight_decay,
            )


@functools.cache
def torch_trained(name):
    import torch

    optimizer = OPTIMIZERS[name]
    parameters = [torch.tensor(p, requires_grad=True) for p in initial()]
    W1, b1, W2, b2 = parameters
    reference = torch_optimizer(torch, optimizer, parameters)
    x, y = torch.tensor(X), torch.tensor(Y)
    for _ in range(EPOCHS):
        reference.zero_grad()
        torch.nn.functional.mse_loss(torch.tanh(x @ W1 + b1) @ W2 + b2, y).backward()
        with torch.no_grad():
            if optimizer.clip_value is not None:
                torch.nn.utils.clip_grad_value_(parameters, optimizer.clip_value)
            if optimizer.clip_norm is not None:  # exactly; PyTorch adds 1e-6 to the norm
                norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
                for p in parameters:
                    p.grad *= torch.clamp(optimizer.clip_norm / norm, max=1.0)
            if not isinstance(optimizer, AdamW):
                for p in parameters:
                    p *= 1.0 - optimizer.learning_rate(0.0) * optimizer.weight_decay
        reference.step()
    return [p.detach().numpy() for p in parameters]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_are_those_of_pytorch(name, backend):
    pytest.importorskip("torch")
    assert_same(trained(name, backend), torch_trained(name))


# --- the papers' algorithms in NumPy ----------------------------------------------------------


def gradients_of(parameters):
    """Return the gradients of the mean squared error, by hand."""
    W1, b1, W2, b2 = parameters
    a = np.tanh(X @ W1 + b1)
    delta2 = 2.0 * (a @ W2 + b2 - Y) / Y.size
    delta1 = delta2 @ W2.T * (1.0 - a**2)
    return [X.T @ delta1, delta1.sum(axis=0), a.T @ delta2, delta2.sum(axis=0)]


def clipped(gradients, optimizer):
    if optimizer.clip_value is not None:
        c = optimizer.clip_value
        gradients = [np.maximum(np.minimum(g, c), -c) for g in gradients]
    if optimizer.clip_norm is not None:
        norm = np.linalg.norm(np.concatenate([g.ravel() for g in gradients]))
        if norm > optimizer.clip_norm:
            gradients = [g * optimizer.clip_norm / norm for g in gradients]
    return gradients


def change(optimizer, g, memory, t):
    """Return the step of one parameter as in the paper; updates `memory`."""
    eta = optimizer.learning_rate(0.0)
    match optimizer:
        case SGD():
            mu = optimizer.momentum
            memory["v"] = mu * memory.get("v", 0.0) + g
            return -eta * (mu * memory["v"] + g if optimizer.nesterov else memory["v"])
        case Adagrad():
            memory["s"] = memory.get("s", 0.0) + g**2
            return -eta * g / (np.sqrt(memory["s"]) + optimizer.epsilon)
        case RMSprop():
            rho = optimizer.rho
            memory["v"] = rho * memory.get("v", 0.0) + (1.0 - rho) * g**2
            return -eta * g / (np.sqrt(memory["v"]) + optimizer.epsilon)
        case Adam():
            beta1, beta2 = optimizer.beta1, optimizer.beta2
            memory["m"] = beta1 * memory.get("m", 0.0) + (1.0 - beta1) * g
            memory["v"] = beta2 * memory.get("v", 0.0) + (1.0 - beta2) * g**2
            m = memory["m"] / (1.0 - beta1**t)
            v = memory["v"] / (1.0 - beta2**t)
            return -eta * m / (np.sqrt(v) + optimizer.epsilon)


@functools.cache
def numpy_trained(name):
    optimizer = OPTIMIZERS[name]
    parameters, memories = initial(), [{} for _ in initial()]
    decay = optimizer.learning_rate(0.0) * optimizer.weight_decay
    for t in range(1, EPOCHS + 1):
        parameters = [
            p - decay * p + change(optimizer, g, memory, t)
            for p, g, memory in zip(
                parameters, clipped(gradients_of(parameters), optimizer), memories, strict=True
            )
        ]
    return parameters


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_are_those_of_the_paper(name, backend):
    assert_same(trained(name, backend), numpy_trained(name))


def test_clipping_and_decay_are_at_work_in_these_cases():
    start = gradients_of(initial())
    for name, optimizer in OPTIMIZERS.items():
        pairs = zip(start, clipped(start, optimizer), strict=True)
        assert any(np.any(old != new) for old, new in pairs) == ("clipped" in name)
        assert (optimizer.weight_decay > 0.0) == ("decay" in name or "adamw" in name)


# --- large arrays, float32, many fits ---------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_fused_rule_gives_what_the_rule_gives_on_large_arrays(name, backend, xp):
    """CuPy runs it as one kernel."""
    optimizer = OPTIMIZERS[name]
    shape = (410, 330)  # more than two blocks, and a rest
    draw = np.random.default_rng(0)
    host = [draw.normal(size=shape) for _ in range(2)]
    host += [draw.uniform(size=shape) for _ in range(optimizer.n_state)]

    def arguments():
        p, g, *slots = (backend.asarray(array.copy()) for array in host)
        eta, t = (backend.asarray(value, "float64") for value in (0.1, 3.0))
        return p, g, *slots, eta, *optimizer.scalars(xp, eta, t)

    rule = optimizer.decayed_rule
    expected = [backend.to_numpy(result) for result in rule(xp, *arguments())]
    given = arguments()
    results = backend.fuse(rule)(xp, *given)
    assert len(results) == 1 + optimizer.n_state
    for result, reference in zip(results, expected, strict=True):
        assert_allclose(backend.to_numpy(result), reference, rtol=1e-14, atol=1e-15)
    assert_array_equal(backend.to_numpy(given[1]), host[1])  # the gradient is not consumed


def test_float32_follows_float64(backend):
    settings = {"optimizer": Adam(0.02), "epochs": EPOCHS, "batch_size": None}
    layers = [bpnet.Dense(4, "tanh"), bpnet.Dense(2)]
    net = bpnet.Network(layers, "mean_squared_error", seed=0)
    net.fit(X, Y, backend=backend, **settings)
    with backend.activate():
        result = [
            backend.to_numpy(layer[name]) for layer in net.parameters for name in ("W", "b")
        ]
    assert all(p.dtype == np.float32 for p in result)
    for p, reference in zip(result, numpy_trained("adam"), strict=True):
        assert_allclose(p, reference, rtol=1e-4, atol=1e-4)


def test_an_optimizer_is_a_description_and_can_be_used_again():
    optimizer = Adam(0.02)
    for _ in range(2):
        net = network()
        net.fit(X, Y, optimizer=optimizer, epochs=EPOCHS, batch_size=None)
        result = [layer[name] for layer in net.parameters for name in ("W", "b")]
        assert_same(result, numpy_trained("adam"))


def test_global_norm_is_that_of_one_long_vector(backend, xp):
    gradients = [{"W": X, "b": Y}, {}, {"W": np.array([[3.0]])}]
    placed = [{k: backend.asarray(g) for k, g in layer.items()} for layer in gradients]
    expected = np.linalg.norm(np.concatenate([X.ravel(), Y.ravel(), [3.0]]))
    assert_allclose(float(global_norm(xp, placed)), expected, rtol=1e-14)


def test_clipping_survives_a_gradient_of_zero(backend, xp):
    optimizer = SGD(0.1, clip_norm=1.0)
    p = [{"W": backend.asarray(np.ones((2, 2)))}]
    g = [{"W": backend.asarray(np.zeros((2, 2)))}]
    numbers = backend.asarray(0.1, "float64"), backend.asarray(1.0, "float64")
    slots = optimizer.init(xp, p)
    (result,), _ = optimizer.update(xp, optimizer.decayed_rule, p, g, slots, *numbers)
    assert_array_equal(backend.to_numpy(result["W"]), np.ones((2, 2)))


SHARED = {
    "weight_decay": 0.0, "clip_value": None, "clip_norm": None, "decay_biases": True,
}  # fmt: skip
MOMENTS = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


@pytest.mark.parametrize(
    ("kind", "rate", "settings"),
    [
        (SGD, 0.01, {"momentum": 0.0, "nesterov": False}),
        (Adagrad, 0.01, {"epsilon": 1e-10}),
        (RMSprop, 0.001, {"rho": 0.9, "epsilon": 1e-8}),
        (Adam, 0.001, MOMENTS),
        (AdamW, 0.001, MOMENTS | {"weight_decay": 0.01}),
    ],
)
def test_defaults_are_those_of_the_docstrings(kind, rate, settings):
    optimizer = kind()
    assert optimizer.learning_rate(0.0) == optimizer.learning_rate(1e6) == rate
    assert optimizer.config() == SHARED | settings | {"learning_rate": optimizer.learning_rate}


@pytest.mark.parametrize("kind", [SGD, Adagrad, RMSprop, Adam, AdamW])
def test_all_take_decay_and_clipping(kind):
    settings = {"weight_decay": 0.5, "clip_value": 2.0, "clip_norm": 3.0}
    assert settings.items() <= vars(kind(0.25, **settings)).items()
    assert repr(kind(0.25)) == f"{kind.__name__}(0.25)"


def test_slots_of_another_number_of_layers_are_refused(backend, xp):
    p = [{"W": backend.asarray(np.ones((2, 2)))}]
    numbers = backend.asarray(0.1, "float64"), backend.asarray(1.0, "float64")
    rule = SGD().decayed_rule
    for gradients, slots in ((p, []), ([], [{"W": ()}])):
        with pytest.raises(ValueError, match="shorter"):
            SGD().update(xp, rule, p, gradients, slots, *numbers)
