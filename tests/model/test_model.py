"""The life cycle of a network: building, parameters, backend, copies, summary."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from on_host import host

import bpnet

M, N_IN, N_CLASSES = 11, 3, 4
rng = np.random.default_rng(0)
X = rng.normal(size=(M, N_IN))
Y = rng.integers(0, N_CLASSES, M)


def network(dtype="float64", seed=3):
    layers = [
        bpnet.Dense(5, "tanh", bias_init="normal"),
        bpnet.Dropout(0.5),
        bpnet.Dense(N_CLASSES, bias_init="normal"),
    ]
    return bpnet.Network(layers, "categorical_crossentropy", seed=seed, dtype=dtype)


def assert_same(parameters, expected):
    """Assert that two lists of host parameters are bit-identical."""
    assert len(parameters) == len(expected)
    for layer, reference in zip(parameters, expected, strict=True):
        assert layer.keys() == reference.keys()
        for name, p in layer.items():
            assert p.dtype == reference[name].dtype
            assert_array_equal(p, reference[name])


# --- building ---------------------------------------------------------------------------------

USES = {
    "forward": lambda net: net.forward(X),
    "predict": lambda net: net.predict(X),
    "predict_proba": lambda net: net.predict_proba(X),
    "evaluate": lambda net: net.evaluate(X, Y),
    "loss_and_gradients": lambda net: net.loss_and_gradients(X, Y),
}


@pytest.mark.parametrize("use", USES)
def test_the_first_data_build_a_network(use):
    net = network()
    assert not net.is_built
    assert net.n_inputs is None
    if use == "loss_and_gradients":
        USES[use](net)
    else:
        with pytest.warns(UserWarning, match=r"^the network has not been trained") as seen:
            USES[use](net)
        assert seen[0].filename == __file__  # the line of the caller
    assert net.is_built
    assert net.n_inputs == N_IN
    assert net.backend == bpnet.get_backend("numpy")
    assert_same(net.parameters, network().build(N_IN).parameters)


def test_before_it_is_built_a_network_says_so():
    net = network()
    for ask in (
        lambda: net.parameters,
        lambda: net.backend,
        lambda: net.n_parameters,
        lambda: net.to("numpy"),
        lambda: setattr(net, "parameters", []),
    ):
        with pytest.raises(ValueError, match=r"no parameters yet; call build\(n_inputs\)"):
            ask()
    assert net.n_outputs == 4
    assert not net.is_built


def test_build_draws_anew(backend):
    net = network("float32")
    assert net.build(N_IN, backend) is net
    initial = host(backend, net.parameters)
    assert net.n_parameters == 3 * 5 + 5 + 5 * 4 + 4
    history = net.fit(X, Y, epochs=2)
    assert history.epochs == 2
    assert np.any(host(backend, net.parameters)[0]["W"] != initial[0]["W"])
    net.build(N_IN)  # stays where it is
    assert net.backend == backend
    assert_same(host(backend, net.parameters), initial)
    net.build(7)
    assert net.n_inputs == 7
    assert net.parameters[0]["W"].shape == (7, 5)
    assert net.forward(np.ones((2, 7))).shape == (2, N_CLASSES)


def test_initial_weights_are_those_of_float64_rounded():
    single, double = (network(d).build(N_IN) for d in ("float32", "float64"))
    rounded = [
        {k: p.astype("float32") for k, p in layer.items()} for layer in double.parameters
    ]
    assert_same(single.parameters, rounded)


def test_without_a_seed_one_is_drawn_and_kept():
    def unseeded(seed=None):
        layers = [bpnet.Dense(5, "tanh"), bpnet.Dropout(0.5), bpnet.Dense(N_CLASSES)]
        return bpnet.Network(layers, "categorical_crossentropy", seed=seed).build(N_IN)

    first, second = unseeded(), unseeded()
    assert first.seed != second.seed
    assert np.any(first.parameters[0]["W"] != second.parameters[0]["W"])
    again = unseeded(first.seed)
    assert_same(again.parameters, first.parameters)
    for net in (first, again):
        net.fit(X, Y, epochs=3, batch_size=4)
    assert_same(again.parameters, first.parameters)


# --- parameters -------------------------------------------------------------------------------


def test_parameters_are_one_dict_per_dense(backend):
    net = network().build(N_IN, backend)
    shapes = [{name: tuple(p.shape) for name, p in layer.items()} for layer in net.parameters]
    assert shapes == [{"W": (3, 5), "b": (5,)}, {"W": (5, 4), "b": (4,)}]
    assert net.parameters[0]["W"] is net.parameters[0]["W"]
    assert net.n_parameters == 3 * 5 + 5 + 5 * 4 + 4
    assert {backend.device_of(p) for layer in net.parameters for p in layer.values()} == {
        backend.device
    }


def test_assigned_parameters_are_copied_to_the_network_s_backend(backend):
    net, source = network().build(N_IN, backend), network(seed=8)
    values = [
        {name: p.copy() for name, p in layer.items()} for layer in source.build(N_IN).parameters
    ]
    expected = copy.deepcopy(values)
    net.parameters = values
    for layer in values:
        for p in layer.values():
            p[...] = 0.0
    assert net.backend == backend
    assert_same(host(backend, net.parameters), expected)
    assert_allclose(net.forward(X), source.forward(X), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_assigned_parameters_may_be_of_any_library_and_type(dtype, backend):
    net = network(dtype).build(N_IN)
    single = [{k: p.astype("float32") for k, p in layer.items()} for layer in net.parameters]
    for make in (np.asarray, np.ndarray.tolist, backend.asarray):
        net.build(N_IN).parameters = tuple(
            {name: make(p) for name, p in layer.items()} for layer in single
        )
        expected = [{k: p.astype(dtype) for k, p in layer.items()} for layer in single]
        assert_same(net.parameters, expected)  # NumPy arrays, in the network's own dtype


def test_a_network_can_take_over_its_own_parameters(backend):
    net = network().build(N_IN, backend)
    before, own = host(backend, net.parameters), net.parameters
    net.parameters = own
    assert net.parameters[0]["W"] is not own[0]["W"]
    assert_same(host(backend, net.parameters), before)


# --- the backend ------------------------------------------------------------------------------


def test_to_moves_the_parameters(backend):
    net = network().build(N_IN)
    initial = host(net.backend, net.parameters)
    assert net.to(backend) is net
    assert net.backend == backend
    assert type(net.parameters[0]["W"]) is type(backend.asarray(X))
    assert_same(host(backend, net.parameters), initial)
    moved = net.parameters[0]["W"]
    assert net.to(backend.spec).parameters[0]["W"] is moved  # no copy to where they are
    assert isinstance(net.forward(X), np.ndarray)
    assert net.to("numpy").backend == bpnet.get_backend("numpy")
    assert_same(net.parameters, initial)


def test_the_argument_comes_before_the_arrays(backend):
    given, net = backend.asarray(X), network()
    net.build(N_IN, "numpy")
    for computed in (
        net.forward(given, backend="numpy"),
        net.predict_proba(given, backend="numpy"),
        net.predict(given, backend="numpy"),
        net.loss_and_gradients(given, Y, backend="numpy")[1][0]["W"],
    ):
        assert type(computed) is type(given)  # and back again
        assert backend.device_of(computed) == backend.device
    net.fit(given, Y, epochs=1, backend="numpy")
    assert net.backend == bpnet.get_backend("numpy")
    assert net.evaluate(X, Y, backend=backend) == pytest.approx(net.evaluate(X, Y))


def test_arrays_come_before_the_block_and_the_block_before_the_home(backend):
    strict = pytest.importorskip("bpnet_backends.array_api_strict").StrictBackend("device2")
    with bpnet.use_backend(strict):
        net = network()
        net.loss_and_gradients(backend.asarray(X), Y)
        on_host = backend.name == "numpy"  # host arrays do not select a backend
        assert net.backend == (strict if on_host else backend)
        net.build(N_IN, backend)
        net.fit(X, Y, epochs=1)
        assert net.backend == strict
    net.fit(X, Y, epochs=1)
    assert net.backend == strict  # where its parameters now are


def test_the_home_comes_before_the_environment(backend, monkeypatch):
    monkeypatch.setenv("BPNET_BACKEND", backend.spec)
    net = network()
    net.loss_and_gradients(X, Y)
    assert net.backend == backend
    net.to("numpy").fit(X, Y, epochs=1)
    assert net.backend == bpnet.get_backend("numpy")
    assert network().build(N_IN).backend == backend


def test_an_environment_that_cannot_be_had_changes_nothing(monkeypatch):
    net = network()
    monkeypatch.setenv("BPNET_BACKEND", "nonsense")
    with pytest.raises(bpnet.UnknownBackendError, match="BPNET_BACKEND=nonsense"):
        net.fit(X, Y)
    assert not net.is_built
    assert net.fit(X, Y, epochs=1, backend="numpy").epochs == 1
    assert net.predict(X).shape == (M,)  # on its own backend


def test_inference_leaves_the_parameters_where_they_are(backend):
    net = network().build(N_IN)
    net.forward(backend.asarray(X))
    net.evaluate(X, Y, backend=backend)
    net.loss_and_gradients(X, Y, backend=backend)
    assert net.backend == bpnet.get_backend("numpy")
    net.fit(backend.asarray(X), Y, epochs=1)
    assert net.backend == backend


# --- copies and pickles -----------------------------------------------------------------------


def test_a_deep_copy_is_independent_and_on_the_same_backend(backend):
    net = network().build(N_IN, backend)
    twin = copy.deepcopy(net)
    before = host(backend, net.parameters)
    assert twin.backend == net.backend
    assert twin.n_inputs == N_IN
    assert_same(host(backend, twin.parameters), before)
    assert_array_equal(twin.forward(X), net.forward(X))
    twin.fit(X, Y, epochs=2, batch_size=None)
    assert_same(host(backend, net.parameters), before)
    net.fit(X, Y, epochs=2, batch_size=None)  # its masks are copied too
    assert_same(host(backend, net.parameters), host(backend, twin.parameters))


def test_a_pickle_opens_on_the_default_backend(backend, monkeypatch):
    net = network().build(N_IN, backend)
    net.fit(X, Y, epochs=1, batch_size=None)
    before = host(backend, net.parameters)
    data = pickle.dumps(net)
    opened = pickle.loads(data)
    assert opened.backend == bpnet.get_backend("numpy")
    assert (opened.seed, opened.dtype, opened.n_inputs) == (3, "float64", N_IN)
    assert opened.loss == net.loss
    assert repr(opened) == repr(net)
    assert_same(opened.parameters, before)
    assert_allclose(opened.predict_proba(X), net.predict_proba(X), rtol=1e-12)
    opened.fit(X, Y, epochs=2, batch_size=None)
    net.fit(X, Y, epochs=2, batch_size=None)
    for layer, reference in zip(opened.parameters, host(backend, net.parameters), strict=True):
        assert_allclose(layer["W"], reference["W"], rtol=1e-9)
    with bpnet.use_backend(backend):
        assert pickle.loads(data).backend == backend
    monkeypatch.setenv("BPNET_BACKEND", backend.spec)
    assert_same(host(backend, pickle.loads(data).parameters), before)


OPEN = """
import pickle, sys
for library in ("torch", "jax", "cupy", "array_api_strict"):
    sys.modules[library] = None
