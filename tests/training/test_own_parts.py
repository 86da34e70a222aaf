"""Mistakes in a user's own optimizer, schedule, metric and callback are named."""

from __future__ import annotations

import numpy as np
import pytest
from available import available

import bpnet
from bpnet.errors import ComponentError
from bpnet.optimizers import Optimizer
from bpnet.schedules import Schedule

X = np.random.default_rng(0).normal(size=(8, 3))
Y = X[:, :2] - 0.5


def network():
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(2)], "mse", seed=0)


class Momentum(Optimizer):
    """Heavy ball."""

    state_names = ("v",)

    def __init__(self, learning_rate=0.1):
        super().__init__(learning_rate)

    def rule(self, xp, p, g, *numbers):
        v, rate = 0.9 * numbers[0] + g, numbers[1]
        return p - rate * v, v


def wrong_state(form):
    def init(self, xp, parameters):
        return [{n: form(xp, p) for n, p in layer.items()} for layer in parameters]

    return init


INIT = "Own.*: init must return a state like the parameters.*"
OPTIMIZERS = {
    "names text": ({"state_names": "v"}, "state_names of the optimizer Own must be a tuple"),
    "names twice": ({"state_names": ("v", "v")}, "state_names of .* different names"),
    "count": ({"n_state": -1}, "n_state of the optimizer Own must be an integer >= 0"),
    "settings": ({"settings": [1]}, "settings of the optimizer Own must be hashable"),
    "scalars": (
        {"scalars": lambda self, xp, learning_rate, t: 1.0},
        "Own.*: scalars must return a tuple; got float",
    ),
    "init None": ({"init": lambda self, xp, parameters: None}, INIT + "got nothing"),
    "init name": ({"init": wrong_state(lambda xp, p: {"m": 0.0 * p})}, INIT + "'v'"),
    "init shape": ({"init": wrong_state(lambda xp, p: {"v": p[..., :1]})}, INIT + r"shape"),
    "update": ({"update": lambda self, *rest: None}, "Own.*: update must return arrays like"),
}


@pytest.mark.once_on_jax
@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_an_optimizer_is_named(case, eagerly, backend):
    members, message = OPTIMIZERS[case]
    own, net = type("Own", (Momentum,), members), network().build(3)
    before = [p.copy() for layer in net.parameters for p in layer.values()]
    with pytest.raises(ComponentError, match=message):
        net.fit(X, Y, optimizer=own(), epochs=1, backend=backend, run_eagerly=eagerly)
    after = [net.backend.to_numpy(p) for layer in net.parameters for p in layer.values()]
    assert all(map(np.array_equal, before, after))
    assert net.steps_taken == 0


def test_what_an_optimizer_may_have_is_left_alone(backend):
    own = type("Own", (Momentum,), {"init": wrong_state(lambda xp, p: {"v": 0.0 * p})})
    losses = [
        network().fit(X, Y, optimizer=kind(), epochs=2, backend=backend)["loss"]
        for kind in (own, Momentum)
    ]
    assert losses[0] == losses[1]


class Prepared(Schedule):
    def __call__(self, epoch):
        return 0.1

    def prepared(self, direction):
        return None


def test_a_schedule_that_prepares_no_schedule_is_named():
    with pytest.raises(ComponentError, match=r"Prepared.* learning_rate: prepared must return"):
        network().fit(X, Y, optimizer=bpnet.SGD(Prepared()))


class Rates(bpnet.Dropout):
    def schedules(self):
        return {"rate": 0.1}


def test_a_layer_whose_schedules_are_none_is_named():
    net = bpnet.Network([Rates(0.1), bpnet.Dense(2)], "mse", seed=0)
    with pytest.raises(ComponentError, match=r"^layer 1, .*schedules must return a dict.*0\.1"):
        net.fit(X, Y)


# --- nothing that is given may be modified ----------------------------------------------------


def added(array):
    array += 1.0
    return array


class Loss(bpnet.losses.MeanAbsoluteError):
    def value(self, xp, y, z):
        return super().value(xp, added(y), z)


class Activation(bpnet.activations.Tanh):
    name = "own"

    def df(self, xp, z, a):
        return super().df(xp, z, added(a))


class Metric(bpnet.metrics.MeanSquaredError):
    name = "own"

    def values(self, xp, loss, y, z):
        return super().values(xp, loss, added(y), z)


class Layer(bpnet.Dense):
    def forward(self, xp, parameters, a_previous, context):
        added(parameters["W"])
        return super().forward(xp, parameters, a_previous, context)


PARTS = {
    "loss": lambda: (bpnet.Network([bpnet.Dense(2)], Loss(), seed=0), None),
    "activation": lambda: (
        bpnet.Network([bpnet.Dense(2, Activation()), bpnet.Dense(2)], "mse", seed=0), None,
    ),
    "metric": lambda: (network(), Metric()),
    "layer": lambda: (bpnet.Network([Layer(3), bpnet.Dense(2)], "mse", seed=0), None),
}  # fmt: skip


@pytest.mark.parametrize("backend", available("numpy", "torch:cpu"))
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_modifies_what_it_is_given_is_refused(part, backend):
    net, metric = PARTS[part]()
    y = Y.astype("float32")
    before = y.copy()
    uses = [lambda: net.evaluate(X, y, metrics=metric, backend=backend)]
    if part != "metric":
        uses = [lambda: net.loss_and_gradients(X, y, backend=backend)] * 2
    for use in uses:
        with pytest.raises(ComponentError, match=r"must not modify an array.*a = a \* 2"):
            use()
    assert np.array_equal(y, before)


def test_a_loss_that_returns_its_input_gives_predictions_that_can_be_changed():
    kind = type("Same", (bpnet.losses.MeanSquaredError,), {})
    predicted = bpnet.Network([bpnet.Dense(2)], kind(), seed=0).build(X.shape[1]).predict(X)
    predicted[0, 0] = 5.0
    assert predicted[0, 0] == 5.0


# --- callbacks --------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["setup", "on_train_begin", "on_batch_end", "teardown"])
def test_a_hook_with_other_arguments_is_named_before_training(hook):
    own = type("Own", (bpnet.Callback,), {hook: lambda self, epoch, logs: None})
    net = network()
    with pytest.raises(
        ComponentError, match=rf"Own: {hook} .*\(self, training\).*\(epoch, logs"
    ):
        net.fit(X, Y, callbacks=own())
    assert not net.is_built


@pytest.mark.parametrize(
    ("name", "hook"),
    [("on_train_batch_end", "on_batch_end"), ("on_epoch_start", "on_epoch_begin"),
     ("on_epoch_ends", "on_epoch_end"), ("on_fit_end", "on_train_end")],
)  # fmt: skip
def test_a_hook_that_is_never_called_is_warned_of(name, hook):
    own = type("Own", (bpnet.Callback,), {name: lambda self, training: None})
    with pytest.warns(UserWarning, match=rf"Own: {name} is never called.*mean '{hook}'\?"):
        network().fit(X, Y, epochs=1, callbacks=own())


def test_methods_of_other_names_are_left_alone():
    members = {"on_my_own": lambda self: None, "on_close": bpnet.Callback.on_close}
    own = type("Own", (bpnet.Callback,), members)
    network().fit(X, Y, epochs=1, callbacks=own())
