"""The guides in docs/: their examples run. The site is built by CI."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = [
    path for path in sorted(DOCS.rglob("*.md")) if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_examples_of_a_guide_print_what_it_shows(guide, monkeypatch, tmp_path):
    if '"torch"' in (text := guide.read_text(encoding="utf-8")) or "import torch" in text:
        pytest.importorskip("torch")
    if "import onnxruntime" in text:
        pytest.importorskip("onnxruntime")
        pytest.importorskip("ndonnx")
    monkeypatch.chdir(tmp_path)  # some write files
    failed, tried = doctest.testfile(
        str(guide),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        encoding="utf-8",
    )
    assert tried > 1
    assert failed == 0


def test_the_guides_install_extras_that_exist():
    """Pip only warns of others."""
    root = DOCS.parent
    with open(root / "pyproject.toml", "rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    pages = [root / "README.md", root / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
    named = {
        extra
        for page in pages
        for listed in re.findall(
            r'(?:"\.|bpnet-array-api)\[([a-z0-9,]+)\]', page.read_text(encoding="utf-8")
        )
        for extra in listed.split(",")
    }
    assert len(named) > 10
    assert not named - extras.keys()
