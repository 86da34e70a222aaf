"""Saving, loading and resuming: resumed runs equal uninterrupted ones."""

from __future__ import annotations

import copy
import os
import pathlib
import pickle
import types
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import bpnet
from bpnet import initializers, schedules
from bpnet.activations import ACTIVATIONS, ELU, LeakyReLU
from bpnet.losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    Masked,
    Quantile,
)
from bpnet.serialization.config import build, describe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(37, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=37)
EPOCHS = 6


class StopAfter(bpnet.Callback):
    """Ends training like a crash; the network is discarded."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, training):
        if training.epoch == self.epoch:
            raise KeyboardInterrupt


def network(seed=3, dtype="float32", **settings):
    layers = [bpnet.Dense(8, "tanh", l2=0.01), bpnet.Dropout(0.3), bpnet.Dense(1, **settings)]
    return bpnet.Network(layers, "mean_squared_error", seed=seed, dtype=dtype)


def train(net, backend="numpy", **settings):
    settings = {"epochs": EPOCHS, "batch_size": 8, "validation_split": 0.2} | settings
    return net.fit(X, Y, backend=backend, **settings)


def stopped_after(epoch, path, *, net=None, callbacks=(), **settings):
    """Train with checkpoints until a simulated crash."""
    watchers = [*callbacks, bpnet.Checkpoint(path), StopAfter(epoch)]
    with pytest.raises(KeyboardInterrupt):
        train(net or network(), callbacks=watchers, **settings)


def assert_equal(net, other):
    assert (net.steps_taken, net.epochs_taken) == (other.steps_taken, other.epochs_taken)
    for layer, reference in zip(net.parameters, other.parameters, strict=True):
        assert layer.keys() == reference.keys()
        for name, p in layer.items():
            p, q = net.backend.to_numpy(p), other.backend.to_numpy(reference[name])
            assert p.dtype == q.dtype
            assert_array_equal(p.view(np.uint8), q.view(np.uint8))


def assert_same_history(history, other):
    assert list(history) == list(other)
    for name, figures in history.items():
        assert_array_equal(figures, other[name], strict=True)
    assert (history.stopped, history.best_epoch) == (other.stopped, other.best_epoch)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


# --- networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_is_loaded_as_it_was_saved(path, backend, dtype):
    net = network(dtype=dtype)
    train(net, backend, epochs=2)
    net.save(path)
    twin = bpnet.load(path, backend)
    assert twin.backend == backend
    assert_equal(twin, net)
    assert (twin.seed, twin.dtype, twin.n_inputs) == (net.seed, net.dtype, 3)
    assert repr(twin) == repr(net)
    assert_equal(bpnet.load(path), net)  # on another backend
    train(net, backend, epochs=1)
    train(twin, backend, epochs=1)
    assert_equal(twin, net)


def test_a_penalty_that_is_shared_stays_so(path):
    net = network().build(3)
    net.set_average_penalty(True)
    net.save(path)
    assert bpnet.load(path).spec.average_penalty is True
    assert bpnet.load(path).keys == net.keys


def test_weights_that_are_not_finite_are_kept_too(path):
    net = network().build(3)
    net.set_parameters(
        net.backend, [{n: p * np.nan for n, p in layer.items()} for layer in net.placement[1]]
    )
    net.save(path)
    assert_equal(bpnet.load(path), net)


def test_a_file_is_one_of_safetensors(path):
    from safetensors.numpy import load_file

    net = network().build(3)
    net.save(path)
    tensors = load_file(path)
    assert sorted(tensors) == ["layers.0.W", "layers.0.b", "layers.2.W", "layers.2.b"]
    assert_array_equal(tensors["layers.0.W"], net.parameters[0]["W"])


def test_a_network_without_weights_is_not_saved(path):
    with pytest.raises(ValueError, match="no parameters yet"):
        network().save(path)
    assert not path.exists()


class Tanh(bpnet.activations.Tanh):
    """Would be loaded as bpnet's own."""


class Doubled(bpnet.activations.LeakyReLU):
    """Cannot be built from its attributes."""

    def __init__(self, negative_slope):
        super().__init__(2.0 * negative_slope)


class Unnamed(bpnet.activations.Tanh):
    """Does not store its parameter."""

    def __init__(self, scale):
        pass