import numpy as np
X = np.load(sys.argv[2])
with open(sys.argv[1], "rb") as file:
    net = pickle.load(file)
print(net.backend.spec, *net.forward(X).ravel().tolist())
"""


def test_a_pickle_opens_where_the_backend_cannot_be_had(backend, tmp_path):
    net = network().build(N_IN, backend)
    (tmp_path / "net.pickle").write_bytes(pickle.dumps(net))
    np.save(tmp_path / "X.npy", X)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, tmp_path / "net.pickle", tmp_path / "X.npy"],
        capture_output=True, text=True, check=False, env={},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    spec, *logits = done.stdout.split()
    assert spec == "numpy:cpu"
    assert_allclose(np.array(logits, dtype=float), net.forward(X).ravel(), rtol=1e-12)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
def test_a_network_can_be_copied_before_it_is_built(duplicate):
    net = network()
    twin = duplicate(net)
    assert not twin.is_built
    assert_same(twin.build(N_IN).parameters, net.build(N_IN).parameters)


def test_a_copy_of_what_refers_to_itself_does_so_too():
    net = network().build(N_IN)
    net.teacher = net
    twin = copy.deepcopy(net)
    assert twin.teacher is twin


# --- summary and repr -------------------------------------------------------------------------


def test_summary_before_and_after_building(backend):
    layers = [bpnet.Dropout(0.2), bpnet.Dense(1000, "relu"), bpnet.Dense(2)]
    net = bpnet.Network(layers, "categorical_crossentropy", seed=0)
    assert net.summary().splitlines() == [
        "layer                     output      parameters",
        "1  Dropout(0.2)           (m, ?)      not built",
        "2  Dense(1000, 'relu')    (m, 1000)   not built",
        "3  Dense(2, 'identity')   (m, 2)      not built",
        "loss categorical_crossentropy, float32 on no backend yet, "
        "unknown number of parameters",
    ]
    assert net.build(4, backend).summary().splitlines() == [
        "layer                     output      parameters",
        "1  Dropout(0.2)           (m, 4)      0",
        "2  Dense(1000, 'relu')    (m, 1000)   5,000  W (4, 1000), b (1000,)",
        "3  Dense(2, 'identity')   (m, 2)      2,002  W (1000, 2), b (2,)",
        f"loss categorical_crossentropy, float32 on {backend.spec}, 7,002 parameters",
    ]


def test_summary_aligns_the_layers_of_deep_networks():
    lines = bpnet.Network([bpnet.Dense(2)] * 10, "mse").summary().splitlines()
    assert lines[9].startswith("9   Dense(2")
    assert lines[10].startswith("10  Dense(2")


def test_repr():
    assert repr(network("float32")) == (
        "Network([Dense(5, 'tanh'), Dropout(0.5), Dense(4, 'identity')], "
        "loss='categorical_crossentropy', dtype='float32')"
    )
