"""Steps traced and replayed on NumPy and torch: bitwise identical, and in place."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from available import available
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from replaying import (
    OPERATIONS,
    RULES,
    any_step,
    assert_same_bits,
    executables_of,
    is_replayed,
    n_calls,
    step_of,
)

import bpnet
from bpnet import Dense
from bpnet.model.compiled import FUNCTIONS

# Sizes around a block on NumPy and on torch.
SHAPES = [(1,), (1000,), (2**15,), (2**15 + 1,), (2**17,), (2**17 + 1,), (331, 410)]


@pytest.fixture(scope="module", params=available("numpy", "torch:cpu"))
def backend(request):
    """The backends that replay."""
    return bpnet.get_backend(request.param)


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in RULES), ("adamw", "float64")]
)
def test_a_replayed_rule_is_bitwise_identical(name, dtype, backend):
    optimizer = RULES[name]

    def numbers_of(t):
        eta, t = backend.asarray(0.1 / t, dtype), backend.asarray(float(t), dtype)
        return [eta, *optimizer.scalars(backend.xp, eta, t)]

    step = step_of(optimizer.decayed_rule)
    for shape in SHAPES:
        compiled = assert_same_bits(backend, step, shape, dtype, optimizer.n_state, numbers_of)
        assert is_replayed(compiled)


def every_second(a):
    return np.repeat(a, 2, axis=1)[:, ::2]


@pytest.mark.parametrize("layout", [np.asfortranarray, every_second])
def test_a_step_takes_arrays_of_any_layout(layout):
    step = step_of(lambda xp, p, g, v, eta: (p - eta * g / (v + 1.0), v + g * g))
    compiled = bpnet.get_backend("numpy").compile(step)
    host = np.random.default_rng(0).uniform(size=(3, 300, 200))
    state = {"p": layout(host[0]), "rule_state": [layout(host[1])], "t": np.asarray(0)}
    expected = {"p": host[0].copy(), "rule_state": [host[1].copy()], "t": np.asarray(0)}
    for _ in range(3):
        data = {"g": layout(host[2]), "numbers": [np.asarray(0.1)]}
        state, expected = compiled(state, data), step(np, expected, data)
        assert_array_equal(state["p"], expected["p"])
        assert_array_equal(state["rule_state"][0], expected["rule_state"][0])


def sign_where(xp, p, g, v, eta):
    """Where and sign: more than ufuncs."""
    v = 0.9 * v + g
    return p - eta * xp.where(v * g > 0.0, v, xp.sign(g)), v


def decide_on_numbers(xp, p, g, v, eta):
    if eta < 0.04:
        return p - g, v
    return p + eta * g, v * eta


def decide_by_truth(xp, p, g, v, eta):
    """The number itself is the condition: 2, 1, and 0 in the third step."""
    return (p - g, v) if xp.floor(eta * 20.0) else (p + g, v * eta)


def decide_on_arrays(xp, p, g, v, eta):
    return (p - eta * g, v) if xp.any(g > 100.0) else (p + eta * v, g * eta)


def masks(xp, p, g, v, eta):
    """Intermediate values of another dtype."""
    agree = (g > 0.0) & (v > 0.5)
    return p - eta * xp.astype(agree, p.dtype) * g, xp.maximum(v, xp.abs(g))


def casts_of_comparisons(xp, p, g, v, eta):
    """One mask is read as numbers and as booleans."""
    above = g > 0.0
    counted = xp.astype(xp.astype(v != g, xp.int64) + xp.astype(p > 0.5, xp.int64), p.dtype)
    counted = counted + xp.astype((v > 0.5) + 1, p.dtype)
    p = xp.where(above, p, v) - eta * xp.astype(above, p.dtype)
    return p, v + eta * (counted + xp.astype(eta > v, v.dtype))


def sums_of_masks(xp, p, g, v, eta):
    """True + True is True."""
    return p - eta * ((g > 0.0) + (v > 0.5)), v * eta


def inverted_masks(xp, p, g, v, eta):
    return p - eta * g * ~(g > 0.0), v * (g == g)


def reductions(xp, p, g, v, eta):
    """Not elementwise: these need whole arrays."""
    return p - eta * g / xp.max(xp.abs(g)), v + xp.mean(g * g)


def clips(xp, p, g, v, eta):
    return p - eta * xp.clip(g, min=-0.5, max=0.5), v


def in_place(xp, p, g, v, eta):
    v *= 0.5
    v += g
    p -= eta * v
    return p, v


def reuses(xp, p, g, v, eta):
    """Each result needs the input that the other replaces."""
    return p + v * eta, v + p * eta


def returns_what_is_used_before(xp, p, g, v, eta):
    """The new v is complete, but the old one is read once more."""
    new = v * eta + g
    return (p - new) * (v + 1.0), new


def uses_a_part_again(xp, p, g, v, eta):
    part = g * eta
    other = (part + v) * g
    return p - part * other, other


def swaps(xp, p, g, v, eta):
    return v, p


def returns_a_view(xp, p, g, v, eta):
    """The new p is a view of an intermediate result."""
    return xp.reshape(xp.reshape(p - eta * g, (-1,)), p.shape), v * eta


def returns_a_view_of_the_old(xp, p, g, v, eta):
    return xp.reshape(xp.reshape(p, (-1,)), p.shape), v * eta


def returns_the_gradient(xp, p, g, v, eta):
    return p - eta * g, g


def returns_one_twice(xp, p, g, v, eta):
    p = p - eta * g
    return p, p


def constants(xp, p, g, v, eta):
    return xp.zeros_like(p), xp.ones_like(v) * eta


def powers(xp, p, g, v, eta):
    return p - eta * g**3 / (1 + v**2) ** 0.5, 2 * v - abs(g) + 1


def prints(xp, p, g, v, eta):
    return p - eta * g * len(f"{eta}"), v


def takes_from_elsewhere(xp, p, g, v, eta):
    return p - eta * g * xp.asarray(np.full(p.shape, 2.0).astype(str(p.dtype)[-7:])), v


UNUSUAL = [
    sign_where, decide_on_numbers, decide_by_truth, decide_on_arrays, masks,
    casts_of_comparisons, sums_of_masks, inverted_masks, reductions, clips, in_place, reuses,
    returns_what_is_used_before, uses_a_part_again, swaps, returns_a_view,
    returns_a_view_of_the_old, returns_the_gradient, returns_one_twice, constants, powers,
    prints, takes_from_elsewhere,
]  # fmt: skip


# Steps that are more than operations on arrays, or whose results are not new.
NOT_REPLAYED = {
    "decide_on_numbers", "decide_by_truth", "decide_on_arrays", "swaps",
    "returns_a_view_of_the_old", "returns_the_gradient", "returns_one_twice", "constants",
    "prints", "takes_from_elsewhere",
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("unusual", UNUSUAL, ids=lambda rule: rule.__name__)
def test_unusual_steps(unusual, dtype, backend):
    def numbers_of(t):
        return [backend.asarray(0.1 / t, dtype)]

    for shape in ((5,), (2**17 + 3,), (400, 500)):
        compiled = assert_same_bits(backend, step_of(unusual), shape, dtype, 1, numbers_of)
        assert is_replayed(compiled) is (unusual.__name__ not in NOT_REPLAYED)


def test_errors_of_a_step_propagate(backend):
    def wrong(xp, state, data):
        raise ZeroDivisionError("in the step")

    with pytest.raises(ZeroDivisionError, match="in the step"):
        backend.compile(wrong)({"p": backend.asarray(np.ones(3))}, {})


@given(
    names=st.lists(st.sampled_from(sorted(set(OPERATIONS) - {"transpose"})), max_size=8),
    picks=st.lists(st.integers(0, 100), min_size=18, max_size=18),
    size=st.sampled_from([(1, 1), (3, 4), (300, 150)]),
)
def test_any_sequence_of_operations_is_replayed(names, picks, size):
    """Values are read any number of times, at any distance, and returned from anywhere."""
    backend = bpnet.get_backend("numpy")

    step = any_step(names, picks)
    assert is_replayed(
        assert_same_bits(backend, step, size, "float32", 1, lambda t: [], steps=3)
    )


# --- what is overwritten, and what is not -----------------------------------------------------


def doubled(backend):
    compiled = backend.compile(lambda xp, state, data: {"p": state["p"] * 2.0 + data["g"]})

    def run(p, g=0.0):
        return compiled({"p": p}, {"g": backend.asarray(np.asarray(g, "float32"))})["p"]

    return compiled, run


def test_the_state_is_updated_in_place(backend):
    _, run = doubled(backend)
    first = backend.asarray(np.ones(4))
    assert run(run(first)) is first
    assert_array_equal(backend.to_numpy(first), np.full(4, 4.0))


def test_another_state_is_accepted(backend):
    """A callback may set parameters; the old ones stay unchanged."""
    _, run = doubled(backend)
    old = run(run(backend.asarray(np.ones(4))))
    new = run(backend.asarray(np.full(4, 10.0)), g=1.0)
    assert_array_equal(backend.to_numpy(new), np.full(4, 21.0))
    assert_array_equal(backend.to_numpy(old), np.full(4, 4.0))
    assert_array_equal(backend.to_numpy(run(old)), np.full(4, 8.0))


def test_each_shape_and_dtype_has_its_own_executable(backend):
    compiled, run = doubled(backend)
    kinds = [np.ones(4), np.ones((2, 3)), np.ones(4, "float32"), np.ones(5)]
    for host in kinds * 3:
        result = backend.to_numpy(run(backend.asarray(host.copy()), g=0.5))
        assert result.dtype == host.dtype
        assert_array_equal(result, np.full(host.shape, 2.5, host.dtype))
    assert len(compiled._executables) == len(kinds)


def test_a_step_may_change_dtypes(backend):
    step = backend.compile(lambda xp, s, data: {"p": xp.astype(s["p"], xp.float64) + 1.0})
    for _ in range(3):
        result = step({"p": backend.asarray(np.ones(3, "float32"))}, {})["p"]
        assert backend.to_numpy(result).dtype == np.float64


def test_casts_of_comparisons_are_one_call_on_torch(backend):
    @backend.compile
    def step(xp, state, data):
        return {"p": state["p"] * xp.astype(state["p"] > 0.0, state["p"].dtype)}

    step({"p": backend.asarray(np.linspace(-1.0, 1.0, 5, dtype="float32"))}, {})
    assert n_calls(step) == {"torch": 2, "numpy": 3}[backend.name]


def test_scalars_that_are_passed_back_are_not_loaded_again(backend, monkeypatch):
    compiled = backend.compile(lambda xp, s, data: {"t": s["t"] + 1, "u": s["u"] * s["t"]})
    state = {"t": backend.asarray(1), "u": backend.asarray(1)}
    state = compiled(state, {})
    with monkeypatch.context() as patched:
        patched.setattr(compiled._last, "_load_leaf", None)
        state = compiled(compiled(state, {}), {})
    assert (int(state["t"]), int(state["u"])) == (4, 6)
    state = compiled(state | {"t": backend.asarray(7)}, {})  # as a callback may set it
    state = compiled(state, {})
    assert (int(state["t"]), int(state["u"])) == (9, 6 * 7 * 8)


def test_a_replayed_step_copies_nothing(backend, monkeypatch):
    """On a GPU each copy of a 0-d array would be one more launch."""
    compiled = backend.compile(lambda xp, s, data: {"t": s["t"] + 1, "p": s["p"] * 2.0})
    state = compiled({"t": backend.asarray(0), "p": backend.asarray(np.ones(3))}, {})
    for name in ("copy", "store"):
        monkeypatch.setattr(type(compiled.ops), name, None)
    for number in (2, 3):
        before, state = state, compiled(state, {})
        assert int(state["t"]) == number
        assert all(state[key] is before[key] for key in state)


def test_the_order_of_keys_does_not_matter(backend):
    step = backend.compile(
        lambda xp, s, data: {"t": s["t"] + 1, "q": s["q"] * 3.0, "p": s["p"] + data["g"]}
    )
    state = {"p": backend.asarray(np.ones(4)), "t": backend.asarray(0)}
    state["q"] = backend.asarray(np.ones(4))
    for _ in range(4):
        state = step(state, {"g": backend.asarray(np.ones(4))})
    assert is_replayed(step)
    assert_array_equal(backend.to_numpy(state["p"]), np.full(4, 5.0))
    assert_array_equal(backend.to_numpy(state["q"]), np.full(4, 81.0))
    assert int(state["t"]) == 4


def test_a_state_of_another_structure_runs_as_written(backend):
    step = backend.compile(lambda xp, s, data: {"p": [2.0 * p for p in s["p"]]})
    one = backend.asarray(np.ones(4))
    for state in ({"p": [one]}, {"p": [one, 3.0 * one]}, {"p": [backend.asarray(1.0)]}) * 3:
        expected = [2.0 * backend.to_numpy(p) for p in state["p"]]
        state = {"p": [p + 0.0 for p in state["p"]]}
        for p, q in zip(step(state, {})["p"], expected, strict=True):
            assert_array_equal(backend.to_numpy(p), q)


def test_a_container_is_told_from_its_content(backend):
    def double(xp, s, data):
        p = s["p"]
        return {"p": [2.0 * p[0]] if isinstance(p, list) else 2.0 * p}

    step = backend.compile(double)
    for _ in range(2):
        alone = step({"p": backend.asarray(np.ones(4))}, {})["p"]
        (within,) = step({"p": [backend.asarray(np.ones(4))]}, {})["p"]
        assert (
            backend.to_numpy(alone).tolist() == backend.to_numpy(within).tolist() == [2.0] * 4
        )


@pytest.mark.parametrize("m", [3, 40_000])
def test_a_view_of_another_memory_order_is_computed(m, backend):
    """Replayed results are in C order, and large arrays are traced by placeholders."""

    def turned(xp, s, data):
        t = (data["g"].T * 2.0).T
        return {"p": s["p"] + xp.reshape(xp.reshape(t, (-1,)), s["p"].shape)}

    step = backend.compile(turned)
    g = np.arange(2.0 * m).reshape(2, m)
    state = {"p": backend.asarray(np.zeros((m, 2)))}
    for steps in range(1, 4):
        state = step(state, {"g": backend.asarray(g)})
        assert_array_equal(backend.to_numpy(state["p"]), steps * (2.0 * g).reshape(m, 2))


def test_none_is_not_mistaken_for_an_array(backend):
    """Even by an executable without arrays."""
    step = backend.compile(
        lambda xp, s, data: {"p": s["p"] if s["p"] is None else s["p"] + 1.0}
    )
    step({"p": backend.asarray(np.ones(4))}, {})
    for _ in range(2):
        assert step({"p": None}, {}) == {"p": None}
        step.release()
        (executable,) = (e for e in step._executables.values() if e is not None and e.shapes)
        assert not executable.load({"p": None}, {})


def test_two_states_that_share_an_array_are_told_apart(backend):
    """Overwriting it twice would be wrong."""
    step = backend.compile(lambda xp, s, data: {"p": s["p"] + 1.0, "q": s["q"] * 3.0})
    for _ in range(3):
        one = backend.asarray(np.ones(4))
        state = step({"p": one, "q": one}, {})
        assert_array_equal(backend.to_numpy(state["p"]), np.full(4, 2.0))
        assert_array_equal(backend.to_numpy(state["q"]), np.full(4, 3.0))


@pytest.mark.parametrize("changed", [{"w": None}, {"w": 2.0}, {"w": 3.0, "more": 1.0}])
def test_values_other_than_arrays_are_part_of_the_key(changed, backend):
    def step(xp, state, data):
        return {"p": state["p"] * (data["w"] or 1.0)}

    compiled = backend.compile(step)
    for data in ({"w": 3.0}, changed, {"w": 3.0}, changed):
        result = compiled({"p": backend.asarray(np.ones(3))}, data)["p"]
        assert_array_equal(backend.to_numpy(result), np.full(3, data["w"] or 1.0))


def test_memory_is_released():
    """A step frees what it keeps between calls when training ends."""
    compiled, run = doubled(bpnet.get_backend("numpy"))
    p = run(run(np.ones(10)))
    kept = weakref.ref(p)
    compiled.release()
    del p
    gc.collect()
    assert kept() is None
    assert_array_equal(run(np.ones(10)), np.full(10, 2.0))


def test_a_fit_leaves_no_arrays_behind(nothing_compiled):
    X, y = bpnet.datasets.make_spiral(200, seed=0)
    net = bpnet.Network([Dense(32, "tanh"), Dense(1)], "binary_crossentropy", seed=0)
    net.fit(X, y, epochs=2, batch_size=50, backend="numpy")
    steps = [f for f in FUNCTIONS.all() if hasattr(f, "release")]
    assert steps
    for executable in executables_of(steps):
        assert not executable.arrays
        assert not executable.calls
        assert executable.bound is None


def test_views_are_read_by_blocks_unless_something_is_written_there(backend):
    """The gradients are parts of one array; the sums are read where new ones are written."""
    n = 2**18

    def step(xp, state, data):
        sums, p = state["sums"], state["p"]
        g = xp.reshape(data["flat"][5 : 5 + n], (2, n // 2))
        shifted = xp.reshape(sums[1:], (2, n // 2))
        return {"p": p - 0.1 * g * g + shifted, "sums": sums * 0.5}

    rng = np.random.default_rng(0)
    host = {"p": rng.normal(size=(2, n // 2)), "sums": rng.normal(size=n + 1)}
    flat = rng.normal(size=n + 9)
    compiled = backend.compile(step)
    state = {name: backend.asarray(a.copy()) for name, a in host.items()}
    for _ in range(3):
        state = compiled(state, {"flat": backend.asarray(flat)})
        host = step(np, host, {"flat": flat})
        for name, due in host.items():
            assert_array_equal(backend.to_numpy(state[name]), due)
    (executable,) = executables_of([compiled])
    split = [op.name for by_blocks, group in executable.graph._groups() if by_blocks
             for op in group if op.name != "copy"]  # fmt: skip
    assert len(split) == 4  # all but the sum with the shifted


def halves(a):
    """Two halves that share the middle."""
    return a[: len(a) // 2 + 9], a[len(a) // 2 - 9 :]


@pytest.mark.parametrize("views", [halves, lambda a: (a, a[:])], ids=["halves", "all"])
def test_data_may_overlap_the_state(views, backend):
    """As when a caller passes two views of an array: the data stays what it was."""
    host = np.arange(2.0**17)
    step = backend.compile(lambda xp, s, data: {"p": s["p"] + data["g"]})
    p, g = views(backend.asarray(host.copy()))
    expected, data = views(host)
    state = {"p": p}
    for _ in range(3):
        state, expected = step(state, {"g": g}), expected + data
        assert_array_equal(backend.to_numpy(state["p"]), expected)
    assert_array_equal(backend.to_numpy(g), data)


def test_two_arrays_of_the_state_may_overlap(backend):
    host = np.arange(2.0**17)
    step = backend.compile(lambda xp, s, data: {"p": s["p"] + s["q"], "q": s["q"] * 2.0})
    state = dict(zip("pq", halves(backend.asarray(host.copy())), strict=True))
    p, q = halves(host)
    for _ in range(3):
        state, p, q = step(state, {}), p + q, q * 2.0
        assert_array_equal(backend.to_numpy(state["p"]), p)
        assert_array_equal(backend.to_numpy(state["q"]), q)


def test_parts_of_one_array_are_replayed(backend):
    """As when weights are restored from one flat copy: they share no element."""
    step = backend.compile(lambda xp, s, data: {"p": s["p"] + data["g"]})
    parts = backend.asarray(np.ones(2**17))
    p = step({"p": parts[: 2**16]}, {"g": parts[2**16 :]})["p"]
    assert is_replayed(step)
    assert_array_equal(backend.to_numpy(parts[: 2**16]), np.full(2**16, 2.0))
    assert_array_equal(backend.to_numpy(p), np.full(2**16, 2.0))
