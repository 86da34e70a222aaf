"""Several processes have the weights of a single one, whatever they train."""

from __future__ import annotations

import numpy as np
import pytest
from available import available
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from thread_group import run_together

import bpnet
from bpnet import Dense, Dropout, Network
from bpnet.distributed.parts import part_of

pytestmark = pytest.mark.few_on_jax

# Of sums in another order, in float64.
CLOSE = {"rtol": 1e-10, "atol": 1e-13}

X, Y = bpnet.datasets.make_spiral(103, seed=0)
X3, Y3 = bpnet.datasets.make_spiral(90, classes=3, seed=1)
ZEROS = np.where(np.arange(103) < 40, 0.0, np.linspace(0.1, 3.0, 103))


def network(*layers, loss="binary_crossentropy", outputs=1, seed=3):
    return Network([*layers, Dense(outputs)], loss, seed=seed, dtype="float64")


CASES = {
    "plain": (lambda: network(Dense(6, "tanh")), X, Y, {}),
    "dropout, also in a residual block": (
        lambda: network(
            Dense(5, "tanh"), Dropout(0.3), bpnet.Residual([Dense(5, "relu"), Dropout(0.4)])
        ),
        X, Y, {},
    ),
    "penalties, clipping and decay": (
        lambda: network(Dense(6, "gelu", l2=0.01, l1=0.001)),
        X, Y, {"optimizer": bpnet.AdamW(0.02, weight_decay=0.1, clip_norm=0.05)},
    ),
    "weights, of which a whole batch has none": (
        lambda: network(Dense(6, "tanh", l2=0.01)),
        X, Y, {"sample_weight": ZEROS, "shuffle": False},
    ),
    "one batch": (lambda: network(Dense(6, "tanh")), X, Y, {"batch_size": None}),
    "labels, averages and a schedule": (
        lambda: network(Dense(6, "tanh"), Dropout(bpnet.schedules.Cosine(0.4, 3)),
                        loss="categorical_crossentropy", outputs=3),
        X3, Y3,
        {"optimizer": bpnet.MovingAverage(
            bpnet.SGD(bpnet.schedules.WarmUp(0.1, 2), momentum=0.9), decay=0.8
         ),
         "validation_split": 0.2, "stratify": True},
    ),
}  # fmt: skip


def trained(make, X, y=None, **options):
    """Return what a training run leaves, as host arrays."""
    net = make()
    batches = {} if y is None else {"batch_size": 34}
    history = net.fit(X, y, **({"epochs": 3} | batches | options))
    arrays = [net.backend.to_numpy(p) for layer in net.parameters for p in layer.values()]
    return arrays, dict(history.items())


@pytest.mark.once_on_jax
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("case", CASES)
def test_weights_and_history(backend, case, size):
    """Batches of 34 and a last one of 1, of which all processes but one have no row."""
    make, X, y, options = CASES[case]
    options = options | {"backend": backend}
    expected, history = trained(make, X, y, **options)
    every = run_together(size, lambda group: trained(make, X, y, communicator=group, **options))
    for arrays, measured in every:
        for got, due in zip(arrays, expected, strict=True):
            assert_allclose(got, due, **CLOSE)
        assert measured.keys() == history.keys()
        for name, values in history.items():
            assert_allclose(measured[name], values, **CLOSE)
    assert all(
        np.array_equal(a, b)
        for other in every
        for a, b in zip(every[0][0], other[0], strict=True)
    )


class OfManySizes(bpnet.Loader):
    """Weighted batches of different sizes."""

    def __init__(self):
        super().__init__(60, 2, 40, sizes=(40, 7, 1, 12), n_batches=4, total_weight=100.0)

    def batches(self, epoch):
        start = 0
        for rows in (40, 7, 1, 12):
            part = slice(start, start := start + rows)
            yield X[part], Y[part], np.full(rows, 2.0 if rows == 40 else 1.0)


@pytest.mark.parametrize("spec", available("numpy", "torch:cpu"))
def test_batches_of_a_loader(spec):
    make = CASES["plain"][0]
    expected, _ = trained(make, OfManySizes(), backend=spec)
    every = run_together(
        2, lambda group: trained(make, OfManySizes(), backend=spec, communicator=group)
    )
    for arrays, _ in every:
        for got, due in zip(arrays, expected, strict=True):
            assert_allclose(got, due, **CLOSE)


def test_batches_of_a_stream():
    make = CASES["dropout, also in a residual block"][0]

    def run(group):
        stream = bpnet.streams.Arrays(X, Y, block_rows=40)
        return trained(make, stream, batch_size=34, communicator=group)[0]

    expected = run(None)
    for arrays in run_together(2, run):
        for got, due in zip(arrays, expected, strict=True):
            assert_allclose(got, due, **CLOSE)


@pytest.mark.parametrize("spec", available("numpy", "array_api_strict:device1"))
def test_eagerly(spec):
    make, X, y, _ = CASES["plain"]
    expected, _ = trained(make, X, y, backend=spec)
    options = {"backend": spec, "run_eagerly": True}
    every = run_together(2, lambda group: trained(make, X, y, communicator=group, **options))
    for arrays, _ in every:
        for got, due in zip(arrays, expected, strict=True):
            assert_allclose(got, due, **CLOSE)


def test_networks_without_a_seed_start_from_that_of_process_0():
    def run(group):
        net = network(Dense(4, "tanh"), Dropout(0.2), seed=None)
        before = net.seed
        net.fit(X, Y, epochs=2, communicator=group)
        return before, net.seed, net.parameters[0]["W"]

    (first, seed, W), (other, _, _) = every = run_together(2, run)
    assert first != other
    assert {s for _, s, _ in every} == {first} == {seed}
    assert all(np.array_equal(W, w) for *_, w in every)


def test_weights_that_differ_start_as_those_of_process_0():
    def run(group):
        net = network(Dense(4, "tanh")).build(2)
        net.parameters = [
            {n: p + group.rank for n, p in layer.items()} for layer in net.parameters
        ]
        net.fit(X, Y, epochs=1, communicator=group)
        return net.parameters[0]["W"]

    alone = network(Dense(4, "tanh"))
    alone.fit(X, Y, epochs=1)
    for W in run_together(2, run):
        assert_allclose(W, alone.parameters[0]["W"], **CLOSE)


@given(st.integers(0, 100), st.integers(1, 20))
def test_parts_are_those_of_array_split(rows, size):
    due = [part.tolist() for part in np.array_split(np.arange(rows), size)]
    assert [np.arange(rows)[part_of(rows, k, size)].tolist() for k in range(size)] == due
