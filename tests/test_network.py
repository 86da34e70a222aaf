"""The passes of a network: inputs, computation and outputs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from on_host import host

import bpnet
from bpnet.losses import Huber

M, N_IN = 11, 3
rng = np.random.default_rng(0)
X = rng.normal(size=(M, N_IN))
LABELS = rng.integers(0, 4, M)
WEIGHTS = rng.uniform(0.0, 2.0, M)
WEIGHTS[3] = 0.0

# Loss, number of outputs, targets.
CASES = {
    "binary": ("binary_crossentropy", 1, LABELS % 2),
    "binary column": ("binary_crossentropy", 1, LABELS[:, None] % 2),
    "binary soft": ("binary_crossentropy", 1, rng.uniform(size=M)),
    "multi-label": ("binary_crossentropy", 3, rng.integers(0, 2, (M, 3))),
    "labels": ("categorical_crossentropy", 4, LABELS),
    "label column": ("categorical_crossentropy", 4, LABELS[:, None]),
    "one-hot": ("categorical_crossentropy", 4, np.eye(4)[LABELS]),
    "soft": ("categorical_crossentropy", 4, rng.dirichlet(np.ones(4), M)),
    "regression": ("mean_squared_error", 1, rng.normal(size=M)),
    "regressions": ("mean_squared_error", 2, rng.normal(size=(M, 2))),
    "absolute": ("mean_absolute_error", 2, rng.normal(size=(M, 2))),
    "huber": (Huber(0.5), 2, rng.normal(size=(M, 2))),
    "counts": ("poisson", 1, rng.poisson(2.0, M)),
}
CLASSIFICATION = ["binary", "multi-label", "labels"]
REGRESSION = ["regression", "regressions", "absolute", "huber", "counts"]


def network(case, dtype="float64", *, seed=3, **settings):
    loss, n_outputs, _ = CASES[case]
    layers = [
        bpnet.Dense(5, "tanh", bias_init="normal", **settings),
        bpnet.Dropout(0.5),  # must do nothing outside of training
        bpnet.Dense(n_outputs, bias_init="normal", **settings),
    ]
    return bpnet.Network(layers, loss, seed=seed, dtype=dtype)


# --- the computation in plain NumPy -----------------------------------------------------------


class Reference:
    """The network of a case in plain float64 NumPy, from the parameters of `net`."""

    def __init__(self, case, net, X=X, y=None, w=None):
        loss, n_outputs, targets = CASES[case]
        y = np.asarray(targets if y is None else y, dtype=float)
        w = np.ones(len(X)) if w is None else w
        hidden, last = host(net.backend, net.parameters)
        a = np.tanh(X @ hidden["W"] + hidden["b"])
        z = self.logits = a @ last["W"] + last["b"]
        if loss == "categorical_crossentropy":
            y = np.eye(n_outputs)[y.astype(int).ravel()] if y.size == len(X) else y
            e = np.exp(z)
            p = self.probabilities = e / e.sum(axis=1, keepdims=True)
            self.predictions = p.argmax(axis=1)
            losses, error = -np.sum(y * np.log(p), axis=1), p - y
            right = self.predictions == y.argmax(axis=1)
        else:
            y = y.reshape(z.shape)
            right = np.full(len(X), np.nan)
            match loss:
                case "binary_crossentropy":
                    p = 1.0 / (1.0 + np.exp(-z))
                    self.probabilities = np.hstack([1.0 - p, p]) if n_outputs == 1 else p
                    self.predictions = (p > 0.5).astype(int)
                    losses, error = -y * np.log(p) - (1.0 - y) * np.log(1.0 - p), p - y
                    right = np.all(self.predictions == (y > 0.5), axis=1)
                case "mean_squared_error":
                    self.predictions, losses, error = z, (z - y) ** 2, 2.0 * (z - y)
                case "mean_absolute_error":
                    self.predictions, losses, error = z, np.abs(z - y), np.sign(z - y)
                case "poisson":
                    self.predictions = np.exp(z)
                    losses, error = np.exp(z) - y * z, np.exp(z) - y
                case Huber(delta=d):
                    r = np.abs(z - y)
                    losses = np.where(r <= d, r**2 / 2.0, d * (r - d / 2.0))
                    self.predictions, error = z, np.clip(z - y, -d, d)
            losses, error = losses.mean(axis=1), error / n_outputs
            self.predictions = self.predictions[:, 0] if n_outputs == 1 else self.predictions
        self.loss = np.average(losses, weights=w)
        self.accuracy = np.average(right, weights=w)
        delta = error * (w / w.sum())[:, None]
        back = delta @ last["W"].T * (1.0 - a**2)
        self.gradients = [
            {"W": X.T @ back, "b": back.sum(axis=0)},
            {"W": a.T @ delta, "b": delta.sum(axis=0)},
        ]


def assert_host(array, shape, dtype="float64"):
    assert isinstance(array, np.ndarray)
    assert array.shape == shape
    assert array.dtype == dtype


@pytest.mark.parametrize("case", CLASSIFICATION + REGRESSION)
def test_forward_and_predict(case, backend):
    net = network(case).build(N_IN, backend)
    expected, n = Reference(case, net), net.n_outputs
    logits, predictions = net.forward(X), net.predict(X)
    assert_host(logits, (M, n))
    assert_allclose(logits, expected.logits, rtol=1e-12, atol=1e-14)
    one_column = n == 1 or net.loss.name == "categorical_crossentropy"
    dtype = "int64" if net.is_classifier else "float64"
    assert_host(predictions, (M,) if one_column else (M, n), dtype)
    assert_allclose(predictions, expected.predictions, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", CLASSIFICATION)
def test_predict_proba(case, backend):
    net = network(case).build(N_IN, backend)
    probabilities = net.predict_proba(X)
    assert_host(probabilities, (M, max(net.n_outputs, 2)))
    assert_allclose(probabilities, Reference(case, net).probabilities, rtol=1e-12)
    if case != "multi-label":
        assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-14)
        assert_array_equal(probabilities.argmax(axis=1), net.predict(X))


@pytest.mark.parametrize("case", REGRESSION)
def test_predict_proba_of_a_regression_is_refused(case):
    net = network(case)
    with pytest.raises(ValueError, match=f"needs the loss binary.*is '{net.loss.name}'"):
        net.predict_proba(X)
    assert not net.is_built
    assert not net.is_classifier


@pytest.mark.once_on_jax
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("case", CASES)
def test_evaluate_and_gradients(case, weights, backend):
    net, y = network(case).build(N_IN, backend), CASES[case][2]
    expected = Reference(case, net, w=weights)
    measured = net.evaluate(X, y, weights)
    assert measured.keys() == ({"loss", "accuracy"} if net.is_classifier else {"loss"})
    assert all(type(value) is float for value in measured.values())
    assert_allclose(measured["loss"], expected.loss, rtol=1e-12)
    if net.is_classifier:
        assert_allclose(measured["accuracy"], expected.accuracy, rtol=1e-12)

    loss, gradients = net.loss_and_gradients(X, y, weights)
    assert type(loss) is float
    assert_allclose(loss, expected.loss, rtol=1e-12)
    for layer, reference in zip(gradients, expected.gradients, strict=True):
        assert list(layer) == ["W", "b"]
        for name, gradient in layer.items():
            assert_host(gradient, reference[name].shape)
            assert_allclose(gradient, reference[name], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("case", ["multi-label", "labels", "regression"])
def test_penalties_are_part_of_the_loss(case, backend):
    net, y = network(case, l1=0.1, l2=0.3).build(N_IN, backend), CASES[case][2]
    W = [layer["W"] for layer in host(backend, net.parameters)]
    penalty = sum(0.1 * np.abs(w).sum() + 0.15 * (w**2).sum() for w in W)
    expected = Reference(case, net)
    assert_allclose(net.evaluate(X, y)["loss"], expected.loss + penalty, rtol=1e-12)
    loss, gradients = net.loss_and_gradients(X, y)
    assert_allclose(loss, expected.loss + penalty, rtol=1e-12)
    for w, layer, reference in zip(W, gradients, expected.gradients, strict=True):
        exact = reference["W"] + 0.1 * np.sign(w) + 0.3 * w
        assert_allclose(layer["W"], exact, rtol=1e-10)
        assert_allclose(layer["b"], reference["b"], rtol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-13)])
def test_small_probabilities_are_precise(dtype, tolerance, backend):
    """Computed as 1 - P(1), P(0) would be 0 or off by one eps."""
    z = np.array([-80.0, -36.0, -1.0, 0.0, 1.0, 36.0, 80.0])
    sigmoid = np.exp(np.minimum(z, 0.0)) / (1.0 + np.exp(-np.abs(z)))
    net = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0, dtype=dtype)
    net.build(1, backend).parameters = [{"W": [[1.0]], "b": [0.0]}]
    probabilities = net.predict_proba(z[:, None])
    assert_host(probabilities, (len(z), 2), dtype)
    assert_allclose(probabilities[:, 1], sigmoid, rtol=tolerance)
    assert_allclose(probabilities[:, 0], sigmoid[::-1], rtol=tolerance)
    assert_allclose(probabilities.sum(axis=1), 1.0, rtol=tolerance)

    several = bpnet.Network([bpnet.Dense(3)], "categorical_crossentropy", seed=0, dtype=dtype)
    several.build(1, backend).parameters = [{"W": [[0.0, 1.0, -1e4]], "b": [0.0] * 3}]
    softmax = several.predict_proba(z[4:, None])
    assert_allclose(softmax[:, 1], sigmoid[4:], rtol=tolerance)
    assert_allclose(softmax[:, 0], sigmoid[2::-1], rtol=tolerance)
    assert_array_equal(softmax[:, 2], 0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_that_of_parameters_and_results(dtype, backend):
    net = network("soft", dtype).build(N_IN, backend)
    assert {p.dtype for layer in host(backend, net.parameters) for p in layer.values()} == {
        np.dtype(dtype)
    }
    for given in (X, X.astype(np.float32), X.astype(np.float16)):
        assert net.forward(given).dtype == dtype
        assert net.predict_proba(given).dtype == dtype
        _, gradients = net.loss_and_gradients(given, LABELS)
        assert {g.dtype for layer in gradients for g in layer.values()} == {np.dtype(dtype)}
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    expected = Reference("soft", network("soft").build(N_IN))
    assert_allclose(net.forward(X), expected.logits, rtol=10 * tolerance, atol=tolerance)


# --- many rows --------------------------------------------------------------------------------

MANY = 9_001  # three blocks of rows, the last one short


@pytest.fixture(scope="module")
def many():
    big = np.random.default_rng(1)
    return big.normal(size=(MANY, N_IN)), big.integers(0, 4, MANY), big.uniform(size=MANY)


def test_many_rows_are_computed_in_blocks(many, backend):
    X, y, w = many
    net = network("labels").build(N_IN, backend)
    expected = Reference("labels", net, X, y, w)
    assert_allclose(net.forward(X), expected.logits, rtol=1e-12, atol=1e-13)
    assert_allclose(net.predict_proba(X), expected.probabilities, rtol=1e-12)
    assert_array_equal(net.predict(X), expected.predictions)
    measured = net.evaluate(X, y, w)
    assert_allclose(measured["loss"], expected.loss, rtol=1e-12)
    assert_allclose(measured["accuracy"], expected.accuracy, rtol=1e-12)


def test_weights_of_whole_blocks_may_be_zero(many, backend):
    X, y, w = many
    w = np.where(np.arange(MANY) < 5_000, 0.0, w)
    net = network("labels").build(N_IN, backend)
    measured, expected = net.evaluate(X, y, w), Reference("labels", net, X, y, w)
    assert_allclose(measured["loss"], expected.loss, rtol=1e-12)
    assert_allclose(measured["accuracy"], expected.accuracy, rtol=1e-12)


# --- array types of inputs and outputs --------------------------------------------------------


@pytest.mark.parametrize("home", ["numpy", "own"])
def test_results_are_of_the_kind_that_went_in(home, backend):
    """Arrays are processed where they live, wherever the parameters are."""
    net = network("binary").build(N_IN, "numpy" if home == "numpy" else backend)
    plain = network("binary").build(N_IN)
    given, y = backend.asarray(X), backend.asarray(LABELS % 2)
    results = {
        name: (getattr(net, name)(given), getattr(plain, name)(X))
        for name in ("forward", "predict", "predict_proba")
    }
    loss, gradients = net.loss_and_gradients(given, y)
    expected_loss, expected = plain.loss_and_gradients(X, LABELS % 2)
    for number, layer in enumerate(gradients):
        for name, gradient in layer.items():
            results[f"{number} {name}"] = gradient, expected[number][name]
    for name, (result, reference) in results.items():
        assert type(result) is type(given), name
        assert backend.device_of(result) == backend.device, name
        value = backend.to_numpy(result)
        assert value.dtype == reference.dtype, name
        assert_allclose(value, reference, rtol=1e-11, atol=1e-14, err_msg=name)
    assert_allclose(loss, expected_loss, rtol=1e-12)
    assert net.evaluate(given, y) == pytest.approx(plain.evaluate(X, LABELS % 2), rel=1e-12)
    assert net.backend == (bpnet.get_backend("numpy") if home == "numpy" else backend)


def test_host_arrays_follow_those_of_a_library(backend):
    net, plain = network("binary"), network("binary")
    y = LABELS % 2
    expected_loss, expected = plain.loss_and_gradients(X, y, WEIGHTS)
    for arguments in (
        (backend.asarray(X), y, WEIGHTS.tolist()),
        (X.tolist(), backend.asarray(y), WEIGHTS),
        (X, y, backend.asarray(WEIGHTS)),
    ):
        loss, gradients = net.loss_and_gradients(*arguments)
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        assert type(gradients[0]["W"]) is type(backend.asarray(X))
        assert_allclose(backend.to_numpy(gradients[0]["W"]), expected[0]["W"], rtol=1e-10)


def test_a_result_belongs_to_the_caller(backend):
    """Writing to it changes neither the input nor the network."""
    given = X.copy()
    net = bpnet.Network([bpnet.Dense(N_IN)], "mean_squared_error", seed=0, dtype="float64")
    net.build(N_IN, backend).parameters = [{"W": np.eye(N_IN), "b": np.zeros(N_IN)}]
    first = net.forward(given), net.predict(given)
    gradient = net.loss_and_gradients(given, X)[1][0]["b"]
    for result in (*first, gradient):
        result[...] = 7.0
    assert_array_equal(given, X)
    assert_array_equal(net.forward(given), X)
    assert_array_equal(host(backend, net.parameters)[0]["W"], np.eye(N_IN))


def test_torch_takes_no_part_of_the_caller_s_autograd():
    torch = pytest.importorskip("torch")
    given = torch.tensor(X, requires_grad=True)
    net = network("binary").build(X.shape[1])
    assert not net.forward(given).requires_grad
    _, gradients = net.loss_and_gradients(given, torch.tensor(LABELS % 2))
    assert not gradients[0]["W"].requires_grad
    assert given.grad is None
    assert torch.is_grad_enabled()
