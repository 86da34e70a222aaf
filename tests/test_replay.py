"""Steps that NumPy and torch record in their first run and replay: the same bits, in place."""

from __future__ import annotations

import functools
import gc
import itertools
import weakref

import numpy as np
import pytest
from bpnet_backends._recording import Recording, RecordingNamespace, UnrecordableError
from bpnet_backends._replay import mapped
from bpnet_backends._replay_numpy import _UFUNCS, NumpyLibrary
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import SGD, Adagrad, Adam, AdamW, Dense, Dropout, RMSprop
from bpnet.activations import ACTIVATIONS
from bpnet.losses import LOSSES

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
# Around the sizes of a block on NumPy and on torch.
PLACES = [(1,), (1000,), (2**15,), (2**15 + 1,), (2**17,), (2**17 + 1,), (331, 410)]


@pytest.fixture(scope="module", params=["numpy", "torch:cpu"])
def backend(request):
    """The backends that replay."""
    try:
        return bpnet.get_backend(request.param)
    except bpnet.BackendError as error:
        pytest.skip(str(error.__cause__ or error))


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


# --- rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in RULES), ("adamw", "float64")]
)
def test_a_rule_is_replayed_with_the_bits_of_the_rule(name, dtype, backend):
    optimizer = RULES[name]

    def numbers_of(t):
        eta, t = backend.asarray(0.1 / t, dtype), backend.asarray(float(t), dtype)
        return [eta, *optimizer.scalars(backend.xp, eta, t)]

    step = step_of(optimizer.decayed_rule)
    for shape in PLACES:
        compiled = assert_same_bits(backend, step, shape, dtype, optimizer.n_slots, numbers_of)
        assert is_replayed(compiled)


def every_second(a):
    return np.repeat(a, 2, axis=1)[:, ::2]


@pytest.mark.parametrize("layout", [np.asfortranarray, every_second])
def test_a_step_takes_arrays_of_any_layout(layout):
    step = step_of(lambda xp, p, g, v, eta: (p - eta * g / (v + 1.0), v + g * g))
    compiled = bpnet.get_backend("numpy").compile(step)
    host = np.random.default_rng(0).uniform(size=(3, 300, 200))
    state = {"p": layout(host[0]), "slots": [layout(host[1])], "t": np.asarray(0)}
    expected = {"p": host[0].copy(), "slots": [host[1].copy()], "t": np.asarray(0)}
    for _ in range(3):
        data = {"g": layout(host[2]), "numbers": [np.asarray(0.1)]}
        state, expected = compiled(state, data), step(np, expected, data)
        assert_array_equal(state["p"], expected["p"])
        assert_array_equal(state["slots"][0], expected["slots"][0])


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
    """Numbers of another type in between."""
    agree = (g > 0.0) & (v > 0.5)
    return p - eta * xp.astype(agree, p.dtype) * g, xp.maximum(v, xp.abs(g))


def casts_of_comparisons(xp, p, g, v, eta):
    """One mask is read as numbers and as truth."""
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
    """Not elementwise, but right where arrays are taken as a whole."""
    return p - eta * g / xp.max(xp.abs(g)), v + xp.mean(g * g)


def clips(xp, p, g, v, eta):
    return p - eta * xp.clip(g, min=-0.5, max=0.5), v


def in_place(xp, p, g, v, eta):
    v *= 0.5
    v += g
    p -= eta * v
    return p, v


def reuses(xp, p, g, v, eta):
    """Each result needs what the other replaces."""
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
    """The new p lies in the memory of what is no result."""
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


