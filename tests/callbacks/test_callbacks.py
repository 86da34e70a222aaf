"""Callbacks: hooks, early stopping, gradient metrics, progress bar; and the history."""

from __future__ import annotations

import copy
import io
import math
import pickle
import sys
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.testing import assert_allclose
from on_host import assert_same, flat

import bpnet
from bpnet.callbacks.progress import ProgressBar
from bpnet.common.plurals import number_of
from bpnet.random import generator
from bpnet.schedules import ReduceOnPlateau

pytestmark = [pytest.mark.few_on_jax, pytest.mark.once_on_jax]  # it compiles each case

M, BATCH = 10, 4  # three batches in an epoch
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3
W = RNG.uniform(0.5, 2.0, M)
NAN, INF = math.nan, math.inf


def network(units=4, dtype="float64"):
    layers = [bpnet.Dense(units, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(1)]
    return bpnet.Network(layers, "mean_squared_error", seed=2, dtype=dtype)


def train(net, callbacks, backend="numpy", epochs=2, **settings):
    settings = {"optimizer": bpnet.SGD(0.05), "batch_size": BATCH} | settings
    return net.fit(X, Y, epochs=epochs, callbacks=callbacks, backend=backend, **settings)


class Hooks(bpnet.Callback):
    """Does the same in every hook."""

    def at(self, hook, training):
        raise NotImplementedError

    def on_train_begin(self, training):
        self.at("train_begin", training)

    def on_epoch_begin(self, training):
        self.at("epoch_begin", training)

    def on_batch_end(self, training):
        self.at("batch_end", training)

    def on_epoch_end(self, training):
        self.at("epoch_end", training)

    def on_train_end(self, training):
        self.at("train_end", training)


class Record(Hooks):
    """Records the names of the hooks with what each sees."""

    def __init__(self, name="", calls=None):
        self.name = name
        self.calls = [] if calls is None else calls

    def at(self, hook, training):
        figures = tuple(training.logs) if hook == "epoch_end" else ()
        self.calls.append((self.name + hook, training.epoch, training.history.epochs, *figures))


class Figures(bpnet.Callback):
    """Adds a metric with given values, and keeps the parameters of each epoch."""

    adds: Mapping[str, str | None] = {"figure": "min"}

    def __init__(self, *values):
        self.values = values
        self.kept = []

    def on_epoch_end(self, training):
        training.logs["figure"] = self.values[training.epoch - 1]
        self.kept.append(flat(training.backend, training.parameters))


# --- hooks ------------------------------------------------------------------------------------


def test_the_order_of_the_hooks():
    record = Record()
    train(network(), [record])
    figures = ("loss", "learning_rate")
    assert record.calls == [
        ("train_begin", 0, 0),
        ("epoch_begin", 0, 0),
        *[("batch_end", 0, 0)] * 3,
        ("epoch_end", 1, 0, *figures),
        ("epoch_begin", 1, 1),
        *[("batch_end", 1, 1)] * 3,
        ("epoch_end", 2, 1, *figures),
        ("train_end", 2, 2),
    ]


def test_several_callbacks_are_called_in_their_order_and_see_earlier_figures():
    calls = []
    train(network(), (c for c in [Record("a ", calls), Figures(1.0), Record("b ", calls)]),
          epochs=1, batch_size=None)  # fmt: skip
    hooks = ("train_begin", "epoch_begin", "batch_end", "epoch_end", "train_end")
    assert [call[0] for call in calls] == [f"{name} {hook}" for hook in hooks for name in "ab"]
    ends = {name: figures for name, _, _, *figures in calls if name.endswith("epoch_end")}
    assert ends["a epoch_end"] == ["loss", "learning_rate"]
    assert ends["b epoch_end"] == ["loss", "learning_rate", "figure"]


def test_every_hook_sees_the_network_of_the_moment(backend):
    class Look(Hooks):
        def __init__(self):
            self.states = []

        def at(self, hook, training):
            assert training.network is net
            assert net.backend == training.backend == backend
            W1, b1, W2, b2 = state = flat(backend, training.parameters)
            assert_same(flat(backend, net.parameters), state)
            assert_same(flat(backend, training.copy_parameters()), state)
            assert_allclose(net.predict(X), (np.tanh(X @ W1 + b1) @ W2 + b2)[:, 0], rtol=1e-9)
            self.states.append(state)

    net, look = network(), Look()
    start = flat(bpnet.get_backend("numpy"), net.build(3, "numpy").parameters)
    train(net, look, backend, epochs=1)
    begun, _, first, second, third, ended, _ = look.states
    assert_same(begun, start)
    assert_same(ended, third)
    assert_same(flat(backend, net.parameters), third)
    for before, after in zip((begun, first, second), (first, second, third), strict=True):
        assert np.all(before[0] != after[0])


def test_a_hook_may_be_set_on_the_instance():
    class Count(bpnet.Callback):
        calls = 0

    count = Count()
    for hook in ("on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end"):
        setattr(count, hook, lambda training: setattr(count, "calls", count.calls + 1))
    train(network(), count)
    assert count.calls == 1 + 2 * (1 + 3 + 1)


@pytest.mark.parametrize(
    ("hook", "epochs"),
    [("train_begin", 0), ("epoch_begin", 1), ("batch_end", 1), ("epoch_end", 1)],
)
def test_stop_ends_training_after_the_epoch(hook, epochs):
    class Stop(Hooks):
        def at(self, name, training):
            if name == hook:
                training.stop(self.reason)

    record, first, second = Record(), Stop(), Stop()
    first.reason, second.reason = "enough", "too late"
    history = train(network(), [first, second, record], epochs=9)
    assert history.stopped == "enough"
    assert history.epochs == epochs
    assert [name for name, *_ in record.calls].count("batch_end") == 3 * epochs
    assert record.calls[-1] == ("train_end", epochs, epochs)


def test_parameters_that_a_callback_sets_are_trained_on_and_left_to_it(backend):
    """The network is so wide that NumPy steps in place; JAX frees donated buffers."""

    class Reset(Hooks):
        def at(self, hook, training):
            if hook == "train_begin":
                self.start = training.copy_parameters()
                self.values = flat(backend, self.start)
            if hook in ("epoch_begin", "train_end"):
                training.parameters = self.start
                assert_same(flat(backend, net.parameters), self.values)
            if hook == "epoch_end":
                assert not np.array_equal(flat(backend, net.parameters)[0], self.values[0])

    reset, net = Reset(), network(units=30_000)
    history = train(net, reset, backend, batch_size=None, shuffle=False)
    assert history.epochs == 2
    assert_same(flat(backend, reset.start), reset.values)
    assert_same(flat(backend, net.parameters), reset.values)


def test_another_network_may_be_trained_within_a_hook():
    class Inner(bpnet.Callback):
        def on_epoch_end(self, training):
            training.logs["inner"] = train(network(), (), epochs=1)["loss"][0]

    net, alone = network(), network()
    history = train(net, Inner())
    assert history["loss"] == train(alone, ())["loss"]
    assert history["inner"] == [history["loss"][0]] * 2


def test_an_error_in_a_callback_leaves_a_usable_network(backend):
    class Fail(Hooks):
        def at(self, hook, training):
            if (hook, training.epoch) == ("batch_end", 1):
                self.state = flat(backend, training.parameters)
                raise RuntimeError("no space left")

    fail, net = Fail(), network()
    with pytest.raises(RuntimeError, match="no space left"):
        train(net, [fail], backend)
    assert_same(flat(backend, net.parameters), fail.state)
    assert net.predict(X).shape == (M,)
    train(net, (), epochs=1)


# --- early stopping ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "settings", "epochs", "best"),
    [
        ([3, 2, 1, 2, 2, 2, 2, 2], {"patience": 2}, 6, 3),
        ([3, 2, 1, 2, 2, 0, 2, 2], {"patience": 2}, 8, 6),
        ([1, 1, 1, 1, 1], {"patience": 0}, 2, 1),
        ([3, 2, 1], {"patience": 0}, 3, 3),
        (
            [3, 2.5, 2, 1.5, 1.5, 0],
            {"patience": 1, "min_delta": 0.75, "relative": False},
            5,
            3,
        ),
        ([4e-9, 3e-9, 2e-9, 1.9e-9, 1.8e-9, 0], {"patience": 1, "min_delta": 0.2}, 5, 3),
        ([-1, -2, -2.1, -2.2, 0], {"patience": 1, "min_delta": 0.2}, 4, 2),
        ([1, 2, 3, 2, 2, 2], {"patience": 1, "mode": "max"}, 5, 3),
        ([NAN, NAN, 2, NAN, 1, NAN, NAN, NAN], {"patience": 2}, 8, 5),
        ([NAN, NAN, NAN, NAN], {"patience": 1}, 2, None),
        ([-INF, 1, 1], {"patience": 0}, 2, 1),
        ([INF, INF, 1], {"patience": 1}, 2, None),
    ],
)
def test_early_stopping_bears_so_many_epochs_and_restores_the_best(
    values, settings, epochs, best
):
    figures, stopping = Figures(*values), bpnet.EarlyStopping("figure", **settings)
    net = network()
    history = train(net, [figures, stopping], epochs=len(values), batch_size=None)
    assert history.epochs == epochs
    assert (history.best_epoch, stopping.best_epoch) == (best, best)
    if best is not None:
        assert stopping.best == values[best - 1]
    assert_same(flat(net.backend, net.parameters), figures.kept[(best or epochs) - 1])
    if epochs < len(values):
        since = f" since epoch {best}" if best else ""
        waited = epochs - (best or 0)
        assert (
            history.stopped
            == f"figure has not improved for {number_of(waited, 'epoch')}{since}"
        )


