"""The benchmark on real tables: its arithmetic, its files, and methods on a tiny table."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import statistics
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    """The benchmarks are not installed: they run from the root of the repository."""
    monkeypatch.syspath_prepend(str(ROOT))
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture
def scores():
    from benchmarks import tabular_scores

    return tabular_scores


@pytest.fixture
def tabular():
    from benchmarks import tabular

    return tabular


def record(name, split, method, score, **further):
    return {"set": name, "split": split, "method": method, "score": score} | further


def test_normalized_scores_are_0_at_the_dummy_and_1_at_the_best_fixed_mean(scores):
    found = scores.by_method([
        record("s", 0, "dummy", 0.4), record("s", 1, "dummy", 0.6),
        record("s", 0, "a", 0.7), record("s", 1, "a", 0.8),
        record("s", 0, "b", 0.95), record("s", 1, "b", 0.85),
        record("s", 0, "ours", 1.0), record("s", 1, "ours", 0.5),
    ])  # fmt: skip
    units = scores.normalized(found, fixed=("a", "b"))
    assert units["ours"]["s"] == pytest.approx({0: 1.25, 1: 0.0})
    assert statistics.fmean(units["b"]["s"].values()) == pytest.approx(1)
    assert statistics.fmean(units["dummy"]["s"].values()) == pytest.approx(0)


def test_normalization_uses_what_all_fixed_methods_did(scores):
    """Not a set that one of them lacks, nor a split; all of ours is put on the scale."""
    found = scores.by_method([
        record("s", 0, "dummy", 0.0), record("s", 1, "dummy", 0.0),
        record("t", 0, "dummy", 0.0),
        record("s", 0, "a", 0.5), record("s", 1, "a", 0.9), record("t", 0, "a", 0.5),
        record("s", 0, "b", 0.4),
        record("s", 0, "ours", 0.5), record("s", 1, "ours", 1.0), record("t", 0, "ours", 0.5),
    ])  # fmt: skip
    units = scores.normalized(found, fixed=("a", "b"))
    assert units["ours"] == {"s": {0: 1.0, 1: 2.0}}


def test_differences_are_paired(scores):
    ours = {"s": {0: 3.0, 1: 5.0, 2: 9.0}, "t": {0: 1.0}, "u": {0: 1.0}}
    theirs = {"s": {2: 1.0, 0: 1.0}, "t": {1: 1.0}, "v": {0: 1.0}}
    assert scores.differences(ours, theirs) == {"s": [2.0, 8.0]}
    assert scores.wins(ours, theirs) == (1, 1)


def test_every_set_counts_the_same(scores):
    assert scores.mean({"s": [1.0, 1.0, 1.0, 1.0], "t": [0.0]}) == 0.5


@given(st.floats(-10, 10), st.integers(1, 5), st.integers(1, 5))
def test_interval_of_a_constant_is_that_constant(value, sets, splits):
    from benchmarks import tabular_scores

    values = {str(index): [value] * splits for index in range(sets)}
    found = tabular_scores.interval(values, resamples=20)
    assert found == pytest.approx((value, value))


@pytest.mark.parametrize(("sets", "splits"), [(100, 1), (1, 100), (10, 10)])
def test_interval_of_many_values_is_the_normal_one(scores, sets, splits):
    """The variance of a two-stage bootstrap: between sets, plus within them."""
    table = np.random.default_rng(1).normal(size=(sets, splits))
    values = {str(index): list(row) for index, row in enumerate(table)}
    means = table.mean(axis=1)
    variance = (means.var() + table.var(axis=1).mean() / splits) / sets
    low, high = scores.interval(values, resamples=4000)
    assert low == pytest.approx(means.mean() - 1.96 * math.sqrt(variance), abs=0.02)
    assert high == pytest.approx(means.mean() + 1.96 * math.sqrt(variance), abs=0.02)


def test_interval_draws_within_sets_of_different_numbers_of_splits(scores):
    low, high = scores.interval({"s": [0.0, 1.0], "t": [2.0]}, resamples=1000)
    assert 0 <= low < 1 < high <= 2


def test_ratio_of_times_is_a_geometric_mean_of_medians(scores):
    ours = {"s": {0: 2.0, 1: 2.0, 2: 90.0}, "t": {0: 1.0}, "u": {0: 1.0}}
    theirs = {"s": {0: 1.0}, "t": {0: 8.0}}
    assert scores.time_ratio(ours, theirs) == pytest.approx(0.5)


def test_the_faster_backend_of_each_set_is_compared(scores):
    from benchmarks import tabular_report

    seconds = {
        "bpnet-td": {"s": (2.0, 2.0, 90.0), "t": (8.0,), "u": (1.0,)},
        "bpnet-td:jax": {"s": (4.0,), "t": (2.0, 90.0, 1.0)},
        "pytabkit-td": {"s": (4.0,), "t": (8.0,), "u": (8.0,)},
    }
    times = [
        {"method": method, "set": name, "fit": value, "busy": False}
        for method, sets in seconds.items()
        for name, values in sets.items()
        for value in values
    ]
    text = tabular_report.times_report(times, tuple(seconds))
    (line,) = (line for line in text.splitlines() if "the faster backend" in line)
    assert line.split()[-2:] == ["2", f"{(0.5 * 0.25) ** 0.5:.3f}"]


@pytest.fixture
def measured(monkeypatch, tabular):
    """Replace measuring by writing down what was asked; the method "fails" raises."""
    calls = []

    def measure(split, name, method, threads):
        calls.append((split, name, method))
        if method == "fails":
            raise ArithmeticError
        return record(name, split, method, 0.5, fit=1.0)

    monkeypatch.setattr(tabular, "measure", measure)
    return calls


def test_a_run_continues_where_it_stopped(tabular, measured, tmp_path, capsys):
    path = tmp_path / "folder" / "results.jsonl"
    jobs = [(split, "s", method) for split in (0, 1) for method in ("a", "fails", "b")]
    tabular.run(jobs[:2], path, threads=1, busy=True)
    assert [line["method"] for line in tabular.read(path)] == ["a"]
    assert "ArithmeticError" in capsys.readouterr().err
    measured.clear()
    tabular.run(jobs, path, threads=1)
    assert measured == jobs[1:]  # what failed is tried again
    assert [(line["method"], line["busy"]) for line in tabular.read(path)] == [
        ("a", True), ("b", False), ("a", False), ("b", False),
    ]  # fmt: skip


def test_times_are_appended_each_time(tabular, measured, tmp_path, monkeypatch):
    monkeypatch.setattr(tabular, "warm_up", lambda methods, threads: None)
    path = tmp_path / "times.jsonl"
    options = ["--sets", "olive", "--methods", "bpnet-td", "pytabkit-td", "--times", str(path)]
    for _ in range(2):
        tabular.main(["times", *options])
    turn = [(0, "olive", "bpnet-td"), (0, "olive", "pytabkit-td")]
    assert measured == turn * 2
    assert len(tabular.read(path)) == 4


def test_command_line_runs_all_sets_of_a_split_first(tabular, measured, tmp_path):
    path = tmp_path / "results.jsonl"
    options = ["--sets", "olive", "hpc", "--splits", "0", "1", "--methods", "numpy"]
    tabular.main(["run", *options, "--file", str(path)])
    assert [(split, name) for split, name, _ in measured[::3]] == [
        (0, "olive"), (0, "hpc"), (1, "olive"), (1, "hpc"),
    ]  # fmt: skip
    assert {method for *_, method in measured} == {"bpnet-plain", "bpnet-td-s", "bpnet-td"}


def test_report_shows_scores_differences_and_times(tabular):
    from benchmarks.tabular_report import report

    methods = tuple(tabular.METHODS)
    scored = {"dummy": 0.5, "bpnet-td": 0.82}
    records = [
        record(name, split, method, scored.get(method, 0.9), log_loss=0.25)
        for name in ("s", "t")
        for split in (0, 1)
        for method in (*tabular.PEERS, "bpnet-td")
    ]
    times = [
        record("s", 0, method, 0.5, fit=fit, busy=busy)
        for method, fit, busy in (
            ("bpnet-td", 1.0, False), ("bpnet-td", 3.0, False), ("bpnet-td", 99.0, True),
            ("pytabkit-td", 8.0, False),
        )
    ]  # fmt: skip
    lines = [
        line.split() for line in report(records, times, {"s": "9 rows"}, methods).split("\n")
    ]
    assert ["s", "9", "rows"] in lines
    assert ["s", "2", "0.5000", *["0.9000"] * 5, "0.8200"] in lines
    assert ["bpnet-td", "2", "0.8000", *["on", "0", "of", "2", "sets"]] in lines
    assert [
        "bpnet-td", "pytabkit-td", "2", "-20.00", "[-20.00,", "-20.00]",
        *["on", "0", "of", "2", "sets"], "+0.0000",
    ] in lines  # fmt: skip
    assert ["bpnet-td", "pytabkit-td", "1", "0.250"] in lines
    assert ["s", "8.00", "2.00"] in lines


@pytest.fixture
def tiny(monkeypatch):
    """Two tables with a code, gaps, a column to drop, and a row without an outcome."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    from benchmarks import tabular_sets

    def load(outcome):
        draw = np.random.default_rng(0)
        number = draw.normal(size=61)
        frame = pd.DataFrame({
            "number": np.where(draw.random(61) < 0.2, np.nan, number),
            "code": draw.integers(3, size=61),
            "word": np.where(draw.random(61) < 0.2, None, np.where(number > 0, "a", "b")),
            "index": range(61),
        })  # fmt: skip
        frame["outcome"] = np.where(number > 0, "yes", "no") if outcome == "word" else number
        frame.loc[60, "outcome"] = np.nan
        return frame

    monkeypatch.setitem(tabular_sets.SOURCES, "fake", load)
    for kind, outcome in (("classes", "word"), ("number", "number")):
        table = tabular_sets.Table(f"fake:{outcome}", kind, "outcome", ("index",), ("code",))
        monkeypatch.setitem(tabular_sets.TABLES, kind, table)
    return tabular_sets


