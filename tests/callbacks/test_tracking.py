"""Trackers: what they write is the history, each epoch once."""

from __future__ import annotations

import csv
import glob
import json
import math
import sys

import numpy as np
import pytest

import bpnet
from bpnet.callbacks.tracking import Tracker

pytestmark = pytest.mark.few_on_jax

X, Y = bpnet.datasets.make_spiral(60, seed=0)


def network():
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], "bce", seed=0)


def fit(callbacks, epochs=3, net=None, **settings):
    settings = {"validation_split": 0.25, "batch_size": 20} | settings
    return (net or network()).fit(X, Y, epochs=epochs, callbacks=callbacks, **settings)


class Fail(bpnet.Callback):
    """Ends training by an error in an epoch, after it was recorded."""

    adds = {}  # noqa: RUF012

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, training):
        if training.epoch == self.epoch:
            raise RuntimeError("crashed")


class Late(bpnet.Callback):
    """Adds a metric in all epochs but the first."""

    def on_epoch_end(self, training):
        if training.epoch > 1:
            training.logs["late"] = float(training.epoch)


class Spoil(bpnet.Callback):
    """Makes the weights NaN in an epoch."""

    adds = {}  # noqa: RUF012

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, training):
        if training.epoch == self.epoch:
            training.parameters = [
                {name: p * math.nan for name, p in layer.items()}
                for layer in training.parameters
            ]