# Those of them that are more than operations on arrays, or whose results are not new.
WRITTEN = {
    "decide_on_numbers", "decide_by_truth", "decide_on_arrays", "swaps",
    "returns_a_view_of_the_old", "returns_the_gradient", "returns_one_twice", "constants",
    "prints", "takes_from_elsewhere",
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("unusual", UNUSUAL, ids=lambda rule: rule.__name__)
def test_a_step_may_be_any(unusual, dtype, backend):
    def numbers_of(t):
        return [backend.asarray(0.1 / t, dtype)]

    for shape in ((5,), (2**17 + 3,), (400, 500)):
        compiled = assert_same_bits(backend, step_of(unusual), shape, dtype, 1, numbers_of)
        assert is_replayed(compiled) is (unusual.__name__ not in WRITTEN)


def test_a_step_that_fails_says_so(backend):
    def wrong(xp, state, data):
        raise ZeroDivisionError("in the step")

    with pytest.raises(ZeroDivisionError, match="in the step"):
        backend.compile(wrong)({"p": backend.asarray(np.ones(3))}, {})


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


def test_another_state_is_taken_as_it_is(backend):
    """A callback may set parameters; the old ones are left alone."""
    _, run = doubled(backend)
    old = run(run(backend.asarray(np.ones(4))))
    new = run(backend.asarray(np.full(4, 10.0)), g=1.0)
    assert_array_equal(backend.to_numpy(new), np.full(4, 21.0))
    assert_array_equal(backend.to_numpy(old), np.full(4, 4.0))
    assert_array_equal(backend.to_numpy(run(old)), np.full(4, 8.0))


def test_other_shapes_and_dtypes_have_programs_of_their_own(backend):
    compiled, run = doubled(backend)
    kinds = [np.ones(4), np.ones((2, 3)), np.ones(4, "float32"), np.ones(5)]
    for host in kinds * 3:
        result = backend.to_numpy(run(backend.asarray(host.copy()), g=0.5))
        assert result.dtype == host.dtype
        assert_array_equal(result, np.full(host.shape, 2.5, host.dtype))
    assert len(compiled._runs) == len(kinds)


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


def test_numbers_that_are_given_back_are_taken_once(backend, monkeypatch):
    compiled = backend.compile(lambda xp, s, data: {"t": s["t"] + 1, "u": s["u"] * s["t"]})
    state = {"t": backend.asarray(1), "u": backend.asarray(1)}
    state = compiled(state, {})
    with monkeypatch.context() as patched:
        patched.setattr(compiled._last, "_take_leaf", None)
        state = compiled(compiled(state, {}), {})
    assert (int(state["t"]), int(state["u"])) == (4, 6)
    state = compiled(state | {"t": backend.asarray(7)}, {})  # as a callback may set it
    state = compiled(state, {})
    assert (int(state["t"]), int(state["u"])) == (9, 6 * 7 * 8)


def test_numbers_are_new_in_each_step(backend):
    compiled = backend.compile(lambda xp, state, data: {"t": state["t"] + 1})
    states = list(
        itertools.accumulate(
            range(5), lambda s, _: compiled(s, {}), initial={"t": backend.asarray(0)}
        )
    )
    assert [int(state["t"]) for state in states] == list(range(6))


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


def test_a_state_of_another_structure_runs_as_it_is_written(backend):
    step = backend.compile(lambda xp, s, data: {"p": [2.0 * p for p in s["p"]]})
    one = backend.asarray(np.ones(4))
    for state in ({"p": [one]}, {"p": [one, 3.0 * one]}, {"p": [backend.asarray(1.0)]}) * 3:
        expected = [2.0 * backend.to_numpy(p) for p in state["p"]]
        state = {"p": [p + 0.0 for p in state["p"]]}
        for p, q in zip(step(state, {})["p"], expected, strict=True):
            assert_array_equal(backend.to_numpy(p), q)


def test_two_states_that_share_an_array_are_told_apart(backend):
    """Overwriting it twice were wrong."""
    step = backend.compile(lambda xp, s, data: {"p": s["p"] + 1.0, "q": s["q"] * 3.0})
    for _ in range(3):
        one = backend.asarray(np.ones(4))
        state = step({"p": one, "q": one}, {})
        assert_array_equal(backend.to_numpy(state["p"]), np.full(4, 2.0))
        assert_array_equal(backend.to_numpy(state["q"]), np.full(4, 3.0))


@pytest.mark.parametrize("changed", [{"w": None}, {"w": 2.0}, {"w": 3.0, "more": 1.0}])
def test_what_is_no_array_belongs_to_the_program(changed, backend):
    def step(xp, state, data):
        return {"p": state["p"] * (data["w"] or 1.0)}

    compiled = backend.compile(step)
    for data in ({"w": 3.0}, changed, {"w": 3.0}, changed):
        result = compiled({"p": backend.asarray(np.ones(3))}, data)["p"]
        assert_array_equal(backend.to_numpy(result), np.full(3, data["w"] or 1.0))


def test_memory_is_given_back():
    """What a step keeps between calls goes when a training ends."""
    compiled, run = doubled(bpnet.get_backend("numpy"))
    p = run(run(np.ones(10)))
    kept = weakref.ref(p)
    compiled.release()
    del p
    gc.collect()
    assert kept() is None
    assert_array_equal(run(np.ones(10)), np.full(10, 2.0))


def test_a_fit_leaves_no_arrays_behind():
    X, y = bpnet.datasets.make_spiral(200, seed=0)
    net = bpnet.Network([Dense(32, "tanh"), Dense(1)], "binary_crossentropy", seed=0)
    net.fit(X, y, epochs=2, batch_size=50, backend="numpy")
    steps = [f for f in net._compiled.values() if hasattr(f, "release")]
    assert steps
    for run in (run for step in steps for run in step._runs.values()):
        assert not run.arrays
        assert not run.calls
        assert not run.outputs


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


# --- small arrays that are joined -------------------------------------------------------------


def rule_step(backend, shapes, rule, dtype="float32"):
    """Take a rule to several parameters, whose gradients are computed in the step."""

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
    place = functools.partial(mapped, backend.asarray)
    compiled = backend.compile(step)
    result, expected = place(mapped(np.copy, state)), state
    with np.errstate(all="ignore"):
        for _ in range(4):
            expected = step(np, expected, data)
            result = compiled(result, place(data))
    return compiled, result, expected


def momentum(xp, p, g, v, eta):
    v = 0.9 * v - eta * g
    return p + v, v


def n_calls(compiled):
    return len(compiled._last.calls)


def test_small_parameters_are_updated_together(backend):
    alone, *_ = rule_step(backend, [(6, 5)], momentum)
    small, result, expected = rule_step(backend, [(6, 5), (5,), (5, 4), (4,)], momentum)
    assert is_replayed(small)
    gradients_of_the_others = 3 * 3
    assert n_calls(small) <= n_calls(alone) + gradients_of_the_others
    for name in ("p", "v"):
        for a, b in zip(result[name], expected[name], strict=True):
            assert_allclose(backend.to_numpy(a), b, rtol=1e-6)


def test_large_parameters_are_left_alone(backend):
    shapes = [(200, 100), (5,), (150, 200), (4,)]
    mixed, result, expected = rule_step(backend, shapes, momentum)
    for name in ("p", "v"):
        for a, b in zip(result[name], expected[name], strict=True):
            assert_allclose(backend.to_numpy(a), b, rtol=1e-6)
    both_large = rule_step(backend, [shapes[0], shapes[2]], momentum)[0]
    assert n_calls(both_large) < n_calls(mixed) < n_calls(both_large) + 20


def test_an_array_lies_in_one_joined_array_only(backend):
    """The gradients are read by two passages, with a sum in between, that could be joined."""

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
    state, eta = mapped(backend.asarray, mapped(np.copy, host)), 0.25
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
def test_joined_parameters_may_be_set_from_outside(changed, backend):
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
    """Also where sums stand between its operations, and where it comes more than once."""

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


# --- trainings --------------------------------------------------------------------------------


def fitted(layers, loss, targets, backend, **options):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, 3)), targets(rng)
    net = bpnet.Network(layers, loss, seed=0)
    w = rng.uniform(size=70) if options.pop("weighted", False) else None
    history = net.fit(
        X, y, sample_weight=w, epochs=3, batch_size=32, backend=backend, **options
    )
    return net, history, net.parameters


