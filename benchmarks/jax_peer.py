"""JAX as a contestant: a step written by hand in the manner of Optax, jitted and donated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.cases import LEARNING_RATE, Case
from benchmarks.timing import Turn


def step(case: Case) -> Turn:
    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[case.activation]

    def loss(parameters: Any, X: Any, y: Any) -> Any:
        *hidden, (W, b) = parameters
        for V, c in hidden:
            X = activation(X @ V + c)
        log_p = jax.nn.log_softmax(X @ W + b)
        return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))

    def update(state: Any, X: Any, y: Any) -> Any:
        parameters, slots, t = state
        gradients = jax.grad(loss)(parameters, X, y)
        rule = sgd if case.optimizer == "SGD" else adam
        parameters, slots = rule(parameters, gradients, slots, t + 1)
        return parameters, slots, t + 1

    jitted = jax.jit(update, donate_argnums=0)
    parameters = jax.tree.map(jnp.asarray, case.weights())
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    slots = (
        (zeros, jax.tree.map(jnp.zeros_like, parameters)) if case.optimizer == "Adam" else ()
    )
    state = (parameters, slots, jnp.zeros((), jnp.int32))
    X, y = map(jnp.asarray, case.examples())

    def turn(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            state = jitted(state, X, y)
        jax.block_until_ready(state)

    return turn


def sgd(parameters: Any, gradients: Any, slots: Any, t: Any) -> Any:
    moved = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, parameters, gradients)
    return moved, slots


def adam(parameters: Any, gradients: Any, slots: Any, t: Any) -> Any:
    m, v = slots
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
    rate = LEARNING_RATE * jnp.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
    moved = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), parameters, m, v)
    return moved, (m, v)