def jsonl(path):
    with open(path, encoding="utf-8") as file:
        head, *lines = [json.loads(line, parse_constant=pytest.fail) for line in file]
    (found,) = head.values()
    return found, lines


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def events(folder):
    """Return (step, tag, value) in the order written, with (step, "start", None)."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    found = []
    for path in sorted(glob.glob(f"{folder}/events.out.tfevents.*")):
        for event in loader.RawEventFileLoader(path).Load():
            from tensorboard.compat.proto.event_pb2 import Event

            event = Event.FromString(event)
            if event.HasField("session_log"):
                found.append((event.step, "start", None))
            found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
    return found


def rows(history):
    return [
        {"epoch": k + 1} | {name: values[k] for name, values in history.items()}
        for k in range(history.epochs)
    ]


def same(a, b):
    return [list(row) for row in a] == [list(row) for row in b] and all(
        np.array_equal(list(x.values()), list(y.values()), equal_nan=True)
        for x, y in zip(a, b, strict=True)
    )


# --- files ------------------------------------------------------------------------------------


def test_files_have_the_history(tmp_path, backend):
    lines, cells = tmp_path / "run.jsonl", tmp_path / "run.csv"
    history = fit([bpnet.JSONLLogger(lines), bpnet.CSVLogger(cells)], backend=backend)
    assert jsonl(lines)[1] == rows(history)
    assert table(cells) == rows(history)
    assert list(history) == ["loss", "learning_rate", "val_loss", "val_accuracy"]


def test_each_epoch_is_on_disk_when_it_ends(tmp_path):
    path, seen = tmp_path / "run.jsonl", []

    class Look(bpnet.Callback):
        def on_epoch_begin(self, training):
            seen.append(len(jsonl(path)[1]) if path.exists() else 0)

    fit([Look(), bpnet.JSONLLogger(path)])
    assert seen == [0, 1, 2]


def test_the_hyperparameters(tmp_path):
    path = tmp_path / "run.jsonl"
    schedule = bpnet.schedules.Cosine(0.1, 4)
    fit([bpnet.JSONLLogger(path)], optimizer=bpnet.SGD(schedule, momentum=0.5))
    found, _ = jsonl(path)
    expected = {
        "bpnet": bpnet.__version__, "layers": ["Dense(4, 'tanh')", "Dense(1, 'identity')"],
        "loss": "binary_crossentropy", "seed": 0, "dtype": "float32", "parameters": 17,
        "optimizer": "SGD", "optimizer.learning_rate": repr(schedule),
        "optimizer.momentum": 0.5, "epochs": 3, "batch_size": 20, "shuffle": True,
        "examples": 45, "validation_examples": 15, "loader": "arrays", "backend": "numpy:cpu",
    }  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize("crash", [5, 6])
def test_a_resumed_run_has_each_epoch_once(tmp_path, crash):
    files = [(bpnet.JSONLLogger, "jsonl"), (bpnet.CSVLogger, "csv")]
    whole = [kind(tmp_path / f"whole.{end}") for kind, end in files]
    fit(whole, epochs=8)
    parts = [kind(tmp_path / f"parts.{end}") for kind, end in files]
    path = tmp_path / "net.safetensors"
    with pytest.raises(RuntimeError, match="crashed"):
        fit([*parts, bpnet.Checkpoint(path, every=4), Fail(crash)], epochs=8)
    assert len(jsonl(parts[0].path)[1]) == crash
    with open(parts[0].path, "a", encoding="utf-8") as file:
        file.write('{"epoch": 9, "lo')  # as cut off by a crash
    fit([*parts, bpnet.Checkpoint(path, every=4)], epochs=8, resume_from=path)
    for one, other in zip(whole, parts, strict=True):
        with open(one.path, "rb") as first, open(other.path, "rb") as second:
            assert first.read() == second.read()


def test_a_logger_may_be_added_and_left_out_when_resuming(tmp_path):
    path, log = tmp_path / "net.safetensors", tmp_path / "run.csv"
    checkpoint = bpnet.Checkpoint(path)
    fit([checkpoint, bpnet.JSONLLogger(tmp_path / "run.jsonl")], epochs=2)
    history = fit([checkpoint, bpnet.CSVLogger(log)], epochs=4, resume_from=path)
    assert table(log) == rows(history)


def test_another_run_replaces_the_file(tmp_path):
    logger = bpnet.JSONLLogger(tmp_path / "run.jsonl")
    net = network()
    fit([logger], net=net)
    history = fit([logger], epochs=1, net=net)
    assert jsonl(logger.path)[1] == rows(history)


def test_metrics_that_come_later(tmp_path):
    lines, cells = tmp_path / "run.jsonl", tmp_path / "run.csv"
    history = fit([bpnet.JSONLLogger(lines), bpnet.CSVLogger(cells), Late()])
    assert same(table(cells), rows(history))
    assert [line.get("late") for line in jsonl(lines)[1]] == [None, 2.0, 3.0]


def test_an_epoch_that_is_not_finite_is_written(tmp_path):
    lines, cells = tmp_path / "run.jsonl", tmp_path / "run.csv"
    loggers = [bpnet.JSONLLogger(lines), bpnet.CSVLogger(cells)]
    history = fit([*loggers, Spoil(2)], epochs=5, on_nonfinite="restore")
    assert history.epochs == 3
    assert same(table(cells), rows(history))
    assert jsonl(lines)[1][-1]["loss"] is None


def test_a_file_that_cannot_be_written_is_refused_first(tmp_path):
    net = network().build(2)
    before = net.get_weights()[0]
    for kind in (bpnet.JSONLLogger, bpnet.CSVLogger):
        with pytest.raises(OSError, match="there is no such folder"):
            fit([kind(tmp_path / "no" / "run")], net=net)
    assert np.array_equal(net.get_weights()[0], before)
    assert net.steps_taken == 0


def test_estimators_take_loggers(tmp_path):
    logger = bpnet.JSONLLogger(tmp_path / "run.jsonl")
    clf = bpnet.TabularClassifier("td-s", n_epochs=2, random_state=0, callbacks=[logger])
    clf.fit(X, Y)
    found, lines = jsonl(logger.path)
    assert lines == rows(clf.history_)
    assert found["loss"] == "categorical_crossentropy"


def test_a_tracker_of_the_users_own():
    class Own(Tracker):
        calls = []  # noqa: RUF012

        def begin(self, training):
            self.calls.append("begin")
            return 0

        def write(self, epoch, metrics):
            self.calls.append((epoch, metrics["loss"]))

        def end(self, training, is_complete):
            self.calls.append(is_complete)

    history = fit([Own()], epochs=2)
    assert Own.calls == ["begin", *enumerate(history["loss"], 1), True]
    Own.calls.clear()
    with pytest.raises(RuntimeError, match="crashed"):
        fit([Own(), Fail(1)])
    assert [Own.calls[0], Own.calls[-1], len(Own.calls)] == ["begin", False, 3]


# --- TensorBoard ------------------------------------------------------------------------------


def test_tensorboard_has_the_history(tmp_path):
    pytest.importorskip("tensorboard")
    history = fit([bpnet.TensorBoardLogger(tmp_path / "run")])
    found = events(tmp_path / "run")
    assert found[:2] == [(1, "start", None), (0, "_hparams_/session_start_info", 0.0)]
    expected = [
        (row["epoch"], name, np.float32(row[name])) for row in rows(history) for name in history
    ]
    assert found[2:] == expected


def test_tensorboard_shows_each_epoch_of_a_resumed_run_once(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.plugin_event_accumulator import (
        EventAccumulator,
    )

    logger, path = bpnet.TensorBoardLogger(tmp_path / "run"), tmp_path / "net.safetensors"
    with pytest.raises(RuntimeError, match="crashed"):
        fit([logger, bpnet.Checkpoint(path, every=2), Fail(3)], epochs=6)
    history = fit([logger, bpnet.Checkpoint(path, every=2)], epochs=6, resume_from=path)
    shown = EventAccumulator(str(tmp_path / "run")).Reload()
    tensors = {e.step: e.tensor_proto.float_val[0] for e in shown.Tensors("loss")}
    assert [event.step for event in shown.Tensors("loss")] == [1, 2, 3, 4, 5, 6]
    assert [tensors[k] for k in range(1, 7)] == [np.float32(v) for v in history["loss"]]


# --- MLflow -----------------------------------------------------------------------------------


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """The client of runs in a folder."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    package = pytest.importorskip("mlflow")
    return package.MlflowClient(tracking_uri=str(tmp_path / "runs"))


