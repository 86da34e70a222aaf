"""What changes while training: schedules, callbacks that set values, and refused changes."""

from __future__ import annotations

import gc
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from on_host import host
from own_components import Halving, own_network

import bpnet
from bpnet import schedules
from bpnet.errors import ComponentError
from bpnet.model.compiled import FUNCTIONS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3))
Y = X[:, 0] - 0.5


def network(rate=0.3, seed=0):
    layers = [bpnet.Dense(4, "tanh"), bpnet.Dropout(rate), bpnet.Dense(1)]
    return bpnet.Network(layers, "mean_squared_error", seed=seed)


def weights(net):
    parameters = host(net.backend, net.parameters)
    return [p.tobytes() for layer in parameters for p in layer.values()]


def trained(net=None, **settings):
    net = net or network()
    history = net.fit(X, Y, **{"epochs": 3, "batch_size": 8} | settings)
    return weights(net), history["loss"]


class Each(bpnet.Callback):
    """Calls a function at a hook."""

    def __init__(self, hook, function):
        setattr(self, hook, function)


# --- schedules --------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.floats(1e-4, 1.0), st.floats(0.0, 0.5), st.floats(0.0, 0.75))
def test_constant_schedules_are_numbers(learning_rate, weight_decay, rate):
    """A number is compiled into the step in double precision, a schedule is an argument."""
    numbers = trained(
        network(rate), epochs=1, optimizer=bpnet.SGD(learning_rate, weight_decay=weight_decay)
    )
    constants = trained(
        network(schedules.Constant(rate)),
        epochs=1,
        optimizer=bpnet.SGD(
            schedules.Constant(learning_rate), weight_decay=schedules.Constant(weight_decay)
        ),
    )
    np.testing.assert_allclose(constants[1], numbers[1], rtol=1e-5, atol=1e-7)
    for p, q in zip(constants[0], numbers[0], strict=True):
        p, q = (np.frombuffer(a, np.float32) for a in (p, q))
        np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-6)


def test_a_schedule_of_a_rate_has_the_masks_of_a_number(backend):
    """In float64 they are equal bit for bit."""
    losses = []
    for rate in (0.5, schedules.Step(0.5, every=9)):
        net = network(rate).replace(dtype="float64")
        losses.append(trained(net, backend=backend, epochs=2)[1])
    assert losses[0] == losses[1]


def test_values_follow_their_schedules_in_each_step():
    """The time is in epochs, for a learning rate, a weight decay and a rate alike."""
    seen = []
    schedule = schedules.Cosine(0.5, epochs=3)
    trained(
        network(schedule),
        optimizer=bpnet.SGD(schedule, weight_decay=schedule),
        callbacks=[Each("on_epoch_end", lambda t: seen.append(dict(t.runner.values)))],
    )
    due = [[schedule(epoch + batch / 3) for batch in range(3)] for epoch in range(3)]
    for name in ("learning_rate", "weight_decay", "layers.1.rate"):
        assert [values[name] for values in seen] == due


def test_the_memory_of_a_schedule_belongs_to_the_run():
    optimizer, rate = bpnet.SGD(Halving(0.9)), Halving(0.5)
    first = trained(network(rate), optimizer=optimizer, epochs=6)
    assert trained(network(rate), optimizer=optimizer, epochs=6) == first
    assert optimizer == bpnet.SGD(Halving(0.9))
    rates = []
    net = network(rate)
    net.fit(X, Y, optimizer=optimizer, epochs=6, batch_size=8,
            callbacks=[Each("on_epoch_end", lambda t: rates.append(t.logs["learning_rate"]))],
            )  # fmt: skip
    assert rates[0] == 0.9 > rates[-1]


WRONG = {
    "None": (None, "must be a number, got None"),
    "text": ("0.1", "must be a number, got '0.1'"),
    "NaN": (np.nan, "must be a finite number"),
    "negative": (-0.1, "must be a finite number >= 0"),
    "two": (np.ones(2), "must be a number"),
}


class Returns(schedules.Schedule):
    def __init__(self, what, method="value"):
        self.what, self.method = what, method

    def __call__(self, epoch):
        return WRONG[self.what][0] if self.method == "value" and epoch >= 1.0 else 0.1

    def initial_state(self):
        return None if self.method == "initial_state" else {}

    def observe(self, state, logs):
        return [state] if self.method == "observe" else state


@pytest.mark.parametrize("where", ["learning_rate", "weight_decay", "layers.1.rate"])
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_value_of_a_schedule_is_named(what, where):
    net, optimizer = network(), bpnet.SGD(0.1)
    good = network(), bpnet.SGD(0.1)
    if where.startswith("layers"):
        net, good = network(Returns(what)), (network(schedules.Constant(0.1)), optimizer)
    else:
        optimizer = optimizer.replace(**{where: Returns(what)})
        good = network(), optimizer.replace(**{where: schedules.Constant(0.1)})
    message = (
        rf"schedule Returns.* of {where} returned a wrong value for epoch 1: .*{WRONG[what][1]}"
    )
    with pytest.raises(ComponentError, match=message):
        trained(net, optimizer=optimizer)
    trained(good[0], optimizer=good[1], epochs=1)
    assert weights(net) == weights(good[0])  # those of the last good epoch
    assert (net.epochs_taken, net.steps_taken) == (1, 3)


