"""What processes that train together decide together, and what only process 0 does."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose
from thread_group import run_together

import bpnet
from bpnet import Dense, Network
from bpnet.training.interrupt import Interrupt

pytestmark = pytest.mark.few_on_jax

X, Y = bpnet.datasets.make_spiral(64, seed=0)


def network(*layers, dtype="float64"):
    return Network([*layers, Dense(4, "tanh"), Dense(1)], "bce", seed=0, dtype=dtype)


def fit(group, *layers, X=X, y=Y, **options):
    net = network(*layers)
    history = net.fit(X, y, **({"epochs": 4, "communicator": group} | options))
    return net, history


# --- decisions --------------------------------------------------------------------------------


class StopIn(bpnet.Callback):
    def __init__(self, rank, epoch):
        self.rank, self.epoch = rank, epoch

    def on_epoch_end(self, training):
        training.logs["rank"] = float(training.communicator.rank)
        if training.communicator.rank == self.rank and training.epoch == self.epoch:
            training.stop("enough")


def test_all_stop_if_one_does_and_have_the_metrics_of_process_0():
    def run(group):
        _, history = fit(group, callbacks=[StopIn(1, 2)])
        return history.stopped, dict(history.items())

    every = run_together(3, run)
    assert every[0] == every[1] == every[2]
    assert every[0][0] == "enough"
    assert every[0][1]["rank"] == [0.0, 0.0]


def test_early_stopping_restores_the_same_weights():
    def run(group):
        stopping = bpnet.EarlyStopping("val_loss", patience=2)
        net, history = fit(
            group, epochs=60, validation_split=0.3, optimizer=bpnet.Adam(0.5),
            callbacks=[stopping],
        )  # fmt: skip
        return history.best_epoch, history.epochs, net.parameters[0]["W"]

    alone = run(None)
    for best, epochs, W in run_together(2, run):
        assert (best, epochs) == alone[:2]
        assert_allclose(W, alone[2], rtol=1e-9)
    assert alone[1] < 60


def test_ctrl_c_in_one_process_stops_all_after_the_same_step(monkeypatch):
    """The signal arrives in process 1, between two batches."""
    local = threading.local()
    enter = Interrupt.__enter__

    def remember(self):
        local.interrupt = self
        return enter(self)

    monkeypatch.setattr(Interrupt, "__enter__", remember)

    class Signal(bpnet.Callback):
        def on_batch_end(self, training):
            if training.communicator.rank == 1 and training.epoch == 1:
                local.interrupt.requested = True

    def run(group):
        net, history = fit(group, batch_size=16, callbacks=[Signal()])
        return (
            history.stopped,
            net.steps_taken,
            history.epochs,
            net.parameters[0]["W"].tobytes(),
        )

    first, second = run_together(2, run)
    assert first == second
    assert first[:3] == ("interrupted", 5, 1)


@pytest.mark.parametrize("on_nonfinite", ["raise", "restore"])
def test_a_nan_in_the_rows_of_one_process_ends_all(on_nonfinite):
    """The loss of one row overflows; infinities reach the others with the sum."""
    big = np.where(np.arange(64)[:, None] == 60, 1e200, X)

    def run(group):
        net = Network([Dense(4, "relu"), Dense(1)], "mse", seed=0, dtype="float64")
        try:
            with np.errstate(all="ignore"):
                history = net.fit(
                    big, Y, epochs=4, batch_size=32, shuffle=False, on_nonfinite=on_nonfinite,
                    communicator=group,
                )  # fmt: skip
        except bpnet.NonFiniteError as error:
            return error.found
        return history.stopped, net.parameters[0]["W"].tobytes()

    first, second = run_together(2, run)
    assert first == second
    assert "step 2" in str(first)


# --- who does what ----------------------------------------------------------------------------


class Where(bpnet.Callback):
    def __init__(self, main_only):
        self.main_only, self.calls = main_only, []

    def setup(self, training):
        self.calls.append("setup")

    def on_train_begin(self, training):
        self.calls.append("on_train_begin")

    def on_batch_end(self, training):
        self.calls.append("on_batch_end")

    def on_epoch_end(self, training):
        self.calls.append("on_epoch_end")

    def on_epoch_recorded(self, training):
        self.calls.append("on_epoch_recorded")

    def on_train_end(self, training):
        self.calls.append("on_train_end")

    def teardown(self, training):
        super().teardown(training)
        self.calls.append("teardown")


@pytest.mark.parametrize("main_only", [True, False])
def test_callbacks_run_in_all_processes_or_in_process_0(main_only):
    def run(group):
        callback = Where(main_only)
        fit(group, epochs=1, callbacks=[callback])
        return callback.calls

    first, second = run_together(2, run)
    assert set(first) == {
        "setup", "on_train_begin", "on_batch_end", "on_epoch_end", "on_epoch_recorded",
        "on_train_end", "teardown",
    }  # fmt: skip
    assert second == (["setup"] if main_only else first)


def test_process_0_alone_writes_files(tmp_path):
    def run(group):
        folder = tmp_path / f"{group.rank}"
        if group.is_main:
            folder.mkdir()
        callbacks = [
            bpnet.Checkpoint(folder / "c.safetensors"),
            bpnet.CSVLogger(folder / "l.csv"),
        ]
        fit(group, callbacks=callbacks)

    run_together(2, run)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["c.safetensors", "l.csv"]


@pytest.mark.parametrize("sizes", [(1, 2), (2, 3), (3, 1)])
def test_a_checkpoint_resumes_in_another_number_of_processes(tmp_path, sizes):
    path = tmp_path / "run.safetensors"
    before, after = sizes

    def run(group, **options):
        stopping = bpnet.EarlyStopping("val_loss", patience=50)
        checkpoint = bpnet.Checkpoint(path, best_only=True, monitor="loss")
        _, history = fit(
            group, validation_split=0.2, batch_size=20, callbacks=[stopping, checkpoint],
            metrics="accuracy", **options,
        )  # fmt: skip
        return history

    run_together(before, lambda group: run(group, epochs=3))
    resumed = run_together(after, lambda group: run(group, epochs=6, resume_from=path))
    whole = run_together(1, lambda group: run(group, epochs=6))[0]
    for history in resumed:
        assert history.keys() == whole.keys()
        for name, values in whole.items():
            assert_allclose(history[name], values, rtol=1e-9)


# --- what must be the same --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("examples", {"X": X + 1e-9}),
        ("examples", {"sample_weight": np.ones(64)}),
        ("epochs", {"epochs": 5}),
        ("optimizer", {"optimizer": bpnet.Adam(2e-3)}),
        ("layers", {"layers": [Dense(3)]}),
        ("layers", {"layers": [Dense(2, init=bpnet.initializers.zeros)]}),
        ("metrics", {"metrics": "roc_auc"}),
        ("validation examples", {"validation_data": (X, 1 - Y)}),
        ("shuffle", {"shuffle": False}),
        ("batch_size", {"batch_size": 31}),
    ],
)
def test_what_differs_is_refused_in_all_processes(name, options):
    layers = {"layers": [Dense(2)]} if name == "layers" else {}

    def run(group):
        options_here = {"layers": []} | layers | (options if group.rank == 1 else {})
        if name in ("metrics", "validation examples"):
            options_here = {"validation_data": (X, Y)} | options_here
        before = group.n_sums
        with pytest.raises(ValueError, match=f"same {name} to fit.*process 1 has.*shards=True"):
            fit(group, *options_here.pop("layers"), **options_here)
        assert group.n_sums == before
        return True

    assert run_together(2, run) == [True, True]


def test_more_processes_than_rows_of_a_batch():
    def run(group):
        with pytest.raises(
            ValueError, match=r"at least 3, the number of processes.*got 2, of 64"
        ):
            fit(group, batch_size=2)
        with pytest.raises(
            ValueError, match=r"at least 3, the number of processes.*got 2, of 2 "
        ):
            fit(group, X=X[:2], y=Y[:2])

    run_together(3, run)


def test_an_error_in_one_process_ends_all():
    class Fail(bpnet.Callback):
        def on_epoch_end(self, training):
            if training.communicator.rank == 1:
                raise RuntimeError("out of order")

    group_of = {}

    def run(group):
        group_of[group.rank] = group
        fit(group, callbacks=[Fail()])

    with pytest.raises(RuntimeError, match="out of order"):
        run_together(2, run)
    assert str(group_of[1].aborted[0]) == "out of order"


# --- layers -----------------------------------------------------------------------------------


def test_running_statistics_are_the_means_over_processes(backend):
    layers = [bpnet.BatchNorm(momentum=0.5), bpnet.Frozen(Dense(2, "tanh"))]

    def run(group):
        net, _ = fit(
            group, *layers, batch_size=61, epochs=1, shuffle=False, backend=backend
        )  # fmt: skip
        return [
            {name: backend.to_numpy(p) for name, p in layer.items()} for layer in net.parameters
        ]

    start = network(*layers).build(2).parameters
    every = run_together(2, run)
    # Batches of 31 + 30 and of 2 + 1 rows; a single row leaves the statistics as they are.
    mean, variance = 0.0, 1.0
    for parts, rows in (((X[:31], X[31:61]), 61), ((X[61:63],), 3)):
        halves = [0.5 * len(part) / rows for part in parts]
        means = [part.mean(axis=0) - mean for part in parts]
        variances = [part.var(axis=0, ddof=1) - variance for part in parts]
        mean = mean + sum(h * change for h, change in zip(halves, means, strict=True))
        variance = variance + sum(
            h * change for h, change in zip(halves, variances, strict=True)
        )
    for parameters in every:
        assert_allclose(parameters[0]["mean"], mean, rtol=1e-10)
        assert_allclose(parameters[0]["variance"], variance, rtol=1e-10)
        assert np.array_equal(parameters[1]["W"], start[1]["W"])  # frozen
        for layer, other in zip(parameters, every[0], strict=True):
            assert all(np.array_equal(layer[name], other[name]) for name in layer)


def test_a_ctrl_c_that_comes_while_all_are_asked_is_not_lost():
    from types import SimpleNamespace

    from bpnet.training.together import Together

    interrupt = SimpleNamespace(requested=False)

    def all_gather(value):
        interrupt.requested = True  # as the handler of the signal does
        return [value, False]

    run = Together()
    run.communicator = SimpleNamespace(all_gather=all_gather)
    assert not run._is_interrupted(interrupt)
    assert run._is_interrupted(interrupt)
