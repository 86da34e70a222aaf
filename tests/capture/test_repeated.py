"""Results that a function computes twice are computed once, with the same bits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from bpnet_backends.capture.graph import Graph
from bpnet_backends.capture.numpy_ops import NumpyOps
from bpnet_backends.capture.tracer import Trace, TracingNamespace
from replaying import executables_of

import bpnet
from bpnet import Dense

SMALL, LARGE = (4, 5), (256, 256)
XP = bpnet.get_backend("numpy").xp


def graph_of(function, *arrays):
    """Return the graph of a function that returns a list of results."""
    trace = Trace(NumpyOps(), XP)
    results = function(TracingNamespace(trace), *map(trace.add, arrays))
    return Graph(trace, len(arrays), [result.index for result in results], {})


def names(graph):
    return Counter(op.name for op in graph.operations)


def numbers(shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_an_exponential_is_computed_once(shape):
    def twice(xp, z):
        return [xp.exp(xp.minimum(z, 20.0)) * z, z - xp.exp(xp.minimum(z, 20.0))]

    z = numbers(shape)
    graph = graph_of(twice, z)
    assert names(graph) == {"minimum": 1, "exp": 1, "multiply": 1, "subtract": 1}
    bound = graph.bind([z])
    for call in bound.calls:
        call()
    for output, expected in zip(graph.outputs, twice(np, z), strict=True):
        assert bound.outputs[output].tobytes() == expected.tobytes()


@pytest.mark.parametrize(("shape", "times"), [(SMALL, 1), (LARGE, 2)])
def test_cheap_operations_on_large_arrays_are_repeated(shape, times):
    graph = graph_of(
        lambda xp, x: [xp.exp(x * 2.0) + x, xp.exp(x * 3.0) - x * 2.0], numbers(shape)
    )
    assert names(graph)["multiply"] == 1 + times


def test_products_of_equal_views_are_equal():
    graph = graph_of(
        lambda xp, x: [xp.matmul(x.T, x) + 1.0, xp.matmul(x.T, x) - 1.0], numbers(SMALL)
    )
    assert names(graph)["matmul"] == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda xp, x: x * 0.0, lambda xp, x: x * -0.0),
        (lambda xp, x: x * 2.0, lambda xp, x: x * 3.0),
        (lambda xp, x: x[:3, :], lambda xp, x: x[1:3, :]),
        (lambda xp, x: xp.sum(x, axis=0), lambda xp, x: xp.sum(x, axis=1)),
        (lambda xp, x: x - x[0, :], lambda xp, x: x[0, :] - x),
        (lambda xp, x: xp.astype(x, xp.float64), lambda xp, x: xp.astype(x, xp.int32)),
    ],
    ids=["zeros", "numbers", "slices", "options", "order", "dtypes"],
)
def test_what_differs_stays_apart(first, second):
    x = numbers(SMALL)

    def both(xp, x):
        return [xp.concat([xp.reshape(f(xp, x), (-1,)) for f in (first, second)])]

    graph = graph_of(both, x)
    bound = graph.bind([x])
    for call in bound.calls:
        call()
    for output, expected in zip(graph.outputs, both(XP, x), strict=True):
        assert bound.outputs[output].tobytes() == expected.tobytes()


def test_equal_outputs_are_two_arrays():
    x = numbers(SMALL)
    graph = graph_of(lambda xp, x: [x * 2.0, x * 2.0], x)
    first, second = graph.bind([x]).outputs.values()
    assert not np.shares_memory(first, second)


def test_a_step_takes_one_exponential_for_each_mish():
    network = bpnet.Network(
        [Dense(9, "mish"), Dense(7, "mish"), Dense(1)], "mean_squared_error", seed=0
    )
    X = numbers((32, 3))
    seen = []

    class Look(bpnet.Callback):
        def on_train_end(self, training):
            seen.extend(executables_of(training.runner.steps.values()))

    network.fit(X, X[:, :1], epochs=1, callbacks=[Look()], backend="numpy")
    assert [names(executable.graph)["exp"] for executable in seen] == [2]
