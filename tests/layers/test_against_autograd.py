"""Layers with parameters against PyTorch's autograd, their exact formulas, and each other."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from available import available
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import Dense, Embedding, LayerNorm, ParametricActivation, PeriodicEmbedding, Scale
from bpnet.activations import ACTIVATIONS
from bpnet.layers import Context

pytestmark = [pytest.mark.few_on_jax, pytest.mark.once_on_jax]

M = 7
rng = np.random.default_rng(0)
X = rng.normal(size=(M, 5))
CODED = X.copy()
CODED[:, 1] = rng.integers(0, 4, M)
CODED[:, 3] = rng.integers(0, 2, M)
CODED[0, 1], CODED[1, 3] = 4.0, -1.0  # no codes


# --- formulas in PyTorch ------------------------------------------------------------------


def dense(torch, layer, p, x):
    z = x @ p["W"] / math.sqrt(x.shape[1]) + p["b"]
    return torch.tanh(z)


def scale(torch, layer, p, x):
    return x @ torch.diag(p["s"])


def parametric(torch, layer, p, x):
    return p["alpha"] * torch.nn.functional.selu(x) + (1.0 - p["alpha"]) * x


def layer_norm(torch, layer, p, x):
    return torch.nn.functional.layer_norm(x, (5,), p["gamma"], p["beta"], layer.epsilon)


def embedding(torch, layer, p, x):
    sizes = dict(layer.sizes)
    parts = [x[:, [k for k in range(5) if k not in sizes]]]
    for column, size in sizes.items():
        hot = (x[:, column, None] == torch.arange(size)).to(x.dtype)
        parts.append(hot @ p[f"E{column}"])
    return torch.cat(parts, 1)


def periodic(torch, layer, p, x):
    """The PBLD features of pytabkit, without the factor that it has for several networks."""
    columns = list(range(5)) if layer.columns is None else layer.columns
    columns = list(range(columns)) if isinstance(columns, int) else list(columns)
    parts = [x]
    for k, column in enumerate(columns):
        t = 2.0 * torch.pi * x[:, column, None] * p["w1"][k].T + p["b1"][k].T
        parts.append(torch.cos(t) @ p["W2"][k].T + p["b2"][k].T)
    return torch.cat(parts, 1)


CASES = {
    "ntk": (Dense(4, "tanh", parametrization="ntk"), dense, X),
    "scale": (Scale(0.7), scale, X),
    "parametric": (ParametricActivation("selu"), parametric, X),
    "layer norm": (LayerNorm(), layer_norm, X),
    "layer norm with another epsilon": (LayerNorm(0.1), layer_norm, X),
    "embedding": (Embedding({1: 4, 3: 2}, 3), embedding, CODED),
    "embedding of adjacent columns": (Embedding({4: 2, 3: 2}, 1), embedding, CODED),
    "embedding of all": (Embedding(dict.fromkeys(range(5), 2), 2), embedding, np.abs(X // 1)),
    "periodic": (PeriodicEmbedding(6, 4, 0.5), periodic, X),
    "periodic of some": (PeriodicEmbedding(6, 2, columns=(4, 0, 1)), periodic, X),
    "periodic of the first": (PeriodicEmbedding(1, 3, columns=2), periodic, X),
    "periodic of one": (PeriodicEmbedding(3, 3, columns=[2]), periodic, X),
}


def drawn(layer, n=5):
    """Initial parameters, changed at random, as some are all the same."""
    initial = layer.initial_parameters(np.random.default_rng(1), n)
    noise = np.random.default_rng(2)
    return {name: p + 0.3 * noise.normal(size=p.shape) for name, p in initial.items()}


@functools.cache
def expected(name):
    """Return the activations, the error given to them, that before, and the gradients."""
    import torch

    layer, formula, X = CASES[name]
    parameters = {k: torch.tensor(p, requires_grad=True) for k, p in drawn(layer).items()}
    x = torch.tensor(X, requires_grad=True)
    with torch.enable_grad():  # the fixture of PyTorch has turned it off
        a = formula(torch, layer, parameters, x)
        error = torch.tensor(np.random.default_rng(3).normal(size=a.shape))
        (a * error).sum().backward()
    gradients = {k: p.grad.numpy() for k, p in parameters.items()}
    return a.detach().numpy(), error.numpy(), x.grad.numpy(), gradients


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("name", CASES)
def test_activations_and_gradients_are_those_of_autograd(name, dtype, tolerance, backend, xp):
    pytest.importorskip("torch")
    layer, _, X = CASES[name]
    a, error, before, gradients = expected(name)
    parameters = {k: backend.asarray(p, dtype) for k, p in drawn(layer).items()}
    got, cache = layer.forward(xp, parameters, backend.asarray(X, dtype), Context())
    back, slopes = layer.backward(xp, parameters, cache, backend.asarray(error, dtype))
    assert slopes.keys() == gradients.keys()
    none, same = layer.backward(xp, parameters, cache, backend.asarray(error, dtype), False)
    assert none is None
    results = {"a": got, "dx": back} | slopes
    for key, reference in ({"a": a, "dx": before} | gradients).items():
        host = backend.to_numpy(results[key])
        assert host.dtype == dtype
        assert host.shape == reference.shape
        assert_allclose(host, reference, tolerance, tolerance * np.max(abs(reference)))
        if key in same:
            assert_array_equal(backend.to_numpy(same[key]), host)
    assert got.shape[1] == layer.n_outputs(5)


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_those_declared_and_factors_those_given(name):
    layer, _, _ = CASES[name]
    initial = layer.initial_parameters(np.random.default_rng(0), 5)
    assert {k: p.shape for k, p in initial.items()} == layer.parameter_shapes(5)
    for parameter in initial:
        assert layer.factors(parameter) == (1.0, 1.0)
    last = list(initial)[-1]
    changed = layer.replace(learning_rate_factors={last: 0.5}, weight_decay_factors={last: 0})
    assert changed.factors(last) == (0.5, 0.0)
    assert changed != layer
    assert changed.replace() == changed
    with pytest.raises(ValueError, match=r"^weight_decay_factors must name parameters .*'nil'"):
        layer.replace(weight_decay_factors={"nil": 1.0})


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_written_into_what_a_layer_was_given(name, backend, xp):
    layer, _, X = CASES[name]
    host = drawn(layer)
    parameters = {k: backend.asarray(p.copy()) for k, p in host.items()}
    x = backend.asarray(X.copy())
    a, cache = layer.forward(xp, parameters, x, Context())
    error = backend.asarray(np.ones(a.shape))
    layer.backward(xp, parameters, cache, error)
    assert_array_equal(backend.to_numpy(x), X)
    assert_array_equal(backend.to_numpy(error), np.ones(a.shape))
    for k, p in host.items():
        assert_array_equal(backend.to_numpy(parameters[k]), p)


# --- in networks --------------------------------------------------------------------------


def network(dtype="float64", loss="mean_squared_error", outputs=2):
    """All of them, each with layers before and after it."""
    layers = [
        PeriodicEmbedding(4, 3, columns=(0, 2)),
        Embedding({1: 4, 3: 2}, 3),
        Scale(0.9),
        Dense(6, parametrization="ntk", bias_init="normal", l2=0.01),
        ParametricActivation("tanh"),
        PeriodicEmbedding(2, 2),
        Scale(),
        Dense(outputs, parametrization="ntk"),
    ]
    return bpnet.Network(layers, loss, seed=0, dtype=dtype)


def test_the_gradient_check_passes(backend):
    report = bpnet.check_gradients(network(), CODED, X[:, :2], samples=4, backend=backend)
    assert report.passed, str(report)
    assert len(report.n_checked) == 4 + 2 + 1 + 2 + 1 + 4 + 1 + 2


def test_it_is_trained_saved_loaded_and_resumed(backend, tmp_path):
    net = network("float32")
    first = net.fit(CODED, X[:, :2], epochs=20, backend=backend)
    assert first["loss"][-1] < first["loss"][0]
    path = tmp_path / "net.safetensors"
    net.save(path)
    loaded = bpnet.load(path, backend=backend)
    assert loaded.layers == net.layers
    assert_array_equal(loaded.predict(CODED), net.predict(CODED))
    resumed = loaded.fit(CODED, X[:, :2], epochs=22, backend=backend, resume_from=path)
    assert (
        resumed["loss"]
        == network("float32").fit(CODED, X[:, :2], epochs=22, backend=backend)["loss"]
    )


def test_the_trace_names_each_parameter_and_the_divisor_of_the_weights():
    net = network()
    trace = net.trace(CODED, X[:, :2])
    _, gradients = net.loss_and_gradients(CODED, X[:, :2])
    assert_array_equal(trace["dW2_1"], gradients[0]["W2"])
    assert_array_equal(trace["dE3_2"], gradients[1]["E3"])
    equations = {entry.name: entry.equation for entry in trace.entries}
    assert equations["z4"] == "z4 = a3 W4 / sqrt(n3) + b4"
    assert equations["dW4"] == "dW4 = a3^T delta4 / sqrt(n3) + 0.01 W4"
    assert equations["dL/da3"] == "dL/da3 = delta4 W4^T / sqrt(n3)"


def test_the_summary_of_a_network_that_is_not_built_leaves_out_what_it_cannot_know():
    lines = network().summary().splitlines()
    widths = [line.split("(m, ")[1].split(")")[0] for line in lines[1:9]]
    assert widths == ["?", "?", "?", "6", "6", "12", "12", "2"]
    assert "E1 (4, 3), E3 (2, 3)" in network().build(5).summary()


def test_columns_that_the_input_lacks_are_refused_before_training():
    for layer in (Embedding({5: 2}, 2), PeriodicEmbedding(columns=6)):
        net = bpnet.Network([layer, Dense(2)], "mean_squared_error", seed=0)
        with pytest.raises(ValueError, match=r"needs column 5 of its input.*has 5 columns"):
            net.fit(X, X[:, :2])
        assert not net.is_built


# --- each on its own ----------------------------------------------------------------------


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_ntk_is_the_standard_parametrization_with_other_weights(activation, backend, xp):
    """The units are the same, and so are the steps of the weights, but for the root."""
    standard = Dense(4, activation)
    ntk = standard.replace(parametrization="ntk")
    assert ntk.init == bpnet.initializers.Normal(1.0)
    assert ntk.replace(parametrization="standard") == standard
    W, b = rng.normal(size=(5, 4)), rng.normal(size=4)
    outputs = []
    for layer, scaled in ((standard, W / math.sqrt(5)), (ntk, W)):
        p = {"W": backend.asarray(scaled), "b": backend.asarray(b)}
        a, cache = layer.forward(xp, p, backend.asarray(X), Context())
        back, gradients = layer.backward(xp, p, cache, xp.ones_like(a))
        outputs.append([backend.to_numpy(v) for v in (a, back, gradients["b"], gradients["W"])])
    outputs[0][3] = outputs[0][3] / math.sqrt(5)
    for one, other in zip(*outputs, strict=True):
        assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_relu_with_alpha_is_prelu(backend, xp):
    torch = pytest.importorskip("torch")
    alpha = np.array([0.3, 1.0, 0.0, -0.5, 2.0])
    a, _ = ParametricActivation("relu").forward(
        xp, {"alpha": backend.asarray(alpha)}, backend.asarray(X), Context()
    )
    reference = torch.nn.functional.prelu(torch.tensor(X), torch.tensor(1.0 - alpha))
    assert_allclose(backend.to_numpy(a), reference.numpy(), rtol=1e-14, atol=1e-15)


def test_new_layers_start_as_the_identity_and_the_activation(backend, xp):
    x = backend.asarray(X)
    for layer, f in (
        (Scale(), lambda z: z),
        (ParametricActivation("tanh"), bpnet.activations.tanh),
    ):
        p = layer.initial_parameters(np.random.default_rng(0), 5)
        p = {name: backend.asarray(v) for name, v in p.items()}
        a, _ = layer.forward(xp, p, x, Context())
        assert_allclose(backend.to_numpy(a), backend.to_numpy(f(x)), rtol=1e-15)


def test_periodic_embeddings_are_drawn_from_the_distributions_of_the_paper():
    p = PeriodicEmbedding(400, 9, 0.1).initial_parameters(np.random.default_rng(0), 50)
    assert_allclose(np.std(p["w1"]), 0.1, rtol=0.02)
    for name, limit in (("b1", math.pi), ("W2", 0.05), ("b2", 0.05)):
        assert -limit <= np.min(p[name]) < -0.98 * limit
        assert 0.98 * limit < np.max(p[name]) <= limit
        assert abs(np.mean(p[name])) < 0.1 * limit


@pytest.mark.parametrize("backend_name", available("numpy", "torch:cpu"))
def test_a_row_is_looked_up_with_all_its_bits(backend_name):
    """Whatever the precision of products is, and whatever is in other rows."""
    backend = bpnet.get_backend(backend_name)
    table = np.array([[1.0 + 2.0**-23, -0.0], [np.nan, np.inf], [3.0, 4.0]], np.float32)
    codes = np.array([[0.0], [2.0], [0.5], [-0.0], [1e30], [3.0]], np.float32)
    with bpnet.matmul_precision("medium"), backend.activate():
        a, _ = Embedding({0: 3}, 2).forward(
            backend.xp, {"E0": backend.asarray(table)}, backend.asarray(codes), Context()
        )
    none = np.zeros(2, np.float32)
    due = np.stack([table[0], table[2], none, table[0], none, none])
    assert backend.to_numpy(a).tobytes() == due.tobytes()


SIZES = st.dictionaries(st.integers(0, 6), st.integers(1, 5), min_size=1)
VALUES = arrays(np.float64, (4, 7), elements=st.integers(-2, 6) | st.floats(-9.0, 9.0))


@given(SIZES, st.integers(1, 3), VALUES)
def test_an_embedding_is_a_product_with_the_one_hot_matrix(sizes, dimension, X):
    layer, xp = Embedding(sizes, dimension), bpnet.get_backend("numpy").xp
    tables = layer.initial_parameters(np.random.default_rng(0), 7)
    hot = [X[:, [c]] == np.arange(k) for c, k in sorted(sizes.items())]
    passed = [X[:, [c]] for c in range(7) if c not in sizes]
    rows = [h.astype(float) @ E for h, E in zip(hot, tables.values(), strict=True)]
    a, cache = layer.forward(xp, tables, X, Context())
    assert_array_equal(a, np.concatenate([*passed, *rows], axis=1))
    error = np.random.default_rng(1).normal(size=a.shape)
    back, gradients = layer.backward(xp, tables, cache, error)
    start = 7 - len(sizes)
    for h, gradient in zip(hot, gradients.values(), strict=True):
        part = error[:, start : start + dimension]
        assert_allclose(gradient, h.T.astype(float) @ part, rtol=1e-12, atol=1e-12)
        start += dimension
    assert_array_equal(back[:, sorted(sizes)], 0.0)
    others = [c for c in range(7) if c not in sizes]
    assert_array_equal(back[:, others], error[:, : len(others)])


@given(st.sets(st.integers(0, 6), min_size=1), VALUES)
def test_periodic_embeddings_of_columns_are_those_of_a_matrix_of_them(columns, X):
    xp = bpnet.get_backend("numpy").xp
    some, every = PeriodicEmbedding(3, 3, columns=columns), PeriodicEmbedding(3, 3)
    p = some.initial_parameters(np.random.default_rng(0), 7)
    chosen = X[:, sorted(columns)]
    a, cache = some.forward(xp, p, X, Context())
    expected, _ = every.forward(xp, p, chosen, Context())
    assert_array_equal(a[:, :7], X)
    assert_array_equal(a[:, 7:], expected[:, len(columns) :])
    back, _ = some.backward(xp, p, cache, np.ones_like(a))
    others = sorted({*range(7)} - columns)
    assert_array_equal(back[:, others], 1.0)  # the error that passes by the features
