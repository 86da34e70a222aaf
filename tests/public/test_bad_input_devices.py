"""Bad arrays of every library on every device, and arrays that do not match."""

from __future__ import annotations

import re

import bad_data
import entries
import numpy as np
import pytest
from bad_data import N_IN, OTHER_TARGETS, W, X, Y
from refusals import Unchanged

import bpnet

# The entry points for user arrays, with cases that every library can hold.
DOORS = ("Network.forward", "Network.fit", "Network.fit, validation", "check_gradients")
KINDS = {
    "X": bad_data.FEATURES | bad_data.OVERFLOW,
    "y": bad_data.LABELS,
    "sample_weight": bad_data.WEIGHTS | bad_data.SMALL_WEIGHTS,
}
CASES = {
    f"{door}: {parameter}: {case}": (entries.NETWORKS[door], parameter, bad)
    for door in DOORS
    for parameter, cases in entries.NETWORKS[door].bad.items()
    for case, bad in cases.items()
    if case in KINDS.get(parameter.removesuffix(" of validation_data"), ())
}


@pytest.mark.parametrize("case", CASES)
def test_bad_arrays_of_every_library_are_refused(case, backend):
    entry, parameter, bad = CASES[case]
    value = backend.asarray(bad.value)
    given = entry.good | {parameter.removesuffix(" of validation_data"): value}
    message = bad.message.replace("{name}", re.escape(parameter))
    for net in (entries.network(), entries.trained()):
        Unchanged(net, given).refuses(
            lambda net=net: entry.call(net=net, **given), bad.error, message
        )


WIDE = [name for name, entry in entries.NETWORKS.items() if "X" in entry.bad]


@pytest.mark.parametrize("case", bad_data.WIDTHS)
@pytest.mark.parametrize("name", WIDE)
def test_another_number_of_features_is_refused_by_a_built_network(name, case, backend):
    entry, bad = entries.NETWORKS[name], bad_data.WIDTHS[case]
    net, given = entries.trained(), entry.good | {"X": backend.asarray(bad.value)}
    Unchanged(net).refuses(
        lambda: entry.call(net=net, **given), bad.error, bad.message.replace("{name}", "X")
    )


def test_validation_data_must_have_the_features_of_the_training_data():
    net, narrow = entries.network(), X[:, :1]
    message = "X of validation_data must have 2 features"
    Unchanged(net).refuses(
        lambda: net.fit(X, Y, validation_data=(narrow, Y)), ValueError, message
    )


@pytest.mark.parametrize("case", OTHER_TARGETS)
@pytest.mark.parametrize("use", ["evaluate", "loss_and_gradients", "fit", "trace"])
def test_targets_that_a_loss_cannot_mean_are_refused(case, use, backend):
    loss, outputs, y, message = OTHER_TARGETS[case]
    net = bpnet.Network([bpnet.Dense(outputs)], loss, seed=0)
    y = backend.asarray(y)
    Unchanged(net, y).refuses(lambda: getattr(net, use)(X, y), ValueError, message)


def test_complex_arrays_of_a_library_are_refused(backend, xp):
    value = xp.astype(backend.asarray(X), xp.complex64)
    for net in (entries.network(), entries.trained()):
        for name, use in {
            "X": lambda net=net: net.predict(value),
            "y": lambda net=net: net.evaluate(X, value),
            "sample_weight": lambda net=net: net.fit(X, Y, sample_weight=value),
        }.items():
            message = f"^{name} must hold real numbers, got dtype .*complex64"
            Unchanged(net).refuses(use, TypeError, message)


# --- libraries and devices --------------------------------------------------------------------

PAIRED = [name for name, entry in entries.NETWORKS.items() if {"X", "y"} <= entry.bad.keys()]


@pytest.mark.parametrize("name", PAIRED)
def test_arrays_of_two_libraries_or_devices_are_refused(name, backend):
    """Arrays on a second device or of another library; NumPy arrays mix with any."""
    elsewhere = bpnet.get_backend("array_api_strict:device2")
    entry, net = entries.NETWORKS[name], entries.trained()
    here, there = backend.asarray, elsewhere.asarray
    if backend.name == "numpy":
        assert net.evaluate(here(X), there(Y), here(W)) == pytest.approx(net.evaluate(X, Y, W))
        return
    pairs = [("X", "y", {"X": here(X), "y": there(Y)})]
    if "sample_weight" in entry.bad:
        pairs.append(("X", "sample_weight", {"X": here(X), "sample_weight": there(W)}))
        pairs.append(("y", "sample_weight", {"y": here(Y), "sample_weight": there(W)}))
    for first, second, arrays in pairs:
        given = entry.good | arrays
        message = f"^{first} lives on {backend.spec} and {second} on {elsewhere.spec}; pass "
        Unchanged(net, given).refuses(
            lambda given=given: entry.call(net=net, **given), ValueError, message
        )


def test_arrays_of_two_devices_for_training_and_validation_go_together():
    """Training and validation data are moved separately, so their devices may differ."""
    a, b = (bpnet.get_backend(f"array_api_strict:device{k}").asarray for k in (1, 2))
    history = entries.network().fit(a(X), a(Y), epochs=1, validation_data=(b(X), b(Y)))
    plain = entries.network().fit(X, Y, epochs=1, validation_data=(X, Y))
    assert history["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-6)


def test_arrays_that_jax_traces_or_has_deleted_are_refused():
    jax = pytest.importorskip("jax")
    net, array = entries.trained(), jax.numpy.asarray(X)
    message = "^X must be an array on one device, got .*Tracer"
    Unchanged(net).refuses(lambda: jax.jit(net.forward)(array), TypeError, message)
    array.delete()
    with pytest.raises((TypeError, ValueError), match=r"^X must"):
        net.forward(array)


def test_sizes_beyond_all_memory_are_refused_by_name(backend):
    for units, n_inputs in ((10**18, N_IN), (4, 10**18), (10**40, N_IN)):
        layers = [bpnet.Dense(units, init="zeros"), bpnet.Dense(3)]
        net = bpnet.Network(layers, "categorical_crossentropy", seed=0)
        message = "for the weights.*Lower the units of the layers"
        Unchanged(net).refuses(
            lambda net=net, n=n_inputs: net.build(n, backend), bpnet.OutOfMemoryError, message
        )
    net = bpnet.Network([bpnet.Dense(10**18), bpnet.Dense(3)], "categorical_crossentropy")
    for use in (lambda X: net.fit(X, Y), lambda X: net.trace(X, Y)):
        Unchanged(net).refuses(lambda use=use: use(X), bpnet.OutOfMemoryError, "Lower the un")


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_numbers_that_cost_no_memory_may_be_huge(name, backend):
    class Once(bpnet.Callback):
        def on_epoch_end(self, training):
            training.stop("enough")

    net = entries.network()
    history = net.fit(X, Y, callbacks=[Once()], backend=backend, **{name: 10**18})
    assert np.isfinite(history["loss"]).all()
