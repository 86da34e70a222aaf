"""The layer interface: Dense by hand, and a user-defined layer."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.layers import Context, Dense, Dropout, Layer

M, N_IN, N_OUT = 5, 3, 4
rng = np.random.default_rng(0)
A = rng.normal(size=(M, N_IN))
ERROR = rng.normal(size=(M, N_OUT))
W = rng.normal(size=(N_IN, N_OUT))
B = rng.normal(size=N_OUT)


def on_device(backend, *arrays, dtype="float64"):
    return [backend.asarray(array.astype(dtype)) for array in arrays]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_computes_the_four_equations(dtype, backend, xp):
    layer = Dense(N_OUT, "tanh")
    a_previous, error, weights, b = on_device(backend, A, ERROR, W, B, dtype=dtype)
    parameters = {"W": weights, "b": b}
    a, cache = layer.forward(xp, parameters, a_previous, Context())
    back, gradients = layer.backward(xp, parameters, cache, error)
    results = {"a": a, "back": back, **gradients}

    z = A @ W + B
    delta = ERROR / np.cosh(z) ** 2
    expected = {
        "a": np.tanh(z),
        "back": np.einsum("mo,io->mi", delta, W),
        "W": np.einsum("mi,mo->io", A, delta),
        "b": np.einsum("mo->o", delta),
    }
    assert results.keys() == expected.keys()
    for name, result in results.items():
        assert result.dtype == a_previous.dtype
        assert result.shape == expected[name].shape
        tolerance = 1e-5 if dtype == "float32" else 1e-13
        assert_allclose(backend.to_numpy(result), expected[name], tolerance, tolerance)


def test_dense_writes_into_nothing_it_was_given(backend, xp):
    layer = Dense(N_OUT, "sigmoid", l1=0.1, l2=0.2)
    given = on_device(backend, A.copy(), ERROR.copy(), W.copy(), B.copy())
    parameters = {"W": given[2], "b": given[3]}
    _, cache = layer.forward(xp, parameters, given[0], Context())
    layer.backward(xp, parameters, cache, given[1])
    layer.penalty(xp, parameters)
    layer.penalty_gradients(xp, parameters)
    for array, original in zip(given, (A, ERROR, W, B), strict=True):
        assert_array_equal(backend.to_numpy(array), original)


def test_biases_are_drawn_as_one_row_of_weights():
    shapes = []

    def init(rng, n_in, n_out):
        shapes.append((n_in, n_out))
        return rng.normal(size=(n_in, n_out))

    b = Dense(N_OUT, bias_init=init).initial_parameters(np.random.default_rng(0), N_IN)["b"]
    assert (b.shape, shapes) == ((N_OUT,), [(1, N_OUT)])


@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_without_propagation_the_gradients_are_the_same(activation, backend, xp):
    layer = Dense(N_OUT, activation)
    a_previous, error, weights, b = on_device(backend, A, ERROR, W, B)
    parameters = {"W": weights, "b": b}
    _, cache = layer.forward(xp, parameters, a_previous, Context())
    back, gradients = layer.backward(xp, parameters, cache, error, propagate=False)
    _, expected = layer.backward(xp, parameters, cache, error, propagate=True)
    assert back is None
    for name in ("W", "b"):
        assert_array_equal(backend.to_numpy(gradients[name]), backend.to_numpy(expected[name]))


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.7), (0.3, 0.7)])
def test_penalty_and_its_gradient(l1, l2, backend, xp):
    layer = Dense(N_OUT, l1=l1, l2=l2)
    sparse = np.where(np.abs(W) < 0.3, 0.0, W)
    weights, b = on_device(backend, sparse, B)
    parameters = {"W": weights, "b": b}
    penalty = layer.penalty(xp, parameters)
    expected = l1 * np.linalg.norm(sparse.ravel(), 1) + l2 / 2 * np.linalg.norm(sparse) ** 2
    assert_allclose(float(penalty), expected, rtol=1e-14)
    gradients = layer.penalty_gradients(xp, parameters)
    assert gradients.keys() == {"W"}
    slope = backend.to_numpy(gradients["W"])
    assert np.any(sparse == 0.0)
    assert_array_equal(slope[sparse == 0.0], 0.0)
    assert_allclose(slope, l1 * np.copysign(1.0, sparse) * (sparse != 0.0) + l2 * sparse)


def test_without_strength_there_is_no_penalty(backend, xp):
    weights, b = on_device(backend, W, B)
    assert Dense(N_OUT).penalty(xp, {"W": weights, "b": b}) is None
    assert Dense(N_OUT).penalty_gradients(xp, {"W": weights, "b": b}) == {}


def test_penalties_enter_the_loss_and_the_gradients_of_a_network(backend):
    def network(**strength):
        layers = [Dense(4, "tanh", **strength), Dropout(0.5), Dense(2, **strength)]
        return bpnet.Network(layers, "mean_squared_error", seed=0, dtype="float64").build(N_IN)

    net, free = network(l1=0.01, l2=0.1), network()
    y = ERROR[:, :2]
    loss, gradients = net.loss_and_gradients(A, y, backend=backend)
    free_loss, free_gradients = free.loss_and_gradients(A, y, backend=backend)
    weights = [layer["W"] for layer in free.parameters]
    penalty = sum(0.01 * np.abs(w).sum() + 0.05 * (w**2).sum() for w in weights)
    assert_allclose(loss, free_loss + penalty, rtol=1e-13)
    assert_allclose(net.evaluate(A, y, backend=backend)["loss"], loss, rtol=1e-13)
    for layer, expected, w in zip(gradients, free_gradients, weights, strict=True):
        slope = 0.01 * np.sign(w) + 0.1 * w
        assert_allclose(layer["W"], expected["W"] + slope, rtol=1e-12)
        assert_allclose(layer["b"], expected["b"], rtol=1e-13)


def test_dropout_keeps_the_width():
    assert Dropout(0.5).n_outputs(7) == 7
    assert Dropout(0.5).initial_parameters(rng, 7) == {}
    assert Dropout(0.5).penalty(np, {}) is None
    assert Dropout(0.5).penalty_gradients(np, {}) == {}


# --- a user-defined layer ---------------------------------------------------------------------


class Scale(Layer):
    """a = s * x for each column, with a penalty c/2 sum((s - 1)^2)."""

    def __init__(self, strength=0.0):
        self.strength = strength

    def initial_parameters(self, rng, n_inputs):
        return {"s": rng.normal(1.0, 0.1, n_inputs)}

    def forward(self, xp, parameters, a_previous, context):
        return a_previous * parameters["s"], a_previous

    def backward(self, xp, parameters, cache, error, propagate=True):
        gradients = {"s": xp.sum(error * cache, axis=0)}
        return error * parameters["s"] if propagate else None, gradients

    def penalty(self, xp, parameters):
        r = parameters["s"] - 1.0
        return 0.5 * self.strength * xp.sum(r * r)

    def penalty_gradients(self, xp, parameters):
        return {"s": self.strength * (parameters["s"] - 1.0)}


def scaled_network():
    layers = [Scale(), Dense(4, "tanh"), Scale(0.1), Dropout(0.2), Dense(2)]
    return bpnet.Network(layers, "mean_squared_error", seed=0, dtype="float64")


def test_a_layer_of_the_users_own_passes_the_gradient_check(backend):
    report = bpnet.check_gradients(scaled_network(), A, ERROR[:, :2], backend=backend)
    assert report.passed, str(report)
    assert {"layer 1 s", "layer 3 s", "layer 5 W"} <= report.per_parameter.keys()


def test_a_layer_of_the_users_own_is_trained(backend):
    net = scaled_network().build(N_IN)
    before = [layer["s"].copy() for layer in net.parameters if "s" in layer]
    optimizer = bpnet.Adam(0.03)
    history = net.fit(A, ERROR[:, :2], optimizer=optimizer, epochs=100, backend=backend)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    after = [backend.to_numpy(layer["s"]) for layer in net.parameters if "s" in layer]
    assert all(np.all(old != new) for old, new in zip(before, after, strict=True))


def test_only_the_first_layer_is_not_asked_for_the_error_before_it():
    asked = []

    class Asked(Scale):
        def backward(self, xp, parameters, cache, error, propagate=True):
            asked.append(propagate)
            return super().backward(xp, parameters, cache, error, propagate)

    layers = [Asked(), Asked(), Asked(), Dense(2)]
    net = bpnet.Network(layers, "mean_squared_error", seed=0)
    net.loss_and_gradients(A, ERROR[:, :2])
    assert asked == [True, True, False]


def test_a_layer_without_forward_is_no_layer():
    class Incomplete(Layer):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Incomplete()
    with pytest.raises(TypeError, match="layers must be bpnet layers, got 'tanh'"):
        bpnet.Network(["tanh"], "mean_squared_error")
