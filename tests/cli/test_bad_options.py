"""Bad options of the command ``bpnet``: generated for each option of each command."""

from __future__ import annotations

import argparse
import contextlib
import os
import re

import pytest

import bpnet
from bpnet.cli.commands import COMMANDS
from bpnet.cli.main import _parser, main

NO_NUMBER = ("ten", "2 3", "nan", "", "-1", "1e3x", "größe")
BAD = {
    "integer": (*NO_NUMBER, "2.5"),
    "number": NO_NUMBER,
    "sizes": ("a,b", "", "64,", "64,0", "-3", "2.5", "9" * 20),
    "names": ("nonsense", "numpy:gpu", "numpy,,", "größe"),
    "directory": ("", "a\0b"),
    "backend": ("nonsense", "numpy:gpu", "torch:banana", "cupy:99", ""),
    "choice": ("nonsense", "", "TANH "),
}


def commands(parser, path=()):
    """Yield each command's words and parser."""
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                if name in COMMANDS:  # of Typer, see test_bad_tables.py
                    continue
                yield from commands(sub, (*path, name))


def kind(action):
    """Return the kind of an option that takes a value."""
    if action.choices is not None:
        return "choice"
    if action.dest == "backend":
        return "backend"
    return getattr(action.type, "__qualname__", "").partition(".")[0]


OPTIONS = [
    (path, action.option_strings[0], kind(action))
    for path, parser in commands(_parser(["learn"]))
    for action in parser._actions
    if action.option_strings and action.nargs != 0
]
CASES = {
    f"{' '.join(path)} {option}={text!r}": (path, option, text)
    for path, option, what in OPTIONS
    for text in BAD.get(what, ())
}


@pytest.fixture(scope="module", autouse=True)
def nothing_is_done(tmp_path_factory):
    """Run in a folder that must stay empty; training is an error."""

    def fit(self, *data, **options):
        pytest.fail("training began")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpnet.Network, "fit", fit)
        patch.delenv("BPNET_BACKEND", raising=False)
        with contextlib.chdir(tmp_path_factory.mktemp("options")):
            yield
            assert not os.listdir()


def rejected(argv, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"bpnet.*: error: .*\n", err)
    return err


@pytest.mark.parametrize(("path", "option", "text"), CASES.values(), ids=CASES)
def test_bad_values_end_in_one_line(path, option, text, capsys):
    err = rejected([*path, f"{option}={text}"], capsys)
    assert option in err or f"backend {text.partition(':')[0]!r}" in err


@pytest.mark.parametrize(
    ("path", "option"),
    [(path, option) for path, option, _ in OPTIONS],
    ids=[f"{' '.join(path)} {option}" for path, option, _ in OPTIONS],
)
def test_values_that_are_missing_end_in_one_line(path, option, capsys):
    assert f"argument {option}: expected one argument" in rejected([*path, option], capsys)


PATHS = [path for path, _ in commands(_parser(["learn"]))]


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_options_that_are_unknown_end_in_one_line(path, capsys):
    assert "--nonsense" in rejected([*path, "--nonsense"], capsys) or "exercise" in path
    if path:
        assert re.search(r"stray(\\n| )argument", rejected([*path, "stray\nargument"], capsys))


def test_every_option_is_tried():
    tried = {(path, option) for path, option, _ in CASES.values()}
    # The file of an exercise is any name.
    untried = {(path, option) for path, option, _ in OPTIONS} - tried
    assert untried == {(("learn", "exercise"), "--file")}
    assert len(CASES) > 100


@pytest.mark.parametrize("name", ["", "a\0b", "none/file.py"])
@pytest.mark.parametrize("check", [[], ["--check"]])
def test_files_of_exercises_that_cannot_be(name, check, capsys):
    argv = ["learn", "exercise", "dense-backward", f"--file={name}", *check]
    assert ("read" if check else "write") in rejected(argv, capsys)
