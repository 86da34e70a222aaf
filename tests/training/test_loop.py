"""`fit`: comparison with a loop in plain NumPy, validation, and what must stay unchanged."""

from __future__ import annotations

import functools
import pickle
import threading
import types

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.random import generator
from bpnet.schedules import Constant, Exponential

pytestmark = pytest.mark.few_on_jax

SEED, M, BATCH = 5, 23, 8
L1, L2 = 0.002, 0.03
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, 3))
Y = (X[:, 0] * X[:, 1] > 0.0).astype(float)
W = RNG.uniform(0.0, 2.0, M)
W_WITH_EMPTY_BATCH = np.where(np.arange(M) < BATCH, 0.0, W)  # without a shuffle: the first


def network(dtype="float64", seed=SEED):
    layers = [bpnet.Dense(4, "tanh", l1=L1, l2=L2), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=seed, dtype=dtype)


def wide_network(dtype="float64"):
    """Return a network so wide that NumPy updates the first layer in place."""
    layers = [bpnet.Dense(30_000, "tanh"), bpnet.Dense(1)]
    return bpnet.Network(layers, "binary_crossentropy", seed=SEED, dtype=dtype)


def host(net):
    """Return host copies of the parameters as a flat list."""
    to_numpy = net.backend.to_numpy
    return [np.array(to_numpy(p)) for layer in net.parameters for p in layer.values()]


def assert_same(net, other):
    for p, q in zip(host(net), host(other), strict=True):
        assert_array_equal(p, q)


# --- the same loop in plain NumPy -------------------------------------------------------------


def loss_and_gradients(parameters, X, y, w):
    W1, b1, W2, b2 = parameters
    share = w / w.sum() if w.any() else w
    a = np.tanh(X @ W1 + b1)
    z = (a @ W2 + b2)[:, 0]
    loss = np.sum(share * (np.logaddexp(0.0, z) - y * z))
    loss += L1 * np.sum(np.abs(W1)) + L2 / 2.0 * np.sum(W1**2)
    delta2 = (share * (1.0 / (1.0 + np.exp(-z)) - y))[:, None]
    delta1 = delta2 @ W2.T * (1.0 - a**2)
    dW1 = X.T @ delta1 + L1 * np.sign(W1) + L2 * W1
    return loss, [dW1, delta1.sum(axis=0), a.T @ delta2, delta2.sum(axis=0)]


def sgd(schedule):
    return bpnet.SGD(schedule, momentum=0.9)


def momentum(p, g, slots, rate, t):
    v = 0.9 * slots.get("v", 0.0) - rate * g
    return p + v, {"v": v}


def adam(p, g, slots, rate, t):
    m = 0.9 * slots.get("m", 0.0) + 0.1 * g
    v = 0.999 * slots.get("v", 0.0) + 0.001 * g**2
    m_hat, v_hat = m / (1.0 - 0.9**t), v / (1.0 - 0.999**t)
    return p - rate * m_hat / (np.sqrt(v_hat) + 1e-8), {"m": m, "v": v}


def reference_fit(parameters, rule, schedule, w, epochs, batch_size, shuffle):
    slots, t, losses, rates = [{}] * 4, 0, [], []
    starts = range(0, M, batch_size)
    for epoch in range(epochs):
        order = generator(SEED, "shuffle", epoch).permutation(M) if shuffle else np.arange(M)
        losses.append(0.0)
        for batch, start in enumerate(starts):
            rows = order[start : start + batch_size]
            loss, gradients = loss_and_gradients(parameters, X[rows], Y[rows], w[rows])
            losses[-1] += loss * w[rows].sum() / w.sum()
            rate, t = schedule(epoch + batch / len(starts)), t + 1
            updated = [
                rule(*pgs, rate, t) for pgs in zip(parameters, gradients, slots, strict=True)
            ]
            parameters, slots = zip(*updated, strict=True)
        rates.append(rate)
    return parameters, losses, rates


