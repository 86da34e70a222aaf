"""JAX as a contestant: a handwritten step in the style of Optax, jitted, buffers donated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import LEARNING_RATE, Case
from benchmarks.timing import Turn, calls_of


def step(case: Case, device: str) -> Turn:
    """Return a turn of training steps on a resident batch."""
    jitted = jax.jit(updater(case), donate_argnums=0)
    state, (X, y) = initial(case, device), on(device, case.examples())

    def turn(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state, _ = jitted(state, X, y)
        jax.block_until_ready(state)

    return turn


def epoch(case: Case, device: str, batches: int) -> Turn:
    """Return a turn of epochs over resident, shuffled data; each step gathers its batch."""
    update = updater(case)

    def visit(state: Any, total: Any, X: Any, y: Any, order: Any, first: Any) -> Any:
        rows = jax.lax.dynamic_slice_in_dim(order, first, case.batch)
        state, loss = update(state, X[rows], y[rows])
        return state, total + loss

    jitted = jax.jit(visit, donate_argnums=(0, 1))
    shuffle = jax.jit(jax.random.permutation, static_argnums=1)
    state, (X, y) = initial(case, device), on(device, case.examples(case.batch * batches))
    key, firsts = on(device, jax.random.key(0)), range(0, len(X), case.batch)

    def turn(epochs: int) -> None:
        nonlocal state, key
        for _ in range(epochs):
            key, once = jax.random.split(key)
            order, total = shuffle(once, len(X)), on(device, jnp.zeros(()))
            for first in firsts:
                state, total = jitted(state, total, X, y, order, first)
            float(total)  # waits for the device

    return turn


def scan(case: Case, device: str, batches: int) -> Turn:
    """Return a turn of epochs, each one program that scans its batches in a random order.

    NumPy draws the order, in a fifth of the time that JAX's permutation takes on a CPU.
    """
    update = updater(case)

    def visit_all(state: Any, order: Any, X: Any, y: Any) -> Any:
        def visit(carry: Any, rows: Any) -> Any:
            state, total = carry
            state, loss = update(state, X[rows], y[rows])
            return (state, total + loss), None

        return jax.lax.scan(visit, (state, jnp.zeros(())), order)[0]

    jitted = jax.jit(visit_all, donate_argnums=0)
    state, (X, y) = initial(case, device), on(device, case.examples(case.batch * batches))
    rng = np.random.default_rng(0)

    def turn(epochs: int) -> None:
        nonlocal state
        for _ in range(epochs):
            order = rng.permutation(len(X)).reshape(batches, case.batch)
            state, total = jitted(state, order, X, y)
            float(total)  # waits for the device

    return turn


def inference(case: Case, device: str) -> Turn:
    """Return a turn of predictions for one batch, from host to device and back."""
    return calls_of(predictor(case, device), case.examples()[0])


def predictor(case: Case, device: str) -> Callable[[Any], Any]:
    """Return a function of host rows that returns probabilities on the host."""
    parameters = on(device, case.weights())
    forward = jax.jit(lambda parameters, X: jax.nn.softmax(logits(case, parameters, X)))

    def predict(X: Any) -> Any:
        return jax.device_get(forward(parameters, on(device, X)))

    return predict


def on(device: str, arrays: Any) -> Any:
    """Put arrays on a device such as "gpu:0"."""
    platform, _, number = device.partition(":")
    return jax.device_put(arrays, jax.devices(platform)[int(number or 0)])


def initial(case: Case, device: str) -> Any:
    """Return initial parameters, optimizer state and step count."""
    parameters = on(device, case.weights())
    moments = tuple(
        jax.tree.map(jnp.zeros_like, parameters)
        for _ in range(2 if case.optimizer == "Adam" else 0)
    )
    return parameters, moments, on(device, jnp.zeros((), jnp.int32))


def updater(case: Case) -> Callable[[Any, Any, Any], Any]:
    """Return the function of state and batch that returns the new state and the loss."""
    rule = sgd if case.optimizer == "SGD" else adam

    def loss(parameters: Any, X: Any, y: Any) -> Any:
        log_p = jax.nn.log_softmax(logits(case, parameters, X))
        return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))

    def update(state: Any, X: Any, y: Any) -> Any:
        parameters, moments, t = state
        value, gradients = jax.value_and_grad(loss)(parameters, X, y)
        parameters, moments = rule(parameters, gradients, moments, t + 1)
        return (parameters, moments, t + 1), value

    return update


def logits(case: Case, parameters: Any, X: Any) -> Any:
    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[case.activation]
    *hidden, (W, b) = parameters
    for V, c in hidden:
        X = activation(X @ V + c)
    return X @ W + b


def sgd(parameters: Any, gradients: Any, moments: Any, t: Any) -> Any:
    moved = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, parameters, gradients)
    return moved, moments


def adam(parameters: Any, gradients: Any, moments: Any, t: Any) -> Any:
    m, v = moments
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
    rate = LEARNING_RATE * jnp.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
    moved = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), parameters, m, v)
    return moved, (m, v)