@pytest.mark.parametrize("method", ["initial_state", "observe"])
def test_a_memory_that_is_no_dict_is_named(method):
    message = rf"schedule Returns.* of learning_rate: {method} must return its memory, a dict"
    with pytest.raises(ComponentError, match=message):
        trained(optimizer=bpnet.SGD(Returns("None", method)))


# --- values set by callbacks ------------------------------------------------------------------


def test_a_callback_sets_what_the_next_steps_use(backend):
    """The same as training in pieces with other numbers."""

    def change(training):
        if training.epoch == 1:
            training.set_learning_rate(0.2)
            training.set_weight_decay(0.1)
            training.set_dropout_rate(0.5)
        if training.epoch == 2:
            training.set_learning_rate(None)
            training.set_weight_decay(None)
            training.set_dropout_rate(None, layer=2)

    constant = schedules.Constant
    optimizer = bpnet.SGD(0.1, weight_decay=constant(0.2))
    net = network(constant(0.25))
    trained(
        net, optimizer=optimizer, callbacks=[Each("on_epoch_begin", change)], backend=backend
    )
    pieces = network(constant(0.25))
    for rate, decay, dropout in ((0.1, 0.2, 0.25), (0.2, 0.1, 0.5), (0.1, 0.2, 0.25)):
        other = pieces.replace(layers=[pieces.layers[0], bpnet.Dropout(constant(dropout)),
                                       pieces.layers[2]])  # fmt: skip
        other.build(3, backend)
        if pieces.is_built:
            other.parameters = pieces.parameters
        other.steps_taken, other.epochs_taken = pieces.steps_taken, pieces.epochs_taken
        trained(other, epochs=1, optimizer=bpnet.SGD(rate, weight_decay=constant(decay)))
        pieces = other
    assert weights(net) == weights(pieces)


def test_a_value_set_between_two_steps_holds_from_the_next():
    seen = []

    def change(training):
        if len(seen) == 0:
            training.set_learning_rate(0.3)
        seen.append(training.runner.rates)

    trained(optimizer=bpnet.SGD(0.1), epochs=2, callbacks=[Each("on_batch_end", change)])
    assert seen[0] == [0.1, 0.3, 0.3]
    assert seen[-1] == [0.3, 0.3, 0.3]


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (
            lambda t: t.set_learning_rate(-1.0),
            ValueError,
            "^learning_rate must be .*>= 0, got -1",
        ),
        (
            lambda t: t.set_learning_rate("1"),
            TypeError,
            "^learning_rate must be a number, got '1'",
        ),
        (lambda t: t.set_learning_rate(np.nan), ValueError, "^learning_rate must be a finite"),
        (
            lambda t: t.set_weight_decay(0.1),
            ValueError,
            r"schedule.*weight_decay=bpnet\.schedules",
        ),
        (lambda t: t.set_dropout_rate(1.0), ValueError, "^rate must be .*< 1, got 1"),
        (lambda t: t.set_dropout_rate(0.1, 1), ValueError, r"Dropout\(bpnet\.schedules\.Const"),
        (lambda t: t.set_dropout_rate(0.1, 0), ValueError, "^layer must be >= 1, got 0"),
        (
            lambda t: t.set_dropout_rate(0.1, 4),
            ValueError,
            "^layer must be <= 3, the number of",
        ),
        (
            lambda t: t.set_dropout_rate(0.1, "2"),
            TypeError,
            "^layer must be an integer, got '2'",
        ),
    ],
)
def test_a_value_that_cannot_be_set_changes_nothing(use, error, message):
    net, refused = network(schedules.Constant(0.3)), []

    def attempt(training):
        with pytest.raises(error, match=message):
            use(training)
        refused.append({name: value.fixed for name, value in training.state.values.items()})

    changed = trained(net, callbacks=[Each("on_batch_end", attempt)])
    assert changed == trained(network(schedules.Constant(0.3)))
    assert all(value is None for values in refused for value in values.values())


