"""The README: its examples run, and its links and names are valid."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINKS = re.findall(r"\[([^\]]*)\]\((?!https?:)([^)]+)\)", README)


def test_the_python_examples_print_what_the_readme_shows(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(
        str(ROOT / "README.md"),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        encoding="utf-8",
    )
    assert tried > 5
    assert failed == 0


@pytest.mark.parametrize(("text", "target"), LINKS)
def test_a_link_points_to_a_file_that_defines_what_it_names(text, target):
    path = ROOT / target
    assert path.exists()
    for name in re.findall(r"`([A-Za-z_.]+)`", text):
        if path.suffix == ".py" and not name.endswith(".py"):
            *owner, function = name.split(".")
            source = path.read_text(encoding="utf-8")
            for part in (*owner, function):
                assert re.search(rf"\b(class|def) {part}\b", source), name


def test_it_is_short():
    """Everything else is in docs/."""
    assert len(README.splitlines()) <= 180


def test_ci_runs_the_test_command_of_the_readme():
    """CI runs the tests with the same command as the README."""
    assert ".venv/bin/python -m pytest\n" in README
    assert re.search(r"^python -m pytest +#", (ROOT / ".ci" / "run").read_text(), flags=re.M)
