"""The sanity checks pass healthy networks and fail others; the rules of the gradient check."""

from __future__ import annotations

import math

import numpy as np
import pytest

import bpnet
from bpnet.activations import ReLU, Tanh
from bpnet.diagnosis import sanity
from bpnet.initializers import Constant, Normal

X, Y = bpnet.datasets.make_xor(200, noise=0.1, seed=0)
REAL = np.stack([X[:, 0] * X[:, 1], X.sum(axis=1)], axis=1)


def network(*layers, loss="binary_crossentropy", seed=0):
    return bpnet.Network(layers, loss, seed=seed)


def sound(**dense):
    return network(bpnet.Dense(16, "tanh", **dense), bpnet.Dense(1))


# --- the loss before training -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "units", "y", "chance"),
    [
        ("binary_crossentropy", 1, Y, math.log(2.0)),
        ("categorical_crossentropy", 5, Y, math.log(5.0)),
        ("mean_squared_error", 2, REAL, np.mean(REAL**2)),
        ("poisson", 1, Y + 2, 1.0),  # e^0 - y 0
    ],
)
def test_the_initial_loss_of_a_sound_network_is_near_chance(loss, units, y, chance):
    check = sanity.check_initial_loss(
        network(bpnet.Dense(16, "tanh", init=Normal(0.01)), bpnet.Dense(units), loss=loss), X, y
    )
    assert check.passed, str(check)
    assert f"{chance:.3g} by chance" in check.evidence
    assert check.value == pytest.approx(1.0, abs=0.1)


def test_large_weights_are_far_from_chance_whatever_the_penalties():
    check = sanity.check_initial_loss(
        network(bpnet.Dense(16, "relu", init=Normal(10.0)), bpnet.Dense(1, init=Normal(10.0))),
        X, Y,
    )  # fmt: skip
    assert not check.passed
    assert str(check).startswith("LOOK: loss at chance before training: ")
    plain, penalized = (sanity.check_initial_loss(sound(l2=l2), X, Y) for l2 in (0.0, 100.0))
    assert plain == penalized


# --- overfitting a few examples ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "units", "y"),
    [
        ("binary_crossentropy", 1, Y),
        ("categorical_crossentropy", 2, Y),
        ("mean_squared_error", 2, REAL),
        ("poisson", 1, 3 * Y),
    ],
)
def test_a_sound_network_overfits_20_examples(loss, units, y):
    """Penalties and dropout, which would prevent it, are disabled."""
    net = network(
        bpnet.Dense(32, "tanh", l2=1.0), bpnet.Dropout(0.9), bpnet.Dense(units), loss=loss
    )
    check = sanity.check_overfit(net, X, y)
    assert check.passed, str(check)
    assert "20 examples" in check.name
    assert not net.is_built
    assert net.layers[0].l2 == 1.0


@pytest.mark.parametrize(
    "net",
    [
        network(bpnet.Dense(1)),  # XOR is not linearly separable
        network(bpnet.Dense(16, "tanh", init="zeros"), bpnet.Dense(1, init="zeros")),
        network(bpnet.Dense(16, "relu", bias_init=Constant(-9.0)), bpnet.Dense(1)),
    ],
    ids=["too small", "zeros", "dead"],
)
def test_a_network_that_cannot_is_found(net):
    check = sanity.check_overfit(net, X, Y)
    assert not check.passed
    assert check.value > 0.2


def test_a_wrong_gradient_is_found_by_its_failure_to_learn():
    class Wrong(Tanh):
        def df(self, xp, z, a):
            return -(1.0 - a * a)

    net = network(bpnet.Dense(16, Wrong()), bpnet.Dense(16, Wrong()), bpnet.Dense(1))
    assert not sanity.check_overfit(net, X, Y, epochs=100).passed


# --- the update-to-weight ratio ---------------------------------------------------------------


@pytest.mark.parametrize(("rate", "passed"), [(1e-3, True), (1e-8, False), (3.0, False)])
def test_the_update_ratio_tells_sound_steps_from_others(rate, passed):
    history = sound().fit(
        X, Y, epochs=1, optimizer=bpnet.Adam(rate), callbacks=[bpnet.GradientFlow()]
    )
    check = sanity.check_update_ratio(history)
    assert check.passed is passed, str(check)
    assert f"{history['update_ratio/1'][0]:.1e}" in check.evidence


@pytest.mark.parametrize(
    ("every", "epochs", "epoch"),
    [(None, 20, 20), (1, 9, 5), (1, 1, 1), (4, 20, 12), (7, 20, 14)],
)
def test_the_update_ratio_is_that_of_an_epoch_that_was_measured(every, epochs, epoch):
    """Others repeat the last values, such as those of the first epoch of a warm-up: 0."""
    history = sound().fit(
        X, Y, epochs=epochs, optimizer=bpnet.Adam(bpnet.schedules.WarmUp(1e-3, 10.0)),
        callbacks=[bpnet.GradientFlow(every=every)],
    )  # fmt: skip
    check = sanity.check_update_ratio(history)
    ratios = [history[f"update_ratio/{k}"][epoch - 1] for k in (1, 2)]
    assert check.evidence == f"{ratios[0]:.1e}, {ratios[1]:.1e} by layer, in epoch {epoch}"


