"""Each section of the benchmarks on the tiniest network: checks rows, not times."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

import bpnet

ROOT = Path(__file__).parents[2]
LABELS = {"numpy": "numpy", "torch:cpu": "torch", "jax:cpu:0": "jax"}
# As little work as possible: the tests only check that everything runs.
FAST = {
    "timing.TURN": 0.001,
    "hardware.SIDE": 64,
    "hardware.LENGTH": 2**12,
    "hardware.REPEATS": 1,
    "scaling.DEPTHS": (1, 2, 3),
    "callbacks.EPOCHS": 3,
    "whole_epochs.EPOCHS": 2,
    "digits.GOAL": 0.9,
    "imports.MODULES": ("bpnet", "numpy"),
    "fresh_process.WARM_UP": 0,
    "estimators.EPOCHS": 2,
}
LIBRARIES = {"PyTorch eager": "torch", "JAX by hand": "jax", "scikit-learn": "sklearn"}


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    """The benchmarks are not installed: they run from the root of the repository."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(ROOT)
    for name, value in FAST.items():
        monkeypatch.setattr(f"benchmarks.{name}", value)
    with mock.patch.dict(os.environ):
        yield


def specs():
    found = bpnet.available_backends()
    return [spec for spec, name in LABELS.items() if found[name].available]


def measure(tmp_path, *sections, backends):
    """Run sections once and return the content of the results file."""
    from benchmarks.__main__ import main

    path = tmp_path / "results" / "results.json"
    options = ["--networks", "tiny", "--rounds", "1", "--threads", "1", "--json", str(path)]
    main([*sections, *options, "--backends", *backends])
    return json.loads(path.read_text())


def contestants(backends, *peers, floors=False):
    labels = [LABELS[spec] for spec in backends]
    found = {f"bpnet {label}" for label in labels}
    if floors:
        found |= {f"floor {label}" for label in labels}
    return found | {peer for peer in peers if has(LIBRARIES[peer])}


def has(library):
    from benchmarks import runner

    return runner.has(library)


def cases(rows):
    """Return the rows of each case, by contestant."""
    found = {}
    for row in rows:
        assert all(row[name] for name in ("section", "case", "contestant"))
        found.setdefault(row["case"], {})[row["contestant"]] = row
    return found


def is_positive(value):
    return math.isfinite(value) and value > 0.0


@pytest.mark.parametrize(
    ("section", "n_cases", "floors", "peers"),
    [
        ("step", 2, True, ("PyTorch eager", "JAX by hand")),
        ("epoch", 2, False, tuple(LIBRARIES)),
        ("inference", 1, True, tuple(LIBRARIES)),
    ],
)
def test_speed(section, n_cases, floors, peers, tmp_path, capsys):
    found = cases(measure(tmp_path, section, backends=specs())["rows"])
    assert len(found) == n_cases
    for rows in found.values():
        assert set(rows) == contestants(specs(), *peers, floors=floors)
        for row in rows.values():
            assert row["section"] == section
            for name in ("seconds", "flops", "bytes", "utilisation"):
                assert is_positive(row[name])
    printed = capsys.readouterr().out
    assert all(
        name in printed for name in ("/ eager", "/ floor", "/ peer", "GFLOP/s", "of peak")
    )


def test_latency(tmp_path):
    from benchmarks.latency import CLASSIFIER, NUMPY, ONNX

    found = cases(measure(tmp_path, "latency", backends=specs())["rows"])
    assert list(found) == ["4-8-3, float32 row", "4-8-3, float64 row"]
    for rows in found.values():
        ours = {NUMPY} | ({CLASSIFIER} if has("sklearn") else set())
        ours |= {ONNX} if has("onnxruntime") and has("ndonnx") else set()
        assert set(rows) == contestants(specs(), *LIBRARIES) | ours
        assert all(is_positive(row["seconds"]) for row in rows.values())