class Listed(bpnet.activations.Tanh):
    """Does not name its parameters."""

    def __init__(self, *scales):
        pass


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (bpnet.Dense(2, init=lambda rng, n, m: np.ones((n, m))), "a function with a name"),
        (bpnet.Dense(2, Tanh()), r"Tanh.*has the name of bpnet's own activations\.Tanh"),
        (bpnet.Dense(2, Doubled(0.1)), r"Doubled\(.*builds another one, Doubled\("),
        (
            bpnet.Dense(2, Unnamed(3)),
            "Unnamed takes the parameter 'scale' but has no attribute",
        ),
        (bpnet.Dense(2, Listed(3)), r"Listed takes \*args"),
    ],
)
def test_what_cannot_be_built_again_is_refused_when_it_is_saved(path, layer, message):
    net = bpnet.Network([layer, bpnet.Dense(1)], "huber", seed=0).build(3)
    with pytest.raises(TypeError, match=message):
        net.save(path)
    with pytest.raises(TypeError, match=message):
        net.fit(X, Y, epochs=1, callbacks=[bpnet.Checkpoint(path)])
    assert net.epochs_taken == 0
    assert not path.exists()


def plateau():
    return schedules.ReduceOnPlateau(0.1, "val_loss", patience=1, mode="max")


SCHEDULES = [
    schedules.Constant(0.1), schedules.Step(0.1, 3), schedules.Exponential(0.1, 0.9),
    schedules.InverseScaling(0.1, 0.7), schedules.Cosine(0.1, 5, 0.01), plateau(),
    schedules.WarmUp(schedules.Step(0.1, 2), 3, 0.1), schedules.WarmUp(plateau(), 2),
    schedules.FlatCosine(0.1, 5), schedules.CosLog(0.1, 5, 3), schedules.OneCycle(0.1, 5, 0.4),
    schedules.CosineRestarts(0.1, 2, 3, 0.01),
]  # fmt: skip
OPTIMIZERS = [
    bpnet.SGD(0.1), bpnet.SGD(0.1, 0.9, True, clip_value=1.0), bpnet.Adagrad(0.1),
    bpnet.RMSprop(0.01, 0.8, weight_decay=0.1), bpnet.Adam(0.01, 0.8, 0.9, 1e-7, clip_norm=1.0),
    bpnet.AdamW(0.01, 0.2), bpnet.MovingAverage(bpnet.SGD(0.1, 0.9), 0.99),
]  # fmt: skip
OBJECTS = [
    *[("schedules", s) for s in SCHEDULES],
    *[("optimizers", o) for o in OPTIMIZERS],
    *[("activations", a) for a in (*ACTIVATIONS.values(), LeakyReLU(0.3), ELU(0.5))],
    *[
        ("losses", loss)
        for loss in (
            *LOSSES.values(),
            Huber(2.0),
            CategoricalCrossentropy(0.1),
            BinaryCrossentropy(0.2),
            Masked("mse", (1, 2)),
            Quantile((0.1, 0.9)),
            CategoricalCrossentropy(0.0, (1, 2)),
        )
    ],
    *[("initializers", i) for i in initializers.INITIALIZERS.values()],
    ("layers", bpnet.Dropout(0.25)),
    ("layers", bpnet.Dense(3, LeakyReLU(0.1), init="orthogonal", bias_init="normal", l1=0.1)),
]


def named(value):
    return value if isinstance(value, str) else describe(value)["class"]


@pytest.mark.parametrize(("kind", "value"), OBJECTS, ids=named)
def test_a_description_is_turned_back(kind, value):
    description = describe(value)
    twin = build(description, kind)
    assert type(twin) is type(value)
    assert twin == value
    assert describe(twin) == description
    if kind == "schedules":
        assert [twin(t / 2) for t in range(12)] == [value(t / 2) for t in range(12)]


# --- trainings --------------------------------------------------------------------------------


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(path, backend):
    optimizer = bpnet.Adam(schedules.Cosine(0.05, EPOCHS))
    whole, resumed = network(), network()
    expected = train(whole, backend, optimizer=optimizer)
    stopped_after(4, path, optimizer=optimizer, backend=backend)
    history = train(resumed, backend, optimizer=optimizer, resume_from=path)
    assert_equal(resumed, whole)
    assert_same_history(history, expected)
    again = train(resumed, backend, epochs=1), train(whole, backend, epochs=1)
    assert_same_history(*again)