@pytest.mark.parametrize("spec", ["numpy", "jax"])
def test_values_changed_in_each_epoch_compile_nothing_and_take_no_memory(
    spec, nothing_compiled
):
    if spec == "jax":
        pytest.importorskip("jax")
    epochs, marks, functions = 400, {}, {}

    def change(training):
        training.set_learning_rate(0.1 / (1 + training.epoch))
        training.set_dropout_rate(0.5 / (1 + training.epoch))
        if training.epoch in (2, epochs - 1):
            functions[training.epoch] = [
                (f, f._cache_size() if hasattr(f, "_cache_size") else 0)
                for f in FUNCTIONS.all()
            ]
        if training.epoch in (epochs // 2, epochs - 1):
            gc.collect()
            marks[training.epoch] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start(1)
    try:
        network(schedules.Constant(0.5)).fit(
            X, Y, optimizer=bpnet.SGD(0.1), epochs=epochs, batch_size=None, backend=spec,
            callbacks=[Each("on_epoch_begin", change)],
        )  # fmt: skip
    finally:
        tracemalloc.stop()
    assert functions[2] == functions[epochs - 1]
    assert marks[epochs - 1] - marks[epochs // 2] < 40_000  # the history, 3 numbers an epoch


# --- parameters set by callbacks --------------------------------------------------------------


def transposed(training):
    return [layer | {"W": layer["W"].T} if layer else layer for layer in training.parameters]


def other_dtype(training):
    xp = training.backend.xp
    return [
        {n: xp.astype(p, xp.float64) for n, p in layer.items()} for layer in training.parameters
    ]


def assigns(make):
    def assign(training):
        training.parameters = make(training)

    return assign


def changes_inside(training):
    training.parameters[0]["W"] = training.parameters[0]["W"].T


def drops(training):
    del training.parameters[0]["b"]


def appends(training):
    training.parameters.append({})


CHANGES = {
    "transposed": assigns(transposed), "dtype": assigns(other_dtype),
    "None": assigns(lambda t: None), "one layer": assigns(lambda t: t.parameters[:1]),
    "inside": changes_inside, "drops": drops, "appends": appends,
}  # fmt: skip


@pytest.mark.parametrize("on_nonfinite", ["raise", "ignore"])
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_batch_end", "on_epoch_end"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_change_of_the_parameters_is_refused(change, hook, on_nonfinite):
    """The network goes back to the last good epoch, if it is kept, or to before the change."""
    steps = []

    def late(training):
        steps.append(int(training.runner.arrays["step"]))
        if training.epoch >= 1 and (hook != "on_epoch_end" or training.epoch >= 2):
            CHANGES[change](training)

    net = network()
    message = "^the parameters must keep their layers, names, shapes and dtypes"
    with pytest.raises(ComponentError, match=message):
        trained(net, callbacks=[Each(hook, late)], on_nonfinite=on_nonfinite,
                validation_data=(X, Y))  # fmt: skip
    good = network()
    if on_nonfinite == "raise":
        trained(good, epochs=1)
        assert weights(net) == weights(good)
        assert (net.steps_taken, net.epochs_taken) == (3, 1)
    else:
        assert net.steps_taken == steps[-1]
        assert net.epochs_taken == (2 if hook == "on_epoch_end" else 1)
    assert [p.shape for p in net.parameters[0].values()] == [(3, 4), (4,)]
    assert np.isfinite(trained(net)[1][-1])


def test_a_right_change_is_taken(backend):
    def zero(training):
        training.parameters = [
            {n: training.backend.xp.zeros_like(p) for n, p in layer.items()}
            for layer in training.parameters
        ]

    net = network()
    hook = "on_train_end"
    trained(net, callbacks=[Each(hook, zero)], backend=backend)
    assert not any(np.any(p) for layer in host(backend, net.parameters) for p in layer.values())


def test_a_replaced_network_shares_no_array_with_a_training_run(backend):
    copies = []
    net = network()
    trained(net, backend=backend, epochs=2,
            callbacks=[Each("on_batch_end", lambda t: copies.append(net.replace()))],
            )  # fmt: skip
    kept = [weights(copy) for copy in copies]
    assert len({b"".join(k) for k in kept}) == len(kept)
    assert kept[-1] == weights(net)
    trained(copies[-1], epochs=1)
    assert kept[-1] == weights(net)


def test_own_components_train_on_every_backend_with_schedules(backend):
    seen = []
    history = own_network().fit(
        X, Y, epochs=4, backend=backend, optimizer=bpnet.SGD(Halving(0.1)),
        callbacks=[Each("on_epoch_end", lambda t: seen.append(sorted(t.state.values)))],
    )  # fmt: skip
    assert seen[0] == ["layers.2.rate", "layers.3.rate", "learning_rate"]
    assert np.all(np.isfinite(history["loss"]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, "0.1", None])
def test_a_wrong_learning_rate_is_the_schedules(value):
    class Wrong(bpnet.schedules.Schedule):
        def __call__(self, epoch):
            return value

    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
    with pytest.raises(bpnet.ComponentError, match=r"schedule Wrong\(\) of learning_rate"):
        net.fit(np.ones((4, 2)), np.ones(4), epochs=1, optimizer=bpnet.SGD(Wrong()))


def test_an_optimizer_may_make_its_own_schedule():
    class Own(bpnet.optimizers.Optimizer):
        def __init__(self, beta=0.9):
            super().__init__(bpnet.schedules.ReduceOnPlateau(0.1))
            self.beta = beta

        def rule(self, xp, p, g, *numbers):
            return (p - numbers[0] * g,)

    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
    history = net.fit(np.ones((4, 2)), np.ones(4), epochs=3, optimizer=Own())
    assert history["loss"][-1] < history["loss"][0]
