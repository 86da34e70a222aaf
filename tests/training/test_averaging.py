"""MovingAverage: the average against that of recorded weights, and what sees it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from own_components import Sign

import bpnet
from bpnet import MovingAverage, schedules

pytestmark = [pytest.mark.few_on_jax, pytest.mark.once_on_jax]

M, BATCH, EPOCHS = 22, 8, 4
rng = np.random.default_rng(0)
X = rng.normal(size=(M, 3))
Y = np.tanh(X @ rng.normal(size=(3, 2))) + 0.3 * rng.normal(size=(M, 2))
HELD = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
OPTIMIZERS = {
    "sgd": bpnet.SGD(0.1),
    "momentum": bpnet.SGD(0.05, momentum=0.9, nesterov=True, clip_norm=0.5),
    "adagrad": bpnet.Adagrad(0.1, clip_value=0.1),
    "rmsprop": bpnet.RMSprop(0.01, weight_decay=0.1),
    "adam": bpnet.Adam(schedules.Cosine(0.05, EPOCHS)),
    "adamw": bpnet.AdamW(schedules.CosLog(0.05, EPOCHS), schedules.FlatCosine(0.5, EPOCHS)),
    "own": Sign(0.02, weight_decay=0.1),
}


def network(dtype="float64"):
    layers = [bpnet.Dense(6, "tanh", l2=0.01), bpnet.Dropout(0.2), bpnet.Dense(2)]
    return bpnet.Network(layers, "mse", seed=0, dtype=dtype)


def fitted(optimizer, backend="numpy", dtype="float64", **settings):
    net = network(dtype)
    settings = {"epochs": EPOCHS, "batch_size": BATCH} | settings
    return net, net.fit(X, Y, optimizer=optimizer, backend=backend, **settings)


def host(parameters, backend):
    backend = bpnet.get_backend(backend) if isinstance(backend, str) else backend
    return [backend.to_numpy(p).copy() for layer in parameters for p in layer.values()]


class Recorder(bpnet.Callback):
    """Keeps the weights after each step."""

    def on_train_begin(self, training):
        self.steps = []

    def on_batch_end(self, training):
        self.steps.append(host(training.parameters, training.backend))


def average(steps, decay):
    """The mean of the steps with weights decay^age."""
    weights = decay ** np.arange(len(steps))[::-1]
    return [np.average(p, axis=0, weights=weights) for p in zip(*steps, strict=True)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_the_average_of_the_weights_of_the_steps(name, backend):
    optimizer = OPTIMIZERS[name]
    _, history = fitted(optimizer, backend, callbacks=[recorder := Recorder()])
    net, averaged = fitted(MovingAverage(optimizer, 0.8), backend)
    assert_allclose(averaged["loss"], history["loss"], rtol=1e-12)  # of the steps
    assert averaged["learning_rate"] == history["learning_rate"]
    found = host(net.parameters, backend)
    assert len(recorder.steps) == 3 * EPOCHS
    for p, expected, last in zip(
        found, average(recorder.steps, 0.8), recorder.steps[-1], strict=True
    ):
        assert_allclose(p, expected, rtol=1e-10, atol=1e-13)
        assert not np.allclose(p, last, rtol=1e-3)


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_a_decay_of_0_changes_no_bit(name, backend):
    plain, history = fitted(OPTIMIZERS[name], backend, "float32")
    net, averaged = fitted(MovingAverage(OPTIMIZERS[name], 0.0), backend, "float32")
    if backend.name in ("numpy", "torch"):
        assert averaged["loss"] == history["loss"]
    for p, expected in zip(
        host(net.parameters, backend), host(plain.parameters, backend), strict=True
    ):
        assert_allclose(p, expected, rtol=1e-6, atol=1e-7)
        if backend.name in ("numpy", "torch"):
            assert_array_equal(p, expected)


def test_one_by_one_and_eagerly_give_the_same(backend):
    optimizer = MovingAverage(bpnet.AdamW(0.05, 0.1), 0.9)
    net, _ = fitted(optimizer, backend)
    for settings in ({"callbacks": [Recorder()]}, {"run_eagerly": True}):
        other, _ = fitted(optimizer, backend, **settings)
        for p, expected in zip(
            host(other.parameters, backend), host(net.parameters, backend), strict=True
        ):
            assert_allclose(p, expected, rtol=1e-10, atol=1e-13)


def test_validation_early_stopping_and_checkpoints_see_the_average(backend, tmp_path):
    optimizer = MovingAverage(bpnet.Adam(0.1), 0.7)
    path = tmp_path / "run.safetensors"
    net, history = fitted(
        optimizer, backend, validation_data=HELD, callbacks=[bpnet.Checkpoint(path)]
    )
    assert_allclose(net.evaluate(*HELD)["loss"], history["val_loss"][-1], rtol=1e-12)
    loaded = bpnet.load(path)
    assert_allclose(loaded.evaluate(*HELD)["loss"], history["val_loss"][-1], rtol=1e-10)
    stopped, history = fitted(
        optimizer, backend, epochs=12, validation_data=HELD,
        callbacks=[bpnet.EarlyStopping(patience=20)],
    )  # fmt: skip
    best = min(history["val_loss"])
    assert_allclose(stopped.evaluate(*HELD)["loss"], best, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_resumed_run_gives_the_same_bits(dtype, backend, tmp_path):
    optimizer = MovingAverage(bpnet.AdamW(schedules.Cosine(0.1, EPOCHS), 0.1), 0.9)
    path = tmp_path / "run.safetensors"
    whole, history = fitted(optimizer, backend, dtype)
    fitted(optimizer, backend, dtype, epochs=2, callbacks=[bpnet.Checkpoint(path)])
    net, resumed = fitted(optimizer, backend, dtype, resume_from=path)
    assert resumed["loss"] == history["loss"]
    for p, expected in zip(
        host(net.parameters, backend), host(whole.parameters, backend), strict=True
    ):
        assert_array_equal(p, expected)
    with pytest.raises(ValueError, match="optimizer"):
        fitted(optimizer.replace(decay=0.8), backend, dtype, resume_from=path)


class Setting(bpnet.Callback):
    """Sets the weights after the first epoch, by assignment or by changing the dict."""

    def __init__(self, values, assigns):
        self.values, self.assigns = values, assigns

    def on_epoch_end(self, training):
        if training.epoch == 1:
            backend = training.backend
            values = [{k: backend.asarray(v) for k, v in p.items()} for p in self.values]
            if self.assigns:
                training.parameters = values
            else:
                for layer, new in zip(training.parameters, values, strict=True):
                    layer.update(new)


@pytest.mark.parametrize("assigns", [True, False])
def test_set_weights_are_where_the_steps_go_on(assigns, backend):
    values = [
        {k: np.full_like(p, 0.1) for k, p in layer.items()}
        for layer in network().build(3).placement.parameters
    ]
    optimizer, setting = bpnet.SGD(0.1), Setting(values, assigns)
    _, history = fitted(optimizer, backend, callbacks=[setting], epochs=2)
    _, averaged = fitted(MovingAverage(optimizer), backend, callbacks=[setting], epochs=2)
    assert_allclose(averaged["loss"], history["loss"], rtol=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_last_good_average_is_kept(backend):
    class Spoil(bpnet.Callback):
        def on_epoch_begin(self, training):
            if training.epoch == 2:
                training.set_learning_rate(1e300)

    optimizer = MovingAverage(bpnet.SGD(0.1), 0.9)
    net, history = fitted(
        optimizer, backend, on_nonfinite="restore", callbacks=[Spoil()], epochs=6
    )
    assert history.stopped.startswith("not finite in")
    good, _ = fitted(optimizer, backend, epochs=2)
    for p, expected in zip(
        host(net.parameters, backend), host(good.parameters, backend), strict=True
    ):
        assert_allclose(p, expected, rtol=1e-12)


def test_gradient_flow_measures_the_steps(backend):
    histories = [
        fitted(optimizer, backend, callbacks=[bpnet.GradientFlow(every=1)])[1]
        for optimizer in (bpnet.SGD(0.1), MovingAverage(bpnet.SGD(0.1), 0.9))
    ]
    names = [name for name in histories[0] if "/" in name or name == "data_loss"]
    assert "update_ratio/2" in names
    for name in names:
        assert_allclose(histories[1][name], histories[0][name], rtol=1e-9)


def test_it_describes_itself():
    optimizer = MovingAverage("adam", 0.99)
    assert repr(optimizer) == "MovingAverage(Adam(0.001), 0.99)"
    assert optimizer == MovingAverage(bpnet.Adam(), 0.99) != optimizer.replace(decay=0.9)
    assert optimizer.state_names == ("weights", "m", "v")
    other = MovingAverage(bpnet.Adam(0.5), 0.99)
    assert other.settings == optimizer.settings != optimizer.replace(decay=0.9).settings


class Whole(bpnet.optimizers.Optimizer):
    """Has its own update."""

    def rule(self, xp, p, g, *numbers):
        return (p,)

    def update(self, *arguments):
        raise NotImplementedError


@pytest.mark.parametrize("wrong", [MovingAverage(bpnet.SGD()), Whole(0.1)], ids=repr)
def test_what_it_cannot_average_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^optimizer must be one with a rule .*; got"):
        MovingAverage(wrong)


def test_a_wrong_rule_inside_is_named():
    class Wrong(bpnet.optimizers.Optimizer):
        def rule(self, xp, p, g, *numbers):
            return (xp.astype(p, xp.float32),)

    with pytest.raises(bpnet.ComponentError, match=r"Wrong.*must return arrays like"):
        fitted(MovingAverage(Wrong(0.1)))
