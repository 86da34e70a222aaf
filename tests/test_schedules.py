"""Learning-rate schedules: known values, PyTorch's schedulers, and their use in training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import bpnet
from bpnet.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    CosLog,
    Exponential,
    FlatCosine,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    Step,
    WarmUp,
)

SCHEDULES = [
    Constant(0.1),
    Step(0.1, every=10, factor=0.5),
    Exponential(0.1, factor=0.9),
    InverseScaling(0.1, power=0.5, decay=3.0),
    Cosine(0.1, epochs=20, minimum=0.01),
    WarmUp(0.1, epochs=5),
    WarmUp(Cosine(0.1, epochs=20), epochs=5, start=0.2),
    ReduceOnPlateau(0.1),
    FlatCosine(0.1, epochs=20),
    CosLog(0.1, epochs=20),
    CosLog(0.1, epochs=3, cycles=7),
    OneCycle(0.1, epochs=20),
    OneCycle(0.1, epochs=9, peak=0.6, start=0.5, end=0.0),
    CosineRestarts(0.1, epochs=6, minimum=0.01),
    CosineRestarts(0.1, epochs=0.3, growth=3),
]


@pytest.mark.parametrize(
    ("schedule", "epoch", "expected"),
    [
        (Constant(0.1), 0, 0.1),
        (Constant(0.1), 1e6, 0.1),
        (Step(0.8, every=10, factor=0.5), 0, 0.8),
        (Step(0.8, every=10, factor=0.5), 9.99, 0.8),
        (Step(0.8, every=10, factor=0.5), 10, 0.4),
        (Step(0.8, every=10, factor=0.5), 35.5, 0.1),
        (Exponential(0.8, factor=0.25), 0, 0.8),
        (Exponential(0.8, factor=0.25), 0.5, 0.4),
        (Exponential(0.8, factor=0.25), 2, 0.05),
        (InverseScaling(0.8, power=1.0), 0, 0.8),
        (InverseScaling(0.8, power=1.0), 3, 0.2),
        (InverseScaling(0.8, power=0.5, decay=5.0), 3, 0.2),
        (Cosine(0.8, epochs=12), 0, 0.8),
        (Cosine(0.8, epochs=12), 4, 0.6),
        (Cosine(0.8, epochs=12, minimum=0.2), 6, 0.5),
        (Cosine(0.8, epochs=12, minimum=0.2), 12, 0.2),
        (Cosine(0.8, epochs=12, minimum=0.2), 99, 0.2),
        (WarmUp(0.8, epochs=4), 0, 0.0),
        (WarmUp(0.8, epochs=4), 1, 0.2),
        (WarmUp(0.8, epochs=4, start=0.5), 2, 0.6),
        (WarmUp(0.8, epochs=4), 4, 0.8),
        (WarmUp(0.8, epochs=4), 99, 0.8),
        (WarmUp(Cosine(0.8, epochs=12), epochs=4), 2, 0.4),
        (WarmUp(Cosine(0.8, epochs=12), epochs=4), 4, 0.8),
        (WarmUp(Cosine(0.8, epochs=12), epochs=4), 8, 0.6),
        (FlatCosine(0.8, epochs=12), 0, 0.8),
        (FlatCosine(0.8, epochs=12), 6, 0.8),
        (FlatCosine(0.8, epochs=12), 8, 0.6),
        (FlatCosine(0.8, epochs=12), 12, 0.0),
        (FlatCosine(0.8, epochs=12), 99, 0.0),
        (CosLog(0.8, epochs=15), 0, 0.0),
        (CosLog(0.8, epochs=15), 2**0.25 - 1.0, 0.4),
        (CosLog(0.8, epochs=15), 2**0.5 - 1.0, 0.8),
        (CosLog(0.8, epochs=15), 2**1.5 - 1.0, 0.8),
        (CosLog(0.8, epochs=15), 2**3.5 - 1.0, 0.8),
        (CosLog(0.8, epochs=7, cycles=3), 2**2.5 - 1.0, 0.8),
        (CosLog(0.8, epochs=15), 15, 0.0),
        (CosLog(0.8, epochs=15), 99, 0.0),
        (OneCycle(0.8, epochs=10), 0, 0.032),
        (OneCycle(0.8, epochs=10), 1.5, 0.416),
        (OneCycle(0.8, epochs=10), 3, 0.8),
        (OneCycle(0.8, epochs=10), 6.5, 0.4000016),
        (OneCycle(0.8, epochs=10), 10, 3.2e-6),
        (OneCycle(0.8, epochs=10), 99, 3.2e-6),
        (OneCycle(0.8, epochs=10, peak=0.5, start=0.5, end=0.25), 7.5, 0.5),
        (CosineRestarts(0.8, epochs=12), 4, 0.6),
        (CosineRestarts(0.8, epochs=12), 12, 0.8),
        (CosineRestarts(0.8, epochs=12, minimum=0.2), 18, 0.5),
        (CosineRestarts(0.8, epochs=12, growth=2), 24, 0.4),
        (CosineRestarts(0.8, epochs=12, growth=2), 36, 0.8),
    ],
)
def test_known_values(schedule, epoch, expected):
    assert schedule(epoch) == pytest.approx(expected, rel=1e-14, abs=1e-16)


@pytest.mark.parametrize(
    ("schedule", "scheduler", "settings"),
    [
        (SCHEDULES[1], "StepLR", {"step_size": 10, "gamma": 0.5}),
        (SCHEDULES[2], "ExponentialLR", {"gamma": 0.9}),
        (SCHEDULES[4], "CosineAnnealingLR", {"T_max": 20, "eta_min": 0.01}),
        (WarmUp(0.1, 8, start=0.25), "LinearLR", {"start_factor": 0.25, "total_iters": 8}),
    ],
)
def test_schedules_are_those_of_pytorch_at_whole_epochs(schedule, scheduler, settings):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    reference = getattr(torch.optim.lr_scheduler, scheduler)(optimizer, **settings)
    for epoch in range(20):
        assert schedule(epoch) == pytest.approx(reference.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize(("epochs", "growth"), [(4, 1), (3, 2), (2, 3)])
def test_restarts_are_those_of_pytorch_in_each_batch(epochs, growth):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        optimizer, epochs, growth, eta_min=0.01
    )
    schedule = CosineRestarts(0.1, epochs, growth, minimum=0.01)
    for epoch in range(40):
        for batch in range(8):  # 8 batches: PyTorch rounds a time such as 3 + 1/7 elsewhere
            optimizer.step()
            reference.step(epoch + batch / 8)
            rate = reference.get_last_lr()[0]
            assert schedule(epoch + batch / 8) == pytest.approx(rate, rel=1e-12)


def test_one_cycle_is_that_of_pytorch_in_each_step():
    """There, a half ends with its last step, so its times are stretched by one step."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    steps, peak = 50, 0.3
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=steps, pct_start=peak, cycle_momentum=False
    )
    schedule, last = OneCycle(0.1, epochs=1.0), peak * steps - 1.0
    for step in range(steps):
        first = peak * step / last
        second = peak + (1.0 - peak) * (step - last) / (steps - 1.0 - last)
        rate = reference.get_last_lr()[0]
        assert schedule(min(first, peak, 1.0) if step <= last else second) == pytest.approx(
            rate, rel=1e-9
        )
        optimizer.step()
        if step < steps - 1:
            reference.step()


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("flat_cos", "FlatCosine("), ("coslog4", "CosLog("), ("one_cycle", "OneCycle("),
        ("cyclic", "OneCycle("), ("SGDR", "CosineRestarts("), ("cosine", "Cosine("),
        ("CosineAnnealingWarmRestarts", "CosineRestarts("), ("warmup", "WarmUp("),
    ],
)  # fmt: skip
def test_a_name_is_answered_with_the_schedule(value, right):
    with pytest.raises(
        TypeError, match=rf"schedule is given as bpnet\.schedules\.{right[:-1]}\("
    ):
        bpnet.SGD(value)


