"""Horizontal fusion: small arrays of a replayed step are updated together."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from available import available
from bpnet_backends.capture.executor import tree_map
from bpnet_backends.capture.graph import Graph
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from replaying import OPERATIONS, is_replayed, n_calls

import bpnet


@pytest.fixture(scope="module", params=available("numpy", "torch:cpu"))
def backend(request):
    """The backends that replay."""
    return bpnet.get_backend(request.param)


def rule_step(backend, shapes, rule, dtype="float32"):
    """Apply a rule to several parameters, whose gradients are computed in the step."""

    def step(xp, state, data):
        gradients = [data["scale"] * p * p - data["scale"] for p in state["p"]]
        results = [
            rule(xp, p, g, v, data["eta"])
            for p, g, v in zip(state["p"], gradients, state["v"], strict=True)
        ]
        return {"p": [r[0] for r in results], "v": [r[1] for r in results]}

    rng = np.random.default_rng(0)
    state = {name: [rng.uniform(size=s).astype(dtype) for s in shapes] for name in ("p", "v")}
    data = {name: np.asarray(0.1, dtype) for name in ("scale", "eta")}
    to_backend = functools.partial(tree_map, backend.asarray)
    compiled = backend.compile(step)
    result, expected = to_backend(tree_map(np.copy, state)), state
    with np.errstate(all="ignore"):
        for _ in range(4):
            expected = step(np, expected, data)
            result = compiled(result, to_backend(data))
    return compiled, result, expected


def momentum(xp, p, g, v, eta):
    v = 0.9 * v - eta * g
    return p + v, v


def test_small_parameters_are_updated_together(backend):
    alone, *_ = rule_step(backend, [(6, 5)], momentum)
    small, result, expected = rule_step(backend, [(6, 5), (5,), (5, 4), (4,)], momentum)
    assert is_replayed(small)
    gradients_of_the_others = 3 * 3
    assert n_calls(small) <= n_calls(alone) + gradients_of_the_others
    for name in ("p", "v"):
        for a, b in zip(result[name], expected[name], strict=True):
            assert_allclose(backend.to_numpy(a), b, rtol=1e-6)


def test_large_parameters_are_not_fused(backend):
    shapes = [(200, 100), (5,), (150, 200), (4,)]
    mixed, result, expected = rule_step(backend, shapes, momentum)
    for name in ("p", "v"):
        for a, b in zip(result[name], expected[name], strict=True):
            assert_allclose(backend.to_numpy(a), b, rtol=1e-6)
    both_large = rule_step(backend, [shapes[0], shapes[2]], momentum)[0]
    assert n_calls(both_large) < n_calls(mixed) < n_calls(both_large) + 20


def test_an_array_is_part_of_one_fused_array_only(backend):
    """The gradients are read by two groups, with a sum in between, that could be fused."""

    def step(xp, state, data):
        new = {"p": [], "v": [], "t": state["t"]}
        gradients = [p * p - 1.0 for p in state["p"]]
        for p, g, v in zip(state["p"], gradients, state["v"], strict=True):
            new["p"].append(p - data * g)
            new["t"] = new["t"] + xp.sum(g)
            new["v"].append(v + data * g)
        return new

    host = {name: [np.full(n, n / 4.0) for n in (2, 3, 5)] for name in ("p", "v")}
    host["t"] = np.asarray(0.0)
    state, eta = tree_map(backend.asarray, tree_map(np.copy, host)), 0.25
    compiled = backend.compile(step)
    for _ in range(3):
        host = step(np, host, eta)
        state = compiled(state, eta)
    assert is_replayed(compiled)
    for name in ("p", "v"):
        for a, b in zip(state[name], host[name], strict=True):
            assert_allclose(backend.to_numpy(a), b, rtol=1e-12)
    assert_allclose(float(state["t"]), float(host["t"]), rtol=1e-12)


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_fused_parameters_may_be_set_from_outside(changed, backend):
    compiled, state, _ = rule_step(backend, [(3,), (2, 2), (4,)], momentum)
    old = [backend.to_numpy(p).copy() for p in state["p"]]
    ps = list(state["p"])
    ps[changed] = backend.asarray(np.full(ps[changed].shape, 7.0, "float32"))
    data = {name: backend.asarray(np.float32(0.0)) for name in ("scale", "eta")}
    new = compiled({"p": ps, "v": [0.0 * v for v in state["v"]]}, data)["p"]
    for number, (a, b) in enumerate(zip(new, old, strict=True)):
        want = np.full_like(b, 7.0) if number == changed else b
        assert_array_equal(backend.to_numpy(a), want)


@given(
    names=st.lists(
        st.sampled_from(sorted(set(OPERATIONS) - {"transpose"} | {"total"})), max_size=6
    ),
    picks=st.lists(st.integers(0, 100), min_size=14, max_size=14),
    shapes=st.lists(
        st.sampled_from([(1, 1), (3, 4), (4, 3), (1, 6), (6, 1)]), min_size=1, max_size=4
    ),
    more=st.integers(0, 2),
)
def test_any_rule_for_several_parameters_is_replayed(names, picks, shapes, more):
    """Even with sums between its operations, and when applied more than once."""

    def rule(xp, p, g, v, eta):
        found = [p, g, v]
        for number, name in enumerate(names):
            a, b = (found[picks[2 * number + k] % len(found)] for k in (0, 1))
            found.append(a * xp.sum(b) if name == "total" else OPERATIONS[name](xp, a, b))
        new_p, new_v = (found[picks[12 + k] % len(found)] for k in (0, 1))
        return new_p * eta, new_v * 1.5 + eta

    def repeated(xp, p, g, v, eta):
        for _ in range(1 + more):
            p, v = rule(xp, p, g, v, eta)
        return p, v

    backend = bpnet.get_backend("numpy")
    compiled, result, expected = rule_step(backend, shapes, repeated)
    assert is_replayed(compiled)
    for name in ("p", "v"):
        for a, b in zip(result[name], expected[name], strict=True):
            assert a.tobytes() == np.asarray(b).tobytes()


def test_batches_of_two_sizes_alternate_in_place(backend, monkeypatch):
    """Each has its own memory for fused parameters, bound once."""
    bound = []
    bind = Graph.bind
    monkeypatch.setattr(
        Graph, "bind", lambda self, inputs: bound.append(self) or bind(self, inputs)
    )
    X, y = bpnet.datasets.make_spiral(50, seed=0)
    losses = []
    for eagerly in (False, True):
        net = bpnet.Network([bpnet.Dense(9, "tanh"), bpnet.Dense(1)], "huber", seed=0)
        history = net.fit(X, y, epochs=5, batch_size=20, backend=backend, run_eagerly=eagerly)
        losses.append(history["loss"])
    assert losses[0] == losses[1]
    assert len(bound) == len(set(map(id, bound))) == 2


def test_alternating_batches_check_once_for_overlap(backend, monkeypatch):
    ops = type(backend.compile(lambda xp, state, data: state).ops)
    checks, share = [], ops.may_share_memory
    monkeypatch.setattr(
        ops, "may_share_memory", lambda self, a, b: checks.append(None) or share(self, a, b)
    )

    def checks_in(epochs):
        checks.clear()
        net = bpnet.Network([bpnet.Dense(9, "tanh"), bpnet.Dense(1)], "huber", seed=0)
        X, y = bpnet.datasets.make_spiral(50, seed=0)
        net.fit(X, y, epochs=epochs, batch_size=20, backend=backend)
        return len(checks)

    assert checks_in(6) == checks_in(3) > 0


def test_parameters_that_trade_places_are_read_before_they_are_written(backend):
    compiled, state, _ = rule_step(backend, [(3,), (2, 2), (3,)], momentum)
    old = [backend.to_numpy(p).copy() for p in state["p"]]
    data = {name: backend.asarray(np.float32(0.0)) for name in ("scale", "eta")}
    turned = {"p": state["p"][::-1], "v": [0.0 * v for v in state["v"]]}
    for a, b in zip(compiled(turned, data)["p"], old[::-1], strict=True):
        assert_array_equal(backend.to_numpy(a), b)