def assert_goes_on_from_every_epoch(folder, backend="numpy", callbacks=list, **settings):
    """Train with a file for each epoch, and resume from each of them, latest first.

    The same network resumes them all: its previous state must not matter.
    """
    whole, resumed = network(), network()
    watchers = [*callbacks(), bpnet.Checkpoint(folder / "{epoch}")]
    expected = train(whole, backend, callbacks=watchers, **settings)
    settings.pop("optimizer", None)  # it is in the file
    for epoch in range(expected.epochs, 0, -1):
        path = folder / str(epoch)
        history = train(resumed, backend, callbacks=callbacks(), resume_from=path, **settings)
        assert_same_history(history, expected)
        assert_equal(resumed, whole)
    return expected


def test_a_training_goes_on_from_every_epoch(tmp_path, backend):
    optimizer = bpnet.Adam(schedules.Cosine(0.05, EPOCHS))
    assert_goes_on_from_every_epoch(tmp_path, backend, optimizer=optimizer)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=named)
def test_every_optimizer_goes_on(tmp_path, optimizer):
    assert_goes_on_from_every_epoch(tmp_path, optimizer=optimizer)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=named)
def test_every_schedule_goes_on(tmp_path, schedule):
    optimizer = bpnet.SGD(copy.deepcopy(schedule), momentum=0.5)
    assert_goes_on_from_every_epoch(tmp_path, optimizer=optimizer, epochs=10)


@pytest.mark.parametrize("restore_best", [False, True])
def test_early_stopping_goes_on_waiting(tmp_path, restore_best):
    def stopping():
        return [bpnet.EarlyStopping(patience=4, restore_best=restore_best)]

    history = assert_goes_on_from_every_epoch(
        tmp_path, callbacks=stopping, optimizer=bpnet.Adam(0.1), epochs=60
    )
    assert 8 < history.epochs < 60


def test_a_training_on_data_moved_piece_by_piece_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(type(bpnet.get_backend("numpy")), "fits", lambda self, nbytes: False)
    assert_goes_on_from_every_epoch(tmp_path)