def test_the_best_weights_are_restored_on_every_backend(backend):
    figures, net = Figures(2.0, 1.0, 3.0, 3.0), network(units=30_000, dtype="float32")
    stopping = bpnet.EarlyStopping("figure", patience=1)
    history = train(net, [figures, stopping], backend, epochs=9, batch_size=None)
    assert (history.epochs, history.best_epoch) == (4, 2)
    assert_same(flat(backend, net.parameters), figures.kept[1])
    assert not np.array_equal(figures.kept[1][0], figures.kept[3][0])


def test_later_callbacks_see_the_restored_weights_at_the_end():
    class Keep(bpnet.Callback):
        def on_train_end(self, training):
            self.seen = flat(training.backend, training.network.parameters)

    figures, keep = Figures(1.0, 2.0, 3.0), Keep()
    train(network(), [figures, bpnet.EarlyStopping("figure"), keep], epochs=3)
    assert_same(keep.seen, figures.kept[0])


def test_the_last_weights_stay_if_the_best_are_not_asked_for():
    figures, net = Figures(1.0, 2.0, 3.0), network()
    stopping = bpnet.EarlyStopping("figure", patience=1, restore_best=False)
    history = train(net, [figures, stopping], epochs=9)
    assert (history.epochs, history.best_epoch, stopping.best_epoch) == (3, None, 1)
    assert_same(flat(net.backend, net.parameters), figures.kept[2])


