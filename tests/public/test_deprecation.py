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


@pytest.mark.parametrize("old", [{"slots": 1}, {"n_slots": property(lambda self: 1)}])
def test_an_optimizer_may_define_an_old_name_of_n_state(old):
    (name,) = old
    with pytest.warns(DeprecationWarning, match=rf"Own\.{name} is deprecated; use n_state"):
        own = type("Own", (Momentum,), old)
    assert own(0.1).n_state == 1
    for p, q in zip(trained(own(0.1)), trained(bpnet.SGD(0.1, momentum=0.9)), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["slots", "n_slots"])
def test_n_state_can_be_read_by_its_old_names(name):
    with pytest.warns(DeprecationWarning, match=rf"Adam\.{name} is deprecated; use n_state"):
        assert getattr(bpnet.Adam(), name) == 2


def test_a_callback_may_override_on_close():
    message = r"Closing\.on_close is deprecated; use teardown"
    with pytest.warns(DeprecationWarning, match=message):

        class Closing(bpnet.GradientFlow):
            closed = 0

            def on_close(self, training):
                super().on_close(training)
                self.closed += 1

    callback = Closing()
    trained(callbacks=[callback])
    assert callback.closed == 1
    assert callback._meter is None  # the base class has freed its sample


def test_a_warm_up_accepts_then():
    message = "the argument 'then' is deprecated; use 'schedule'"
    with pytest.warns(DeprecationWarning, match=message):
        former = bpnet.schedules.WarmUp(then=0.1, epochs=2)
    with pytest.warns(DeprecationWarning, match=r"WarmUp\.then is deprecated; use schedule"):
        assert former.then is former.schedule
    now = bpnet.schedules.WarmUp(0.1, 2)
    for p, q in zip(trained(bpnet.SGD(former)), trained(bpnet.SGD(now)), strict=True):
        assert_array_equal(p, q)
