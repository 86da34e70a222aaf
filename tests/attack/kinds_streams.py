"""The commands say in one line what cannot be written, and end quietly on a broken pipe."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attack import Probe, bind, kind

import bpnet
from bpnet.cli import main

DEMO = ["demo", "--epochs", "1", "--samples", "20", "--hidden", "2"]
COMMANDS = {
    "version": ["--version"],
    "help": ["--help"],
    "no command": [],
    "learn": ["learn"],
    "help of demo": ["demo", "--help"],
    "demo": [*DEMO, "--backend", "numpy"],
    "lesson": ["learn", "backprop", "--backend", "numpy"],
    "exercise": ["learn", "exercise", "binary-crossentropy"],
    "parity": ["parity", "--backends", "numpy", "--epochs", "1"],
}


class Failing(io.TextIOBase):
    """A stream whose writes or flushes fail, after some characters."""

    encoding = "utf-8"

    def __init__(self, number: int, room: int = 0, late: bool = False) -> None:
        self.number, self.room, self.late = number, room, late

    def _fail(self) -> None:
        raise OSError(self.number, os.strerror(self.number))

    def write(self, text: str) -> int:
        self.room -= len(text)
        if self.room < 0 and not self.late:
            self._fail()
        return len(text)

    def flush(self) -> None:
        if self.room < 0 and not self.closed:
            self._fail()

    def writable(self) -> bool:
        return True


def first_exercise() -> str:
    from bpnet.learn.exercises import EXERCISES

    return next(iter(EXERCISES))


@contextlib.contextmanager
def elsewhere() -> Iterator[Path]:
    """Work in an empty folder."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


@contextlib.contextmanager
def streams(out: Any, err: Any) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def command(argv: list[str]) -> list[str]:
    return [first_exercise() if word == "binary-crossentropy" else word for word in argv]


def broken(argv: list[str], number: int, room: int, late: bool) -> None:
    """A stdout that cannot be written: quiet for a pipe, else one line; status 1."""
    err = io.StringIO()
    out = Failing(number, room, late)
    with elsewhere(), streams(out, err):
        status = main(command(argv))
    if out.room >= 0:  # there was room for everything
        assert status == 0
        return
    lines = [line for line in err.getvalue().splitlines() if "tqdm" not in line]
    assert status == 1, f"status {status}"
    assert len(lines) == (0 if number == errno.EPIPE else 1), lines
    assert number == errno.EPIPE or os.strerror(number) in lines[0], lines


def closed(argv: list[str]) -> None:
    """Without a stdout nothing can be said: one line, status 1."""
    err = io.StringIO()
    with elsewhere(), streams(None, err):
        status = main(command(argv))
    assert status == 1, f"status {status}"
    assert len(err.getvalue().splitlines()) == 1, err.getvalue()


def speechless(argv: list[str], expected: int, out: bool) -> None:
    """Without a stderr the status still tells, and nothing goes to stdout instead."""
    stdout = io.StringIO()
    with elsewhere(), streams(stdout, None):
        assert main(command(argv)) == expected
    assert bool(stdout.getvalue()) == out, stdout.getvalue()


def in_ascii(argv: list[str], expected: int) -> None:
    """A terminal that knows no more than ASCII."""
    raw, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    with elsewhere(), streams(out, err):
        assert main(command(argv)) == expected, err.getvalue()
    out.flush()
    assert out.errors == "strict", "the stream was left changed"


def picture(argv: list[str], name: str, number: int) -> None:
    """A picture that cannot be written: one line that names it, status 1, no part of it."""
    import matplotlib.figure

    original = matplotlib.figure.Figure.savefig

    def fail(self: Any, target: Any, **options: Any) -> None:
        if isinstance(target, str | os.PathLike):
            Path(target).write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    out, err = io.StringIO(), io.StringIO()
    matplotlib.figure.Figure.savefig = fail
    try:
        with elsewhere() as folder, streams(out, err):
            status = main(argv)
            left = [p.name for p in folder.rglob("*.png")]
    finally:
        matplotlib.figure.Figure.savefig = original
    lines = err.getvalue().splitlines()
    assert status == 1, f"status {status}"
    assert len(lines) == 1, lines
    assert name in lines[0], lines
    assert os.strerror(number) in lines[0], lines
    assert left == [], f"left {left}"


def process(
    argv: list[str], status: int, lines: int, shell: str = "", **environment: str
) -> None:
    """A real process: its status, and how many lines it says on stderr."""
    line = f"set -o pipefail; {sys.executable} -m bpnet {' '.join(argv)} {shell}"
    with tempfile.TemporaryDirectory() as folder:
        root = str(Path(bpnet.__file__).parent.parent)
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONUNBUFFERED",)}
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, cwd=folder, timeout=60,
            env=kept | {"PYTHONPATH": root, "BPNET_BACKEND": "numpy"} | environment,
            check=False,
        )  # fmt: skip
    found = done.stderr.splitlines()
    assert done.returncode == status, f"status {done.returncode}: {found[-1:]}"
    assert len(found) == lines, found[-3:]


@kind("streams", slow=True)
def all_streams(rng: np.random.Generator) -> Iterator[Probe]:
    """What cannot be written is said in one line; a broken pipe ends quietly."""
    for name, argv in COMMANDS.items():
        for number in (errno.EPIPE, errno.ENOSPC, errno.EIO):
            word = errno.errorcode[number]
            heavy = name in ("demo", "lesson")
            room = int(rng.integers(0, 60))
            if not heavy or (name, number) == ("lesson", errno.EPIPE):
                yield Probe(f"{name}: {word} at once", bind(broken, argv, number, 0, False))
            if not heavy:
                yield Probe(f"{name}: {word} soon", bind(broken, argv, number, room, False))
                yield Probe(f"{name}: {word} in the end", bind(broken, argv, number, 0, True))
        if name != "demo":
            yield Probe(f"{name}: stdout is closed", bind(closed, argv))
            yield Probe(f"{name}: stderr is closed", bind(speechless, argv, 0, True))
            yield Probe(f"{name}: ASCII", bind(in_ascii, argv, 0))
    yield Probe("demo: stderr is closed", bind(speechless, COMMANDS["demo"], 0, True))
    for argv in (["nix"], ["demo", "--epochs", "é"], ["learn", "exercise", "\udcff"]):
        yield Probe(f"bad {argv!a}: stderr is closed", bind(speechless, argv, 2, False))
        yield Probe(f"bad {argv!a}: ASCII", bind(in_ascii, argv, 2))
    for out in ("é", "\udcff"):
        argv = ["learn", "backprop", "--backend", "numpy", "--out", out]
        yield Probe(f"a picture in {out!a}: ASCII", bind(in_ascii, argv, 0))
        exercise = [*COMMANDS["exercise"], "--file", f"{out}.py"]
        yield Probe(f"an exercise in {out!a}: ASCII", bind(in_ascii, exercise, 0))
    for number in (errno.ENOSPC, errno.EROFS):
        word = errno.errorcode[number]
        yield Probe(
            f"a picture of a lesson: {word}",
            bind(picture, COMMANDS["lesson"], "backprop.png", number),
        )
    yield Probe(
        "a picture of the demo", bind(picture, COMMANDS["demo"], "loss.png", errno.ENOSPC)
    )
    for shell, status, lines in (("> /dev/full", 1, 1), ("| head -0", 1, 0)):
        yield Probe(f"process: {shell}", bind(process, ["--help"], status, lines, shell))
    yield Probe("process: nothing open", bind(process, ["--help"], 1, 0, "<&- >&- 2>&-"))
