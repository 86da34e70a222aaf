"""What tests of replayed steps share: arrays, steps, operations, comparison to the bit."""

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


def arguments(backend, shape, dtype, n_slots, seed=0):
    """Give p, g and slots, which are not negative."""
    host = [drawn(shape, dtype, 10 * seed + number) for number in range(2 + n_slots)]
    return [backend.asarray(a.copy() if k < 2 else abs(a)) for k, a in enumerate(host)]


def step_of(rule):
    """Make a step of a rule for one parameter."""

    def step(xp, state, data):
        p, *slots = rule(xp, state["p"], data["g"], *state["slots"], *data["numbers"])
        return {"p": p, "slots": slots, "t": state["t"] + 1}

    return step


def assert_same_bits(backend, step, shape, dtype, n_slots, numbers_of, steps=4):
    """Take some steps, replayed and as written, with other gradients and numbers in each."""
    compiled = backend.compile(step)

    def taken(run):
        p, _, *slots = arguments(backend, shape, dtype, n_slots)
        state = {"p": p, "slots": slots, "t": backend.asarray(0, "int64")}
        for t in range(1, steps + 1):
            g = arguments(backend, shape, dtype, 0, seed=t)[1]
            kept = backend.to_numpy(g).copy()
            state = run(state, {"g": g, "numbers": numbers_of(t)})
            assert_array_equal(backend.to_numpy(g), kept)  # the gradient is not consumed
        return [backend.to_numpy(a) for a in (state["p"], *state["slots"], state["t"])]

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
    """Take a step on copies, so that one that works in place changes nothing else."""
    copy = functools.partial(backend.xp.asarray, copy=True)
    slots = [copy(s) for s in state["slots"]]
    return step(backend.xp, state | {"p": copy(state["p"]), "slots": slots}, data)


def is_replayed(compiled):
    return all(run is not None for run in compiled._runs.values())


def n_calls(compiled):
    return len(compiled._last.calls)


class CountCalls(bpnet.Callback):
    """Note in the end how many calls each program of a training's steps takes."""

    def on_train_end(self, training):
        self.counts = [len(run.calls) for run in runs_of(training.runner.steps.values())]


def runs_of(steps):
    """Give the programs of replayed steps."""
    return [run for step in steps for run in step._runs.values()]


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
    """Make a step of these operations; the picks say what each reads, and what is returned."""

    def step(xp, state, data):
        found = [state["p"], state["slots"][0], data["g"]]
        for number, name in enumerate(names):
            a, b = (found[picks[2 * number + k] % len(found)] for k in (0, 1))
            found.append(OPERATIONS[name](xp, a, b))
        p, v = (found[picks[16 + k] % len(found)] for k in (0, 1))
        return {"p": p * 0.5, "slots": [v * 1.5], "t": state["t"] + 1}

    return step