def test_table_drops_and_types_columns(tiny):
    X, y, kind = tiny.TABLES["classes"].load()
    assert kind == "classes"
    assert {name: str(dtype) for name, dtype in X.dtypes.items()} == {
        "number": "float64", "code": "category", "word": "category",
    }  # fmt: skip
    assert len(X) == len(y) == 60
    assert X["word"].isna().any()
    assert set(y) == {"yes", "no"}


def test_table_draws_the_same_rows_of_a_large_set(tiny, monkeypatch):
    whole, *_ = tiny.TABLES["number"].load()
    monkeypatch.setattr(tiny, "ROWS", 20)
    (X, y, _), (again, *_) = (tiny.TABLES["number"].load() for _ in range(2))
    assert len(X) == len(y) == 20
    assert X.equals(again)
    assert not X.equals(whole[:20])


@pytest.mark.parametrize("kind", ["classes", "number"])
@pytest.mark.parametrize("method", ["dummy", "sklearn", "hgb"])
def test_method_is_scored_on_the_test_part(tiny, tabular, kind, method):
    found = tabular.measure(1, kind, method, threads=1)
    assert (found["set"], found["split"], found["method"]) == (kind, 1, method)
    assert found["fit"] > 0
    assert found["predict"] >= 0  # of less than 50 us it is 0
    assert ("log_loss" in found) == (kind == "classes")
    zero = {"classes": 0.5, "number": 0.0}[kind]
    assert found["score"] < zero + 0.1 if method == "dummy" else found["score"] > zero + 0.2


