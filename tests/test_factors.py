"""Factors of learning rate and weight decay, against PyTorch's parameter groups."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import SGD, Adagrad, Adam, AdamW, RMSprop
from bpnet.schedules import Exponential

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.few_on_jax, pytest.mark.once_on_jax]

EPOCHS = 20
rng = np.random.default_rng(0)
X = rng.normal(size=(10, 3))
Y = rng.normal(size=(10, 2))
RATES, DECAYS = {"W": 0.5, "b": 3.0}, {"W": 0.25}

# By name: the optimizer, and PyTorch's for a group with a learning rate and a weight decay.
OPTIMIZERS = {
    "sgd": (SGD(0.1), lambda p, f: torch.optim.SGD([p], 0.1 * f)),
    "momentum": (
        SGD(0.05, momentum=0.9),
        lambda p, f: torch.optim.SGD([p], 0.05 * f, momentum=0.9),
    ),
    "adagrad": (Adagrad(0.1), lambda p, f: torch.optim.Adagrad([p], 0.1 * f)),
    "rmsprop": (RMSprop(0.01), lambda p, f: torch.optim.RMSprop([p], 0.01 * f, alpha=0.9)),
    "adam": (Adam(0.02), lambda p, f: torch.optim.Adam([p], 0.02 * f)),
}


def network(rates=None, decays=None):
    options = {"learning_rate_factors": rates, "weight_decay_factors": decays}
    layers = [bpnet.Dense(4, "tanh", **options), bpnet.Dense(2)]
    return bpnet.Network(layers, "mean_squared_error", seed=0, dtype="float64").build(3)


def trained(backend, optimizer, rates=None, decays=None, **options):
    """Return W1, b1, W2, b2 after `fit` in full batches."""
    net = network(rates, decays)
    options = {"epochs": EPOCHS, "batch_size": None} | options
    net.fit(X, Y, optimizer=optimizer, backend=backend, **options)
    return [backend.to_numpy(p) for layer in net.parameters for p in layer.values()]


def trained_in_torch(groups):
    """Return the same from PyTorch; `groups` makes the optimizer of each of the four."""
    tensors = [torch.tensor(p) for layer in network().parameters for p in layer.values()]
    W1, b1, W2, b2 = tensors
    for p in tensors:
        p.requires_grad_()
    optimizers = [make(p) for make, p in zip(groups, tensors, strict=True)]
    for _ in range(EPOCHS):
        z = torch.tanh(torch.tensor(X) @ W1 + b1) @ W2 + b2
        loss = torch.mean((z - torch.tensor(Y)) ** 2)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    return [p.detach().numpy() for p in tensors]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_learning_rates_are_those_of_parameter_groups(backend, name):
    optimizer, make = OPTIMIZERS[name]
    groups = [lambda p, f=f: make(p, f) for f in (RATES["W"], RATES["b"], 1.0, 1.0)]
    results = trained(backend, optimizer, RATES)
    for result, expected in zip(results, trained_in_torch(groups), strict=True):
        assert_allclose(result, expected, rtol=1e-6, atol=1e-9)


def test_averaged_weights_obey_factors(backend):
    """Of a decay of 0, the average is the last weights."""
    optimizer = AdamW(0.02, weight_decay=0.3, decay_biases=False)
    average = bpnet.optimizers.MovingAverage(optimizer, 0.0)
    pairs = zip(
        trained(backend, average, RATES, DECAYS),
        trained(backend, optimizer, RATES, DECAYS),
        strict=True,
    )
    for result, expected in pairs:
        assert_allclose(result, expected, rtol=1e-12)


@pytest.mark.parametrize("scheduled", [False, True])
def test_decays_are_those_of_parameter_groups(backend, scheduled):
    """The decay of a step is that of learning rate times weight decay, with both factors."""
    optimizer = AdamW(0.02, weight_decay=0.3)
    if scheduled:
        optimizer = optimizer.replace(weight_decay=Exponential(0.3, 1.0))
    numbers = [(0.5, 0.25), (3.0, 0.0), (1.0, 1.0), (1.0, 0.0)]
    groups = [
        lambda p, f=f, d=d: torch.optim.AdamW([p], 0.02 * f, weight_decay=0.3 * d)
        for f, d in numbers
    ]
    optimizer = optimizer.replace(decay_biases=False)
    results = trained(backend, optimizer, RATES, DECAYS)
    for result, expected in zip(results, trained_in_torch(groups), strict=True):
        assert_allclose(result, expected, rtol=1e-6, atol=1e-9)


def test_biases_decay_unless_they_are_spared(backend):
    groups = [lambda p: torch.optim.AdamW([p], 0.1, weight_decay=0.5)] * 4
    results = trained(backend, AdamW(0.1, weight_decay=0.5))
    for result, expected in zip(results, trained_in_torch(groups), strict=True):
        assert_allclose(result, expected, rtol=1e-6, atol=1e-9)
    spared = trained(backend, AdamW(0.1, weight_decay=0.5, decay_biases=False))
    assert np.linalg.norm(spared[3]) > np.linalg.norm(results[3])


def test_a_learning_rate_of_factor_0_leaves_a_parameter_as_it_is(backend):
    before = [p for layer in network().parameters for p in layer.values()]
    after = trained(backend, AdamW(0.1), {"W": 0.0, "b": 0.0})
    for old, new in zip(before[:2], after[:2], strict=True):
        assert_array_equal(new, old)
    assert not np.array_equal(after[2], before[2])


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), AdamW(0.1)])
def test_factors_of_1_change_no_bit(backend, optimizer):
    ones = trained(backend, optimizer, {"W": 1.0, "b": 1.0}, {"W": 1.0})
    for a, b in zip(ones, trained(backend, optimizer), strict=True):
        assert_array_equal(a, b)


def test_compiled_steps_give_the_bits_of_eager_ones(backend):
    """Rounding aside on JAX, which fuses operations."""
    options = {"batch_size": 4, "epochs": 3}
    optimizer = AdamW(0.1, weight_decay=Exponential(0.3, 0.9), decay_biases=False)
    compiled = trained(backend, optimizer, RATES, DECAYS, **options)
    eager = trained(backend, optimizer, RATES, DECAYS, run_eagerly=True, **options)
    for a, b in zip(compiled, eager, strict=True):
        if backend.name == "jax":
            assert_allclose(a, b, rtol=1e-10)
        else:
            assert_array_equal(a, b)


def test_an_update_of_ones_own_takes_factors_or_says_that_it_does_not():
    class Old(SGD):
        def update(self, xp, rule, parameters, gradients, state, learning_rate, t):
            return super().update(xp, rule, parameters, gradients, state, learning_rate, t)

    class New(SGD):
        def update(self, *arguments, **options):
            return super().update(*arguments, **options)

    backend = bpnet.get_backend("numpy")
    expected = trained(backend, SGD(0.1), RATES)
    for a, b in zip(trained(backend, New(0.1), RATES), expected, strict=True):
        assert_array_equal(a, b)
    trained(backend, Old(0.1))
    with pytest.raises(bpnet.errors.ComponentError, match="without the parameter `special`"):
        trained(backend, Old(0.1), RATES)
    with pytest.raises(bpnet.errors.ComponentError, match="decay_biases=True"):
        trained(backend, Old(0.1, decay_biases=False))


def test_gradient_flow_sees_the_updates_that_are_made():
    ratios = {}
    for factor in (0.0, 1.0, 4.0):
        history = network({"W": factor}).fit(
            X, Y, optimizer=SGD(0.01), epochs=1, callbacks=[bpnet.GradientFlow(every=1)]
        )
        ratios[factor] = history["update_ratio/1"][0]
    assert ratios[0.0] == 0.0
    assert_allclose(ratios[4.0], 4.0 * ratios[1.0], rtol=0.01)


def test_a_checkpoint_resumes_with_the_same_bits(backend, tmp_path):
    optimizer = AdamW(0.1, decay_biases=False)
    options = {"batch_size": 4, "backend": backend, "optimizer": optimizer}
    whole, part = network(RATES, DECAYS), network(RATES, DECAYS)
    whole.fit(X, Y, epochs=4, **options)
    path = tmp_path / "run.safetensors"
    part.fit(X, Y, epochs=2, callbacks=[bpnet.Checkpoint(path)], **options)
    resumed = network(RATES, DECAYS)
    resumed.fit(X, Y, epochs=4, resume_from=path, **options)
    for a, b in zip(whole.parameters, resumed.parameters, strict=True):
        for name in a:
            assert_array_equal(backend.to_numpy(a[name]), backend.to_numpy(b[name]))