def test_early_stopping_starts_anew_in_each_fit():
    stopping = bpnet.EarlyStopping("figure", patience=0)
    for values, best in [((1.0, 2.0), 1), ((9.0, 8.0, 9.0), 2), ((NAN, NAN), None)]:
        train(network(), [Figures(*values), stopping], epochs=len(values))
        assert stopping.best_epoch == best
    assert math.isnan(stopping.best)


def test_validation_figures_stop_training():
    """The validation targets are negated, so learning increases their loss."""
    stopping = bpnet.EarlyStopping(patience=3)
    net, settings = network(), {"validation_data": (X, -Y), "epochs": 50}
    history = train(net, stopping, **settings)
    assert history.epochs == history.best_epoch + 4 < 50
    assert net.evaluate(X, -Y)["loss"] == pytest.approx(min(history["val_loss"]), rel=1e-12)


@pytest.mark.parametrize(
    ("monitor", "settings", "message"),
    [
        ("val_loss", {}, "got 'val_loss'; pass validation_data or validation_split$"),
        ("val_acc", {"validation_split": 0.3}, "learning_rate, loss, val_loss; got 'val_acc'$"),
    ],
)
def test_a_figure_that_is_missing_is_named(monitor, settings, message):
    net = network().build(X.shape[1])
    with pytest.raises(ValueError, match=message):
        train(net, bpnet.EarlyStopping(monitor), **settings)
    with pytest.raises(ValueError, match=message):
        train(net, (), optimizer=bpnet.SGD(ReduceOnPlateau(0.1, monitor)), **settings)
    assert net.predict(X).shape == (M,)


def test_the_plateau_sees_figures_of_callbacks_and_nan_is_no_improvement():
    schedule = ReduceOnPlateau(0.1, "figure", factor=0.5, patience=1)
    figures = Figures(NAN, 1.0, NAN, NAN, 0.5, NAN, NAN, NAN)
    history = train(network(), figures, epochs=8, optimizer=bpnet.SGD(schedule))
    assert history["learning_rate"] == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025]


def test_a_training_that_diverges_ends_and_leaves_a_network(backend):
    net, stopping = network(), bpnet.EarlyStopping("loss", patience=2)
    with np.errstate(all="ignore"):
        history = train(
            net, stopping, backend, epochs=50, batch_size=None, optimizer=bpnet.SGD(1e200),
            on_nonfinite="ignore",
        )  # fmt: skip
    assert history.epochs < 10
    assert math.isnan(history["loss"][-1])
    assert np.all(np.isfinite(net.predict(X))) == (history.best_epoch == 1)


