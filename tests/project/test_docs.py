"""The guides in docs/: their examples run."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

GUIDES = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_examples_of_a_guide_print_what_it_shows(guide, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # some write files
    failed, tried = doctest.testfile(
        str(guide),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        encoding="utf-8",
    )
    assert tried > 5
    assert failed == 0
