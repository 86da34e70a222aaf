"""Errors of attributes that other libraries have say what they are called here."""

from __future__ import annotations

import copy
import pickle

import pytest

import bpnet
from bpnet.common import attributes


@pytest.fixture
def net():
    return bpnet.Network([bpnet.Dense(2)], "mean_squared_error", seed=0).build(3)


@pytest.mark.parametrize("name", sorted(attributes.OF_NETWORKS))
def test_a_network_says_what_it_has_instead(net, name):
    assert not hasattr(net, name)
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; ") as caught:
        getattr(net, name)
    assert (caught.value.name, caught.value.obj) == (name, net)


@pytest.mark.parametrize("layer", [bpnet.Dense(2), bpnet.BatchNorm(), bpnet.Dropout(0.5)])
def test_a_layer_says_where_its_arrays_are(layer):
    with pytest.raises(AttributeError, match=r"has no attribute 'W'; .*net\.parameters"):
        _ = layer.W


def test_other_names_are_missing_as_ever(net):
    for owner in (net, net.layers[0]):
        with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'$"):
            _ = owner.nonsense
        assert getattr(owner, "nonsense", 1) == 1


def test_copies_and_pickles_are_as_before(net):
    for other in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.get_weights()[0].tolist() == net.get_weights()[0].tolist()
        assert other.layers == net.layers
