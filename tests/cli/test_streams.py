"""A stdout that cannot be written ends a command in one line at most, never in a traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import matplotlib.figure
import pytest

from bpnet.cli import main
from bpnet.common import streams
from bpnet.learn.exercises import EXERCISES


class Full(io.StringIO):
    """A stream to a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BPNET_BACKEND", "numpy")


COMMANDS = [
    ["--version"], ["--help"], [], ["demo", "--help"], ["learn"], ["backends"],
    ["learn", "backprop"], ["learn", "exercise", next(iter(EXERCISES))],
]  # fmt: skip


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("stdout", "expected"),
    [
        (Full, "bpnet: cannot write the output: No space left on device\n"),
        (Broken, ""),
        (lambda: None, "bpnet: cannot write the output: stdout is closed\n"),
    ],
    ids=["full", "broken", "closed"],
)
def test_output_that_cannot_be_written(argv, stdout, expected, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", stdout())
    assert main(argv) == 1
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(("argv", "status"), [(["--version"], 0), (["nix"], 2)])
def test_without_a_stderr_the_status_tells(argv, status, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert main(argv) == status
    assert ("bpnet" in capsys.readouterr().out) == (status == 0)


def test_what_the_encoding_lacks_is_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    name = next(iter(EXERCISES))
    assert main(["learn", "exercise", name, "--file", "é.py"]) == 0
    assert b"wrote \\xe9.py" in raw.getvalue()
    assert sys.stdout.errors == "strict"


@pytest.mark.parametrize("argv", [["learn", "backprop"], ["demo", "--epochs", "1"]])
def test_a_picture_that_cannot_be_written_is_named(argv, monkeypatch, capsys, tmp_path):
    def half(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", half)
    assert main(argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bpnet: cannot write '")
    assert err.endswith(".png': No space left on device\n")
    assert list(tmp_path.rglob("*.png")) == []


def test_half_an_exercise_is_not_left(monkeypatch, capsys, tmp_path):
    class Half(io.StringIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    def opened(path, *args, **kwargs):
        (tmp_path / path).touch()
        return Half()

    monkeypatch.setattr("bpnet.learn.command.open", opened, raising=False)
    assert main(["learn", "exercise", next(iter(EXERCISES))]) == 2
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_rest_of_a_failed_stream_goes_nowhere(tmp_path):
    """Python flushes stdout at its exit, which must not fail once more."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:
        stream.write("x")
        streams._discard_rest(stream)
        stream.flush()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize(
    ("shell", "status", "lines"),
    [("> /dev/full", 1, 1), ("| head -0", 1, 0), (">&- 2>&-", 1, 0), ("--bad", 2, 1)],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_processes(shell, status, lines, unbuffered):
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m bpnet learn {shell}"],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    assert (done.returncode, len(done.stderr.splitlines())) == (status, lines), done.stderr