@pytest.mark.once_on_jax
@pytest.mark.parametrize(
    ("make", "rule", "schedule", "w", "batch_size", "shuffle"),
    [
        (bpnet.Adam, adam, Exponential(0.05, 0.7), W, BATCH, True),
        (bpnet.Adam, adam, Constant(0.05), None, None, True),
        (sgd, momentum, Constant(0.2), None, BATCH, True),
        (sgd, momentum, Exponential(0.2, 0.7), W, 10 * M, True),
        (sgd, momentum, Constant(0.2), W_WITH_EMPTY_BATCH, BATCH, False),
    ],
    ids=["adam", "full-batch", "momentum", "batch-above-m", "batch-of-weight-0"],
)
def test_fit_is_the_loop_in_plain_numpy(make, rule, schedule, w, batch_size, shuffle, backend):
    epochs, net = 4, network()
    start = host(net.build(3, "numpy"))
    history = net.fit(
        X, Y, optimizer=make(schedule), epochs=epochs, batch_size=batch_size,
        shuffle=shuffle, sample_weight=w, backend=backend,
    )  # fmt: skip
    rows = M if batch_size is None else min(batch_size, M)
    parameters, losses, rates = reference_fit(
        start, rule, schedule, np.ones(M) if w is None else w, epochs, rows, shuffle
    )
    assert net.backend == backend
    assert_allclose(history["loss"], losses, rtol=1e-10)
    assert_allclose(history["learning_rate"], rates, rtol=1e-15)
    for result, expected in zip(host(net), parameters, strict=True):
        assert_allclose(result, expected, rtol=1e-10, atol=1e-13)


def test_float32_follows_float64(backend):
    nets = [network(dtype) for dtype in ("float32", "float64")]
    settings = {"optimizer": bpnet.SGD(0.1), "epochs": 3, "backend": backend}
    losses = [net.fit(X, Y, **settings)["loss"] for net in nets]
    assert_allclose(*losses, rtol=1e-5)
    for p, expected in zip(*map(host, nets), strict=True):
        assert p.dtype == np.float32
        assert_allclose(p, expected, rtol=1e-4, atol=1e-6)


def test_a_second_fit_goes_on_from_the_present_weights(backend):
    net, at_once = network(), network()
    settings = {"optimizer": bpnet.SGD(0.2), "batch_size": None, "backend": backend}
    losses = [loss for _ in range(2) for loss in net.fit(X, Y, epochs=3, **settings)["loss"]]
    assert losses == at_once.fit(X, Y, epochs=6, **settings)["loss"]
    assert_same(net, at_once)


def test_calls_for_an_epoch_each_see_the_orders_and_masks_of_a_single_call(backend):
    def network():
        layers = [bpnet.Dense(4, "tanh"), bpnet.Dropout(0.5), bpnet.Dense(1)]
        return bpnet.Network(layers, "binary_crossentropy", seed=SEED, dtype="float64")

    settings = {"optimizer": bpnet.SGD(0.1), "batch_size": BATCH, "backend": backend}
    whole, parts = network(), network()
    whole.fit(X, Y, epochs=3, **settings)
    for _ in range(3):
        parts.fit(X, Y, epochs=1, **settings)
    assert_same(whole, parts)
    assert (parts.epochs_taken, parts.steps_taken) == (3, 9)
    drawn_anew = parts.build(3, backend)
    drawn_anew.fit(X, Y, epochs=3, **settings)
    assert_same(whole, drawn_anew)


# --- history and validation -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_epochs_loss_is_summed_in_the_networks_dtype(dtype, backend):
    dtypes = set()

    class Look(bpnet.Callback):
        def on_batch_end(self, training):
            dtypes.add(training.backend.to_numpy(training.runner.arrays["loss"]).dtype.name)

    network(dtype).fit(X, Y, epochs=2, batch_size=BATCH, callbacks=Look(), backend=backend)
    assert dtypes == {dtype}