@pytest.mark.parametrize("recorder", [bpnet.GradientFlow, bpnet.Doctor])
def test_the_gradient_flow_goes_on_being_recorded(path, recorder):
    with warnings.catch_warnings(record=True) as expected_warnings:
        warnings.simplefilter("always", bpnet.TrainingWarning)
        expected = train(network(), callbacks=[recorder(every=4)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", bpnet.TrainingWarning)
        stopped_after(2, path, callbacks=[recorder(every=4)])
        again = recorder(every=4)
        history = train(network(), callbacks=[again], resume_from=path)
    assert_same_history(history, expected)
    assert repr(history.facts) == repr(expected.facts)
    assert str(bpnet.diagnose(history)) == str(bpnet.diagnose(expected))
    assert [str(w.message) for w in caught] == [str(w.message) for w in expected_warnings]


def test_a_training_that_meets_an_infinity_goes_on_to_meet_it_again(path):
    """Both the file and the final network hold the last good epoch."""
    settings = {"optimizer": bpnet.SGD(1.0), "epochs": 9}
    nets, errors = [network(), network()], []
    with np.errstate(all="ignore"):
        for net, extra in zip(
            nets, ({"callbacks": [bpnet.Checkpoint(path)]}, {"resume_from": path}), strict=True
        ):
            with pytest.raises(bpnet.NonFiniteError) as caught:
                train(net, **settings, **extra)
            errors.append(caught.value)
    first, again = errors
    assert again.found == first.found
    assert_same_history(again.history, first.history)
    good = network()
    train(good, **settings | {"epochs": first.found.epoch - 1})
    assert good.epochs_taken > 1
    for net in (*nets, bpnet.load(path)):
        assert_equal(net, good)


def test_a_training_that_ignores_an_infinity_goes_on(tmp_path):
    settings = {"optimizer": bpnet.SGD(1.0), "epochs": 9, "on_nonfinite": "ignore"}
    with np.errstate(all="ignore"):
        history = assert_goes_on_from_every_epoch(tmp_path, **settings)
    assert not np.isfinite(history["loss"][-1])


def test_snapshots_begin_anew(path):
    stopped_after(4, path, callbacks=[bpnet.Snapshots(every=2)])
    snapshots = bpnet.Snapshots(every=2)
    train(network(), callbacks=[snapshots], resume_from=path)
    assert [(s.epoch, s.loss is None) for s in snapshots.taken] == [(4, True), (6, False)]


def test_a_training_in_order_with_weights_and_a_second_fit_goes_on(path):
    settings = {
        "shuffle": False,
        "sample_weight": np.linspace(0.5, 2.0, 37),
        "batch_size": None,
    }
    nets = [network(dtype="float64") for _ in range(3)]
    for net in nets:
        train(net, epochs=2)  # the counters of this run continue in the next
    expected = train(nets[0], **settings)
    stopped_after(3, path, net=nets[1], **settings)
    assert_same_history(train(nets[2], resume_from=path, **settings), expected)
    assert_equal(nets[2], nets[0])


def test_a_training_of_one_backend_goes_on_upon_another(path, backend):
    stopped_after(3, path, backend=backend)
    net = network()
    history = train(net, "numpy", resume_from=path)
    assert net.backend.name == "numpy"
    assert history.epochs == EPOCHS
    assert history["loss"][-1] < history["loss"][0]


def test_the_seconds_before_the_stop_count_too(path, monkeypatch):
    clock = types.SimpleNamespace(now=100.0)
    clock.perf_counter = lambda: clock.now
    monkeypatch.setattr("bpnet.training.loop.time", clock)

    class TenSeconds(bpnet.Callback):
        def on_epoch_begin(self, training):
            clock.now += 10.0

    stopped_after(2, path, callbacks=[TenSeconds()])
    clock.now += 1000.0
    history = train(network(), resume_from=path, callbacks=[TenSeconds()])
    assert history.seconds == 10.0 * EPOCHS


def test_a_training_that_has_ended_is_taken_as_it_is(path):
    whole, resumed = network(), network()
    expected = train(whole, callbacks=[bpnet.Checkpoint(path, every=4)])
    assert_same_history(train(resumed, resume_from=path), expected)
    assert_equal(resumed, whole)
    assert_equal(bpnet.load(path), whole)


def other(**settings):
    return {
        "net": network(),
        "optimizer": None,
        "X": X,
        "epochs": EPOCHS,
        "batch_size": 8,
    } | settings


REFUSED = {
    "layers": (other(net=network(activation="identity", l1=0.1)), "network's layers"),
    "seed": (other(net=network(seed=4)), "network's seed"),
    "dtype": (other(net=network(dtype="float64")), "network's dtype"),
    "optimizer": (other(optimizer=bpnet.SGD()), "the optimizer"),
    "rate": (other(optimizer=bpnet.Adam(0.1)), "the optimizer"),
    "batch size": (other(batch_size=9), "batch_size must be the same"),
    "examples": (other(X=X + 1e-3), "the training examples"),
    "epochs": (other(epochs=2), "epochs counts from the first epoch"),
    "no split": (other(validation_split=0.0), "the training examples"),
    "shuffle": (other(shuffle=False), "shuffle must be the same"),
    "metrics": (
        other(metrics=["mae", "r2"]),
        "metrics must be the same .* 'val_mae' is missing",
    ),
    "of training": (other(metrics="r2", training_metrics=True), "got r2, so 'r2' is missing"),
}


def test_metrics_go_on_in_a_resumed_run(path):
    settings = {"metrics": ["r2", "mae"], "training_metrics": True}
    stopping = [bpnet.EarlyStopping("val_r2", patience=9)]
    stopped_after(3, path, callbacks=stopping, **settings)
    whole, resumed = network(), network()
    expected = train(whole, callbacks=stopping, **settings)
    again = [bpnet.EarlyStopping("val_r2", patience=9)]
    assert_same_history(train(resumed, resume_from=path, callbacks=again, **settings), expected)
    assert again[0].best == max(expected["val_r2"])
    assert_equal(resumed, whole)


@pytest.mark.parametrize("name", REFUSED)
def test_another_training_is_not_resumed(path, name):
    settings, message = REFUSED[name]
    settings = {"validation_split": 0.2} | settings
    stopped_after(3, path)
    net, X = (settings.pop(key) for key in ("net", "X"))
    with pytest.raises(ValueError, match=message):
        net.fit(X, Y, resume_from=path, **settings)
    assert not net.is_built


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=named)
def test_a_saved_network_goes_on_training(path, optimizer):
    whole, first, second = network(), network(), network()
    expected = train(whole, optimizer=optimizer)
    train(first, optimizer=optimizer, epochs=2)
    first.save(path)
    assert_equal(bpnet.load(path), first)
    assert_same_history(train(second, resume_from=path), expected)
    assert_equal(second, whole)


class MySGD(bpnet.SGD):
    """Cannot describe itself."""

    def __init__(self, *rates):
        super().__init__(*rates)


def fresh(net):
    net.parameters = [{n: p + 0 for n, p in layer.items()} for layer in net.parameters]


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({}, fresh),
        ({}, lambda net: net.build(3)),
        ({"optimizer": MySGD()}, lambda net: None),
        ({"callbacks": [bpnet.EarlyStopping()]}, lambda net: None),
    ],
    ids=["assigned", "built", "an optimizer of the user's", "best weights restored"],
)
def test_a_network_that_is_not_as_its_training_left_it_is_saved_alone(path, settings, change):
    net = network()
    train(net, epochs=2, **settings)
    change(net)
    net.save(path)
    assert_equal(bpnet.load(path), net)
    with pytest.raises(bpnet.ModelFileError, match="without a training run"):
        train(network(), resume_from=path)


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["copy", "pickle"],
)
def test_a_copy_is_saved_without_the_training(path, duplicate):
    net = network()
    train(net, epochs=2)
    twin = duplicate(net)
    assert twin._last_run is None
    twin.save(path)
    assert_equal(bpnet.load(path), net)
    with pytest.raises(bpnet.ModelFileError, match="without a training run"):
        train(network(), resume_from=path)


