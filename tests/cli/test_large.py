"""Files that are large: sampled to train on, refused if they do not fit, read in blocks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bpnet.cli import data_files, memory, predict
from bpnet.cli.data_files import sample, source_of
from bpnet.cli.main import main

QUICK = ("--preset", "td-s", "--epochs", "2", "--time-limit", "0")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_sample_is_some_rows_in_their_order(kind, monkeypatch):
    monkeypatch.setattr(data_files, "_BLOCK", 40)
    frame = pl.DataFrame({"row": np.arange(1000), "text": [f"t{k}" for k in range(1000)]})
    getattr(frame, f"write_{kind}")(f"t.{kind}")
    found, numbers, total = sample(source_of(f"t.{kind}"), 50, 0)
    rows = found["row"].cast(pl.Int64).to_numpy()
    assert (total, len(rows)) == (1000, 50)
    assert rows.tolist() == numbers.tolist()
    assert 400 < rows.mean() < 600
    monkeypatch.setattr(data_files, "_BLOCK", 170)
    assert sample(source_of(f"t.{kind}"), 50, 0).frame.equals(found)
    assert (np.diff(rows) > 0).all()
    assert found["text"].to_list() == [f"t{row}" for row in rows]
    again, *_ = sample(source_of(f"t.{kind}"), 50, 1)
    assert not again.equals(found)
    assert sample(source_of(f"t.{kind}"), 5000, 0)[0].height == 1000


def test_training_on_a_sample_says_so_and_can_be_repeated(people, capsys):
    argv = ["train", people, "--target", "buys", "--sample", "60", "--no-diagnose", *QUICK]
    assert main([*argv, "--out", "m", "--json"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert sum(record["rows"][name] for name in ("training", "validation", "test")) == 60
    assert "60 of 90 rows" in err
    assert "--sample 60" in record["command"]
    assert "--no-diagnose" in record["command"]


def test_whether_a_table_fits_into_memory(people, monkeypatch):
    source = source_of(people)
    for free, words in ((1000.0, "and 0.0 GB are free"), (1e9, None), (None, None)):
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        found = memory.shortage(source)
        assert found is None if words is None else words in found


def test_categories_of_too_many_levels_for_a_preset_are_refused(people, monkeypatch, capsys):
    monkeypatch.setattr(memory, "_MOST_ONE_HOT", 8 * 90 * 2)
    argv = ["train", people, "--target", "buys", "--epochs", "1", "--time-limit", "0"]
    assert main([*argv, "--preset", "td-s", "--out", "m"]) == 2
    assert "'city' has 3 categories" in (line := capsys.readouterr().err)
    assert "--drop city" in line
    assert main([*argv, "--preset", "td-s", "--drop", "city", "--out", "m"]) == 0


def test_free_memory_is_known_where_the_system_tells():
    free = memory.available()
    assert free is None or free > 1e6


@pytest.mark.parametrize("target", ["buys", "spent"])
def test_evaluating_in_blocks_changes_nothing(people, target, model, monkeypatch, capsys):
    if target == "spent":
        argv = ["train", people, "--target", "spent", "--drop", "buys", "--out", "r", *QUICK]
        assert main(argv) == 0
        model = "r/model.safetensors"
    lines = Path(people).read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3].replace(",yes,", ",,").replace(",no,", ",,")
    with open("t.csv", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    found = []
    for rows in (50_000, 7):
        monkeypatch.setattr(predict, "CHUNK", rows)
        capsys.readouterr()
        assert main(["evaluate", model, "t.csv", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["rows"] == found[1]["rows"] == (89 if target == "buys" else 90)
    for whole, parts in zip(found[0]["test"], found[1]["test"], strict=True):
        assert parts["value"] == pytest.approx(whole["value"], rel=1e-5)


def test_a_wrong_class_is_found_in_any_block(model, people, monkeypatch, capsys):
    monkeypatch.setattr(predict, "CHUNK", 7)
    lines = Path(people).read_text(encoding="utf-8")
    with open("t.csv", "w", encoding="utf-8") as file:
        file.write(f"{lines}u99,30,Rom,True,2024-01-01,kg,perhaps,1\n")
    assert main(["evaluate", model, "t.csv"]) == 2
    assert "'perhaps'" in capsys.readouterr().err
