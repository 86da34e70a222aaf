"""The commands for saved models: predict, evaluate, info, diagnose; and check and bench."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.cli import data_files, model_file
from bpnet.cli.commands import COMMANDS
from bpnet.cli.main import main

QUICK = ("--preset", "td-s", "--epochs", "2", "--time-limit", "0")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BPNET_BACKEND", raising=False)


# --- predict ---------------------------------------------------------------------------------


def expected(model, people):
    """Return the frame and the probabilities by the model itself."""
    frame = data_files.read(data_files.source_of(people))
    return frame, bpnet.load(model).predict_proba(model_file.read(model).table(frame))


@pytest.mark.parametrize("chunk", ["7", "50000"])
def test_predictions_in_chunks_are_those_of_the_whole(model, people, chunk, capsys):
    argv = ["predict", model, people, "--out", "p.csv", "--proba", "--keep", "key"]
    assert main([*argv, "--chunk", chunk]) == 0
    assert "90 predictions: p.csv" in capsys.readouterr().out
    found = pl.read_csv("p.csv")
    frame, p = expected(model, people)
    assert found.columns == ["key", "predicted_buys", "probability_no", "probability_yes"]
    assert found["key"].to_list() == frame["key"].to_list()
    assert_allclose(found["probability_yes"].to_numpy(), p[:, 1], rtol=1e-5)
    assert_array_equal(found["predicted_buys"].to_numpy() == "yes", p[:, 1] > p[:, 0])
    assert os.listdir() == ["p.csv"]


def test_parquet_in_and_out_as_json(model, people, capsys):
    frame, p = expected(model, people)
    frame.write_parquet("people.parquet")
    argv = ["predict", model, "people.parquet", "--out", "p.parquet", "--json"]
    assert main([*argv, "--chunk", "20"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 90, "out": "p.parquet"}
    found = pl.read_parquet("p.parquet")["predicted_buys"].to_numpy()
    assert_array_equal(found == "yes", p[:, 1] > p[:, 0])


@pytest.mark.skipif(os.name == "nt", reason="no permissions of others")
@pytest.mark.parametrize("out", ["p.csv", "p.parquet"])
def test_predictions_may_be_read_by_whom_the_user_lets(out, model, people):
    Path("other").touch()
    assert main(["predict", model, people, "--out", out]) == 0
    assert os.stat(out).st_mode == os.stat("other").st_mode


def test_a_full_disk_leaves_no_part_of_the_predictions(model, people, monkeypatch, capsys):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)

    def full_of_polars(*arguments, **options):
        raise pl.exceptions.ComputeError(
            "parquet: IO error: No space left on device (os error 28)"
        )

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_of_polars)
    for out in ("p.csv", "p.parquet"):
        assert main(["predict", model, people, "--out", out]) == 1
        assert capsys.readouterr().err == (
            f"bpnet predict: cannot write '{out}': No space left on device; nothing was "
            f"written\n"
        )
        assert os.listdir() == []


def test_a_network_predicts_by_the_names_of_its_columns():
    X = pl.DataFrame({"b": np.linspace(-1, 1, 20), "a": np.linspace(1, 2, 20)})
    net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
    net.fit(X, np.linspace(0, 1, 20), epochs=1)
    net.save("net.safetensors")
    X.select("a", "b").write_csv("t.csv")
    assert main(["predict", "net.safetensors", "t.csv", "--out", "p.csv"]) == 0
    found = pl.read_csv("p.csv")["prediction"].to_numpy()
    assert_allclose(found, net.predict(X), rtol=1e-5)


# --- evaluate --------------------------------------------------------------------------------


def test_an_evaluation_is_that_of_scikit_learn(model, people, capsys):
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

    assert main(["evaluate", model, people, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "these rows" in err  # which may have been trained on
    assert "constant prediction" in err
    found = {one["metric"]: one for one in json.loads(out)["test"]}
    frame, p = expected(model, people)
    y = (frame["buys"] == "yes").to_numpy().astype(int)
    chosen = p.argmax(axis=1)
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(y, chosen))
    assert found["balanced accuracy"]["value"] == pytest.approx(
        balanced_accuracy_score(y, chosen)
    )
    assert found["log loss"]["value"] == pytest.approx(log_loss(y, p), rel=1e-5)
    assert found["ROC AUC"]["value"] == pytest.approx(roc_auc_score(y, p[:, 1]))
    assert found["ROC AUC"]["baseline"] == 0.5
    for one in found.values():
        assert one["low"] <= one["value"] <= one["high"]


def test_several_classes_and_numbers_as_scikit_learn():
    from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

    from bpnet.cli.results import Predictions, measured

    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 3, 60), rng.dirichlet(np.ones(3), 60)
    found = {one.metric: one.value for one in measured(Predictions(y, p, p[0], [0, 1, 2]))}
    assert found["ROC AUC"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr"))
    y, predicted = rng.normal(size=50), rng.normal(size=50)
    results = measured(Predictions(y, predicted, 0.0, None))
    found = {one.metric: one.value for one in results}
    assert found["MAE"] == pytest.approx(mean_absolute_error(y, predicted))
    assert found["R2"] == pytest.approx(r2_score(y, predicted))


def test_the_intervals_are_those_of_scipy(monkeypatch):
    from scipy.stats import bootstrap

    from bpnet.cli.results import Predictions, measured

    monkeypatch.setattr("bpnet.cli.results._RESAMPLES", 5_000)
    rng = np.random.default_rng(1)
    y, predicted = rng.normal(size=200), np.zeros(200)
    (_, mae, _) = measured(Predictions(y, predicted, 0.0, None))
    theirs = bootstrap((np.abs(y),), np.mean, method="percentile", rng=rng).confidence_interval
    assert mae.low == pytest.approx(theirs.low, rel=0.008)
    assert mae.high == pytest.approx(theirs.high, rel=0.008)


def test_truth_values_are_the_same_in_every_spelling(monkeypatch, capsys):
    rows = [f"{k * 0.37 % 5:.2f},{bool(k % 2)},{k % 5 < 2}" for k in range(40)]
    Path("t.csv").write_text("x,b,y\n" + "\n".join(rows) + "\n")
    pl.read_csv("t.csv").write_parquet("t.parquet")
    monkeypatch.setattr("bpnet.cli.report.page.report", lambda run: "a page")
    assert main(["train", "t.csv", "--target", "y", "--out", "m", *QUICK]) == 0
    measured = []
    for name in ("t.csv", "t.parquet"):
        capsys.readouterr()
        assert main(["evaluate", "m/model.safetensors", name, "--json"]) == 0
        measured.append(json.loads(capsys.readouterr().out))
    assert measured[0] == measured[1]
    assert measured[0]["rows"] == 40


@pytest.mark.parametrize("words", [[], ["--stream", "--sample", "60"]])
@pytest.mark.parametrize("name", ["ids.csv", "ids.parquet"])
def test_labels_beyond_floats_stay_different(name, words, monkeypatch, capsys):
    monkeypatch.setattr("bpnet.cli.report.page.report", lambda run: "a page")
    codes = np.arange(90) % 2
    frame = pl.DataFrame({"x": codes + np.arange(90) / 900.0, "id": 2**53 + codes})
    frame.write_csv(name) if name.endswith("csv") else frame.write_parquet(name)
    argv = ["train", name, "--target", "id", "--out", "m", "--preset", "td-s", "--no-diagnose"]
    assert main([*argv, "--epochs", "9", "--time-limit", "0", "--force", *words]) == 0
    assert main(["predict", "m/model.safetensors", name, "--out", "p.csv"]) == 0
    assert_array_equal(pl.read_csv("p.csv")["predicted_id"].cast(int), frame["id"])
    capsys.readouterr()
    assert main(["evaluate", "m/model.safetensors", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"][0]["value"] == 1.0


def test_rows_without_a_target_are_left_out(model, people, tmp_path, capsys):
    with open(people, encoding="utf-8") as file:
        text = file.read()
    (tmp_path / "t.csv").write_text(text + "u900,30,Rom,true,2024-01-01,kg,,1\n", "utf-8")
    assert main(["evaluate", model, "t.csv"]) == 0
    out, err = capsys.readouterr()
    assert "on 90 rows" in out
    assert err == "note: rows without a target, which are left out: 1\n"


# --- export ----------------------------------------------------------------------------------


def test_an_exported_model_predicts_the_same(model, people):
    pytest.importorskip("ndonnx")
    runtime = pytest.importorskip("onnxruntime")
    assert main(["export", model, "--onnx", "m.onnx"]) == 0
    session = runtime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    table = model_file.read(model).table(data_files.read(data_files.source_of(people)))
    inputs = {
        "age": table["age"].fill_null(np.nan).to_numpy(),
        **{name: table[name].fill_null("").to_numpy() for name in ("city", "paid")},
    }
    (found,) = session.run(["probabilities"], inputs)
    assert_allclose(found, expected(model, people)[1], atol=1e-5)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("m.bin", "must end in .onnx"),
        ("old.onnx", "exists already"),
        ("no/new.onnx", "--onnx: there is no folder 'no'"),
        ("a\0b.onnx", "--onnx: cannot write"),
        ("new.onnx", "pip install"),
    ],
)
def test_what_cannot_be_exported(file, message, model, monkeypatch, capsys):
    def lacking(self, path):
        raise ImportError('ONNX needs ndonnx: pip install "bpnet-array-api[onnx]"')

    Path("old.onnx").write_text("old")
    monkeypatch.setattr(bpnet.TabularClassifier, "to_onnx", lacking)
    assert main(["export", model, "--onnx", file]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert os.listdir() == ["old.onnx"]


# --- info and diagnose -----------------------------------------------------------------------


def test_info_shows_network_columns_and_training(model, capsys):
    assert main(["info", model]) == 0
    out = capsys.readouterr().out
    for words in (
        "TabularClassifier", "buys (classification)", "2: no, yes", "2 epochs", "key: an id",
        "Dense", "number   10", "accuracy", "--target buys",
    ):  # fmt: skip
        assert words in out
    assert "data_loss" not in out


def test_info_and_report_name_one_time(model, capsys):
    record = {"training": {"seconds": 1234.5}}
    model_file.save(bpnet.load(model), record, "timed.safetensors")
    assert main(["info", "timed.safetensors"]) == 0
    assert "2 epochs in 1234.5 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("estimator", "words"),
    [(bpnet.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2), "last epoch   2: loss"),
     (bpnet.TabularRegressor("td-s", n_epochs=2), ", of standardized targets")],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_info_of_estimators_of_python(estimator, words, capsys):
    X = np.random.default_rng(0).normal(size=(40, 2))
    estimator.fit(X, X[:, 0])
    estimator.save("numbers.safetensors")
    assert main(["info", "numbers.safetensors"]) == 0
    assert words in capsys.readouterr().out


def test_info_of_a_network_of_python(capsys):
    net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "mean_squared_error", seed=0)
    net.build(2).save("net.safetensors")
    assert main(["info", "net.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 13


def test_a_record_that_is_none_is_ignored(model, capsys):
    estimator = bpnet.load(model)
    good = {"name": "age", "kind": "number", "missing": 0, "distinct": 3}
    for record in (
        [], {"columns": 3}, {"columns": [1]}, {"columns": [good | {"name": 1}]},
        {"columns": [good | {"kind": "other"}]}, {"columns": [{"name": "age"}]},
        {"test": [{"metric": "x"}]}, {"left_out": [{}]}, {"constant": "x"},
        {"training": 3}, {"training": {"seconds": "x"}},
    ):  # fmt: skip
        model_file.save(estimator, record, "odd.safetensors")
        assert model_file.read("odd.safetensors").record == {}
        assert main(["info", "odd.safetensors"]) == 0
    model_file.save(estimator, {"columns": [good]}, "good.safetensors")
    assert model_file.read("good.safetensors").features == {"age": "number"}


def test_the_diagnosis_that_was_recorded(model, capsys):
    status = main(["diagnose", model])
    out = capsys.readouterr().out
    assert out.startswith("diagnosis: ")
    assert status == (0 if "diagnosis: healthy" in out else 1)


def test_a_model_that_python_saved_is_diagnosed_from_its_history(model, capsys):
    main(["diagnose", model])
    recorded = capsys.readouterr().out
    bpnet.load(model).save("python.safetensors")
    status = main(["diagnose", "python.safetensors"])
    assert capsys.readouterr().out == recorded
    assert status == (0 if "diagnosis: healthy" in recorded else 1)


def test_without_a_record_of_gradients_diagnose_says_what_to_do(model, capsys):
    estimator = bpnet.load(model)
    estimator.history_.facts = None
    for record, words in (({}, "bpnet.GradientFlow()"), ({"command": "bpnet x"}, "bpnet x")):
        model_file.save(estimator, record, "plain.safetensors")
        assert main(["diagnose", "plain.safetensors"]) == 2
        assert words in capsys.readouterr().err


# --- check, bench and help -------------------------------------------------------------------


@pytest.fixture
def only_numpy(monkeypatch):
    found = {"numpy": bpnet.available_backends()["numpy"]}
    for module in ("check", "bench"):
        monkeypatch.setattr(f"bpnet.cli.{module}.available_backends", lambda: found)


@pytest.mark.usefixtures("only_numpy")
def test_check_passes_here(capsys):
    assert main(["check", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["passed"]
    assert set(found["gradient_errors"]) == {"numpy:cpu"}
    assert "everything agrees" in err


@pytest.mark.usefixtures("only_numpy")
def test_check_fails_if_a_gradient_is_off(monkeypatch, capsys):
    monkeypatch.setattr("bpnet.cli.check.TOLERANCE", -1.0)
    assert main(["check"]) == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.usefixtures("only_numpy")
def test_bench_names_a_backend(people, capsys):
    argv = ["bench", people, "--target", "buys", "--preset", "plain", "--seconds", "0"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "use --backend numpy:cpu, the only one that was measured" in out


def test_the_advice_compares_speeds():
    from bpnet.cli.bench import Timed, _advice

    fast, slow = Timed("jax:cpu", 5.0, 2000.0), Timed("numpy:cpu", 1.0, 1000.0)
    found = _advice([slow, fast])
    assert "use --backend jax:cpu, 2.0 times as fast as numpy:cpu" in found
    assert "after 8,000 rows" in found
    assert "about as fast" in _advice([fast, fast._replace(backend="torch:cpu", speed=1990.0)])
    assert "no backend" in _advice([])


@pytest.mark.parametrize(
    ("simd", "kernels", "is_slow"),
    [
        (["X86_V3", "X86_V4"], "Haswell", True),
        (["AVX2", "AVX512_SKX"], "Zen", True),
        (["X86_V3", "X86_V4"], "SkylakeX", False),
        (["X86_V3"], "Haswell", False),
        ([], None, False),
    ],
)
def test_products_that_leave_half_of_the_cpu_unused_are_pointed_out(
    simd, kernels, is_slow, people, capsys, monkeypatch
):
    blas = {"user_api": "blas", "filepath": "numpy.libs/libscipy_openblas64_.so"}
    blas |= {"architecture": kernels} if kernels else {}
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [blas])
    config = {"SIMD Extensions": {"baseline": ["X86_V2"], "found": simd}} if simd else {}
    monkeypatch.setattr(np, "show_config", lambda mode: config)
    argv = ["bench", people, "--target", "buys", "--preset", "plain", "--seconds", "0"]
    assert main([*argv, "--backends", "numpy"]) == 0
    assert ("OPENBLAS_CORETYPE=SkylakeX" in capsys.readouterr().err) == is_slow


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: bpnet {name}" in out
    assert "--json" in out


def test_help_lists_all_commands(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"    {name} " in out for name in (*COMMANDS, "demo", "parity", "learn"))


def test_help_imports_nothing_heavy():
    code = """if True:
        import sys
        from bpnet.cli.main import main
        main(["--help"])
        heavy = {"bpnet.learn", "bpnet.training.loop", "typer", "polars", "sklearn"}
        print(sorted(heavy & set(sys.modules)))"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_shell_completes_all_commands(monkeypatch, capsys):
    from bpnet.cli.app import _application

    assert set(_application().commands) == {*COMMANDS, "backends", "demo", "learn", "parity"}
    monkeypatch.setenv("_BPNET_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "bpnet par")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ["parity"]


def test_models_can_be_moved(model, people, tmp_path):
    shutil.copy(model, "moved.safetensors")
    assert main(["predict", "moved.safetensors", people, "--out", "p.csv"]) == 0
