"""Numbers of things in words."""

from __future__ import annotations

from bpnet.common.plurals import number_of


def test_one_is_singular():
    assert number_of(1, "epoch") == "1 epoch"
    assert number_of(1, "class", "classes") == "1 class"


def test_all_else_is_plural():
    assert number_of(0, "row") == "0 rows"
    assert number_of(0.5, "epoch") == "0.5 epochs"
    assert number_of(1234, "class", "classes") == "1,234 classes"