def test_counters_go_on_from_the_training_before():
    seen = []

    class Look(bpnet.Callback):
        def on_train_begin(self, training):
            seen.append({name: int(n) for name, n in training.runner.counters(2).items()})

    net = network()
    for optimizer in (bpnet.SGD(0.1), bpnet.Adam()):  # three steps in an epoch
        net.fit(X, Y, epochs=1, batch_size=BATCH, optimizer=optimizer, callbacks=Look())
    assert seen == [{"step": 6, "t": 6}, {"step": 9, "t": 6}]


def test_before_the_first_epoch_there_are_no_figures():
    seen = []

    class Look(bpnet.Callback):
        def on_train_begin(self, training):
            seen.append(training.logs)

    network().fit(X, Y, epochs=1, callbacks=Look())
    assert seen == [{}]


def test_the_history_has_one_number_for_each_epoch(backend):
    net = network()
    settings = {"optimizer": bpnet.SGD(0.1), "backend": backend}
    history = net.fit(X, Y, epochs=3, **settings)
    assert list(history) == ["loss", "learning_rate"]
    assert history.epochs == 3
    assert (history.stopped, history.best_epoch) == (None, None)
    assert history.seconds > 0.0
    history = net.fit(X, Y, epochs=2, validation_data=(X, Y), **settings)
    assert list(history) == ["loss", "learning_rate", "val_loss", "val_accuracy"]
    for figures in history.values():
        assert [type(value) for value in figures] == [float, float]


def test_there_is_no_accuracy_in_regression():
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=SEED)
    history = net.fit(X, Y, epochs=1, validation_data=(X, Y))
    assert list(history) == ["loss", "learning_rate", "val_loss"]


@pytest.mark.parametrize("weighted", [False, True])
def test_validation_data_is_evaluated_after_each_epoch(weighted, backend):
    X_val, y_val = X[:9] + 0.1, 1.0 - Y[:9]
    w_val = (W[:9],) if weighted else ()
    measured = []

    class Measure(bpnet.Callback):
        def on_epoch_end(self, training):
            measured.append(net.evaluate(X_val, y_val, *w_val))

    net = network()
    settings = {"epochs": 3, "optimizer": bpnet.SGD(0.1), "backend": backend}
    history = net.fit(
        X, Y, validation_data=(X_val, y_val, *w_val), callbacks=Measure(), **settings
    )
    assert history["val_loss"] == pytest.approx([m["loss"] for m in measured], rel=1e-12)
    assert history["val_accuracy"] == pytest.approx([m["accuracy"] for m in measured])
    without = network()
    assert without.fit(X, Y, **settings)["loss"] == history["loss"]
    assert_same(net, without)


@pytest.mark.parametrize("on_device", [False, True])
def test_validation_split_holds_out_examples_drawn_by_the_seed(on_device, backend):
    m, w = 10, np.linspace(0.5, 2.0, 10)
    data = [np.eye(m), np.arange(5.0, 5.0 + m), w]
    if on_device:
        data = [backend.asarray(a) for a in data]
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=SEED, dtype="float64")
    start = host(net.build(m, "numpy"))[0]
    history = net.fit(
        data[0], data[1], sample_weight=data[2], validation_split=0.3, epochs=2,
        batch_size=3, optimizer=bpnet.SGD(0.1), backend=backend,
    )  # fmt: skip
    order = generator(SEED, "split").permutation(m)
    held_out = sorted(order[:3].tolist())
    unmoved = np.flatnonzero(host(net)[0] == start)  # example i alone moves row i of W
    assert unmoved.tolist() == held_out
    expected = net.evaluate(np.eye(m)[held_out], 5.0 + np.array(held_out), w[held_out])
    assert history["val_loss"][-1] == pytest.approx(expected["loss"], rel=1e-12)


# --- how it runs ------------------------------------------------------------------------------

