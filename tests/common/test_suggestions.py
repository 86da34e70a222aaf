"""Errors for unknown names say which was meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bpnet
from bpnet import activations, initializers, losses, metrics, optimizers
from bpnet.common.checks import check_choice
from bpnet.common.suggestions import did_you_mean

TABLES = {
    "activations": activations.ACTIVATIONS, "initializers": initializers.INITIALIZERS,
    "losses": losses.LOSSES, "metrics": metrics.METRICS, "optimizers": optimizers.OPTIMIZERS,
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "name"), [(table, name) for table, names in TABLES.items() for name in names]
)
def test_case_and_punctuation_do_not_matter(table, name):
    for given_name in (name.upper(), name.replace("_", "-"), name.title().replace("_", "")):
        if given_name not in TABLES[table]:
            assert did_you_mean(given_name, TABLES[table]) == f"; did you mean {name!r}?"


@given(st.text())
def test_only_allowed_names_are_suggested(name):
    for table in TABLES.values():
        suggested = did_you_mean(name, table)
        assert not suggested or any(repr(allowed) in suggested for allowed in table)
    assert did_you_mean(name, ()) == ""


def test_what_is_like_no_name_gets_no_suggestion():
    assert did_you_mean("", losses.LOSSES) == ""
    assert did_you_mean("quantum", losses.LOSSES) == ""
    assert did_you_mean("?" * 10_000, losses.LOSSES) == ""


def test_a_choice_is_suggested():
    with pytest.raises(ValueError, match=r"got 'MIN'; did you mean 'min'\?$"):
        check_choice("mode", "MIN", ("min", "max"))
    with pytest.raises(ValueError, match=r"got 'up'$"):
        check_choice("mode", "up", ("min", "max"))


@pytest.mark.parametrize("alias", losses.ALIASES)
def test_a_short_name_of_a_loss_is_its_name(alias):
    net = bpnet.Network([bpnet.Dense(2)], alias, seed=0)
    assert net.loss is losses.get(losses.ALIASES[alias])
    assert repr(net) == repr(bpnet.Network([bpnet.Dense(2)], losses.ALIASES[alias], seed=0))


@pytest.mark.parametrize("alias", activations.ALIASES)
def test_another_name_of_an_activation_is_its_name(alias):
    assert bpnet.Dense(2, alias) == bpnet.Dense(2, activations.ALIASES[alias])


@pytest.mark.parametrize("name", ["softmax", "Softmax", "log_softmax"])
def test_softmax_is_said_to_be_part_of_the_loss(name):
    with pytest.raises(ValueError, match="so the last Dense stays linear"):
        bpnet.Dense(3, name)


def test_a_backend_is_suggested():
    with pytest.raises(bpnet.UnknownBackendError, match=r"mean 'numpy'\? Available here"):
        bpnet.get_backend("Numpy")
