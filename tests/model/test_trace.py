"""Every quantity of a pass: correct, computed by the layers, and shown with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.activations import ACTIVATIONS
from bpnet.learn.gradient_checking import ForgetfulDense
from bpnet.losses import LOSSES
from bpnet.model.trace import line_of, short

X = np.array([[0.5, -1.0], [2.0, 0.3], [-0.7, 0.1]])
Y = np.array([1, 0, 1])


def network(*layers, loss="binary_crossentropy"):
    return bpnet.Network(layers, loss, seed=3, dtype="float64").build(2)


@pytest.fixture
def net():
    return network(bpnet.Dense(3, "tanh"), bpnet.Dense(2, "sigmoid"), bpnet.Dense(1))


def test_names_come_in_the_order_of_the_computation(net):
    assert list(net.trace(X, Y)) == [
        "z1", "a1", "z2", "a2", "z3", "a3", "p", "loss", "dl/da3",
        "delta3", "dW3", "db3", "dL/da2", "delta2", "dW2", "db2", "dL/da1", "delta1", "dW1",
        "db1",
    ]  # fmt: skip


def test_values_are_those_of_the_equations(backend):
    net = network(bpnet.Dense(3, "tanh"), bpnet.Dense(1)).to(backend)
    trace = net.trace(X, Y)
    (W1, b1), (W2, b2) = (map(backend.to_numpy, layer.values()) for layer in net.parameters)
    z1 = X @ W1 + b1
    z2 = np.tanh(z1) @ W2 + b2
    p = 1.0 / (1.0 + np.exp(-z2))
    delta2 = (p - Y[:, None]) / 3
    delta1 = delta2 @ W2.T * (1.0 - np.tanh(z1) ** 2)
    expected = {
        "z1": z1, "a1": np.tanh(z1), "z2": z2, "a2": z2, "p": p, "dl/da2": 3 * delta2,
        "delta2": delta2, "dW2": np.tanh(z1).T @ delta2, "db2": delta2.sum(axis=0),
        "dL/da1": delta2 @ W2.T, "delta1": delta1, "dW1": X.T @ delta1,
        "db1": delta1.sum(axis=0),
        "loss": -np.mean(np.log(np.where(Y[:, None] == 1, p, 1.0 - p))),
    }  # fmt: skip
    assert set(expected) == set(trace)
    for name, value in expected.items():
        assert isinstance(trace[name], np.ndarray | np.floating)
        assert_allclose(trace[name], value, rtol=1e-12, err_msg=name)


def test_arrays_of_every_backend_come_back_as_they_went_in(backend):
    net = network(bpnet.Dense(2, "relu"), bpnet.Dense(1))
    given = backend.asarray(X)
    trace = net.trace(given, backend.asarray(Y))
    for entry in trace.entries:
        assert type(entry.value) is type(given) or entry.shape == ()
    assert_allclose(backend.to_numpy(trace["dW1"]), net.trace(X, Y)["dW1"], rtol=1e-12)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_gradients_are_those_of_backpropagation(loss, activation):
    layers = (
        bpnet.Dense(3, activation, l1=0.1, l2=0.2),
        bpnet.Dropout(0.5),
        bpnet.Dense(4),
        bpnet.Dense(2, activation if LOSSES[loss].identity_link else "identity"),
    )
    net = network(*layers, loss=loss)
    y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    trace = net.trace(X, y)
    value, gradients = net.loss_and_gradients(X, y)
    assert float(trace["loss"]) == value
    for k, layer in zip((1, 3, 4), gradients, strict=True):
        assert_array_equal(trace[f"dW{k}"], layer["W"])
        assert_array_equal(trace[f"db{k}"], layer["b"])
    assert_array_equal(trace["a2"], trace["a1"])  # no dropout outside of training


def test_each_line_stands_where_it_is_said_to():
    layers = (bpnet.Dense(3, "relu"), bpnet.Dropout(0.5), bpnet.Dense(2), bpnet.Dense(1))
    for entry in network(*layers).trace(X, Y).entries:
        file = Path(bpnet.__file__).parent / entry.line.file
        text = " ".join(
            " ".join(file.read_text().splitlines()[entry.line.number - 1 :]).split()
        )
        assert entry.line.text.partition("; ")[0] in text[:300], entry
        assert entry.line.place == f"{entry.line.file}:{entry.line.number}"


@pytest.mark.parametrize(
    ("name", "equation", "file", "text"),
    [
        (
            "z1",
            "z1 = X W1 + b1",
            "layers/dense.py",
            'z = xp.matmul(a_previous, parameters["W"])',
        ),
        ("a2", "a2 = sigmoid(z2)", "activations.py", "xp.where(z >= 0.0"),
        ("p", "p = sigmoid(a3)", "losses/crossentropy.py", "sigmoid.f(xp, z)"),
        ("dl/da3", "dl/da3 = (p - y) / n", "losses/crossentropy.py", "(sigmoid.f(xp, z) - y)"),
        ("delta3", "delta3 = dl/da3 / m", "losses/base.py", "errors / errors.shape[0]"),
        ("dW2", "dW2 = a1^T delta2", "layers/dense.py", "xp.matmul(a_previous.T, delta)"),
        ("db2", "db2 = sum over rows of delta2", "layers/dense.py", "xp.sum(delta, axis=0)"),
        (
            "dL/da1",
            "dL/da1 = delta2 W2^T",
            "layers/dense.py",
            'xp.matmul(delta, parameters["W"].T)',
        ),
        (
            "delta1",
            "delta1 = dL/da1 * tanh'(z1)",
            "layers/dense.py",
            "error * self.activation.df",
        ),
    ],
)
def test_equations_and_the_code_that_computes_them(net, name, equation, file, text):
    (entry,) = (entry for entry in net.trace(X, Y).entries if entry.name == name)
    assert entry.equation == equation
    assert entry.line.file == file
    assert text in entry.line.text


def test_a_layer_with_code_of_its_own_is_run_and_shown():
    trace = network(ForgetfulDense(3, "tanh"), bpnet.Dense(1)).trace(X, Y)
    assert_array_equal(trace["delta1"], trace["dL/da1"])
    (line,) = (entry.line for entry in trace.entries if entry.name == "delta1")
    assert line.file == "learn/gradient_checking.py"


def test_each_layer_runs_once_forward_and_once_back(net, monkeypatch):
    calls = []
    for pass_ in ("forward", "backward"):
        original = getattr(bpnet.Dense, pass_)

        def counted(self, *args, original=original, pass_=pass_, **options):
            calls.append((pass_, self.units))
            return original(self, *args, **options)

        monkeypatch.setattr(bpnet.Dense, pass_, counted)
    monkeypatch.setattr("bpnet.model.trace.line_of", lambda *args: None)
    net.trace(X, Y)
    assert calls == [
        ("forward", 3), ("forward", 2), ("forward", 1),
        ("backward", 1), ("backward", 2), ("backward", 3),
    ]  # fmt: skip


def test_one_example_may_come_without_its_axis():
    net = network(bpnet.Dense(2))
    net = network(bpnet.Dense(3, "tanh"), bpnet.Dense(2), loss="categorical_crossentropy")
    wanted = net.trace(X[:1], [1])
    for y in (1, [1], [0.0, 1.0]):
        assert_array_equal(net.trace(X[0], y)["dW1"], wanted["dW1"])
    assert_array_equal(net.trace(list(X[0]), 1)["dW1"], wanted["dW1"])


def test_penalties_stand_in_the_equations():
    net = network(bpnet.Dense(2, "tanh", l1=0.1), bpnet.Dense(1, l2=0.5))
    equations = {entry.name: entry.equation for entry in net.trace(X, Y).entries}
    assert equations["dW1"] == "dW1 = X^T delta1 + 0.1 sign(W1)"
    assert equations["dW2"] == "dW2 = a1^T delta2 + 0.5 W2"
    assert equations["loss"].endswith("+ penalties")


def test_the_network_is_left_as_it_was_and_is_built_if_need_be(net):
    before = [{name: p.copy() for name, p in layer.items()} for layer in net.parameters]
    net.trace(X, Y)
    for layer, old in zip(net.parameters, before, strict=True):
        assert_array_equal(layer["W"], old["W"])
    fresh = bpnet.Network(net.layers, "binary_crossentropy", seed=3, dtype="float64")
    assert_array_equal(fresh.trace(X, Y)["dW1"], net.trace(X, Y)["dW1"])


def test_it_prints_as_a_table(net):
    head, *lines = str(net.trace(X, Y)).splitlines()
    assert head.split() == ["quantity", "shape", "value"]
    rows, code = lines[::2], lines[1::2]
    assert [row.split()[0] for row in rows] == list(net.trace(X, Y))
    assert "(3, 2)" in rows[2]
    assert code[0].startswith("    layers/dense.py:")
    assert repr(net.trace(X, Y)).startswith("Trace(z1, a1,")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([[1.0, 2.5], [3.0, -4.0]], "1 2.5; 3 -4"),
        (0.25, "0.25"),
        ([1 / 3], "0.3333"),
        (range(9), "0 1 2 3 4 ... 8"),
        ([-0.0, 1.0], "0 1"),
        ([-1e-9], "-1e-09"),
        ([], ""),
    ],
)
def test_values_are_written_short(values, text):
    assert short(np.array(values, dtype=float)) == text


@pytest.mark.parametrize(
    ("room", "text"),
    [(22, "0.5 1; 2 3"), (9, "0.5 ... 3"), (1, "0.5 ... 3")],
)
def test_values_fit_into_the_room_if_two_do(room, text):
    assert short(np.array([[0.5, 1.0], [2.0, 3.0]]), room) == text
    assert short(np.arange(9.0), 13) == "0 1 2 3 ... 8"


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_trace_fits_into_100_columns(loss):
    X = np.random.default_rng(0).normal(size=(7, 9)) * 1e-5
    layers = [bpnet.Dense(12, "softplus", l1=0.1, l2=0.001), bpnet.LayerNorm(),
              bpnet.ParametricActivation("tanh"), bpnet.Dense(2)]  # fmt: skip
    net = bpnet.Network(layers, loss, seed=0, dtype="float64").build(9)
    text = str(net.trace(X, np.eye(2)[[0, 1, 0, 1, 0, 1, 1]]))
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 2.0, 3.0], 1, "2 features"),
        ([1.0, np.nan], 1, "finite"),
        ([1.0, 2.0], 7, "from 0 to 1"),
    ],
)
def test_bad_examples_are_refused(net, x, y, message):
    with pytest.raises(ValueError, match=message):
        net.trace(x, y)


def test_a_line_that_is_not_there_is_an_error():
    with pytest.raises(LookupError, match="computes no 'nonsense'"):
        line_of(bpnet.Dense.forward, "nonsense")