def test_parts_are_the_same_for_all_methods_and_stratified(tiny, tabular):
    first, second = (tabular.parts("classes", 3) for _ in range(2))
    assert first[0].equals(second[0])
    X, X_test, *_ = first
    assert (len(X), len(X_test)) == (42, 18)
    assert not X.index.intersection(X_test.index).size
    yes = {int((tabular.parts("classes", split)[3] == "yes").sum()) for split in tabular.SPLITS}
    assert len(yes) == 1
    assert not tabular.parts("classes", 4)[0].equals(X)


def test_written_records_are_json_lines(tiny, tabular, tmp_path):
    path = tmp_path / "results.jsonl"
    tabular.run([(0, "number", "dummy")], path, threads=1)
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["kind"] == "number"


def test_shipped_sets_keep_the_rule():
    """As far as their packages are installed, of which scikit-learn is one in the tests."""
    pytest.importorskip("sklearn")
    from benchmarks.tabular_sets import TABLES

    for table in TABLES.values():
        if importlib.util.find_spec(table.source.partition(":")[0]):
            X, y, kind = table.load()
            assert 400 <= len(X) <= 6000
            assert 5 <= X.shape[1] <= 100
            assert y.notna().all()
            if kind == "classes":
                count = y.value_counts()
                assert 2 <= len(count) <= 40
                assert count.min() >= 20
                assert count.max() <= 0.9 * len(y)
