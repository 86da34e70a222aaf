"""Helpers for tests of replayed steps: arrays, steps, operations, bitwise comparison."""

from __future__ import annotations

import functools

import numpy as np
from numpy.testing import assert_array_equal

import bpnet
from bpnet import SGD, Adagrad, Adam, AdamW, RMSprop

RULES = {
    "sgd": SGD(0.1),
    "momentum": SGD(0.1, momentum=0.9),
    "nesterov": SGD(0.1, momentum=0.9, nesterov=True),
    "sgd with decay": SGD(0.1, weight_decay=0.1),
    "clipped": SGD(0.1, clip_value=0.5, clip_norm=1.0),
    "adagrad": Adagrad(0.1),
    "rmsprop": RMSprop(0.1),
    "adam": Adam(0.1),
    "adam without memory": Adam(0.1, beta1=0.0, beta2=0.0),
    "adamw": AdamW(0.1),
}


@functools.lru_cache(maxsize=64)
def drawn(shape, dtype, number):
    return np.random.default_rng(number).uniform(-1.0, 1.0, shape).astype(dtype)


def arguments(backend, shape, dtype, n_state, seed=0):
    """Return p, g and the optimizer state, which is not negative."""
    host = [drawn(shape, dtype, 10 * seed + number) for number in range(2 + n_state)]
    return [backend.asarray(a.copy() if k < 2 else abs(a)) for k, a in enumerate(host)]


def step_of(rule):
    """Return a step that applies a rule to one parameter."""

    def step(xp, state, data):
        p, *rule_state = rule(xp, state["p"], data["g"], *state["rule_state"], *data["numbers"])
        return {"p": p, "rule_state": rule_state, "t": state["t"] + 1}

    return step


def assert_same_bits(backend, step, shape, dtype, n_state, numbers_of, steps=4):
    """Run steps replayed and as written, with new gradients and scalars in each."""
    compiled = backend.compile(step)

    def taken(run):
        p, _, *rule_state = arguments(backend, shape, dtype, n_state)
        state = {"p": p, "rule_state": rule_state, "t": backend.asarray(0, "int64")}
        for t in range(1, steps + 1):
            g = arguments(backend, shape, dtype, 0, seed=t)[1]
            kept = backend.to_numpy(g).copy()
            state = run(state, {"g": g, "numbers": numbers_of(t)})
            assert_array_equal(backend.to_numpy(g), kept)  # the gradient is not consumed
        return [backend.to_numpy(a) for a in (state["p"], *state["rule_state"], state["t"])]

    with backend.activate():
        result = taken(compiled)
        expected = taken(functools.partial(pure, step, backend))
    assert result[-1] == steps
    for a, b in zip(result, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()
    return compiled


def pure(step, backend, state, data):
    """Run a step on copies, so that one that works in place changes nothing else."""
    copy = functools.partial(backend.xp.asarray, copy=True)
    rule_state = [copy(s) for s in state["rule_state"]]
    return step(backend.xp, state | {"p": copy(state["p"]), "rule_state": rule_state}, data)


def is_replayed(compiled):
    return all(e is not None for e in compiled._executables.values())


def n_calls(compiled):
    return len(compiled._last.calls)


class CountCalls(bpnet.Callback):
    """Count the calls of each executable when training ends."""

    def on_train_end(self, training):
        self.counts = [len(e.calls) for e in executables_of(training.runner.steps.values())]


def executables_of(steps):
    """Return the executables of replayed steps."""
    return [e for step in steps for e in step._executables.values()]


OPERATIONS = {
    "add": lambda xp, a, b: a + b,
    "subtract": lambda xp, a, b: 1.5 - a,
    "multiply": lambda xp, a, b: 2.0 * b,
    "divide": lambda xp, a, b: a / (b * b + 1.0),
    "minimum": lambda xp, a, b: xp.minimum(a, 0.25),
    "maximum": lambda xp, a, b: xp.maximum(a, b),
    "where": lambda xp, a, b: xp.where(a > b, a, b),
    "astype": lambda xp, a, b: xp.astype(a >= 0.0, b.dtype),
    "clip": lambda xp, a, b: xp.clip(a, min=-0.5, max=0.5),
    "abs": lambda xp, a, b: abs(a),
    "transpose": lambda xp, a, b: (a.T @ b) @ xp.ones_like(a[:1, :]).T + 0.0 * b[:1, :].T,
    "sum": lambda xp, a, b: a - xp.sum(a, axis=0),
    "mean": lambda xp, a, b: b - xp.mean(b, axis=1, keepdims=True),
    "max": lambda xp, a, b: b - xp.max(b, axis=1, keepdims=True),
}


def any_step(names, picks):
    """Return a step of these operations; `picks` selects their operands and the results."""

    def step(xp, state, data):
        found = [state["p"], state["rule_state"][0], data["g"]]
        for number, name in enumerate(names):
            a, b = (found[picks[2 * number + k] % len(found)] for k in (0, 1))
            found.append(OPERATIONS[name](xp, a, b))
        p, v = (found[picks[16 + k] % len(found)] for k in (0, 1))
        return {"p": p * 0.5, "rule_state": [v * 1.5], "t": state["t"] + 1}

    return step