READS = ("__float__", "__int__", "__bool__", "__index__", "__array__", "item", "tolist")


@pytest.fixture
def reads(backend, monkeypatch):
    """Records synchronizations with the device; NumPy and CuPy types show only `to_numpy`."""
    seen = []

    def watch(owner, name):
        original = getattr(owner, name)

        def watched(self, *args, **kwargs):
            seen.append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    array_type = type(backend.asarray(np.zeros(1)))
    if backend.name not in ("numpy", "cupy"):
        for name in READS:
            if hasattr(array_type, name):
                watch(array_type, name)
        float(backend.asarray(0.0))
        assert "__float__" in seen
        seen.clear()
    watch(type(backend), "to_numpy")
    return seen


def test_nothing_waits_within_an_epoch(reads, backend):
    def waits(batch_size):
        net = network()
        for _ in range(2):  # the first step may be recorded
            reads.clear()
            net.fit(
                X, Y, sample_weight=W, epochs=3, batch_size=batch_size, backend=backend,
                optimizer=bpnet.SGD(0.1, clip_norm=1.0), validation_data=(X, Y),
            )  # fmt: skip
        return len(reads)

    assert waits(batch_size=1) == waits(batch_size=None) >= 3


@pytest.fixture
def steps(backend, monkeypatch, nothing_compiled):
    """Counts how often each compiled step was called, and how often its Python code ran."""
    compiled = []
    original = type(backend).compile

    def watched(self, step, own):
        counts = types.SimpleNamespace(calls=0, runs=0)
        compiled.append(counts)

        def text(xp, state, data):
            counts.runs += 1
            return step(xp, state, data)

        run = original(self, text, own)

        def call(state, data):
            counts.calls += 1
            return run(state, data)

        return call

    monkeypatch.setattr(type(backend), "compile", watched)
    return compiled


@pytest.mark.parametrize(
    ("dtype", "w", "optimizer"),
    [
        ("float32", W, bpnet.Adam(Exponential(0.1, 0.9), clip_norm=1.0)),
        ("float64", None, bpnet.SGD(0.1, 0.9)),
    ],
)
def test_every_step_is_compiled_once_for_its_size(dtype, w, optimizer, steps, backend):
    network(dtype).fit(
        X, Y, sample_weight=w, optimizer=optimizer, epochs=5, batch_size=10, backend=backend
    )
    assert sorted(step.calls for step in steps) == [5, 10]  # of 3 examples, and of 10
    runs = [5, 10] if backend.name == "array_api_strict" else [1, 1]
    assert sorted(step.runs for step in steps) == runs


def test_a_second_fit_is_compiled_only_for_another_optimizer(steps, backend):
    net = network()
    settings = {"epochs": 1, "batch_size": None, "backend": backend}
    for optimizer in bpnet.Adam(0.1), bpnet.Adam(Exponential(0.2, 0.5)), bpnet.Adam(0.1):
        net.fit(X, Y, optimizer=optimizer, **settings)
    assert len(steps) == 1
    for optimizer in bpnet.Adam(0.1, beta1=0.5), bpnet.AdamW(0.1), bpnet.SGD(0.1):
        net.fit(X, Y, optimizer=optimizer, **settings)
    assert len(steps) == 4


