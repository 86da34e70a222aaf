"""The parity contract: what it compares, that it can fail, and the precision it needs."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import bpnet
from bpnet.cli.main import main
from bpnet.data.array_loaders import ResidentLoader
from bpnet.random import generator
from bpnet.testing import parity

X, Y = bpnet.datasets.make_spiral(60, seed=0)
QUANTITIES = [
    "initial weights", "masks", "batches", "loss curve", "final weights", "predictions",
]  # fmt: skip


def network(dtype="float64", **options):
    layers = [bpnet.Dense(8, "tanh"), bpnet.Dropout(0.2), bpnet.Dense(8, "relu", **options)]
    return bpnet.Network([*layers, bpnet.Dense(1)], "binary_crossentropy", seed=3, dtype=dtype)


# --- it holds ---------------------------------------------------------------------------------


def test_a_stream_is_compared_on_some_of_its_examples(monkeypatch):
    monkeypatch.setattr(parity, "_ROWS", 40)
    found = bpnet.parity(network(), bpnet.streams.Arrays(X, Y), backends="numpy", epochs=2)
    assert found.passed
    order = bpnet.streams.row_order(bpnet.streams.Arrays(X, Y).sizes, 3, 0)[:40]
    assert found == bpnet.parity(network(), X[order], Y[order], "numpy", epochs=2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parity_holds(dtype, backend):
    report = bpnet.parity(network(dtype), X, Y, backend)
    assert report.passed, str(report)
    assert [d.quantity for d in report.differences] == QUANTITIES
    assert {d.backend for d in report.differences} == {backend.spec}
    assert (report.dtype, report.epochs, report.skipped) == (dtype, parity.EPOCHS, {})


def test_without_backends_every_device_is_compared():
    report = bpnet.parity(network(), X, Y, epochs=1)
    expected = {
        f"{name}:{device}"
        for name, info in bpnet.available_backends().items()
        for device in info.devices
    }
    assert {d.backend for d in report.differences} | report.skipped.keys() == expected
    assert "numpy:cpu" in expected


def test_the_network_is_left_as_it_was():
    net = network().build(2, "numpy")
    net.fit(X, Y, epochs=1)
    before = copy.deepcopy(net)
    report = bpnet.parity(net, X, Y, ["numpy", "array_api_strict"], epochs=1)
    assert report.passed
    assert (net.epochs_taken, net.steps_taken) == (before.epochs_taken, before.steps_taken)
    for layer, other in zip(net.parameters, before.parameters, strict=True):
        for name, p in layer.items():
            assert_array_equal(p, other[name])
    unbuilt = network()
    bpnet.parity(unbuilt, X, Y, "numpy", epochs=1)
    assert not unbuilt.is_built


def test_regression_classes_and_one_batch():
    labels = bpnet.datasets.make_spiral(60, 3, seed=0)
    layers = [bpnet.Dense(4, "tanh"), bpnet.Dense(3)]
    for net, data in (
        (bpnet.Network(layers, "categorical_crossentropy", seed=0), labels),
        (bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0), (X, X @ [1.0, 2.0])),
    ):
        report = bpnet.parity(net, *data, "array_api_strict", epochs=2, batch_size=None)
        assert report.passed
        assert "masks" not in [d.quantity for d in report.differences]


# --- it can fail ------------------------------------------------------------------------------


def broken(report):
    return {d.quantity for d in report.differences if not d.passed}


def test_other_weights_break_it(monkeypatch):
    """With an initializer that returns different weights each time, everything differs."""
    draws = iter(range(100))

    def restless(rng, n_in, n_out):
        return np.full((n_in, n_out), 0.1) + 1e-12 * next(draws)

    net = network(init=restless)
    report = bpnet.parity(net, X, Y, "numpy", epochs=1)
    assert "initial weights" in broken(report)
    assert not report.passed
    assert "parity is broken" in str(report)
    assert "DIFFERS" in str(report)


def test_other_masks_break_it(monkeypatch):
    strict = bpnet.get_backend("array_api_strict")
    original = bpnet.Dropout.forward

    def forward(self, xp, parameters, a, context):
        if xp is strict.xp and context.step is not None:
            context = context._replace(step=context.step + 1)
        return original(self, xp, parameters, a, context)

    monkeypatch.setattr(bpnet.Dropout, "forward", forward)
    report = bpnet.parity(network(), X, Y, strict, epochs=1)
    assert broken(report) == {"masks", "loss curve", "final weights", "predictions"}


def test_another_order_breaks_it(monkeypatch):
    strict, original = bpnet.get_backend("array_api_strict"), ResidentLoader.pieces

    def pieces(self, backend):
        if backend == strict:
            self._order = generator(99, "shuffle", 0).permutation(self.n_rows)
        return original(self, backend)

    monkeypatch.setattr(ResidentLoader, "pieces", pieces)
    report = bpnet.parity(network(), X, Y, strict, epochs=1)
    assert broken(report) == {"batches", "loss curve", "final weights", "predictions"}


def test_coarse_products_break_it(monkeypatch):
    """Ten bits of mantissa, like TF32."""
    strict, original = bpnet.get_backend("array_api_strict"), bpnet.Dense.forward

    def forward(self, xp, parameters, a, context):
        if xp is strict.xp:
            a = xp.astype(xp.astype(a * 1024.0, xp.int32), a.dtype) / 1024.0
        return original(self, xp, parameters, a, context)

    monkeypatch.setattr(bpnet.Dense, "forward", forward)
    net = network("float32")
    assert "final weights" in broken(bpnet.parity(net, X, Y, strict))


# --- how it measures --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ulps_count_the_floats_between(dtype):
    kind = np.dtype(dtype).type
    tiny = np.finfo(dtype).smallest_subnormal
    for a, b, expected in [
        (1.0, 1.0, 0),
        (0.0, -0.0, 0),
        (1.0, np.nextafter(kind(1), kind(2)), 1),
        (tiny, -tiny, 2),
        (1.0, 2.0, 2 ** np.finfo(dtype).nmant),
    ]:
        pair = np.array([0.5, a], dtype), np.array([0.5, b], dtype)
        assert parity._ulps(*pair) == expected
    largest = np.finfo(dtype).max
    between = parity._ulps(np.array([largest]), np.array([-largest]))
    assert between == 2 * parity._ulps(np.array([largest]), np.zeros(1, dtype)) > 2**31


def test_relative_is_by_the_largest_entry():
    assert parity._relative(np.array([100.0, 1.0]), np.array([100.0, 2.0])) == 0.01
    assert parity._relative(np.zeros(2), np.zeros(2)) == 0.0
    assert parity._relative(np.array([math.inf]), np.array([math.inf])) == 0.0
    wrong = parity.Difference("a", "loss curve", 0, math.nan, 1e-9)
    assert math.isnan(parity._relative(np.array([1.0]), np.array([math.inf])))
    assert not wrong.passed


# --- bad arguments ----------------------------------------------------------------------------


def test_a_device_without_the_dtype_is_skipped(monkeypatch):
    strict = bpnet.get_backend("array_api_strict")

    def refuse(array, dtype=None):
        raise TypeError("it has no float64")

    monkeypatch.setattr(strict, "asarray", refuse)
    report = bpnet.parity(network(), X, Y, ["numpy", strict], epochs=1)
    assert report.skipped == {strict.spec: "it has no float64"}
    assert f"{strict.spec} skipped: it has no float64" in str(report)
    with pytest.raises(ValueError, match="it has no float64"):
        bpnet.parity(network(), X, Y, strict, epochs=1)


# --- the command ------------------------------------------------------------------------------


def test_the_command_prints_the_table(capsys):
    arguments = ["--backends", "numpy,array_api_strict", "--epochs", "2", "--dtype", "float32"]
    assert main(["parity", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[-1] == ("parity holds: float32, 2 epochs, compared with numpy:cpu")
    assert len(out.splitlines()) == 2 + 2 * len(QUANTITIES)


def test_its_exit_status_tells_of_a_difference(monkeypatch, capsys):
    table = {"float64": dict.fromkeys(QUANTITIES, -1.0)}
    monkeypatch.setattr(parity, "TOLERANCES", table)
    assert main(["parity", "--backends", "numpy", "--epochs", "1"]) == 1
    assert "parity is broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backends", "nonsense"], "argument --backends: unknown backend"),
        (["--backends", "numpy,"], "must be comma-separated names"),
        (["--epochs", "0"], "must be an integer >= 1"),
        (["--dtype", "float16"], "--dtype"),
    ],
)
def test_bad_options_are_one_line(arguments, message, capsys):
    assert main(["parity", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
