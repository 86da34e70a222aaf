"""LayerNorm and BatchNorm against PyTorch, in single passes and in whole training runs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import BatchNorm, Dense, LayerNorm
from bpnet.layers import Context

pytestmark = [pytest.mark.few_on_jax, pytest.mark.once_on_jax]

M, N = 8, 5
rng = np.random.default_rng(0)
X = 3.0 * rng.normal(size=(M, N)) + 2.0
ERROR = rng.normal(size=(M, N))
START = {
    "gamma": rng.normal(size=N),
    "beta": rng.normal(size=N),
    "mean": rng.normal(size=N),
    "variance": rng.uniform(0.5, 2.0, N),
}
TOLERANCES = [("float32", 2e-5), ("float64", 1e-12)]


def in_step(backend):
    return Context(backend.asarray(7, "int64"), backend.asarray(3, "int64"))


def torch_batch_norm(torch, layer, rows, training):
    """Return activations, error before, gradients and running statistics of BatchNorm1d."""
    norm = torch.nn.BatchNorm1d(N, layer.epsilon, 1.0 - layer.momentum, dtype=torch.float64)
    norm.load_state_dict(
        {
            name: torch.tensor(START[ours])
            for name, ours in {
                "weight": "gamma", "bias": "beta", "running_mean": "mean",
                "running_var": "variance",
            }.items()
        }
        | {"num_batches_tracked": torch.tensor(0)}
    )  # fmt: skip
    norm.train(training)
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.tensor(X[rows], requires_grad=True)
        a = norm(x)
        (a * torch.tensor(ERROR[rows])).sum().backward()
    return {
        "a": a.detach().numpy(), "dx": x.grad.numpy(),
        "gamma": norm.weight.grad.numpy(), "beta": norm.bias.grad.numpy(),
        "mean": norm.running_mean.numpy(), "variance": norm.running_var.numpy(),
    }  # fmt: skip


def passed(backend, xp, layer, parameters, context, rows, dtype="float64"):
    """Return the same of a layer, on the host."""
    p = {name: backend.asarray(v, dtype) for name, v in parameters.items()}
    error = backend.asarray(ERROR[rows], dtype)
    a, cache = layer.forward(xp, p, backend.asarray(X[rows], dtype), context)
    back, gradients = layer.backward(xp, p, cache, error)
    none, same = layer.backward(xp, p, cache, error, False)
    assert none is None
    assert same.keys() == gradients.keys()
    changed = {} if context.step is None else layer.updated(xp, p, cache)
    results = {"a": a, "dx": back} | gradients | changed
    return {name: backend.to_numpy(value) for name, value in results.items()}


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("rows", [slice(0, 2), slice(0, M)])
@pytest.mark.parametrize("layer", [BatchNorm(), BatchNorm(0.0, 1e-2)])
def test_batch_norm_in_training_is_that_of_pytorch(layer, rows, dtype, tolerance, backend, xp):
    torch = pytest.importorskip("torch")
    expected = torch_batch_norm(torch, layer, rows, training=True)
    got = passed(backend, xp, layer, START, in_step(backend), rows, dtype)
    assert got.keys() == expected.keys()
    if rows.stop == 2:  # each difference of two rows is nearly the deviation: dx cancels
        tolerance *= 100.0
    for name, reference in expected.items():
        assert got[name].dtype == dtype
        assert_allclose(got[name], reference, tolerance, tolerance, err_msg=name)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, M)])
def test_batch_norm_in_prediction_is_that_of_pytorch(rows, dtype, tolerance, backend, xp):
    torch = pytest.importorskip("torch")
    layer = BatchNorm()
    expected = torch_batch_norm(torch, layer, rows, training=False)
    got = passed(backend, xp, layer, START, Context(), rows, dtype)
    assert got.keys() == {"a", "dx", "gamma", "beta"}
    for name, value in got.items():
        assert_allclose(value, expected[name], tolerance, tolerance, err_msg=name)


def test_a_training_batch_of_one_row_uses_and_keeps_the_running_statistics(backend, xp):
    layer, row = BatchNorm(), slice(2, 3)
    got = passed(backend, xp, layer, START, in_step(backend), row)
    expected = passed(backend, xp, layer, START, Context(), row)
    assert got.keys() == expected.keys()  # no new statistics
    for name, value in expected.items():
        assert_array_equal(got[name], value)


# --- in networks --------------------------------------------------------------------------

FEATURES = rng.normal(size=(40, N))
TARGETS = FEATURES[:, 0] * FEATURES[:, 1]


def network(dtype="float64"):
    layers = [Dense(6, "tanh"), BatchNorm(), Dense(4), LayerNorm(), Dense(1)]
    return bpnet.Network(layers, "mean_squared_error", seed=0, dtype=dtype)


def torch_network(torch):
    """The same network, with the same initial parameters."""
    nn = torch.nn
    net = nn.Sequential(
        nn.Linear(N, 6), nn.Tanh(), nn.BatchNorm1d(6), nn.Linear(6, 4), nn.LayerNorm(4),
        nn.Linear(4, 1),
    ).double()  # fmt: skip
    modules = (net[0], net[2], net[3], net[4], net[5])
    for module, p in zip(modules, network().build(N).parameters, strict=True):
        weight, bias = (p["W"].T, p["b"]) if "W" in p else (p["gamma"], p["beta"])
        module.weight.data, module.bias.data = torch.tensor(weight), torch.tensor(bias)
    return net


def test_training_is_that_of_pytorch_to_the_running_statistics(backend):
    torch = pytest.importorskip("torch")
    reference = torch_network(torch)
    optimizer = torch.optim.SGD(reference.parameters(), 0.1)
    features, targets = torch.tensor(FEATURES), torch.tensor(TARGETS)[:, None]
    for _ in range(5):
        for rows in torch.arange(40).split(16):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(reference(features[rows]), targets[rows]).backward()
            optimizer.step()
    net = network()
    net.fit(
        FEATURES, TARGETS, optimizer=bpnet.SGD(0.1), epochs=5, batch_size=16, shuffle=False,
        backend=backend,
    )  # fmt: skip
    statistics = reference[2]
    ours = {name: backend.to_numpy(p) for name, p in net.parameters[1].items()}
    for name, theirs in {
        "gamma": statistics.weight.detach(), "beta": statistics.bias.detach(),
        "mean": statistics.running_mean, "variance": statistics.running_var,
    }.items():  # fmt: skip
        assert_allclose(ours[name], theirs.numpy(), 1e-9, 1e-10, err_msg=name)
    with torch.no_grad():
        expected = reference.eval()(features).numpy()
    assert_allclose(np.reshape(net.predict(FEATURES), (40, 1)), expected, 1e-9, 1e-10)


def test_the_gradient_check_passes_in_batch_mode(backend):
    net = network()
    net.fit(FEATURES, TARGETS, epochs=2, backend=backend)
    report = bpnet.check_gradients(net, FEATURES[:6], TARGETS[:6], backend=backend)
    assert report.passed, str(report)
    assert "layer 2 gamma" in report.n_checked
    assert not {"layer 2 mean", "layer 2 variance"} & report.n_checked.keys()


def test_an_epoch_may_end_in_a_batch_of_one_row(backend):
    """PyTorch would raise an error; the statistics are those of the other batches."""
    net, reference = network(), network()
    for given, rows in ((net, 33), (reference, 32)):
        settings = {"epochs": 1, "batch_size": 16, "shuffle": False, "backend": backend}
        given.fit(FEATURES[:rows], TARGETS[:rows], optimizer=bpnet.SGD(0.01), **settings)
    for name in ("mean", "variance"):
        ours, theirs = (
            backend.to_numpy(given.parameters[1][name]) for given in (net, reference)
        )
        assert np.isfinite(ours).all()
        assert_array_equal(ours, theirs)
    assert not np.array_equal(
        *(backend.to_numpy(given.parameters[1]["gamma"]) for given in (net, reference))
    )


def test_a_constant_column_and_a_large_offset_are_normalized_finitely(backend, xp):
    for layer in (BatchNorm(), LayerNorm()):
        host = {"gamma": np.ones(3), "beta": np.zeros(3), "mean": np.zeros(3)}
        p = {n: backend.asarray(v, "float32") for n, v in host.items()} | {
            "variance": backend.asarray(np.ones(3), "float32")
        }
        x = np.array([[1.0, 4096.0, -3.0], [1.0, 4097.0, 3.0], [1.0, 4098.0, 0.0]])
        x = x if isinstance(layer, BatchNorm) else x.T
        a, cache = layer.forward(xp, p, backend.asarray(x, "float32"), in_step(backend))
        back, _ = layer.backward(xp, p, cache, xp.ones_like(a))
        host = backend.to_numpy(a if isinstance(layer, BatchNorm) else a.T)
        assert_allclose(host[:, 0], 0.0)
        assert_allclose(host[:, 1], [-1.2247, 0.0, 1.2247], atol=1e-3)
        assert np.isfinite(backend.to_numpy(back)).all()


def test_layer_norm_does_not_look_at_other_rows(backend, xp):
    p = {n: backend.asarray(START[n]) for n in ("gamma", "beta")}
    whole, _ = LayerNorm().forward(xp, p, backend.asarray(X), Context())
    for k in range(M):
        alone, _ = LayerNorm().forward(xp, p, backend.asarray(X[k : k + 1]), Context())
        alone, row = backend.to_numpy(alone)[0], backend.to_numpy(whole)[k]
        assert_allclose(alone, row, rtol=1e-13, atol=1e-14)