# --- gradient flow ----------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "split"), [(6, 0.0), (256, 0.0), (4, 0.3)])
def test_gradient_flow_holds_the_norms_of_the_gradients(rows, split, backend):
    norms = []

    class Expected(bpnet.Callback):
        def on_epoch_end(self, training):
            left = generator(2, "split").permutation(M)[3:] if split else np.arange(M)
            sample = left[generator(2, "sample").permutation(len(left))[:rows]]
            _, gradients = net.loss_and_gradients(X[sample], Y[sample], W[sample])
            norms.append([np.linalg.norm(layer["W"]) for layer in gradients])

    net = network()
    flow = bpnet.GradientFlow(rows, every=1)
    history = train(
        net, [flow, Expected()], backend, sample_weight=W, validation_split=split, epochs=3
    )
    names = ["gradient_norm/1", "gradient_norm/2"]  # Dropout has no weights
    assert [name for name in history if name.startswith("gradient_norm/")] == names
    assert_allclose(np.transpose([history[name] for name in names]), norms, rtol=1e-10)
    assert norms[0] != norms[2]


# --- progress bar -----------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_shows_epochs_and_figures_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    history = train(network(), bpnet.GradientFlow(), progress=True)
    shown = sys.stderr.getvalue()
    assert "2/2" in shown
    assert f"loss={history['loss'][-1]:.4g}" in shown
    assert "learning_rate=0.05" in shown
    assert "gradient_norm" not in shown  # one metric per layer would fill the line
    assert shown.endswith("\n")


def test_the_bar_is_closed_when_training_stops(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    stopping = bpnet.EarlyStopping("figure", patience=0)
    callbacks = [Figures(1.0, 2.0), stopping, ProgressBar()]
    assert train(network(), callbacks, epochs=9).epochs == 2
    assert "2/9" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\n")


class Fail(bpnet.Callback):
    def __init__(self, hook):
        setattr(self, hook, self.fail)

    def fail(self, training):
        raise RuntimeError("as it may happen")


@pytest.mark.parametrize("hook", ["on_train_begin", "on_batch_end", "on_train_end"])
def test_the_bar_is_closed_and_the_sample_freed_after_an_error(monkeypatch, hook):
    monkeypatch.setattr(sys, "stderr", Terminal())
    flow, bar = bpnet.GradientFlow(), ProgressBar()
    with pytest.raises(RuntimeError, match="as it may happen"):
        train(network(), [flow, bar, Fail(hook)])
    assert sys.stderr.getvalue().endswith("\n")
    assert flow._meter is None


def test_a_bar_that_was_not_opened_yet_stands_an_error():
    with pytest.raises(RuntimeError, match="as it may happen"):
        train(network(), [Fail("on_train_begin"), ProgressBar()])


def test_the_bar_is_quiet_without_a_terminal(capfd):
    train(network(), (), progress=True)
    assert capfd.readouterr() == ("", "")


def test_without_tqdm_there_is_one_clear_error_before_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    net = network()
    with pytest.raises(ImportError, match="needs tqdm; install it with: pip install tqdm"):
        train(net, (), progress=True)
    assert not net.is_built


# --- history ----------------------------------------------------------------------------------


def test_a_history_is_a_mapping():
    history = train(network(), Figures(7.0, 8.0))
    assert isinstance(history, Mapping)
    assert list(history) == ["loss", "learning_rate", "figure"]
    assert len(history) == 3
    assert history["figure"] == history.history["figure"] == [7.0, 8.0]
    assert dict(history)["learning_rate"] == [0.05, 0.05]
    assert "val_loss" not in history
    assert history.get("val_loss") is None
    with pytest.raises(KeyError, match="val_loss"):
        history["val_loss"]


@pytest.mark.parametrize("copied", [lambda h: pickle.loads(pickle.dumps(h)), copy.deepcopy])
def test_a_history_can_be_pickled_and_copied(copied):
    callbacks = [Figures(1.0, 2.0), bpnet.EarlyStopping("figure", patience=0)]
    history = train(network(), callbacks, epochs=9)
    again = copied(history)
    assert dict(again) == dict(history)
    assert vars(again) == vars(history)
    assert again.stopped.startswith("figure has not improved")
    again.append({"figure": 3.0})
    assert history["figure"] == [1.0, 2.0]