def test_requests(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.requests.SIZES", (2, 3, 4, 5))
    (rows,) = cases(measure(tmp_path, "requests", backends=specs())["rows"]).values()
    expected = contestants(specs(), "PyTorch eager", "JAX by hand") | {"NumPy by hand"}
    assert set(rows) == expected
    assert all(
        is_positive(row["seconds"]) and is_positive(row["first"]) for row in rows.values()
    )
    compiled = {name: row["compilations"] for name, row in rows.items()}
    if has("jax"):
        assert compiled.pop("bpnet jax") == 3  # for 2, 4 and 8 rows
        assert compiled.pop("JAX by hand") == 4
    assert set(compiled.values()) == {0}


@pytest.mark.full
def test_scaling_and_its_picture(tmp_path):
    from benchmarks.__main__ import main

    measured = measure(tmp_path, "scaling", "step", backends=["numpy"])
    found = cases(row for row in measured["rows"] if row["section"] == "scaling")
    assert [case.partition(" ")[0] for case in found] == ["batch", "width", "depth"]
    for rows in found.values():
        assert set(rows) == contestants(["numpy"], "PyTorch eager", "JAX by hand")
        for row in rows.values():
            assert len(row["sizes"]) == len(row["seconds"]) >= 3
            assert all(map(is_positive, row["seconds"]))
            assert math.isfinite(row["slope"])
            assert row["flops_slope"] > 0.5
    pytest.importorskip("matplotlib")
    results = str(tmp_path / "results" / "results.json")
    main(["--from", results, "--plot", str(tmp_path / "pictures")])
    for name in ("scaling.png", "ratios.png"):
        assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")


def test_scan(tmp_path):
    pytest.importorskip("jax")
    found = cases(measure(tmp_path, "scan", backends=["numpy", "jax"])["rows"])
    assert len(found) == 2
    for rows in found.values():
        assert set(rows) == {"bpnet jax", "JAX scan by hand"}
        assert all(is_positive(row["seconds"]) for row in rows.values())


def test_shared(tmp_path, monkeypatch):
    for name, value in {"COPIES": (2,), "BATCHES": 2, "EPOCHS": 1, "FITS": 1}.items():
        monkeypatch.setattr(f"benchmarks.shared.{name}", value)
    found = cases(measure(tmp_path, "shared", backends=["numpy"])["rows"])
    assert [case.rpartition(", ")[2] for case in found] == ["2 at once"]
    for rows in found.values():
        assert set(rows) == {"bpnet numpy", "bpnet numpy, one BLAS thread"}
        for row in rows.values():
            assert is_positive(row["seconds"])
            assert row["slowest"] >= row["seconds"]


def test_further(tmp_path):
    (rows,) = cases(measure(tmp_path, "further", backends=specs())["rows"]).values()
    assert set(rows) == contestants(specs())
    for row in rows.values():
        assert all(is_positive(row[name]) for name in ("seconds", "first_fit", "predict"))


@pytest.mark.full
def test_callbacks(tmp_path):
    found = cases(measure(tmp_path, "callbacks", backends=["numpy"])["rows"])
    (rows,) = found.values()
    assert {"none", "EarlyStopping", "GradientFlow", "Doctor", "Snapshots"} <= set(rows)
    assert ("Checkpoint" in rows) == has("safetensors")
    assert all(is_positive(row["seconds"]) for row in rows.values())


def test_digits(tmp_path):
    pytest.importorskip("sklearn")
    (rows,) = cases(measure(tmp_path, "digits", backends=["numpy"])["rows"]).values()
    assert set(rows) == contestants(["numpy"], "PyTorch eager", "scikit-learn")
    for row in rows.values():
        assert is_positive(row["seconds"])
        assert 1 <= row["epochs"] < 100
        assert row["accuracy"] >= 0.9


def test_import(tmp_path):
    (rows,) = cases(measure(tmp_path, "import", backends=["numpy"])["rows"]).values()
    assert set(rows) == {"bpnet", "numpy"}
    assert all(is_positive(row["seconds"]) for row in rows.values())


@pytest.mark.full
def test_first(tmp_path):
    """Without PyTorch, whose first step takes seconds."""
    from benchmarks import runner

    with mock.patch.dict(runner.PEERS):
        del runner.PEERS["PyTorch eager"]
        found = measure(tmp_path, "first", backends=["numpy"])
    (rows,) = cases(found["rows"]).values()
    assert set(rows) == contestants(["numpy"], "JAX by hand", "scikit-learn")
    assert all(is_positive(row["seconds"]) for row in rows.values())


@pytest.mark.full
def test_memory():
    """NumPy only: each process that imports a large library takes seconds."""
    from benchmarks import memory
    from benchmarks.cases import Case
    from benchmarks.runner import Options

    case = Case((256, 2048, 2048, 10), 64)
    options = Options((case,), {"numpy": bpnet.get_backend("numpy")}, 1)
    with mock.patch.object(memory, "peers", return_value={}):
        found = [row for rows in memory.measure(options) for row in rows]
    assert [row.case.partition(", ")[2] for row in found] == [
        "relu, SGD, step", "relu, SGD, fit", "relu, Adam, step", "relu, Adam, fit"
    ]  # fmt: skip
    for row in found:
        assert row.values["before"] > 10e6
        # Gradients and new weights are kept next to the old ones; `fit` also keeps those of the
        # last good epoch.
        most = 3.0 if row.case.endswith("step") else 8.0
        assert 0.8 < row.values["bytes"] / row.values["least"] < most


@pytest.mark.parametrize(("section", "tables"), [("sparse", "SPARSE"), ("regressor", "DENSE")])
def test_estimators(section, tables, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    from benchmarks import estimators

    monkeypatch.setattr(estimators, tables, (estimators.Table(250, 2, 3, 4, (8,)),))
    found = cases(measure(tmp_path, section, backends=["numpy"])["rows"])
    assert len(found) == (2 if section == "sparse" else 1)
    for rows in found.values():
        assert set(rows) == contestants(["numpy"], "scikit-learn")
        assert all(is_positive(row["epoch"]) for row in rows.values())


def test_a_table_is_one_hot_and_numbers():
    pytest.importorskip("scipy")
    from benchmarks.estimators import Table

    X, y = Table(50, 2, 3, 4).examples()
    assert X.shape == (50, 10)
    assert y.shape == (50,)
    assert (X.toarray()[:, :6].reshape(50, 2, 3).sum(axis=2) == 1.0).all()


@pytest.mark.full
def test_host_memory(tmp_path, monkeypatch):
    from benchmarks import host_memory

    shape = (30_000, 600)
    monkeypatch.setattr(host_memory, "SHAPE", shape)
    monkeypatch.setattr(host_memory, "FORMS", ("float64", "float32 map"))
    found = cases(measure(tmp_path, "host", backends=["numpy"])["rows"])
    assert [case.partition(",")[0] for case in found] == ["fit", "predict", "evaluate"]
    for rows in found.values():
        assert rows["float64"]["X"] == 2 * rows["float32 map"]["X"] == 8 * 18_000_000
        assert all(0 <= row["bytes"] < 0.5 * row["X"] for row in rows.values())


@pytest.mark.full
def test_streams(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("benchmarks.streams.ROWS", 3000)
    ((case, rows),) = cases(measure(tmp_path, "streams", backends=["numpy"])["rows"]).items()
    assert case.startswith("3,000 x 50 float32")
    assert list(rows) == ["in memory", ".npy", "Parquet"]
    assert all(row["rows"] == 3000 and row["threads"] == 0 for row in rows.values())


def test_lower_bounds_match_a_count_by_hand():
    from benchmarks.cases import Case

    case = Case((2, 3, 4), 5, optimizer="Adam")
    assert case.inference_flops == 2 * 5 * (6 + 12)
    assert case.step_flops == 2 * 5 * (2 * 6 + 3 * 12)
    parameters = 3 * 3 + 4 * 4
    assert case.memory == 4 * (3 * parameters + 5 * (2 + 3 + 4))
    assert case.step_bytes == 4 * (2 * 3 * parameters + 5 * (2 + 2 * 3 + 2 * 4))


def test_scikit_learn_does_the_same_work():
    """It runs as many updates as bpnet, starting from the weights of the call before."""
    pytest.importorskip("sklearn")
    from benchmarks import sklearn_peer
    from benchmarks.cases import Case

    case, batches, epochs = Case((4, 8, 3), 8, optimizer="Adam"), 5, 60
    made = []
    classifier = sklearn_peer.classifier
    with mock.patch.object(
        sklearn_peer, "classifier", lambda *a: made.append(classifier(*a)) or made[-1]
    ):
        turn = sklearn_peer.epoch(case, "cpu", batches)
    turn(epochs)
    (fitted,) = made
    before = [W.copy() for W in fitted.coefs_]
    assert fitted.n_iter_ == epochs
    assert fitted._optimizer.t == epochs * batches
    assert fitted.coefs_[0].dtype == "float32"
    turn(1)
    moves = [abs(W - V).max() for W, V in zip(fitted.coefs_, before, strict=True)]
    assert max(moves) < 2 * batches * 1e-3  # an Adam step is at most about the rate


def test_an_unknown_section_and_an_unavailable_backend(capsys):
    from benchmarks.__main__ import main

    for arguments, words in (
        (["speed"], "unknown section speed; choose from step, epoch"),
        (["step", "--backends", "jax:tpu:9"], "argument --backends: "),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert words in capsys.readouterr().err


# --- gpu.sh -----------------------------------------------------------------------------------


def gpu_sh(backends, **options):
    environment = os.environ | {"PYTHON": sys.executable, "BACKENDS": backends} | options
    return subprocess.run(
        ["bash", "benchmarks/gpu.sh"], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_gpu_sh_fails_without_a_gpu():
    done = gpu_sh("torch:cuda:99")
    assert done.returncode == 1
    assert "torch:cuda:99: backend 'torch' " in done.stderr
    assert "nothing was run" in done.stderr
    assert "pip install" in done.stderr
    assert done.stdout == ""


@pytest.mark.full
def test_gpu_sh_writes_each_answer_and_skips_what_there_is_no_time_for(tmp_path):
    options = {"OUT": str(tmp_path), "STAGES": "facts|first|step", "NETWORKS": "tiny"}
    done = gpu_sh("numpy torch:cuda:99", **options, ROUNDS="1", TOTAL="100")
    assert done.returncode == 1  # as a backend is unavailable
    assert "torch:cuda:99: backend 'torch' " in done.stderr
    assert "failed: some backends" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"log.txt", "first.jsonl", "step.json"}
    assert json.loads((tmp_path / "step.json").read_text())["rows"]
    assert "step: no time left" in gpu_sh("numpy", **options, TOTAL="1").stdout


def test_first_contact(tmp_path, monkeypatch):
    from benchmarks import first_contact, runner

    peers = ("JAX by hand", "JAX scan") if has("jax") else ()
    monkeypatch.setattr(runner, "has", lambda library: library == "jax" and bool(peers))
    path = tmp_path / "first.jsonl"
    first_contact.main([str(path), "numpy", "--networks", "tiny"])
    first, *times = map(json.loads, path.read_text().splitlines())
    assert first["same"]
    assert first["apart"] == 0.0
    assert [row["who"] for row in times] == ["bpnet numpy", *peers] * 2
    assert all(is_positive(row["us"]) for row in times)


def test_first_contact_tells_what_fails():
    from benchmarks import first_contact

    found = next(first_contact.answers(["numpy:cuda:99"], ()))
    assert "cuda:99" in found["error"]


def test_preflight_names_the_device_and_the_backends(capsys):
    from benchmarks import preflight

    assert preflight.main(["numpy", "torch:cuda:99"]) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(r"[a-z0-9-]+\nnumpy:cpu\n", printed.out)
    assert "torch:cuda:99: " in printed.err
