"""Components are frozen, describe themselves, and are equal if their descriptions are."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import math
import pickle
import typing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_components import CUSTOM, Cubic, Halving, LogCosh, Noise, RowNorm, Sign

import bpnet
from bpnet import activations, initializers, losses, schedules
from bpnet.common.component import Component, constructor_parameters, nested
from bpnet.model.checked import checked_layers
from bpnet.optimizers import Optimizer

OWN = [
    bpnet.Dense(3, "relu", l1=0.1), bpnet.Dropout(0.5), bpnet.Dropout(schedules.Step(0.5, 2)),
    activations.tanh, activations.LeakyReLU(0.2), losses.Huber(2.0), initializers.Normal(0.1),
    bpnet.SGD(0.1, 0.9, True), bpnet.Adam(0.1, clip_norm=1.0), bpnet.AdamW(0.1, 0.2),
    bpnet.Dense(3, parametrization="ntk", learning_rate_factors={"b": 0.1}),
    bpnet.Embedding({7: 40, 3: 12}, 8), bpnet.PeriodicEmbedding(columns=range(3)),
    bpnet.ParametricActivation(activations.ELU(0.5)), bpnet.Scale(2.0),
    schedules.Cosine(0.1, 5), schedules.WarmUp(schedules.ReduceOnPlateau(0.1), 3),
]  # fmt: skip
FOREIGN = [RowNorm(1e-2), Noise(Halving(0.1)), Cubic(0.3), LogCosh(), Sign(0.1, 0.8),
           Halving(0.2)]  # fmt: skip
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda component: pickle.loads(pickle.dumps(component)),
    "replace": lambda component: component.replace(),
    "config": lambda component: type(component).from_config(component.config()),
}


def key(component):
    assert component._key is not None
    hash(component._key)
    return component._key


# --- frozen -----------------------------------------------------------------------------------


@pytest.mark.parametrize("component", [*OWN, *FOREIGN], ids=repr)
def test_a_component_is_frozen(component):
    before = repr(component), key(component)
    for name in (*vars(component), "new"):
        if name != "_key":
            with pytest.raises(AttributeError, match=rf"is frozen.* '{name}'.*\.replace\("):
                setattr(component, name, 1)
            with pytest.raises(AttributeError, match=r"frozen.*set_learning_rate"):
                delattr(component, name)
    assert (repr(component), key(component)) == before


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("component", [*OWN, *FOREIGN], ids=repr)
def test_a_copy_is_equal_and_frozen(component, how):
    twin = COPIES[how](component)
    assert twin == component
    assert hash(twin) == hash(component)
    assert key(twin) == key(component)
    assert repr(twin) == repr(component)
    with pytest.raises(AttributeError, match="is frozen"):
        twin.learning_rate = 1.0


def test_the_signature_of_a_class_is_that_of_its_constructor():
    for kind in (bpnet.Dense, bpnet.Adam, losses.Huber, schedules.Step, RowNorm):
        _, *parameters = inspect.signature(kind.__init__).parameters
        assert list(inspect.signature(kind).parameters) == parameters
    assert not inspect.signature(activations.ReLU).parameters  # without a constructor
    assert list(inspect.signature(initializers.he_normal).parameters) == [
        "rng",
        "n_in",
        "n_out",
    ]


def test_a_constructor_may_assign_and_delete_until_it_is_done():
    class Own(RowNorm):
        def __init__(self, epsilon):
            super().__init__(epsilon)
            self.epsilon = 2.0 * epsilon
            self.temporary = 1
            del self.temporary

    own = Own(0.5)
    assert own.epsilon == 1.0
    assert not hasattr(own, "temporary")


@pytest.mark.parametrize("name", ["layers", "loss", "seed", "dtype", "spec", "keys"])
def test_the_description_of_a_network_is_frozen(name):
    net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0).build(2)
    with pytest.raises(AttributeError, match=rf"'{name}' of a network is frozen.*replace\("):
        setattr(net, name, getattr(net, name))
    with pytest.raises(AttributeError, match="is frozen"):
        delattr(net, name)


# --- replace and config -----------------------------------------------------------------------

number = st.floats(0.0, 0.875)
positive = st.floats(1e-3, 10.0)
schedule = st.recursive(
    st.one_of(
        st.builds(schedules.Constant, positive),
        st.builds(schedules.Step, positive, st.integers(1, 9), number.map(lambda x: 1 - x)),
        st.builds(schedules.ReduceOnPlateau, positive, st.sampled_from(["loss", "val_loss"]),
                  patience=st.integers(0, 9), mode=st.sampled_from([None, "min", "max"])),
        st.builds(Halving, positive),
    ),
    lambda inner: st.builds(schedules.WarmUp, inner, positive, number),
    max_leaves=3,
)  # fmt: skip
activation = st.one_of(
    st.sampled_from(list(activations.ACTIVATIONS)),
    st.builds(activations.LeakyReLU, number),
    st.builds(Cubic, number),
)
component = st.one_of(
    schedule,
    st.builds(bpnet.Dense, st.integers(1, 99), activation, l1=number, l2=number,
              init=st.sampled_from([None, *initializers.INITIALIZERS])),
    st.builds(bpnet.Dropout, st.one_of(number, schedule)),
    st.builds(bpnet.SGD, st.one_of(positive, schedule), number, weight_decay=number),
    st.builds(bpnet.AdamW, positive, st.one_of(number, schedule), beta1=number,
              clip_norm=st.one_of(st.none(), positive)),
    st.builds(Sign, schedule, number, clip_value=st.one_of(st.none(), positive)),
    st.builds(RowNorm, positive, number),
    st.builds(losses.Huber, positive),
)  # fmt: skip


@given(component)
def test_a_component_is_built_again_from_its_config(component):
    config = component.config()
    assert tuple(config) == constructor_parameters(type(component))
    assert component.replace(**config) == component
    assert type(component).from_config(config) == component
    assert key(component.replace(**config)) == key(component)


@given(component, component)
def test_components_are_equal_if_their_descriptions_are(one, other):
    def description(component):
        parts = [(name, repr(value)) for name, value in component.config().items()]
        return type(component), parts, [repr(part.config()) for part in nested(component)]

    same = description(one) == description(other)
    assert (one == other) is same
    assert (key(one) == key(other)) is same


VALUES = [0.0, -0.0, 0, False, 1, True, 1.0, np.float32(1), np.float64(1), np.int64(1),
          np.float32(0), np.float32(-0.0), "1", b"1", None, math.nan, math.inf,
          (1, 2.0), (1.0, 2.0), (True, 2.0), (0.0,), (-0.0,), (), ((),), frozenset({1}),
          frozenset({True}), frozenset({1.0})]  # fmt: skip


@pytest.mark.parametrize("one", range(len(VALUES)), ids=lambda k: repr(VALUES[k]))
def test_values_are_equal_only_with_their_types_and_bits(one):
    layers = [Noise(value) for value in VALUES]
    equal = [k for k, layer in enumerate(layers) if Noise(VALUES[one]) == layer]
    assert equal == [one]
    keys = [k for k, layer in enumerate(layers) if key(Noise(VALUES[one])) == key(layer)]
    assert keys == [one]
    assert len(set(layers)) == len(layers)


def test_replace_changes_what_it_is_told_and_nothing_else():
    layer = bpnet.Dense(3, "relu", l2=0.1)
    assert layer.replace(units=4) == bpnet.Dense(4, "relu", l2=0.1)
    assert layer.replace(activation="tanh") == bpnet.Dense(3, "tanh", l2=0.1)
    chosen = bpnet.Dense(3, "relu", init="orthogonal")
    assert chosen.replace(activation="tanh").init == initializers.get("orthogonal")
    assert bpnet.Adam(0.1, clip_norm=2.0).replace(beta1=0.5).clip_norm == 2.0
    assert layer == bpnet.Dense(3, "relu", l2=0.1)


def test_replace_names_what_there_is():
    with pytest.raises(TypeError, match="Dropout has the parameters rate; got p, q"):
        bpnet.Dropout(0.1).replace(q=0.5, p=0.1)
    with pytest.raises(TypeError, match="Tanh has the parameters none; got slope"):
        activations.tanh.replace(slope=0.5)
    with pytest.raises(ValueError, match=r"^rate must be .* < 1, got 2"):
        bpnet.Dropout(0.1).replace(rate=2.0)


# --- as users write classes -------------------------------------------------------------------


class Scaled(bpnet.layers.Layer):
    """Multiplies by `scale`."""

    def forward(self, xp, parameters, a_previous, context):
        return a_previous * self.factor, None

    def backward(self, xp, parameters, cache, error, propagate=True):
        return error * self.factor, {}

    @property
    def factor(self):
        return self.scale


class Slotted(Scaled):
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale


@dataclasses.dataclass
class Data(Scaled):
    scale: float


@dataclasses.dataclass(frozen=True)
class FrozenData(Scaled):
    scale: float


@dataclasses.dataclass(slots=True)
class SlottedData(Scaled):
    scale: float


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlottedData(Scaled):
    scale: float


class Cached(Scaled):
    def __init__(self, scale):
        self.scale = scale

    @functools.cached_property
    def array(self):
        return np.full(3, self.scale)

    @property
    def factor(self):
        return float(self.array[0])


class OwnEquality(Scaled):
    """Is equal, by its own account, to all others."""

    def __init__(self, scale):
        self.scale = scale

    def __eq__(self, other):
        return isinstance(other, OwnEquality)


class Mixin:
    def __init__(self, label="", **others):
        super().__init__(**others)
        self.label = label


class Inner(Scaled):
    def __init__(self, scale=1.0):
        self.scale = scale


class Mixed(Mixin, Inner):
    def __init__(self, extra=0, **others):
        super().__init__(**others)
        self.extra = extra


Kind = typing.TypeVar("Kind")


class Generic(Scaled, typing.Generic[Kind]):
    def __init__(self, scale):
        self.scale = scale


class Nested(Scaled):
    """Has components in containers."""

    def __init__(self, inner):
        self.inner = inner

    @property
    def factor(self):
        return self.inner[0].factor


class Listed(Scaled):
    """Has a list, which has no key: equal only to itself."""

    def __init__(self, scales):
        self.scales = scales

    @property
    def factor(self):
        return self.scales[0]


class WithArray(Listed):
    def __init__(self, scales):
        self.scales = np.asarray(scales)

    @property
    def factor(self):
        return float(self.scales[0])


MAKE = {
    "slots": Slotted, "dataclass": Data, "frozen dataclass": FrozenData,
    "slotted dataclass": SlottedData, "frozen slotted": FrozenSlottedData,
    "cached_property": Cached, "own __eq__": OwnEquality,
    "multiple inheritance": lambda scale: Mixed(scale=scale, extra=1),
    "generic": lambda scale: Generic[int](scale),
    "components in a tuple": lambda scale: Nested((Inner(scale),)),
    "components of own __eq__": lambda scale: Nested((OwnEquality(scale),)),
    "list": lambda scale: Listed([scale]), "array": lambda scale: WithArray([scale]),
}  # fmt: skip
WITHOUT_KEY = ("list", "array")
X = np.random.default_rng(0).normal(size=(12, 3))
Y = X[:, 0] - 0.5


def outputs(layer, backend):
    net = bpnet.Network([layer, bpnet.Dense(1)], "mean_squared_error", seed=0)
    net.build(X.shape[1], backend)
    return net.forward(X, backend=backend).tobytes()


def trained(layer):
    layers = [bpnet.Dense(3, "tanh"), layer, bpnet.Dense(1)]
    net = bpnet.Network(layers, "mean_squared_error", seed=0)
    net.fit(X, Y, epochs=2, batch_size=6)
    return net.parameters[0]["W"].tobytes()


@pytest.mark.parametrize("name", MAKE)
def test_layers_of_every_kind_of_class_compute_what_they_say(name, backend):
    """Even one after the other: those that differ share nothing that is compiled."""
    layers, copies = [MAKE[name](2.0), MAKE[name](3.0)], [Inner(2.0), Inner(3.0)]
    expected = [outputs(layer, backend) for layer in copies]
    assert expected[0] != expected[1]
    assert [outputs(layer, backend) for layer in layers] == expected
    assert outputs(copy.deepcopy(layers[0]), backend) == expected[0]
    if backend.name == "numpy":
        assert list(map(trained, layers)) == list(map(trained, copies))


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", MAKE)
def test_they_are_copied_and_frozen(name, how):
    layer = MAKE[name](2.0)
    assert layer.factor == 2.0  # which may be cached
    twin = COPIES[how](layer)
    assert twin.factor == 2.0
    if name in WITHOUT_KEY:  # only with the very same list or array
        assert MAKE[name](2.0) != layer
    else:
        (wrapped,), (other,) = checked_layers([layer]), checked_layers([twin])
        assert key(wrapped) == key(other)
        assert key(wrapped) != key(checked_layers([MAKE[name](3.0)])[0])
    # the generated __setattr__ of a dataclass with slots fails with a TypeError of Python's own
    for changed in (layer, twin):
        with pytest.raises((AttributeError, TypeError)):
            changed.scale = 5.0
        assert changed.factor == 2.0


def test_what_is_cached_is_no_part_of_a_component():
    layer, fresh = Cached(2.0), Cached(2.0)
    before = repr(layer)
    assert layer.factor == 2.0
    assert layer == fresh == copy.copy(layer)
    assert repr(layer) == before == "Cached(scale=2.0)"

    class Own(Sign):
        @functools.cached_property
        def table(self):
            return np.arange(3)

    optimizer = Own(0.1)
    settings = optimizer.settings
    assert optimizer.table.size == 3
    assert optimizer.settings == settings == Own(schedules.Step(0.2, 3)).settings


def test_a_list_or_an_array_is_equal_only_to_itself():
    for make in (Listed, WithArray):
        layer = make([2.0])
        assert layer == layer
        assert layer != make([2.0])
        assert len({layer, make([2.0])}) == 2


def test_settings_ignore_the_values_of_schedules_only():
    settings = bpnet.Adam(0.1).settings
    assert bpnet.Adam(schedules.Cosine(0.1, 5)).settings == settings
    assert bpnet.Adam(0.1, 0.8).settings != settings
    assert bpnet.Adam(0.1, weight_decay=0.1).settings != settings
    decayed = bpnet.Adam(0.1, weight_decay=schedules.Constant(0.1)).settings
    assert decayed == bpnet.Adam(0.1, weight_decay=schedules.Constant(0.2)).settings
    assert decayed != bpnet.Adam(0.1, weight_decay=0.1).settings

    class WithList(Optimizer):
        def __init__(self, values):
            super().__init__(0.1)
            self.values = values

        def rule(self, xp, p, g, *numbers):
            return (p,)

    one = WithList([1])
    assert one.settings == one.settings
    assert one.settings != WithList([1]).settings


def test_config_has_the_parameters_of_all_constructors():
    assert Mixed(scale=2.0, label="a").config() == {"extra": 0, "label": "a", "scale": 2.0}
    assert FrozenSlottedData(3.0).config() == {"scale": 3.0}

    class Starred(Component):
        def __init__(self, *values):
            self.values = values

    class Unstored(Component):
        def __init__(self, value):
            pass

    with pytest.raises(TypeError, match=r"Starred takes \*args, which have no names"):
        Starred(1).config()
    with pytest.raises(TypeError, match="takes the parameter 'value' but has no attribute"):
        Unstored(1).config()


def test_a_class_declares_its_name():
    assert all(cls.component_name == name for name, cls in CUSTOM.items())

    class Renamed(RowNorm):
        component_name = "Former"

    class Inherits(Renamed):
        pass

    assert (Renamed.component_name, Inherits.component_name) == ("Former", "Inherits")
