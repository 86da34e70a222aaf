"""The guides in docs/, whose examples run, and the site."""

from __future__ import annotations

import doctest
import html
import re
import subprocess
import sys
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


@pytest.mark.full
def test_the_site_names_attributes_as_they_are_called(tmp_path):
    """Sphinx takes "coefs_" for a link, and the first of several names for a type."""
    for module in ("sphinx", "furo", "myst_parser", "sphinx_copybutton"):
        pytest.importorskip(module)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    estimators, network, training = (
        html.unescape(
            re.sub("<[^>]+>", "", (tmp_path / "reference" / page).read_text(encoding="utf-8"))
        ).replace("\N{EN DASH}", "-")
        for page in ("estimators.html", "network.html", "training.html")
    )
    for line in (
        "classes_ (array (n_classes,)) - The class labels",
        "coefs_ (list of array) - Weights",
        "intercepts_ (list of array) - Weights",
        "n_iter_ (int) - Epochs",
    ):
        assert line in estimators
    assert "steps_taken (int) - Training steps and epochs" in network
    assert "epochs_taken (int) - Training steps and epochs" in network
    assert ",) - As above" not in training
