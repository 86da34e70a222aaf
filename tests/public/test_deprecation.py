"""Deprecated names still work, with a warning that states the new name."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import bpnet

X, Y = bpnet.datasets.make_xor(40, seed=0)
MOVED = dict(bpnet._MOVED)


def trained(optimizer=None, callbacks=()):
    net = bpnet.Network([bpnet.Dense(3, "tanh"), bpnet.Dense(1)], "binary_crossentropy", seed=0)
    net.fit(X, Y, epochs=2, optimizer=optimizer or bpnet.SGD(0.1), callbacks=callbacks)
    return [p for layer in net.parameters for p in layer.values()]


@pytest.mark.parametrize("old", MOVED)
def test_a_moved_module_can_be_imported_by_its_old_name(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{old} is deprecated; use {MOVED[old]}"):
        former = importlib.import_module(old)
    assert former is importlib.import_module(MOVED[old])


def test_a_moved_module_is_an_attribute_too(monkeypatch):
    monkeypatch.delitem(sys.modules, "bpnet.registry", raising=False)
    monkeypatch.delattr(bpnet, "registry", raising=False)
    message = r"bpnet\.registry is deprecated; use bpnet\.backend\.registry"
    with pytest.warns(DeprecationWarning, match=message):
        assert bpnet.registry.get_backend is bpnet.get_backend
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module("bpnet.no_such_module")


class Momentum(bpnet.optimizers.Optimizer):
    """SGD with momentum, as a user would write it."""

    def rule(self, xp, p, g, *numbers):
        v, learning_rate = numbers
        v = 0.9 * v - learning_rate * g
        return p + v, v


def as_class_attribute():
    return type("Own", (Momentum,), {"slots": 1})


def as_property():
    return type("Own", (Momentum,), {"n_slots": property(lambda self: 1)})


def as_property_of_super():
    """SGD has a state array if it has momentum."""

    class Own(bpnet.SGD):
        def __init__(self, learning_rate):
            super().__init__(learning_rate, momentum=0.9)

        @property
        def n_slots(self):
            return super().n_slots

    return Own


def as_copied_attribute():
    class Own(Momentum):
        slots = bpnet.optimizers.RMSprop.slots

    return Own


def of_a_mixin():
    return type("Own", (type("Mixin", (), {"slots": 1}), Momentum), {})


def set_later():
    own = type("Own", (Momentum,), {})
    own.slots = 1
    return own


def of_the_instance():
    class Own(Momentum):
        def __init__(self, learning_rate):
            super().__init__(learning_rate)
            self.slots = 1

    return Own


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "make",
    [
        as_class_attribute, as_property, as_property_of_super, as_copied_attribute, of_a_mixin,
        set_later, of_the_instance,
    ],
)  # fmt: skip
def test_an_optimizer_may_use_the_deprecated_names_of_its_state(make):
    own = make()(0.1)
    assert own.n_state == own.n_slots == 1
    for p, q in zip(trained(own), trained(bpnet.SGD(0.1, momentum=0.9)), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-6)


def test_the_warning_points_to_the_class():
    with pytest.warns(DeprecationWarning, match=r"Own\.slots is deprecated") as caught:

        class Own(Momentum):
            slots = 1

    assert [warning.filename for warning in caught] == [__file__]


def test_the_new_name_wins_over_an_inherited_old_one():
    with pytest.warns(DeprecationWarning, match="slots"):
        old = type("Old", (Momentum,), {"slots": 2})
    new = type("New", (old,), {"n_state": 1})
    assert new(0.1).n_state == 1


@pytest.mark.parametrize("name", ["slots", "n_slots"])
def test_the_state_of_an_optimizer_is_counted_under_its_former_names(name):
    for optimizer, count in ((bpnet.Adam(), 2), (bpnet.SGD(), 0), (bpnet.SGD(momentum=0.5), 1)):
        with pytest.warns(DeprecationWarning, match=rf"{name} is deprecated; use n_state"):
            assert getattr(optimizer, name) == count
    with pytest.warns(DeprecationWarning, match=rf"Adam\.{name}"):
        assert getattr(bpnet.Adam, name) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("base", [bpnet.Callback, bpnet.GradientFlow])
def test_on_close_runs_as_it_is_inherited(base):
    seen = []

    class A(base):
        def on_close(self, training):
            super().on_close(training)
            seen.append("A")

    class Extended(A):
        def on_close(self, training):
            super().on_close(training)
            seen.append("extended")

    class Replaced(A):
        def on_close(self, training):
            seen.append("replaced")

    class Inherited(A):
        pass

    for cls, expected in (
        (A, ["A"]), (Extended, ["A", "extended"]), (Replaced, ["replaced"]), (Inherited, ["A"])
    ):  # fmt: skip
        seen.clear()
        instance = cls()
        trained(callbacks=[instance])
        assert seen == expected
        assert getattr(instance, "_meter", None) is None  # the sample of GradientFlow is freed


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_on_close_of_mixins_instances_and_later_assignment_runs():
    seen = []

    class Mixin:
        def on_close(self, training):
            seen.append("mixin")

    class Mixed(Mixin, bpnet.Callback):
        pass

    class Later(bpnet.Callback):
        pass

    Later.on_close = lambda self, training: seen.append("later")
    instance = bpnet.Callback()
    instance.on_close = lambda training: seen.append("instance")
    trained(callbacks=[Mixed(), Later(), instance])
    assert seen == ["mixin", "later", "instance"]


def test_calling_on_close_is_teardown():
    class Wrapper(bpnet.Callback):
        def __init__(self):
            self.inner = bpnet.GradientFlow()

        def on_train_begin(self, training):
            self.inner.on_train_begin(training)

        def teardown(self, training):
            self.inner.on_close(training)

    wrapper = Wrapper()
    with pytest.warns(DeprecationWarning, match=r"GradientFlow\.on_close is deprecated"):
        trained(callbacks=[wrapper])
    assert wrapper.inner._meter is None


def test_on_close_warns_where_it_is_defined():
    with pytest.warns(DeprecationWarning, match=r"Own\.on_close is deprecated") as caught:

        class Own(bpnet.Callback):
            def on_close(self, training):
                pass

    assert [warning.filename for warning in caught] == [__file__]


def test_the_layers_and_loss_of_a_network_have_their_former_name():
    net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0)
    with pytest.warns(DeprecationWarning, match=r"Network\.model is deprecated; use spec"):
        assert net.model is net.spec


def test_a_warm_up_takes_what_follows_under_its_former_name():
    with pytest.warns(DeprecationWarning, match="the argument 'then' is deprecated"):
        former = bpnet.schedules.WarmUp(then=0.1, epochs=2)
    with pytest.warns(DeprecationWarning, match=r"WarmUp\.then is deprecated"):
        assert former.then is former.schedule
    now = bpnet.schedules.WarmUp(0.1, 2)
    for p, q in zip(trained(bpnet.SGD(former)), trained(bpnet.SGD(now)), strict=True):
        assert_array_equal(p, q)
    with pytest.raises(AttributeError, match=r"is frozen.*'then', build another"):
        former.then = bpnet.schedules.Constant(0.2)
    assert former(3.0) == 0.1
    with pytest.raises(TypeError, match="pass 'schedule' only"):
        bpnet.schedules.WarmUp(schedule=0.1, then=0.1, epochs=2)


def reducing():
    """A schedule that changes itself, as schedules did before they had a memory."""

    class Own(bpnet.schedules.Schedule):
        def __init__(self, rate):
            self.rate, self.losses = rate, []

        def __call__(self, epoch):
            return self.rate

        def observe(self, logs):
            self.losses.append(logs["loss"])
            self.rate = 0.5 * self.rate

    return Own


def test_a_schedule_may_observe_by_changing_itself():
    with pytest.warns(
        DeprecationWarning, match=r"Own\.observe\(logs\) is deprecated"
    ) as caught:
        own = reducing()
    assert [warning.filename for warning in caught] == [__file__]
    schedule = own(0.4)
    steps = bpnet.schedules.Step(0.4, every=1, factor=0.5)
    for p, q in zip(trained(bpnet.SGD(schedule)), trained(bpnet.SGD(steps)), strict=True):
        assert_array_equal(p, q)
    assert (schedule.rate, schedule.losses) == (0.4, [])  # the memory belongs to the run

    class Inherits(own):
        pass

    warmed = bpnet.schedules.WarmUp(Inherits(0.4), epochs=1)
    rates = []

    class Rates(bpnet.Callback):
        def on_epoch_end(self, training):
            rates.append(training.runner.rates)

    trained(bpnet.SGD(warmed), callbacks=[Rates()])
    assert rates[0][0] == 0.0
    assert rates[1] == [0.2, 0.2]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_schedule_that_changes_itself_resumes(tmp_path):
    own, path = reducing(), tmp_path / "net.safetensors"

    def fit(epochs, **settings):
        net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0)
        return net.fit(X, Y, optimizer=bpnet.SGD(own(0.4)), epochs=epochs, **settings)["loss"]

    whole = fit(4)
    fit(2, callbacks=[bpnet.Checkpoint(path)])
    assert fit(4, resume_from=path) == whole
