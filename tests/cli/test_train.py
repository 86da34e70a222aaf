"""bpnet train: what it learns from, what it prints and writes, and that it can be repeated."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import dump_svmlight_file

import bpnet
from bpnet.cli import data_files
from bpnet.cli.columns import GAPS
from bpnet.cli.main import main
from bpnet.cli.plan import Choices, plan_of
from bpnet.cli.split import split_of
from bpnet.estimators.tabular.callbacks import SPENT

QUICK = ("--preset", "td-s", "--epochs", "2", "--time-limit", "0")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BPNET_BACKEND", raising=False)


@pytest.fixture
def no_report(monkeypatch):
    """A report that takes no time; test_report.py looks at real ones."""
    monkeypatch.setattr("bpnet.cli.report.page.report", lambda run: "a page")


def plan(frame, target, **choices):
    return plan_of(pl.DataFrame(frame), Choices(target, **choices))


# --- the whole command -----------------------------------------------------------------------


def test_it_says_what_it_does_and_writes_a_model(trained, model):
    out = (trained / "out").read_text(encoding="utf-8")
    for words in (
        "classification of 2 classes, as its 2 values are text",
        "3: 1 of numbers, 2 of categories",
        "key: an id",
        "since: dates",
        "unit: it is constant",
        "spent: as told by --drop",
        "19 in 2 columns: a number takes the median",
        "58 to train on, 14 to choose the best epoch, 18 to test",
        "accuracy", "constant prediction", "2 of 2 epochs",
    ):  # fmt: skip
        assert words in out
    loaded = bpnet.load(model)
    assert isinstance(loaded, bpnet.TabularClassifier)
    assert loaded.feature_names_in_.tolist() == ["age", "city", "paid"]
    assert loaded.classes_.tolist() == ["no", "yes"]


@pytest.mark.usefixtures("no_report")
def test_the_command_in_the_record_trains_the_same_model(trained, model, people, capsys):
    assert main(["info", model, "--json"]) == 0
    command = json.loads(capsys.readouterr().out)["record"]["command"]
    words = command.split()
    assert words[:3] == ["bpnet", "train", people]
    assert main([*words[1:], "--out", "again"]) == 0
    first, again = bpnet.load(model), bpnet.load("again/model.safetensors")
    for ours, other in zip(first.network_.parameters, again.network_.parameters, strict=True):
        for name in ours:
            assert_array_equal(ours[name], other[name])


def test_a_regression_as_json(people, capsys):
    argv = ["train", people, "--target", "spent", "--out", "r", "--json", *QUICK]
    assert main([*argv, "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["task"] == "regression"
    assert [one["metric"] for one in found["test"]] == ["RMSE", "MAE", "R2"]
    assert all(one["low"] <= one["value"] <= one["high"] for one in found["test"])
    assert "spent: regression" in err
    report = Path(found["report"]).read_text(encoding="utf-8")
    assert "Residuals" in report
    assert ">rmse of standardized targets</text>" in report


def test_existing_files_are_kept_without_force(trained, people, capsys):
    argv = ["train", people, "--target", "buys", "--out", str(trained / "model"), *QUICK]
    before = (trained / "model" / "model.safetensors").read_bytes()
    assert main(argv) == 2
    assert "pass --force" in capsys.readouterr().err
    assert (trained / "model" / "model.safetensors").read_bytes() == before


def test_force_replaces_them(people):
    os.mkdir("old")
    for name in ("model.safetensors", "report.html"):
        with open(f"old/{name}", "w", encoding="utf-8") as file:
            file.write("old")
    argv = ["train", people, "--target", "buys", "--out", "old", "--force", *QUICK]
    assert main(argv) == 0
    assert os.path.getsize("old/report.html") > 10_000
    bpnet.load("old/model.safetensors")


@pytest.mark.usefixtures("no_report")
def test_ctrl_c_saves_the_best_epoch_so_far(people, monkeypatch, capsys):
    from bpnet.cli.progress import ProgressLine

    original = ProgressLine.on_epoch_end

    def interrupted(self, training):
        original(self, training)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressLine, "on_epoch_end", interrupted)
    argv = ["train", people, "--target", "buys", "--preset", "td-s", "--time-limit", "0"]
    assert main([*argv, "--out", "c"]) == 130
    assert "the best epoch so far was saved" in capsys.readouterr().err
    assert bpnet.load("c/model.safetensors").history_.stopped == "interrupted"


def test_ctrl_c_before_training_writes_nothing(people, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(bpnet.TabularClassifier, "fit", interrupted)
    assert main(["train", people, "--target", "buys", "--out", "c", *QUICK]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "bpnet: interrupted"
    assert os.listdir("c") == []


@pytest.mark.usefixtures("no_report")
def test_the_time_limit_lowers_the_number_of_epochs(people, capsys):
    argv = ["train", people, "--target", "buys", "--preset", "td-s", "--out", "t"]
    assert main([*argv, "--time-limit", "0.2", "--epochs", "100000"]) == 0
    out, err = capsys.readouterr()
    assert "100,000 epochs or 0.2 s at most" in out
    assert "of 100,000 epochs; a longer --time-limit" in err


def test_the_advice_counts_the_epochs_that_were_trained():
    from bpnet.cli.train import _advice

    def advice(stopped):
        return _advice(SimpleNamespace(
            results=[SimpleNamespace(better="higher", value=0.9, baseline=0.5, metric="m")],
            record={"training": {"planned_epochs": 89}},
            model=SimpleNamespace(history_=SimpleNamespace(epochs=50, stopped=stopped)),
            options=SimpleNamespace(epochs=256, preset="plain"),
        ))[0]  # fmt: skip

    assert "time for 50 of 256 epochs" in advice(SPENT)
    assert "time for 89 of 256 epochs" in advice("early stopping")


@pytest.mark.usefixtures("no_report")
def test_a_progress_line_on_a_terminal(people, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["train", people, "--target", "buys", "--out", "p", *QUICK]) == 0
    shown = terminal.getvalue()
    for words in ("preparing", "epoch 2/2", "loss", "val_accuracy", "rows/s"):
        assert words in shown
    assert "standardized" not in shown


@pytest.mark.usefixtures("no_report")
def test_the_progress_of_a_regression_names_its_units(people, monkeypatch, capsys):
    monkeypatch.setattr("bpnet.cli.progress._PAUSE", 0.0)
    argv = ["train", people, "--target", "spent", "--task", "regression", "--out", "p"]
    assert main([*argv, *QUICK]) == 0
    line = r"epoch 1/2: loss \S+, val_rmse \S+ of standardized targets, \S+ rows/s"
    assert re.search(line, capsys.readouterr().err)


def test_a_full_disk_ends_without_traceback(model):
    command = [sys.executable, "-m", "bpnet", "info", model]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "bpnet: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("command", ["info", "train"])
def test_a_broken_pipe_ends_quietly(model, people, command, monkeypatch, capsys):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    argv = {"info": [model], "train": [people, "--target", "buys", "--out", "b", *QUICK]}
    monkeypatch.setattr(sys, "stdout", Broken())
    assert main([command, *argv[command]]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("name", ["model_file.save", "safetensors_file.write"])
def test_a_disk_that_becomes_full_names_the_file(people, name, monkeypatch, capsys):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "f/file")

    monkeypatch.setattr(f"bpnet.cli.train.{name}", full)
    assert main(["train", people, "--target", "buys", "--out", "f", *QUICK]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "bpnet: cannot write 'f/file': No space left on device"
    )


def test_a_model_that_no_file_can_hold(people, monkeypatch, capsys):
    monkeypatch.setattr("bpnet.serialization.safetensors_file.HEADER_LIMIT", 100)
    assert main(["train", people, "--target", "buys", "--out", "f", *QUICK]) == 1
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith("bpnet train: the model cannot be saved: ")
    )
    assert os.listdir("f") == []


def test_without_the_extra_it_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "bpnet.cli.app", raising=False)
    monkeypatch.delattr(bpnet.cli, "app", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)
    assert main(["check"]) == 2
    err = capsys.readouterr().err
    assert "pip install 'bpnet-array-api[cli]'" in err
    assert len(err.splitlines()) == 1


# --- files -----------------------------------------------------------------------------------


def test_all_kinds_of_files_hold_the_same_table(tmp_path):
    frame = pl.DataFrame({"a": [0.5, None, 2.0], "b": ["x", "y z", None], "c": [1, 2, 3]})
    text = "a,b,c\n0.5,x,1\n,y z,2\n2.0,,3\n"
    files = {
        "t.csv": text.encode(), "t.tsv": text.replace(",", "\t").encode(),
        "semi.csv": text.replace(",", ";").encode(), "bom.csv": b"\xef\xbb\xbf" + text.encode(),
        "crlf.csv": text.replace("\n", "\r\n").encode(),
        "t.csv.gz": gzip.compress(text.encode()),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    frame.write_parquet("t.parquet")
    for name in (*files, "t.parquet"):
        source = data_files.source_of(name)
        for read in (data_files.read(source), pl.concat(data_files.batches(source, 2))):
            found = plan_columns(read)
            assert found["a"].to_list() == [0.5, None, 2.0], name
            assert found["b"].to_list() == ["x", "y z", None], name
            assert found["c"].to_list() == [1.0, 2.0, 3.0], name


def plan_columns(frame):
    from bpnet.cli.columns import column_of, frame_of

    return frame_of([column_of(frame[name]) for name in frame.columns])


def test_arrays_and_libsvm(tmp_path):
    X, y = np.arange(12.0).reshape(4, 3), np.array([0, 1, 0, 1])
    np.save("t.npy", X)
    np.savez("t.npz", X=X, y=y, name=np.array(["a", "b", "c", "d"]))
    dump_svmlight_file(X, y, "t.libsvm", zero_based=False)
    found = data_files.read(data_files.source_of("t.npy"))
    assert found.columns == ["0", "1", "2"]
    assert_array_equal(found.to_numpy(), X)
    found = data_files.read(data_files.source_of("t.npz"))
    assert found.columns == ["X_0", "X_1", "X_2", "y", "name"]
    found = data_files.read(data_files.source_of("t.libsvm"), ("1", "5"))
    assert found.columns == ["target", "1", "2", "3", "4", "5"]
    assert_array_equal(found["2"].to_numpy(), X[:, 1])
    assert found["5"].to_list() == [0.0] * 4


def test_another_encoding(tmp_path):
    (tmp_path / "t.csv").write_bytes("größe,b\nüber,1\n".encode("latin-1"))
    found = data_files.read(data_files.source_of("t.csv", None, "latin-1"))
    assert found.to_dict(as_series=False) == {"größe": ["über"], "b": ["1"]}


# --- what is learned -------------------------------------------------------------------------

N = 60
NUMBERS = [k * 0.37 % 5 for k in range(N)]


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (["a", "b"] * (N // 2), "classification"),
        ([0, 1, 2] * (N // 3), "classification"),
        ([True, False] * (N // 2), "classification"),
        (NUMBERS, "regression"),
        (list(range(N)), "regression"),
    ],
)
def test_the_task_follows_from_the_target(target, task):
    found = plan({"x": NUMBERS, "y": target}, "y")
    assert found.task == task
    assert len(found.y) == N


def test_numbers_as_labels_stay_integers():
    found = plan({"x": NUMBERS, "y": ["1", "2"] * (N // 2)}, "y")
    assert found.y.dtype.kind == "i"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([f"u{k}" for k in range(N)], "an id"),
        (list(range(7, N + 7)), "an id: it numbers the rows"),
        ([f"{k % 40} words" for k in range(N)], "free text"),
        ([f"more than {k} words" for k in range(N)], "free text"),
        ([f"No. {k}" for k in range(N)], "an id"),
        ([f"2024-01-{1 + k % 28:02d}" for k in range(N)], "dates"),
        ([f"{1 + k % 28:02d}.12.2024" for k in range(N)], "dates"),
        ([3] * N, "constant"),
        ([""] * N, "empty"),
        ([[1, 2]] * N, "values of type List"),
    ],
)
def test_columns_that_are_left_out(values, reason):
    found = plan({"x": NUMBERS, "odd": values, "y": [0, 1] * (N // 2)}, "y")
    assert [column.name for column in found.features] == ["x"]
    assert reason in found.left_out[0].reason


@pytest.mark.parametrize("gap", GAPS)
def test_what_stands_for_a_gap(gap):
    frame = {"n": ["1.5", gap, "2"] * 20, "t": ["a", f" {gap} ", "b"] * 20, "y": [0, 1] * 30}
    number, text = plan(frame, "y").features
    assert (number.kind, number.n_missing) == ("number", 20)
    assert (text.kind, text.n_missing, text.n_distinct) == ("text", 20, 2)


def test_ids_are_kept_on_demand_and_codes_become_categories():
    frame = {"nr": list(range(N)), "zip": [10000 + k % 7 for k in range(N)],
             "y": [0, 1] * (N // 2)}  # fmt: skip
    found = plan(frame, "y", keep=("nr",), categorical=("zip",))
    assert [(column.name, column.kind) for column in found.features] == [
        ("nr", "number"), ("zip", "text"),
    ]  # fmt: skip


def test_rows_without_a_target_are_left_out_and_said():
    target = ["a", "b", None] * (N // 3)
    found = plan({"x": NUMBERS, "y": target}, "y")
    assert len(found.y) == len(found.table) == 2 * N // 3
    assert "rows without a target, which are left out: 20" in found.notes


def test_a_column_that_equals_the_target_is_pointed_out():
    found = plan({"x": NUMBERS, "copy": [0, 1] * (N // 2), "y": [0, 1] * (N // 2)}, "y")
    assert "'copy' equals the target" in found.notes[0]


def test_the_test_rows_are_stratified_or_the_last_ones():
    frame = {"x": NUMBERS, "day": NUMBERS[::-1], "y": [0, 0, 1] * (N // 3)}
    for seed in range(5):
        split = split_of(plan(frame, "y"), 0.3, seed)
        assert_array_equal(np.sort([*split.training, *split.test]), np.arange(N))
        assert plan(frame, "y").y[split.test].mean() == pytest.approx(1 / 3)
    late = split_of(plan(frame, "y", time="day"), 0.3, 0)
    day = np.array(frame["day"])
    assert day[late.training].max() <= day[late.test].min()
    assert len(late.test) == 18


@pytest.mark.parametrize(
    ("year", "test_size", "n_test"),
    [
        ([1] * 50 + [2] * 10, 0.2, 10),  # nearer than none
        ([1] * 10 + [2] * 50, 0.2, 50),
        ([1] * 40 + [2] * 10 + [3] * 10, 0.2, 10),
        ([1] * 40 + [2] * 10 + [3] * 10, 0.25, 20),  # as near: more to test
        ([3] * 30 + [1] * 30, 0.45, 30),
    ],
)
def test_rows_of_one_time_are_on_one_side(year, test_size, n_test):
    split = split_of(plan({"x": NUMBERS, "t": year, "y": [0, 1] * 30}, "y", time="t"),
                     test_size, 0)  # fmt: skip
    assert len(split.test) == n_test
    assert max(year[k] for k in split.training) < min(year[k] for k in split.test)
