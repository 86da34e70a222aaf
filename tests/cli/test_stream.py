"""Training on a file block by block: the same plan, split and preprocessing as in memory."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal

import bpnet
from bpnet.cli import data_files, memory, stream
from bpnet.cli.main import main
from bpnet.cli.progress import ProgressLine
from bpnet.cli.record import not_repeated
from bpnet.cli.report.page import report

QUICK = ("--preset", "td-s", "--epochs", "2", "--time-limit", "0", "--no-diagnose")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stream, "BLOCK", 70)
    monkeypatch.setattr(data_files, "_BLOCK", 70)
    monkeypatch.setattr("bpnet.cli.report.page.report", lambda run: "a page")


def frame_of(n=600, seed=0):
    """Return a table that is sorted by what is learned, as files often are."""
    rng = np.random.default_rng(seed)
    a, b = np.sort(rng.normal(size=n)), rng.normal(size=n)
    city = rng.choice(["Rom", "Bonn", "Köln"], n)
    return pl.DataFrame(
        {
            "a": np.where(rng.random(n) < 0.05, np.nan, a),
            "b": b,
            "city": [None if k % 13 == 0 else c for k, c in enumerate(city.tolist())],
            "y": np.where(a + 0.3 * b > 0, "yes", "no"),
            "z": 10.0 * a + b,
        }
    )


def written(name, frame):
    """Write a table in the format of a name."""
    if name.endswith(".npy"):
        np.save(name, frame.select("a", "b", "z").to_numpy())
    elif name.endswith(".parquet"):
        frame.write_parquet(name, row_group_size=90)
    elif name.endswith(".gz"):
        import gzip

        with gzip.open(name, "wb") as file:
            file.write(frame.write_csv().encode())
    else:
        frame.write_csv(name)
    return name


def train(capsys, *words, status=0):
    """Run the command; return its record and what it said to people."""
    capsys.readouterr()
    assert main(["train", *words, "--json", "--force"]) == status
    out, err = capsys.readouterr()
    return (json.loads(out) if status == 0 else None), err


def weights(folder):
    network = bpnet.load(f"{folder}/model.safetensors").network_
    return [array for layer in network.parameters for array in layer.values()]


@pytest.mark.parametrize(
    ("name", "target", "metric"),
    [
        ("t.csv", "y", "accuracy"), ("t.parquet", "y", "accuracy"),
        ("t.csv.gz", "z", "R2"), ("t.npy", "2", "R2"),
    ],
)  # fmt: skip
def test_all_rows_are_trained_on_and_some_are_held_out(name, target, metric, capsys):
    words = [written(name, frame_of()), "--target", target, "--stream", "--sample", "200"]
    words += [] if name == "t.npy" else ["--drop", "z" if target == "y" else "y"]
    words += ["--preset", "td-s", "--epochs", "40", "--time-limit", "0", "--no-diagnose"]
    record, err = train(capsys, *words, "--out", "m")
    assert record["rows"] == {
        "file": 600, "training": 528, "validation": 32, "streamed": 200, "test": 40,
        "split": record["rows"]["split"],
    }  # fmt: skip
    assert "200 random rows, which decide the above, as --stream was passed" in err
    assert "rows to train on: 528" in err
    (found,) = [one for one in record["test"] if one["metric"] == metric]
    assert found["value"] > 0.75  # gaps in a cost some
    assert sorted(os.listdir("m")) == ["model.safetensors", "report.html"]


def test_preprocessing_and_held_out_rows_are_those_of_a_sample_in_memory(capsys, monkeypatch):
    words = [written("t.csv", frame_of()), "--target", "z", "--drop", "y", "--sample", "200"]
    seen = []
    monkeypatch.setattr(
        "bpnet.cli.train.measured", lambda p, seed: seen.append(p) or _measured(p, seed)
    )
    from bpnet.cli.results import measured as _measured

    train(capsys, *words, *QUICK, "--out", "m")
    train(capsys, *words, *QUICK, "--stream", "--out", "s")
    assert_array_equal(seen[0].y, seen[1].y)
    whole, streamed = (bpnet.load(f"{f}/model.safetensors")._members[0] for f in "ms")
    for ours, theirs in zip(streamed.preprocessing[:4], whole.preprocessing[:4], strict=True):
        assert_array_equal(ours, theirs)
    assert streamed.preprocessing.encoders == whole.preprocessing.encoders
    assert streamed.scale.mean == whole.scale.mean
    assert streamed.scale.deviation == whole.scale.deviation


def test_the_command_of_the_report_trains_the_same_model(capsys, monkeypatch):
    written("t.csv", frame_of())
    monkeypatch.setattr(memory, "available", lambda: 1000.0)
    monkeypatch.setattr("bpnet.cli.train.SAMPLE", 150)
    record, err = train(capsys, "t.csv", "--target", "y", "--drop", "z", *QUICK, "--out", "m")
    assert "training on all of 't.csv' (0.0 GB) at once needs some 0.0 GB of memory" in err
    monkeypatch.setattr(memory, "available", lambda: None)
    monkeypatch.setattr("bpnet.cli.train.SAMPLE", 99)
    words = shlex.split(record["command"])[2:]
    assert words[words.index("--sample") :][:3] == ["--sample", "150", "--stream"]
    train(capsys, *words, "--out", "again")
    for ours, theirs in zip(weights("m"), weights("again"), strict=True):
        assert_array_equal(ours, theirs)


def test_a_time_limit_plans_the_epochs_or_a_share_of_the_rows(capsys, monkeypatch):
    words = [written("t.csv", frame_of()), "--target", "y", "--drop", "z", "--stream"]
    words += ["--sample", "200", "--preset", "td-s", "--no-diagnose", "--time-limit", "30"]
    monkeypatch.setattr("bpnet.estimators.tabular.member.affordable", lambda *a: 2.5)
    record, _ = train(capsys, *words, "--out", "m")
    assert record["training"]["planned_epochs"] == 2
    monkeypatch.setattr("bpnet.estimators.tabular.member.affordable", lambda *a: 0.3)
    record, err = train(capsys, *words, "--out", "m")
    assert "trained on 158 of the 528 examples, each once" in err
    assert "one epoch of 30.0% of the rows" in err
    again = shlex.split(record["command"])[2:]
    assert again[again.index("--epochs") + 1] == "0.3"
    train(capsys, *again, "--out", "again")
    for ours, theirs in zip(weights("m"), weights("again"), strict=True):
        assert_array_equal(ours, theirs)


def test_new_categories_and_gaps_are_as_in_prediction(capsys):
    frame = frame_of()
    odd = pl.DataFrame({"a": [None], "b": [None], "city": ["Oslo"], "y": ["no"], "z": [0.0]})
    written("t.csv", pl.concat([frame, odd.cast(frame.schema), frame]))
    record, _ = train(capsys, "t.csv", "--target", "y", "--drop", "z", "--stream",
                      "--sample", "200", *QUICK, "--out", "m")  # fmt: skip
    assert record["rows"]["training"] == 1201 - 72


def test_rows_without_a_target_are_left_out_and_counted(capsys):
    frame = frame_of().with_columns(
        y=pl.when(pl.int_range(pl.len()) % 10 == 3).then(None).otherwise(pl.col("y"))
    )
    written("t.csv", frame)
    record, err = train(capsys, "t.csv", "--target", "y", "--drop", "z", "--stream",
                        "--sample", "200", *QUICK, "--out", "m")  # fmt: skip
    held = record["rows"]["validation"] + record["rows"]["test"]
    assert record["rows"]["training"] == 540 - held
    assert "rows of the file without a target, which are left out: 60" in err


# Column, value, target and what the line must say: each is in row 301, and not in the sample.
ROW = {
    "an unknown class": ("y", "perhaps", "y", r"class 'perhaps' in row 301, but not in the"),
    "text among numbers": ("b", "much", "y", r"'b' must hold numbers; got 'much' in row 301"),
    "infinity": ("b", "inf", "y", r"'b' must not hold infinity .* in row 301"),
    "a target of text": ("z", "high", "z", r"'z' must hold numbers; got 'high' in row 301"),
    "an infinite target": ("z", "-inf", "z", r"target 'z' is infinite in row 301"),
}  # fmt: skip


def keep_out_of_sample(row, monkeypatch):
    """Let samples have all the rows they draw but one."""
    drawn = data_files.sample

    def without_it(*arguments):
        found = drawn(*arguments)
        kept = found.rows != row
        return found._replace(frame=found.frame.filter(kept), rows=found.rows[kept])

    monkeypatch.setattr(data_files, "sample", without_it)


@pytest.mark.parametrize("name", ROW)
def test_a_bad_row_is_named(name, capsys, monkeypatch):
    column, value, target, message = ROW[name]
    lines = frame_of().write_csv().splitlines()
    fields = lines[301].split(",")
    fields["abcyz".index(column) if column != "city" else 2] = value
    Path("t.csv").write_text("\n".join([*lines[:301], ",".join(fields), *lines[302:]]) + "\n")
    keep_out_of_sample(300, monkeypatch)
    other = {"y": "z", "z": "y"}[target]
    _, err = train(capsys, "t.csv", "--target", target, "--drop", other, "--stream",
                   "--sample", "200", *QUICK, "--out", "m", status=2)  # fmt: skip
    assert re.search(message, err.splitlines()[-1])
    assert "Traceback" not in err
    assert os.listdir("m") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["t.npz", "--stream"], "--stream was passed, but a file of kind npz can only be read"),
        (["l.csv", "--encoding", "latin-1", "--stream"], "a CSV in latin-1 can only be read"),
        (["t.npz"], "memory, and 0.0 GB are free, but a file of kind npz"),
    ],
)
def test_what_cannot_be_streamed_is_refused(words, message, capsys, monkeypatch):
    np.savez("t.npz", X=np.zeros((30, 2)), y=np.arange(30.0))
    Path("l.csv").write_bytes("ä,y\n1,2\n".encode("latin-1"))
    if "--stream" not in words:
        monkeypatch.setattr(memory, "available", lambda: 100.0)
    _, err = train(capsys, *words, "--target", "y", status=2)
    assert message in err
    assert "--sample 100000" in err


def test_several_processes_are_refused():
    from bpnet.cli.failures import UserError
    from bpnet.cli.train import _read

    class Two:
        size = 2

    class Options:
        sample, stream = None, True

    source = data_files.source_of(written("t.csv", frame_of()))
    with pytest.raises(UserError, match="in a single process; start it without mpiexec"):
        _read(source, Options, Two)


def test_a_full_disk_leaves_nothing(capsys, monkeypatch):
    def full(self, X, y):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bpnet.data.streams.scattered.Scatter.add", full)
    _, err = train(capsys, written("t.csv", frame_of()), "--target", "y", "--drop", "z",
                   "--stream", *QUICK, "--out", "m", status=1)  # fmt: skip
    line = err.splitlines()[-1]
    assert "cannot be copied into 'm' for training: No space left on device" in line
    assert "--out" in line
    assert os.listdir("m") == []


def test_a_disk_that_is_too_small_is_known_before(capsys, monkeypatch):
    class Usage:
        free = 5000

    monkeypatch.setattr("bpnet.estimators.tabular.streamed.shutil.disk_usage", lambda p: Usage)

    def unread(*arguments):
        yield pytest.fail("rows were read")

    monkeypatch.setattr(stream.Stream, "parts", unread)
    _, err = train(capsys, written("t.csv", frame_of()), "--target", "y", "--drop", "z",
                   "--stream", *QUICK, "--out", "m", status=1)  # fmt: skip
    assert "for training: they take some 0.0 GB there, and 0.0 GB are free; --out" in err
    assert os.listdir("m") == []


def test_a_file_that_changes_is_noticed(capsys, monkeypatch):
    written("t.csv", frame_of())
    drawn = data_files.sample

    def then_changed(*arguments):
        found = drawn(*arguments)
        written("t.csv", frame_of(500))
        return found

    monkeypatch.setattr(data_files, "sample", then_changed)
    _, err = train(capsys, "t.csv", "--target", "y", "--drop", "z", "--stream",
                   "--sample", "200", *QUICK, "--out", "m", status=2)  # fmt: skip
    assert "'t.csv' was changed while it was read" in err


def test_a_file_that_is_written_again_with_as_many_rows_is_noticed(capsys, monkeypatch):
    """Else the numbers of the tested rows would be those of others."""
    written("t.csv", frame_of())
    drawn = data_files.sample

    def then_sorted_otherwise(*arguments):
        found = drawn(*arguments)
        written("t.csv", frame_of()[::-1])
        os.utime("t.csv", ns=(0, 0))
        return found

    monkeypatch.setattr(data_files, "sample", then_sorted_otherwise)
    _, err = train(capsys, "t.csv", "--target", "y", "--drop", "z", "--stream",
                   "--sample", "200", *QUICK, "--out", "m", status=2)  # fmt: skip
    assert "'t.csv' was changed while it was read" in err


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_sigterm_leaves_no_copy(capsys, monkeypatch):
    def ended(self, X, y):
        assert os.listdir("m")[0].startswith(".rows-")
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("bpnet.data.streams.scattered.Scatter.add", ended)
    words = [written("t.csv", frame_of()), "--target", "y", "--drop", "z", "--stream", *QUICK]
    assert main(["train", *words, "--out", "m"]) == 143
    assert os.listdir("m") == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_class_with_a_single_row_in_a_sample(capsys):
    counts = np.arange(600) % 3
    counts[500] = 9
    frame = pl.DataFrame({"a": counts / 7 + 0.1, "y": counts})
    for sample, due in ((599, "such classes, or pass a larger --sample, or pass --task reg"),
                        (600, "such classes, or pass --task regression")):  # fmt: skip
        _, err = train(capsys, written("t.csv", frame), "--target", "y", "--stream",
                       "--sample", str(sample), *QUICK, "--out", "m", status=2)  # fmt: skip
        assert "has 1 class of a single row, such as 9.0, and each" in err
        assert f"; remove or join {due}" in err


@pytest.mark.parametrize("words", [["--stream"], []])
def test_a_target_that_is_constant_in_a_sample(words, capsys):
    """The file has other values, so nothing is said of it."""
    frame = pl.DataFrame({"a": range(600), "y": [0.0] * 598 + [1.0, 2.0]})
    _, err = train(capsys, written("t.csv", frame), "--target", "y", *words,
                   "--sample", "20", *QUICK, "--out", "m", status=2)  # fmt: skip
    assert (
        "the target 'y' is always 0.0 in the 20 rows that were drawn, so there is nothing to "
        "learn from them; pass a larger --sample"
    ) in err


def test_a_target_that_a_sample_lacks(capsys):
    frame = pl.DataFrame({"a": range(600), "y": [None] * 590 + [0, 1] * 5})
    _, err = train(capsys, written("t.csv", frame), "--target", "y", "--stream",
                   "--sample", "20", *QUICK, "--out", "m", status=2)  # fmt: skip
    assert re.search(r"the sample of 20 rows has \d rows? with a target", err)


def test_an_id_is_recognized_in_a_sample(capsys):
    frame = frame_of().with_columns(t=pl.int_range(7, 607))
    for words in (["--stream", "--sample", "100"], ["--sample", "100"]):
        _, err = train(capsys, written("t.csv", frame), "--target", "y", "--drop", "z",
                       *words, *QUICK, "--out", "m")  # fmt: skip
        assert "t: an id: it numbers the rows" in err


def test_the_line_says_how_many_rows_are_read(capsys, monkeypatch):
    monkeypatch.setattr("bpnet.cli.progress._PAUSE", 0.0)
    with ProgressLine() as line:
        line.read(1000, 5000)
    assert capsys.readouterr().err == "read 1,000 of 5,000 rows\n"

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    with ProgressLine() as line:
        line.read(1000, 5000)
        assert line._progress.tasks[0].completed == 1000


def test_the_report_says_what_was_done_with_a_sample(capsys, monkeypatch):
    written("t.csv", frame_of())
    words = ["t.csv", "--target", "z", "--drop", "y", "--sample", "200", *QUICK, "--out", "m"]
    for more, said in (
        ((), "200 of the 600 rows of the file were used, drawn at random."),
        (("--stream",), "found out in 200 of them, drawn at random; the test rows, the rows"),
    ):
        pages = []
        monkeypatch.setattr(
            "bpnet.cli.report.page.report", lambda run, p=pages: p.append(report(run)) or p[0]
        )
        train(capsys, *words, *more)
        assert said in pages[0]
        assert "What was learned from, in 200 rows that were drawn at random" in pages[0]


@pytest.mark.parametrize(
    ("stopped", "epochs", "said"),
    [
        (None, 3, None),
        ("interrupted", 2, "interrupted"),
        ("time_budget is spent", 2, "the time limit was reached"),
        ("time_budget is spent", 3, None),
        ("val_rmse has not improved since epoch 1", 2, None),
    ],
)
def test_a_run_that_was_stopped_is_not_repeated(stopped, epochs, said):
    history = bpnet.History()
    for _ in range(epochs):
        history.append({"loss": 1.0})
    history.stopped = stopped
    found = not_repeated(history, 3)
    assert (found is None) == (said is None)
    assert found is None or f"stopped ({said}) after 2 of 3 epochs" in found


@pytest.mark.parametrize(
    "words",
    [
        ["--sample", "150", "--seed", "3"],
        ["--time-column", "b", "--test-size", "0.123456789", "--early-stopping"],
        ["--sample", "150", "--stream", "--seed", "7", "--categorical", "b", "--keep", "b"],
        ["--time-limit", "60", "--sample", "200"],
    ],
    ids=" ".join,
)
def test_the_command_of_any_run_trains_the_same_model(words, capsys):
    written("t.csv", frame_of())
    record, _ = train(capsys, "t.csv", "--target", "y", "--drop", "z", *QUICK, *words,
                      "--out", "m")  # fmt: skip
    again, _ = train(capsys, *shlex.split(record["command"])[2:], "--out", "again")
    assert again["test"] == record["test"]
    assert again["command"] == record["command"]
    if "--test-size" in words:
        assert "0.123456789" in record["command"]
    for ours, theirs in zip(weights("m"), weights("again"), strict=True):
        assert_array_equal(ours, theirs)


def timed(n=600):
    """Return rows in a random order with a day, as text and number, that says the target."""
    rng = np.random.default_rng(5)
    day = rng.permutation(n) % 300
    date = [f"{1 + d % 28:02d}.{1 + d // 28:02d}.2024" for d in day.tolist()]
    return pl.DataFrame(
        {"day": day, "date": date, "a": rng.normal(size=n), "z": day + rng.normal(size=n)}
    )


@pytest.mark.parametrize("column", ["day", "date"])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_nothing_later_than_the_test_rows_is_trained_on(column, name, capsys, monkeypatch):
    frame = timed()
    if name == "t.parquet":
        frame = frame.with_columns(pl.col("date").str.to_date("%d.%m.%Y"))
    getattr(frame, f"write_{name[2:]}")(name)
    seen = []
    original = stream.Stream.parts

    def parts(self, held):
        for X, y in original(self, held):
            seen.append((self.plan.y[self.split.test].min(), y.max()))
            yield X, y

    monkeypatch.setattr(stream.Stream, "parts", parts)
    other = "date" if column == "day" else "day"
    record, _ = train(capsys, name, "--target", "z", "--time-column", column, "--drop", other,
                      "--stream", "--sample", "150", *QUICK, "--out", "m")  # fmt: skip
    assert max(latest for _, latest in seen) < seen[0][0] + 8  # but for the noise
    assert 400 < record["rows"]["training"] < 500
    assert record["rows"]["test"] == 31  # the rows of a day are on one side


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "'date' has a gap in row 301"),
        ("2024-01-03", "such as .*; got '2024-01-03' in row 301"),
    ],
)
def test_a_bad_time_is_named(value, message, capsys, monkeypatch):
    dates = timed()["date"].to_list()
    timed().with_columns(date=pl.Series([*dates[:300], value, *dates[301:]])).write_csv("t.csv")
    keep_out_of_sample(300, monkeypatch)
    _, err = train(capsys, "t.csv", "--target", "z", "--time-column", "date", "--stream",
                   "--sample", "150", *QUICK, "--out", "m", status=2)  # fmt: skip
    assert re.search(message, err.splitlines()[-1])


def test_rows_as_late_as_the_tested_ones_may_have_classes_of_their_own(capsys, monkeypatch):
    """Such rows are not trained on, and a class that came later is not predicted."""
    day = np.arange(600)
    kind = np.where(day % 3 == 0, "a", "b").astype(object)
    kind[500:] = ["late" if k % 2 else "a" for k in range(100)]
    frame = pl.DataFrame({"day": day // 2, "a": day % 3 + 0.5, "y": kind.tolist()})
    words = [written("t.csv", frame), "--target", "y", "--time-column", "day", "--stream",
             "--sample", "300", *QUICK, "--out", "m"]  # fmt: skip
    record, _ = train(capsys, *words, "--test-size", "0.25")
    assert record["rows"]["training"] < 460
    kind[100] = "early"
    written("t.csv", frame.with_columns(y=pl.Series(kind.tolist())))
    drawn = data_files.sample

    def without_it(*arguments):
        found = drawn(*arguments)
        kept = found.rows != 100
        return found._replace(frame=found.frame.filter(kept), rows=found.rows[kept])

    monkeypatch.setattr(data_files, "sample", without_it)
    _, err = train(capsys, *words, "--test-size", "0.25", status=2)
    assert "has the class 'early' in row 101, but not in the" in err
    assert "rows in memory to train on; remove such rows" in err


@pytest.mark.parametrize("words", [["--stream", "--sample", "150"], []])
def test_rows_of_one_time_cannot_be_split(words, capsys):
    frame = timed().with_columns(day=3)
    _, err = train(capsys, written("t.csv", frame), "--target", "z", "--time-column", "day",
                   "--drop", "date", *words, *QUICK, "--out", "m", status=2)  # fmt: skip
    assert "--time-column: all rows with a target have the same 'day'" in err