def test_an_update_ratio_that_was_not_recorded_is_an_error():
    with pytest.raises(ValueError, match=r"add bpnet\.GradientFlow\(\)"):
        sanity.check_update_ratio(sound().fit(X, Y, epochs=1))


def test_all_checks_of_a_sound_network_pass_and_change_nothing():
    net = network(bpnet.Dense(32, "relu", l2=1e-3), bpnet.Dropout(0.2), bpnet.Dense(1))
    checks = sanity.sanity_checks(net, X, Y)
    assert len(checks) == 5
    assert all(check.passed for check in checks), "\n".join(map(str, checks))
    assert not net.is_built


# --- the rules of a gradient check ------------------------------------------------------------


def with_weights(net, *weights):
    net.build(1)
    net.parameters = [{"W": np.array(W, float), "b": np.array(b, float)} for W, b in weights]
    return net


ONE = np.array([[1.0]]), np.array([0.5])


def relu_at(z, activation="relu"):
    """One relu unit with the given z, followed by a weight of 3."""
    net = network(bpnet.Dense(1, activation), bpnet.Dense(1), loss="mean_squared_error")
    return with_weights(net, ([[z]], [0.0]), ([[3.0]], [0.0]))


@pytest.mark.parametrize("z", [1e-7, -1e-7])
def test_a_kink_within_the_step_is_avoided_and_reported(z):
    report = bpnet.check_gradients(relu_at(z), *ONE)
    assert report.passed
    assert report.kinks["layer 1 W"] == report.kinks["layer 1 b"] == 1
    assert report.kinks["layer 2 b"] == 0
    assert str(report).splitlines()[0].split() == [
        "parameter", "elements", "kinks", "scale", "relative", "error",
    ]  # fmt: skip


def test_at_a_kink_both_slopes_are_right_and_others_are_not():
    class OtherSide(ReLU):
        def df(self, xp, z, a):
            return xp.astype(z >= 0.0, z.dtype)

    class Wrong(ReLU):
        def df(self, xp, z, a):
            return xp.where(z >= 0.0, xp.ones_like(z), 0.0) * 1.5

    for activation, right in ((ReLU(), True), (OtherSide(), True), (Wrong(), False)):
        report = bpnet.check_gradients(relu_at(0.0, activation), *ONE)
        assert report.passed is right
        assert report.kinks["layer 1 W"] == 1


def test_weights_of_zero_under_l1_are_at_a_kink():
    net = network(bpnet.Dense(1, l1=0.1), loss="mean_squared_error")
    report = bpnet.check_gradients(with_weights(net, ([[0.0]], [0.0])), *ONE)
    assert report.passed
    assert report.kinks == {"layer 1 W": 1, "layer 1 b": 0}


def test_smooth_networks_have_no_kinks_and_every_parameter_is_sampled():
    report = bpnet.check_gradients(sound(l2=0.1), X[:5], Y[:5], samples=3)
    assert set(report.kinks.values()) == {0}
    assert report.n_checked == {
        "layer 1 W": 3, "layer 1 b": 3, "layer 2 W": 3, "layer 2 b": 1,
    }  # fmt: skip


def test_the_scale_is_the_largest_gradient():
    net = sound().build(2)
    report = bpnet.check_gradients(net, X, Y)
    _, gradients = net.loss_and_gradients(X, Y)
    for k, layer in enumerate(gradients, start=1):
        for name, gradient in layer.items():
            assert report.scales[f"layer {k} {name}"] == pytest.approx(
                np.max(np.abs(gradient)), rel=1e-4
            )


class Forgetful(bpnet.Dense):
    """A layer whose penalty has no gradient."""

    def penalty_gradients(self, xp, parameters):
        return {}


class Slightly(Tanh):
    """tanh with a derivative that is off by one percent."""

    def df(self, xp, z, a):
        return 1.01 * (1.0 - a * a)


def test_a_wrong_penalty_is_seen_only_with_the_regularizer_on():
    net = network(Forgetful(4, "tanh", l2=0.1), bpnet.Dense(1))
    assert not bpnet.check_gradients(net, X[:5], Y[:5]).passed
    off = bpnet.check_gradients(net, X[:5], Y[:5], regularizer=False)
    assert off.passed
    assert str(off).endswith("regularizer off")


def test_a_strong_penalty_hides_a_wrong_gradient_that_is_seen_with_it_off():
    net = network(bpnet.Dense(4, Slightly(), l2=1e5, bias_init=Constant(0.1)), bpnet.Dense(1))
    on, off = (
        bpnet.check_gradients(net, X[:5], Y[:5], regularizer=regularizer)
        for regularizer in (True, False)
    )
    assert on.per_parameter["layer 1 W"] <= on.tolerance
    assert off.per_parameter["layer 1 W"] > off.tolerance


def test_the_regularizer_is_on_or_off():
    with pytest.raises(TypeError, match="regularizer must be True or False, got 1"):
        bpnet.check_gradients(sound(), X, Y, regularizer=1)


def test_masks_are_fixed_so_dropout_can_be_checked():
    net = network(bpnet.Dense(8, "tanh"), bpnet.Dropout(0.5), bpnet.Dense(1))
    first, second = (bpnet.check_gradients(net, X[:5], Y[:5]) for _ in range(2))
    assert first.passed
    assert first == second
