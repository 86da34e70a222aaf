"""The command ``bpnet``: the demo, the table of backends, and the errors of bad options."""

from __future__ import annotations

import io
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile

import pytest
from matplotlib.image import imread

import bpnet
from bpnet.cli.demo import PICTURES, Demo
from bpnet.cli.main import main

QUICK = ("--epochs", "2", "--hidden", "4", "--samples", "20")


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """Run in an empty directory, with no backend chosen."""
    monkeypatch.delenv("BPNET_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)


def parsed(summary):
    """Parse the table that the demo prints: {name: value}, with the pictures in a list."""
    rows = [re.split(r"\s{2,}", line, maxsplit=1) for line in summary.splitlines()]
    pictures = [value for name, value in rows if name == "picture"]
    return dict(rows) | {"pictures": pictures}


def assert_real_picture(path):
    """Check that a PNG has both paper and ink, in many shades and in color."""
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(path)[..., :3]
    assert pixels.shape == (720, 960, 3)
    assert pixels.max() == 1.0
    assert pixels.min() < 0.1
    assert pixels.std() > 0.05
    assert (pixels.max(axis=2) - pixels.min(axis=2) > 0.3).sum() > 1000  # colored pixels


# --- the demo -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_demo_learns_two_arms(capsys, tmp_path, seed):
    assert main(["demo", "--seed", str(seed), "--out", "pictures"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    shown = parsed(out)
    assert float(shown["accuracy"].removesuffix(" %")) >= 99.5
    assert float(shown["final loss"]) < 0.02
    assert shown["backend"] == "numpy"
    assert shown["device"] == "cpu"
    assert shown["dtype"] == "float32"
    assert shown["network"] == "2-64-64-1, tanh"
    assert shown["parameters"] == "4,417"
    assert shown["epochs"] == "200 of 200"
    assert re.fullmatch(r"\d+\.\d\d s", shown["time"])
    assert shown["pictures"] == [os.path.join("pictures", name) for name in PICTURES]
    for name in PICTURES:
        assert_real_picture(tmp_path / "pictures" / name)
    assert sorted(os.listdir("pictures")) == sorted(PICTURES)


@pytest.mark.full
def test_demo_learns_three_arms(capsys):
    assert main(["demo", "--classes", "3"]) == 0
    shown = parsed(capsys.readouterr().out)
    assert float(shown["accuracy"].removesuffix(" %")) >= 99.0
    assert sorted(os.listdir("demo-output")) == sorted(PICTURES)


def test_demo_as_a_module_is_silent_without_a_terminal(tmp_path):
    command = [sys.executable, "-m", "bpnet", "demo", "--out", str(tmp_path / "new" / "one")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert float(parsed(done.stdout)["accuracy"].removesuffix(" %")) >= 99.0
    for name in PICTURES:
        assert_real_picture(tmp_path / "new" / "one" / name)


def test_demo_runs_on_every_backend(backend, capsys):
    assert main(["demo", "--backend", backend.spec, *QUICK]) == 0
    shown = parsed(capsys.readouterr().out)
    assert (shown["backend"], shown["device"]) == (backend.name, backend.device)


def test_demo_takes_the_backend_of_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("BPNET_BACKEND", "array_api_strict:device2")
    assert main(["demo", *QUICK]) == 0
    assert parsed(capsys.readouterr().out)["device"] == "device2"


def test_the_demo_measures_the_gradients_of_each_epoch(monkeypatch, capsys):
    seen = []
    original = bpnet.plot.gradient_flow
    monkeypatch.setattr(bpnet.plot, "gradient_flow", lambda h: seen.append(h) or original(h))
    assert main(["demo", "--epochs", "30", "--hidden", "4", "--samples", "20"]) == 0
    (history,) = seen
    assert len(set(history["gradient_norm/1"])) == 30


def test_demo_takes_its_options(capsys):
    options = (
        "--hidden 5,4,3 --classes 4 --samples 30 --epochs 3 --dtype float64 --activation relu "
        "--batch-size 1000 --noise 0 --learning-rate 1e-3 --seed 7 --out a/b"
    )
    assert main(["demo", *options.split()]) == 0
    shown = parsed(capsys.readouterr().out)
    assert shown["network"] == "2-5-4-3-4, relu"
    assert shown["dtype"] == "float64"
    assert shown["data"] == "30 points, 4 classes"
    assert shown["epochs"] == "3 of 3"
    assert sorted(os.listdir("a/b")) == sorted(PICTURES)


@pytest.mark.full
def test_the_seed_decides_everything(capsys):
    losses = []
    for seed in "112":
        assert main(["demo", "--seed", seed, *QUICK]) == 0
        losses.append(parsed(capsys.readouterr().out)["final loss"])
    assert losses[0] == losses[1] != losses[2]


def test_demo_shows_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["demo", *QUICK]) == 0
    assert "2/2" in terminal.getvalue()
    assert "loss=" in terminal.getvalue()


@pytest.mark.parametrize(
    ("hook", "epochs", "pictures"),
    [("on_epoch_end", 1, PICTURES), ("on_train_begin", 0, ["decision_boundary.png"])],
)
def test_ctrl_c_ends_training_and_still_draws(monkeypatch, capsys, hook, epochs, pictures):
    # A signal in the first epoch's last hook ends the second; before training, the first.
    original = getattr(bpnet.GradientFlow, hook)

    def interrupted(self, training):
        original(self, training)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(bpnet.GradientFlow, hook, interrupted)
    assert main(["demo", "--epochs", "1000", "--samples", "50"]) == 0
    shown = parsed(capsys.readouterr().out)
    assert shown["epochs"] == f"{epochs} of 1000"
    assert shown["stopped"].startswith("interrupted")
    assert sorted(os.listdir("demo-output")) == sorted(pictures)


def test_ctrl_c_outside_of_training_is_one_line(monkeypatch, capsys):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Demo, "run", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "bpnet: interrupted\n")


def test_a_diverging_run_is_one_line(monkeypatch, capsys):
    original = bpnet.Network.fit

    def diverging(self, *data, **options):
        history = original(self, *data, **options)
        for layer in self.parameters:
            layer["W"][...] = 1e38  # what an exploding update leaves: sums overflow
        return history

    monkeypatch.setattr(bpnet.Network, "fit", diverging)
    assert main(["demo", "--activation", "identity", "--hidden", "4,4", "--epochs", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"bpnet demo: training diverged.*--learning-rate\n", err)


# --- bad options ----------------------------------------------------------------------------

BAD = [
    (["--learning-rate", "inf"], "--learning-rate: .* got 'inf'"),
    (["--learning-rate", "0"], "--learning-rate: .* > 0 .* got '0'"),
    (["--learning-rate", "1e300"], "--learning-rate: .* <= 1000, got '1e300'"),
    (["--samples", "3", "--classes", "4"], "--samples: .* 4 classes, got 3"),
    (["--samples", "1000000000000000"], "--samples: "),
    (["--classes", "1"], "--classes: .* got '1'"),
    (["--noise", "1e308"], "--noise: .* <= 100, got '1e308'"),
    (["--out", "a-file"], "--out: .*'a-file'"),
    (["--out", "a-file/below"], "--out: .*'a-file/below'"),
    (["--out", "taken"], "--out: .*loss.png is a directory"),
]


def rejected(capsys, argv):
    """Run the command; return its one line on stderr."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    assert err.startswith("bpnet")
    return err


@pytest.fixture
def no_training(monkeypatch):
    def fit(self, *data, **options):
        pytest.fail("training began")

    monkeypatch.setattr(bpnet.Network, "fit", fit)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(("options", "message"), BAD, ids=[" ".join(bad[0]) for bad in BAD])
def test_bad_options_end_in_one_line_before_training(capsys, tmp_path, options, message):
    (tmp_path / "a-file").write_text("kept")
    (tmp_path / "taken" / "loss.png").mkdir(parents=True)
    assert re.search(message, rejected(capsys, ["demo", *options]))
    assert (tmp_path / "a-file").read_text() == "kept"
    assert sorted(os.listdir()) == ["a-file", "taken"]


@pytest.mark.usefixtures("no_training")
def test_a_directory_that_takes_no_files_is_rejected(capsys, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)  # root may write anywhere
    err = rejected(capsys, ["demo", "--out", "locked"])
    assert "--out" in err
    assert "'locked': Permission denied" in err


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("spec", ["nonsense", "cupy:99", "numpy:gpu"])
def test_a_bad_environment_is_named(capsys, monkeypatch, spec):
    monkeypatch.setenv("BPNET_BACKEND", spec)
    assert f"BPNET_BACKEND={spec}" in rejected(capsys, ["demo"])


@pytest.mark.usefixtures("no_training")
def test_without_matplotlib_the_demo_says_how_to_install_it(capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("bpnet.plot")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(bpnet, "plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    assert "pip install matplotlib" in rejected(capsys, ["demo"])


def test_without_tqdm_the_demo_trains_without_a_bar(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["demo", *QUICK]) == 0
    out, err = capsys.readouterr()
    assert parsed(out)["epochs"] == "2 of 2"
    assert "pip install tqdm" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("argv", [["nonsense"], ["backends", "extra"]])
def test_unknown_commands_end_in_one_line(capsys, argv):
    assert argv[-1] in rejected(capsys, argv)


# --- the other commands ---------------------------------------------------------------------


def test_backends_lists_every_backend(capsys, monkeypatch):
    monkeypatch.setenv("BPNET_BACKEND", "nonsense")  # the table helps to fix just this
    assert main(["backends"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["backend", "version", "devices", "why", "not"]
    known = bpnet.available_backends()
    assert [row.split()[0] for row in rows] == list(known)
    for row, info in zip(rows, known.values(), strict=True):
        for word in (info.version or "-", *(info.devices or "-")):
            assert word in row


def test_backends_gives_the_reason_in_the_row(capsys, monkeypatch):
    table = {"cupy": bpnet.BackendInfo(False, (), "no GPU:\ninstall it with: pip install x")}
    monkeypatch.setattr(sys.modules["bpnet.cli.main"], "available_backends", lambda: table)
    assert main(["backends"]) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert row.split(maxsplit=3) == ["cupy", "-", "-", "no GPU: install it with: pip install x"]


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bpnet {bpnet.__version__}\n"


def test_without_a_command_there_is_help(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "demo" in out
    assert "backends" in out


def test_help_of_the_demo_names_every_option(capsys):
    assert main(["demo", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("backend", "epochs", "hidden", "activation", "learning-rate", "batch-size",
                   "samples", "classes", "noise", "seed", "dtype", "out"):  # fmt: skip
        assert f"--{option}" in out


def test_the_command_stays_light_until_it_runs():
    program = (
        "import sys, bpnet.cli\n"
        "heavy = {'matplotlib', 'tqdm', 'torch', 'jax', 'cupy', 'bpnet.plot'}\n"
        "heavy |= {'bpnet.cli.demo'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert done.returncode == 0


def test_importing_the_module_of_the_command_runs_nothing(capsys):
    assert runpy.run_module("bpnet.__main__", run_name="imported")["main"] is main
    assert capsys.readouterr().out == ""
