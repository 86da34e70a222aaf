"""Monitored names: their directions, and those that are refused before the first epoch."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from refusals import Unchanged

import bpnet
from bpnet.callbacks.progress import ProgressBar
from bpnet.errors import ComponentError

X, Y = bpnet.datasets.make_moons(60, seed=1)
SPLIT = {"validation_split": 0.3}
NAMES = "learning_rate, loss, val_accuracy, val_loss"


def network():
    return bpnet.Network(
        [bpnet.Dense(8, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0
    )


def train(callbacks, net=None, epochs=3, **settings):
    return (net or network()).fit(X, Y, epochs=epochs, callbacks=callbacks, **settings)


class Adds(bpnet.Callback):
    """Adds a metric without a word about it."""

    def __init__(self, name="figure"):
        self.name = name

    def on_epoch_end(self, training):
        training.logs[self.name] = float(training.epoch)


class Declares(Adds):
    adds = {"figure": "max", "other/*": "min", "plain": None}  # noqa: RUF012


class Directions(bpnet.Callback):
    def setup(self, training):
        self.seen = training.directions


def test_directions_of_all_names():
    seen = Directions()
    train([seen, Declares(), bpnet.GradientFlow()], metrics=["f1", "log_loss"],
          training_metrics=True, epochs=1, **SPLIT)  # fmt: skip
    own = {"loss": "min", "learning_rate": None, "f1": "max", "log_loss": "min"}
    validation = {"val_loss": "min", "val_f1": "max", "val_log_loss": "min"}
    assert seen.seen.items() >= (own | validation | Declares.adds).items()
    assert seen.seen["dead/*"] is None
    assert seen.seen["data_loss"] == "min"
    train(seen, epochs=1)
    assert seen.seen == {"loss": "min", "learning_rate": None}


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_f1"])
def test_what_is_better_when_larger_is_maximized(monitor):
    stopping = bpnet.EarlyStopping(monitor, patience=5)
    history = train(stopping, epochs=60, metrics=["accuracy", "f1"], **SPLIT)
    values = history[monitor]
    assert values[history.best_epoch - 1] == max(values) > min(values)
    assert history.best_epoch == int(np.argmax(values)) + 1


@pytest.mark.parametrize(("mode", "best"), [("min", 1), ("max", 3), (None, 3)])
def test_a_mode_that_is_passed_goes_first(mode, best, tmp_path):
    stopping = bpnet.EarlyStopping("figure", mode=mode)
    checkpoint = bpnet.Checkpoint(
        tmp_path / "{epoch}", best_only=True, monitor="figure", mode=mode
    )
    train([Declares(), stopping, checkpoint])
    assert stopping.best_epoch == best
    assert checkpoint.last == str(tmp_path / str(best))


REFUSED = {
    "unknown": ("val_acc", {}, SPLIT, f"^monitor must be one of {NAMES}; got 'val_acc'; did"),
    "no validation": (
        "val_loss", {}, {}, "got 'val_loss'; pass validation_data or validation_split$",
    ),
    "no direction": ("learning_rate", {}, {}, "mode must be 'min' or 'max' .*; got None$"),
    "with a mode": ("val_acc", {"mode": "max"}, SPLIT, "^monitor must be one of .* 'val_acc'"),
    "only of the training data": ("accuracy", {}, SPLIT, f"one of {NAMES}; got 'accuracy'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_monitor_that_nothing_records_is_refused_before_the_first_epoch(case, tmp_path):
    monitor, settings, given, message = REFUSED[case]
    net, path = network(), tmp_path / "net"
    known = [bpnet.Snapshots(), Directions(), ProgressBar()]
    for callback in (
        bpnet.EarlyStopping(monitor, **settings),
        bpnet.Checkpoint(path, best_only=True, monitor=monitor, **settings),
    ):
        Unchanged(net, callback).refuses(
            lambda callback=callback: train([*known, callback], net, **given),
            ValueError,
            message,
        )
    train([bpnet.Checkpoint(path, monitor=monitor)], epochs=1)  # which monitors nothing


def test_names_of_a_callback_that_does_not_declare_them_are_checked_after_an_epoch():
    train([Adds("val_own"), bpnet.EarlyStopping("val_own", mode="max")])
    net = network()
    with pytest.raises(ValueError, match=r"one of figure, learning_rate, loss; got 'fig'$"):
        train([Adds(), bpnet.EarlyStopping("fig", mode="max")], net)
    assert net.epochs_taken == 1
    for name, hint in (("figure", "got None$"), ("val_own", "for a .* pass validation_data")):
        fresh = network()
        Unchanged(fresh).refuses(
            lambda name=name, net=fresh: train([Adds(name), bpnet.EarlyStopping(name)], net),
            ValueError,
            f"mode must be 'min' or 'max' for the monitor '{name}'.*{hint}",
        )


class Silent(Declares):
    """Overrides the hook again, without declaring what that adds."""

    def on_epoch_end(self, training):
        training.logs["another"] = 1.0


def test_what_is_declared_counts_for_the_hook_of_its_class_only():
    assert train([Silent(), bpnet.EarlyStopping("another", mode="max")]).best_epoch == 1
    hooked = Directions()
    hooked.on_epoch_end = lambda training: training.logs.update(figure=1.0)
    train([hooked, bpnet.EarlyStopping("figure", mode="max")])
    hooked.adds = {"figure": "max"}
    assert train([hooked, bpnet.EarlyStopping("figure")]).best_epoch == 1
    with pytest.raises(ValueError, match=r"^monitor must be one of figure, .* got 'fig'$"):
        train([hooked, bpnet.EarlyStopping("fig", mode="max")])


def test_a_star_stands_for_many_names():
    stopping = bpnet.EarlyStopping("gradient_norm/1", mode="max", patience=1)
    train([bpnet.GradientFlow(), stopping])
    assert stopping.best_epoch is not None
    with pytest.raises(ValueError, match=r"mode must be 'min' or 'max' .*'gradient_norm/1'"):
        train([bpnet.GradientFlow(), bpnet.EarlyStopping("gradient_norm/1")])
    with pytest.raises(ValueError, match=r"one of .*gradient_norm/\*.*; got 'gradient/1'"):
        train([bpnet.Doctor(), bpnet.EarlyStopping("gradient/1", mode="max")])


@pytest.mark.parametrize("adds", [["figure"], {"figure": "up"}, {3: "min"}, "figure"])
def test_what_is_declared_wrongly_is_refused(adds):
    kind, net = type("Wrong", (Adds,), {"adds": adds}), network()
    message = "adds of Wrong must map each name .* to 'min', 'max' or None"
    Unchanged(net).refuses(lambda: train(kind(), net), bpnet.ComponentError, message)


def test_setup_may_refuse_before_anything_changes():
    class Refuses(bpnet.Callback):
        def setup(self, training):
            if training.epochs > 5:
                raise ValueError("too long")

    net = network()
    with pytest.raises(ValueError, match="too long"):
        train(Refuses(), net, epochs=6)
    assert not net.is_built
    train(Refuses(), net)


# --- numbers that callbacks add -----------------------------------------------------------


def trained_with(logs_of, **options):
    """Train with a callback that updates the logs by ``logs_of(epoch)``; return the history."""

    class Adds(bpnet.Callback):
        def on_epoch_end(self, training):
            training.logs.update(logs_of(training.epoch))

    X, y = bpnet.datasets.make_xor(20, seed=0)
    net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
    return net, net.fit(X, y, epochs=4, callbacks=[Adds(), *options.pop("then", ())], **options)


def test_a_number_of_a_library_is_stored_as_a_float(backend):
    value = backend.asarray(np.array(0.5, np.float32))
    history = trained_with(lambda epoch: {"extra": value}, progress=True)[1]
    assert json.loads(json.dumps(history.history))["extra"] == [0.5] * 4
    assert {type(v) for v in history["extra"]} == {float}


def test_the_next_callback_and_the_schedule_see_floats():
    seen = []

    class Looks(bpnet.Callback):
        def on_epoch_end(self, training):
            seen.append(training.logs["extra"])

    rule = bpnet.schedules.ReduceOnPlateau(0.1, monitor="extra", mode="min")
    trained_with(
        lambda epoch: {"extra": np.array([epoch])}, then=[Looks()], optimizer=bpnet.SGD(rule)
    )
    assert seen == [1.0, 2.0, 3.0, 4.0]
    assert {type(v) for v in seen} == {float}


def test_a_metric_of_some_epochs_is_nan_in_the_others():
    history = trained_with(lambda epoch: {f"epoch {epoch}": 1.0} if epoch in (2, 4) else {})[1]
    nan = math.nan
    with_none = trained_with(lambda epoch: {"extra": None if epoch < 4 else 1.0})[1]
    np.testing.assert_array_equal(with_none["extra"], [nan, nan, nan, 1.0])
    np.testing.assert_array_equal(history["epoch 2"], [nan, 1.0, nan, nan])
    np.testing.assert_array_equal(history["epoch 4"], [nan, nan, nan, 1.0])
    assert list(history) == ["loss", "learning_rate", "epoch 2", "epoch 4"]


@pytest.mark.parametrize("value", ["0.5", [1.0], np.ones(2), 1j, np.datetime64("2020")])
def test_what_is_no_number_is_refused_by_name(value):
    with pytest.raises(ComponentError, match=r"^the callback Adds must add numbers.*'extra'"):
        trained_with(lambda epoch: {"extra": value})


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda training: training.logs.clear(), r"must not remove learning_rate, loss"),
        (lambda training: setattr(training, "logs", 3), r"must leave training.logs a dict"),
        (lambda training: training.logs.update({1: 2.0}), r"names that are strings.* for 1"),
    ],
)
def test_the_form_of_the_logs_is_kept(act, message):
    class Breaks(bpnet.Callback):
        def on_epoch_end(self, training):
            act(training)

    X, y = bpnet.datasets.make_xor(20, seed=0)
    net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0).build(2)
    before = np.array(net.parameters[0]["W"])
    with pytest.raises(ComponentError, match=message):
        net.fit(X, y, epochs=2, callbacks=[Breaks()])
    np.testing.assert_array_equal(net.parameters[0]["W"], before)