@pytest.mark.parametrize("schedule", [CosLog(0.2, 3), FlatCosine(0.2, 3)], ids=repr)
def test_it_may_be_a_rate_of_dropout_and_a_weight_decay(schedule):
    net = bpnet.Network([bpnet.Dropout(schedule), bpnet.Dense(2)], "mse", seed=0)
    history = net.fit(X, Y, optimizer=bpnet.AdamW(schedule, schedule), epochs=EPOCHS)
    assert np.all(np.isfinite(history["loss"]))


@given(st.floats(0.0, 1e4))
def test_any_time_gives_a_rate_from_zero_to_the_first(epoch):
    for schedule in SCHEDULES:
        assert 0.0 <= schedule(epoch) <= 0.1 * (1.0 + 1e-15)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_is_that_of_pytorch(patience, mode, relative):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, factor=0.5, patience=patience, threshold=0.05,
        threshold_mode="rel" if relative else "abs", min_lr=0.004, eps=0.0,
    )  # fmt: skip
    schedule = ReduceOnPlateau(
        0.1, "val_loss", factor=0.5, patience=patience, min_delta=0.05, mode=mode,
        minimum=0.004, relative=relative,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    state = schedule.initial_state()
    for figure in np.concatenate([np.linspace(2.0, 0.5, 10), rng.uniform(0.4, 1.0, 30)]):
        state = schedule.observe(state, {"loss": 0.0, "val_loss": float(figure)})
        reference.step(float(figure))
        rate = optimizer.param_groups[0]["lr"]
        assert schedule.value(0, state) == pytest.approx(rate, rel=1e-14)
    assert schedule.value(0, state) < schedule(0) == 0.1


def test_plateau_waits_then_reduces_down_to_its_minimum():
    schedule = ReduceOnPlateau(
        0.8, factor=0.5, patience=1, min_delta=0.1, minimum=0.15, relative=False
    )
    figures = [1.0, 0.95, 0.92, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    rates, state = [], schedule.initial_state()
    for figure in figures:
        state = schedule.observe(state, {"loss": figure})
        rates.append(schedule.value(0, state))
    assert rates == [0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.15, 0.15, 0.15]


FIGURES = st.lists(st.floats(-1e100, 1e100), min_size=2, max_size=30)


@given(FIGURES, st.integers(-600, 600), st.sampled_from(["min", "max"]))
def test_the_unit_of_a_metric_does_not_matter(figures, power, mode):
    """A power of 2 scales without rounding; denormal figures would be rounded."""
    figures = [figure if abs(figure) > 1e-100 else 0.0 for figure in figures]
    schedule = ReduceOnPlateau(0.1, factor=0.5, patience=0, min_delta=0.25, mode=mode)
    rates = []
    for unit in (1.0, 2.0**power):
        state = schedule.initial_state()
        for figure in figures:
            state = schedule.observe(state, {"loss": figure * unit})
        rates.append(schedule.value(0, state))
    assert rates[0] == rates[1]


def test_the_rate_stays_above_0():
    schedule, rates = ReduceOnPlateau(0.1, patience=0), []
    state = schedule.initial_state()
    for _ in range(300):
        state = schedule.observe(state, {"loss": 1.0})
        rates.append(schedule.value(0, state))
    assert rates[-1] == pytest.approx(1e-7, rel=1e-12)
    assert schedule.minimum is None
    state = schedule.replace(minimum=0.0).observe(state, {"loss": 1.0})
    assert state["rate"] == pytest.approx(1e-8, rel=1e-12)


@pytest.mark.parametrize("make", [lambda **kw: ReduceOnPlateau(0.1, **kw), bpnet.EarlyStopping])
def test_a_change_of_the_whole_value_is_refused(make):
    with pytest.raises(
        ValueError, match=r"^min_delta must be < 1, .* got 2; .* relative=False"
    ):
        make(min_delta=2.0)
    make(min_delta=2.0, relative=False)


@pytest.mark.parametrize("first", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_figures_that_are_not_finite(first, mode):
    """One that is best ever ends all improvement; others are no improvement."""
    schedule = ReduceOnPlateau(0.8, factor=0.5, patience=0, mode=mode)
    state = schedule.initial_state()
    for figure in (first, 1.0, -1.0 if mode == "min" else 2.0):
        state = schedule.observe(state, {"loss": figure})
    is_best = first == (-math.inf if mode == "min" else math.inf)
    assert state["rate"] == (0.2 if is_best else 0.4)


def test_warm_up_hands_figures_to_the_plateau_behind_it():
    schedule = WarmUp(ReduceOnPlateau(0.8, factor=0.5, patience=0), epochs=2)
    state = schedule.initial_state()
    for _ in range(2):
        state = schedule.observe(state, {"loss": 1.0})
    assert schedule.value(1, state) == 0.2
    assert schedule.value(5, state) == 0.4


# --- in training ------------------------------------------------------------------------------

M, BATCH, EPOCHS = 10, 4, 3
N_BATCHES = math.ceil(M / BATCH)
rng = np.random.default_rng(0)
X = rng.normal(size=(M, 3))
Y = X @ rng.normal(size=(3, 2)) + 1.0


def linear_network():
    net = bpnet.Network([bpnet.Dense(2)], "mean_squared_error", seed=0, dtype="float64")
    return net.build(3)


def fitted(optimizer, backend=None, **settings):
    net = linear_network()
    settings = {"epochs": EPOCHS, "batch_size": BATCH, "shuffle": False} | settings
    return net, net.fit(X, Y, optimizer=optimizer, backend=backend, **settings)


@pytest.mark.parametrize("schedule", SCHEDULES[2:7:2], ids=lambda s: type(s).__name__)
def test_each_step_takes_the_rate_of_its_time(schedule, backend):
    net, history = fitted(bpnet.SGD(schedule), backend)
    (start,) = linear_network().parameters
    W, b = start["W"], start["b"]
    last_rates = []
    for epoch in range(EPOCHS):
        for batch in range(N_BATCHES):
            rows = slice(batch * BATCH, (batch + 1) * BATCH)
            rate = schedule(epoch + batch / N_BATCHES)
            residual = X[rows] @ W + b - Y[rows]
            W = W - rate * 2.0 * X[rows].T @ residual / residual.size
            b = b - rate * 2.0 * residual.sum(axis=0) / residual.size
        last_rates.append(rate)
    assert history["learning_rate"] == pytest.approx(last_rates, rel=1e-15)
    (result,) = net.parameters
    assert_allclose(backend.to_numpy(result["W"]), W, rtol=1e-12)
    assert_allclose(backend.to_numpy(result["b"]), b, rtol=1e-12)


def test_a_schedule_of_the_users_is_asked_for_every_step():
    class Recording(Schedule):
        times = []  # noqa: RUF012 (training copies the schedule, so it is kept on the class)

        def __call__(self, epoch):
            self.times.append(epoch)
            return 0.1

    fitted(bpnet.SGD(Recording()))
    expected = [e + b / N_BATCHES for e in range(EPOCHS) for b in range(N_BATCHES)]
    assert Recording.times == pytest.approx(expected, rel=1e-15)


def test_a_rate_of_zero_moves_nothing(backend):
    net, history = fitted(bpnet.Adam(WarmUp(0.1, epochs=1)), backend, epochs=1, batch_size=None)
    (result,), (start,) = net.parameters, linear_network().parameters
    assert history["learning_rate"] == [0.0]
    assert_allclose(backend.to_numpy(result["W"]), start["W"], rtol=0.0)


def test_momentum_holds_the_rate_inside_the_velocity():
    """As documented: a decreasing rate does not scale the steps already in the velocity."""
    schedule, mu = Exponential(0.1, factor=0.5), 0.9
    net, _ = fitted(bpnet.SGD(schedule, momentum=mu), batch_size=None, epochs=5)
    W, b = (linear_network().parameters[0][name] for name in ("W", "b"))
    v_W, v_b = np.zeros_like(W), np.zeros_like(b)
    for epoch in range(5):
        residual = X @ W + b - Y
        v_W = mu * v_W - schedule(epoch) * 2.0 * X.T @ residual / residual.size
        v_b = mu * v_b - schedule(epoch) * 2.0 * residual.sum(axis=0) / residual.size
        W, b = W + v_W, b + v_b
    assert_allclose(net.parameters[0]["W"], W, rtol=1e-12)
    assert_allclose(net.parameters[0]["b"], b, rtol=1e-12)


def test_plateau_reduces_in_training_and_leaves_the_users_schedule_alone(backend):
    schedule = ReduceOnPlateau(0.1, factor=0.5, patience=1, min_delta=1e6, relative=False)
    optimizer = bpnet.SGD(schedule)
    for _ in range(2):  # the second fit starts over
        _, history = fitted(optimizer, backend, epochs=6)
        assert history["learning_rate"] == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]
    assert schedule(0) == 0.1


def test_plateau_watches_validation_figures():
    schedule = ReduceOnPlateau(
        0.1, "val_loss", factor=0.5, patience=0, min_delta=1e6, relative=False
    )
    _, history = fitted(bpnet.SGD(schedule), validation_data=(X, Y))
    assert history["learning_rate"] == [0.1, 0.1, 0.05]
    with pytest.raises(
        ValueError, match=r"monitor must be one of .*loss; got 'val_loss'; pass"
    ):
        fitted(bpnet.SGD(schedule))
