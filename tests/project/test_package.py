"""The distribution holds every package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "setuptools"
]


@pytest.mark.parametrize(
    ("name", "folder"), [("bpnet", "bpnet"), ("bpnet_backends", "backends")]
)
def test_every_package_is_in_the_wheel(name, folder):
    found = {
        ".".join((name, *init.parent.relative_to(ROOT / folder).parts))
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert found == {p for p in SETTINGS["packages"] if p.partition(".")[0] == name}