def test_trainings_in_several_threads_do_not_disturb_each_other(backend):
    settings = {"epochs": 5, "optimizer": bpnet.SGD(0.1), "backend": backend}
    nets, expected = [network() for _ in range(3)], network()
    expected.fit(X, Y, **settings)
    threads = [threading.Thread(target=net.fit, args=(X, Y), kwargs=settings) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for net in nets:
        assert_same(net, expected)


# --- what it must not touch -------------------------------------------------------------------


def test_the_users_objects_are_left_as_they_were(backend):
    never = bpnet.schedules.ReduceOnPlateau(0.1, patience=0, min_delta=1e6, relative=False)
    optimizer = bpnet.Adam(never)
    arrays = [X.copy(), Y.copy(), W.copy(), X[:7].copy(), Y[:7].copy(), W[:7].copy()]
    before = [a.copy() for a in arrays], pickle.dumps(optimizer)
    histories = [
        wide_network().fit(
            *arrays[:2], sample_weight=arrays[2], validation_data=tuple(arrays[3:]),
            optimizer=optimizer, epochs=3, batch_size=None, backend=backend,
        )
        for _ in range(2)
    ]  # fmt: skip
    for a, expected in zip(arrays, before[0], strict=True):
        assert_array_equal(a, expected)
    assert pickle.dumps(optimizer) == before[1]
    assert dict(histories[0]) == dict(histories[1])


def test_parameters_held_from_before_keep_their_values(backend):
    net = wide_network().build(3, backend)
    settings = {"optimizer": bpnet.Adam(0.1), "epochs": 3, "batch_size": None}
    for _ in range(2):  # those drawn, then those trained
        held, values = net.parameters, host(net)
        net.fit(X, Y, **settings)
        kept = [backend.to_numpy(p) for layer in held for p in layer.values()]
        for p, trained, expected in zip(kept, host(net), values, strict=True):
            assert_array_equal(p, expected)
            assert np.all(trained != expected)


def fit_and_look(X, y, w, backend=None):
    net = network().build(3, "numpy")
    history = net.fit(
        X, y, sample_weight=w, optimizer=bpnet.SGD(0.1), epochs=2, batch_size=BATCH,
        validation_split=0.3, callbacks=[bpnet.GradientFlow(5)], backend=backend,
    )  # fmt: skip
    return net, history


fit_host_arrays = functools.cache(lambda backend: fit_and_look(X, Y, W, backend))


@pytest.mark.once_on_jax
@pytest.mark.parametrize("on_host", ["", "yw", "X"])
def test_arrays_of_a_device_are_trained_on_where_they_live(on_host, backend):
    values = {"X": X, "y": Y, "w": W}
    data = {k: a if k in on_host else backend.asarray(a) for k, a in values.items()}
    net, history = fit_and_look(**data)
    expected, reference = fit_host_arrays(backend)
    assert net.backend == backend
    assert type(net.parameters[0]["W"]) is type(backend.asarray(np.zeros(1)))
    assert dict(history) == dict(reference)
    assert_same(net, expected)
    for name, a in data.items():
        assert_array_equal(a if name in on_host else backend.to_numpy(a), values[name])


@functools.cache
def fitted_to_plain_arrays(backend):
    net = network()
    net.fit(X, Y, sample_weight=W, optimizer=bpnet.SGD(0.1), epochs=2, batch_size=None,
            backend=backend)  # fmt: skip
    return net


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def backwards(a):
    return a[::-1].copy()[::-1]


def fortran_big_endian(a):
    return np.asfortranarray(a.astype(">f8"))


@pytest.mark.parametrize("laid_out", [read_only, backwards, fortran_big_endian])
def test_any_layout_of_host_arrays_will_do(laid_out, backend):
    net = network()
    net.fit(
        laid_out(X), laid_out(Y), sample_weight=laid_out(W), optimizer=bpnet.SGD(0.1),
        epochs=2, batch_size=None, backend=backend,
    )  # fmt: skip
    assert_same(net, fitted_to_plain_arrays(backend))


def test_one_example_is_enough(backend):
    history = network().fit(X[:1], Y[:1], optimizer=bpnet.SGD(0.1), epochs=2, backend=backend)
    assert history["loss"][1] < history["loss"][0]


# --- errors -----------------------------------------------------------------------------------

NAN = np.where(np.arange(M) == 3, np.nan, Y)
ONE_WEIGHT = np.where(np.arange(M) == 3, 1.0, 0.0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be >= 1, got 0"),
        ({"epochs": 2.0}, TypeError, r"epochs must be an integer, got 2\.0"),
        ({"epochs": True}, TypeError, "epochs must be an integer, got True"),
        ({"batch_size": 0}, ValueError, "batch_size must be >= 1, got 0"),
        ({"batch_size": "auto"}, TypeError, "batch_size must be an integer, got 'auto'"),
        ({"shuffle": "yes"}, TypeError, "shuffle must be True or False, got 'yes'"),
        ({"progress": 1}, TypeError, "progress must be True or False, got 1"),
        ({"optimizer": "adamm"}, ValueError, "unknown optimizer 'adamm'.*mean 'adam'"),
        ({"optimizer": bpnet.Adam}, TypeError, "optimizer must be a name or a bpnet optimizer"),
        ({"callbacks": None}, TypeError, "callbacks must be bpnet callbacks, got None"),
        ({"callbacks": bpnet.EarlyStopping}, TypeError, "callbacks must be .* got <class"),
        ({"callbacks": [print]}, TypeError, "callbacks must be bpnet callbacks, got <built-in"),
        ({"backend": "nonsense"}, bpnet.UnknownBackendError, "unknown backend 'nonsense'"),
        ({"backend": 3}, TypeError, "backend must be a spec string .* got int"),
        ({"sample_weight": W[:5]}, ValueError, r"sample_weight must have shape \(23,\)"),
        ({"sample_weight": -W}, ValueError, "sample_weight must be >= 0"),
        ({"sample_weight": 0.0 * W}, ValueError, "sample_weight must have a .* > 0"),
        ({"sample_weight": NAN}, ValueError, "sample_weight must be finite in float64"),
        ({"validation_split": 1.0}, ValueError, "validation_split must be a finite number"),
        ({"validation_split": "0.2"}, TypeError, "validation_split must be a number"),
        ({"validation_split": 0.01}, ValueError, r"leave examples .* 0\.01 of 23 .* is 0"),
        ({"validation_split": 0.99}, ValueError, r"leave examples .* 0\.99 of 23 .* is 23"),
        (
            {"validation_split": 0.5, "sample_weight": ONE_WEIGHT},
            ValueError,
            r"0.5 of the 1 examples with a weight > 0 \(1 of 23 examples\) is 1",
        ),
        (
            {"validation_split": 0.5, "validation_data": (X, Y)},
            ValueError,
            "pass validation_data or validation_split, not both",
        ),
        ({"validation_data": (X,)}, TypeError, r"validation_data must be a tuple \(X, y\)"),
        ({"validation_data": X}, TypeError, r"validation_data must be a tuple \(X, y\)"),
        (
            {"validation_data": (X[:, :2], Y)},
            ValueError,
            "X of validation_data must have 3 features",
        ),
        ({"validation_data": (X, NAN)}, ValueError, "y of validation_data must be finite"),
        (
            {"validation_data": (X, Y, -W)},
            ValueError,
            "sample_weight of validation_data must be >= 0",
        ),
        ({"X": np.where(X > 1.0, np.inf, X)}, ValueError, "X must be finite in float64"),
        ({"X": X[:0]}, ValueError, "X must have at least one example"),
        ({"y": Y[:5]}, ValueError, "y must have one entry for each of 23 examples, got 5"),
        ({"y": Y + 1.0}, ValueError, "y must be from 0 to 1"),
    ],
)
def test_bad_arguments_are_refused_before_anything_changes(settings, error, message):
    class Untouched(bpnet.Callback):
        def on_train_begin(self, training):
            raise AssertionError("training began")

    settings = {"X": X, "y": Y, "callbacks": [Untouched()]} | settings
    fresh, built = network(), network().build(3)
    held, before = built.parameters, host(built)
    for net in (fresh, built):
        with pytest.raises(error, match=message):
            net.fit(**settings)
    assert not fresh.is_built
    assert fresh.n_inputs is None
    assert built.parameters[0]["W"] is held[0]["W"]
    for p, expected in zip(host(built), before, strict=True):
        assert_array_equal(p, expected)
