"""CONTRIBUTING.md: its recipes run, and the files it names exist."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = ROOT / "CONTRIBUTING.md"
TEXT = PATH.read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"`([a-z_/]+\.py)`", TEXT)))


def test_the_recipes_run():
    failed, tried = doctest.testfile(str(PATH), module_relative=False, encoding="utf-8")
    assert tried >= 14
    assert failed == 0


@pytest.mark.parametrize("name", FILES)
def test_named_files_exist(name):
    assert any((folder / name).is_file() for folder in (ROOT, ROOT / "bpnet"))


def test_the_package_map_is_complete():
    rows = {name for row in re.findall(r"^\| ([^|]+) \|", TEXT, flags=re.M)
            for name in re.findall(r"`(\w+)`", row)}  # fmt: skip
    packages = {path.parent.name for path in (ROOT / "bpnet").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "bpnet").glob("*.py")} - {"__init__", "__main__"}
    assert packages | modules <= rows