def test_a_callback_that_had_a_state_must_be_there(path):
    stopped_after(2, path, callbacks=[bpnet.EarlyStopping()])
    net = network()
    with pytest.raises(ValueError, match="state of the callback EarlyStopping"):
        train(net, resume_from=path)
    assert not net.is_built


def test_a_file_of_a_network_alone_is_not_resumed(path):
    network().build(3).save(path)
    with pytest.raises(bpnet.ModelFileError, match="without a training run"):
        train(network(), resume_from=path)


# --- when and what a checkpoint writes --------------------------------------------------------


def written(folder):
    return sorted(p.name for p in folder.iterdir())


def test_every_and_keep_last(tmp_path):
    checkpoint = bpnet.Checkpoint(tmp_path / "{epoch}.st", every=2, keep_last=2)
    train(network(), callbacks=[checkpoint], epochs=7)
    assert written(tmp_path) == ["6.st", "7.st"]
    assert checkpoint.last == str(tmp_path / "7.st")
    train(network(), callbacks=[checkpoint], epochs=9, resume_from=tmp_path / "7.st")
    assert written(tmp_path) == ["8.st", "9.st"]  # the earlier two are removed in turn


def test_minutes(tmp_path, monkeypatch):
    now = iter(range(0, 10000, 25))
    monkeypatch.setattr("bpnet.callbacks.checkpoint.time.monotonic", lambda: float(next(now)))
    train(network(), epochs=8, callbacks=[bpnet.Checkpoint(tmp_path / "{epoch}", minutes=1.0)])
    assert written(tmp_path) == ["3", "6", "8"]


def test_best_only(tmp_path):
    checkpoint = bpnet.Checkpoint(tmp_path / "best", best_only=True)
    history = train(network(), callbacks=[checkpoint], epochs=30, optimizer=bpnet.SGD(0.2, 0.8))
    best = int(np.argmin(history["val_loss"])) + 1
    assert 1 <= best < 30
    assert bpnet.load(checkpoint.last).epochs_taken == best


def test_a_folder_that_is_missing_is_found_before_the_first_epoch(tmp_path):
    net = network()
    with pytest.raises(FileNotFoundError, match="no such folder"):
        train(net, callbacks=[bpnet.Checkpoint(tmp_path / "none" / "net")])
    assert net.epochs_taken == 0


def test_without_safetensors_the_error_names_the_line(path, monkeypatch):
    net = network().build(3)
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    for use in (lambda: net.save(path), lambda: bpnet.load(path)):
        with pytest.raises(ImportError, match="pip install safetensors"):
            use()


def test_paths_of_all_kinds(tmp_path):
    net = network().build(3)
    for path in (
        str(tmp_path / "a"),
        pathlib.Path(tmp_path / "b"),
        os.fsencode(tmp_path / "c"),
    ):
        net.save(path)
        assert_equal(bpnet.load(path), net)