def assert_run_eagerly_is_the_same(layers, loss, targets, backend, **options):
    net, history, result = fitted(layers, loss, targets, backend, **options)
    _, slow, expected = fitted(layers, loss, targets, backend, run_eagerly=True, **options)
    assert history["loss"] == slow["loss"]
    for a, b in zip(result, expected, strict=True):
        for name in a:
            assert_array_equal(backend.to_numpy(a[name]), backend.to_numpy(b[name]))
    replayed = [f for f in net._compiled.values() if hasattr(f, "_runs")]
    assert len(replayed) == 2  # batches, and the rest
    assert all(map(is_replayed, replayed))


TARGETS = {
    "labels": lambda rng: rng.integers(0, 3, 70),
    "probabilities": lambda rng: rng.uniform(size=(70, 3)),
    "counts": lambda rng: rng.integers(0, 5, (70, 3)),
    "real": lambda rng: rng.normal(size=(70, 3)),
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_each_activation_is_replayed(name, backend):
    layers = [Dense(5, name, l1=0.01, l2=0.02), Dropout(0.2), Dense(3)]
    assert_run_eagerly_is_the_same(
        layers, "categorical_crossentropy", TARGETS["labels"], backend
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_each_loss_is_replayed(name, weighted, backend):
    layers = [Dense(5, "tanh"), Dense(3)]
    targets = TARGETS[LOSSES[name].targets]
    assert_run_eagerly_is_the_same(layers, name, targets, backend, weighted=weighted)


@pytest.mark.parametrize("name", RULES)
def test_each_optimizer_is_replayed(name, backend):
    layers = [Dense(5, "relu"), Dense(3)]
    assert_run_eagerly_is_the_same(
        layers, "mean_squared_error", TARGETS["real"], backend, optimizer=RULES[name]
    )


def test_a_layer_may_be_changed_between_epochs(backend):
    """Its settings belong to the step."""

    class Anneal(bpnet.Callback):
        def on_epoch_begin(self, training):
            training.network.layers[1].rate = 0.5 / (1 + training.epoch)

        def on_epoch_end(self, training):
            """Steps of the layers as they were hold no memory."""
            steps = [f for f in training.network._compiled.values() if hasattr(f, "_runs")]
            holding = [run for step in steps for run in step._runs.values() if run.calls]
            assert len(holding) <= 2  # batches, and the rest

    def losses(**options):
        X, y = bpnet.datasets.make_spiral(60, seed=0)
        layers = [Dense(20, "tanh"), Dropout(0.5), Dense(1)]
        net = bpnet.Network(layers, "binary_crossentropy", seed=0)
        return net.fit(X, y, epochs=4, backend=backend, **options)["loss"]

    annealed = losses(callbacks=[Anneal()])
    assert annealed == losses(callbacks=[Anneal()], run_eagerly=True)
    assert annealed[1:] != losses()[1:]


# --- recording --------------------------------------------------------------------------------


def recorded():
    library = NumpyLibrary()
    recording = Recording(library, bpnet.get_backend("numpy").xp)
    return RecordingNamespace(recording), recording.value(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "look",
    [bool, int, float, complex, str, repr, format, len, iter, np.asarray, hash],
    ids=lambda look: look.__name__,
)
def test_numbers_are_not_looked_at(look):
    _, x = recorded()
    with pytest.raises((UnrecordableError, TypeError)):
        look(x)


@pytest.mark.parametrize("name", sorted(_UFUNCS))
def test_ufuncs_write_into_memory_without_a_warning(name):
    """What warned while it was recorded would be taken for one that needs a new array."""
    kind = {"bitwise": "int64", "logical": "bool"}.get(name.partition("_")[0], "float64")
    recording = Recording(NumpyLibrary(), bpnet.get_backend("numpy").xp)
    x = recording.value(np.ones(3, kind))
    getattr(RecordingNamespace(recording), name)(*[x] * _UFUNCS[name].nin)
    assert [op.in_place for op in recording.operations] == [True]


def test_arrays_from_elsewhere_are_refused():
    xp, x = recorded()
    for operation in (
        lambda: x + np.ones(3),
        lambda: xp.maximum(x, np.ones(3)),
        lambda: xp.concat([x, x]),
        lambda: xp.unstack(x),
    ):
        with pytest.raises(UnrecordableError):
            operation()


def test_values_know_their_shape():
    xp, x = recorded()
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3), 2, 6, np.float64)
    assert x.T.shape == (3, 2)
    assert x[0, :].shape == (3,)
    assert x.device == "cpu"
    assert xp.float32 is np.float32
    assert xp.finfo(x.dtype).bits == 64


@given(
    names=st.lists(st.sampled_from(sorted(set(OPERATIONS) - {"transpose"})), max_size=8),
    picks=st.lists(st.integers(0, 100), min_size=18, max_size=18),
    size=st.sampled_from([(1, 1), (3, 4), (300, 150)]),
)
def test_any_sequence_of_operations_is_replayed(names, picks, size):
    """Values are read once or often, soon or late, and returned from anywhere."""
    backend = bpnet.get_backend("numpy")

    def step(xp, state, data):
        found = [state["p"], state["slots"][0], data["g"]]
        for number, name in enumerate(names):
            a, b = (found[picks[2 * number + k] % len(found)] for k in (0, 1))
            found.append(OPERATIONS[name](xp, a, b))
        p, v = (found[picks[16 + k] % len(found)] for k in (0, 1))
        return {"p": p * 0.5, "slots": [v * 1.5], "t": state["t"] + 1}

    assert is_replayed(
        assert_same_bits(backend, step, size, "float32", 1, lambda t: [], steps=3)
    )