def logged(client, run_id, name):
    found = client.get_metric_history(run_id, name)
    return [(metric.step, metric.value) for metric in found]


@pytest.mark.filterwarnings("ignore:The filesystem tracking backend")
def test_mlflow_has_the_history(mlflow, tmp_path):
    logger = bpnet.MLflowLogger("ours", run_name="first", tracking_uri=tmp_path / "runs")
    history = fit([logger])
    run = mlflow.get_run(logger.run_id)
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert run.data.params["optimizer.beta1"] == "0.9"
    assert json.loads(run.data.params["layers"]) == ["Dense(4, 'tanh')", "Dense(1, 'identity')"]
    for name in history:
        assert logged(mlflow, logger.run_id, name) == list(enumerate(history[name], 1))
    first = logger.run_id
    fit([logger], epochs=1)
    assert mlflow.get_run(logger.run_id).info.experiment_id == run.info.experiment_id
    assert logger.run_id != first


@pytest.mark.filterwarnings("ignore:The filesystem tracking backend")
def test_mlflow_continues_the_run_of_a_checkpoint(mlflow, tmp_path):
    path, where = tmp_path / "net.safetensors", tmp_path / "runs"
    logger = bpnet.MLflowLogger(tracking_uri=where)
    with pytest.raises(RuntimeError, match="crashed"):
        fit([logger, bpnet.Checkpoint(path, every=2), Fail(3)], epochs=6)
    assert mlflow.get_run(logger.run_id).info.status == "FAILED"
    again = bpnet.MLflowLogger(tracking_uri=where)
    history = fit([again, bpnet.Checkpoint(path, every=2)], epochs=6, resume_from=path)
    assert again.run_id == logger.run_id
    assert mlflow.get_run(again.run_id).info.status == "FINISHED"
    assert logged(mlflow, again.run_id, "loss") == list(enumerate(history["loss"], 1))


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_library_is_named(name, monkeypatch):
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    kind = {"tensorboard": bpnet.TensorBoardLogger, "mlflow": bpnet.MLflowLogger}[name]
    with pytest.raises(ImportError, match=f"needs {name}; install it with: pip install {name}"):
        kind("folder")
