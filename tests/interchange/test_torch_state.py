"""State dicts: equal modules of PyTorch compute the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from available import why_not
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet.interchange import from_torch_state_dict, to_torch_state_dict

Dense = bpnet.Dense
rng = np.random.default_rng(0)
X = rng.normal(size=(7, 5))
X[:, 1], X[:, 3] = [0, 1, 2, 3, 0, 1, 2], [0, 1, 2, 3, 4, 0, 1]

LAYERS = {
    "Dense": [Dense(6, "tanh"), Dense(4), Dense(4, "relu")],
    "BatchNorm": [bpnet.BatchNorm(), Dense(6, "relu"), bpnet.Dropout(0.5), bpnet.BatchNorm()],
    "LayerNorm": [Dense(6, "tanh"), bpnet.LayerNorm()],
    "Residual": [Dense(4), bpnet.Residual([Dense(6, "relu"), bpnet.LayerNorm(), Dense(4)])],
    "Frozen": [bpnet.Frozen(Dense(6, "tanh")), bpnet.Frozen(bpnet.BatchNorm())],
    "Embedding": [bpnet.Embedding({1: 4, 3: 5}, 3), Dense(6, "tanh")],
}


def network(layers, dtype="float32", seed=0):
    """Return a network whose parameters all differ from their initial values."""
    net = bpnet.Network([*layers, Dense(2)], "mse", seed=0, dtype=dtype).build(5)
    draw = np.random.default_rng(seed)
    net.set_weights([abs(w + draw.normal(0.0, 0.3, w.shape)) for w in net.get_weights()])
    return net


def module_of(net):
    """Return the equal module of PyTorch, with its own initial parameters."""
    torch = pytest.importorskip("torch")
    if (reason := why_not("torch")) is not None:
        pytest.skip(reason)
    nn = torch.nn

    class Residual(nn.Sequential):
        def forward(self, a):
            return a + super().forward(a)

    class Embedding(nn.ModuleDict):
        def forward(self, a):
            columns = [int(name[1:]) for name in self]
            rest = [c for c in range(a.shape[1]) if c not in columns]
            parts = [self[f"E{c}"](a[:, c].long()) for c in columns]
            return torch.cat([a[:, rest], *parts], dim=1)

    def modules(layers, width):
        for layer in layers:
            layer = layer.layer if isinstance(layer, bpnet.Frozen) else layer
            if isinstance(layer, Dense):
                yield nn.Linear(width, layer.units)
                if layer.activation.name != "identity":
                    yield {"tanh": nn.Tanh, "relu": nn.ReLU}[layer.activation.name]()
            elif isinstance(layer, bpnet.Embedding):
                tables = {f"E{c}": nn.Embedding(k, layer.dimension) for c, k in layer.sizes}
                yield Embedding(tables)
            elif isinstance(layer, bpnet.Residual):
                yield Residual(*modules(layer.layers, width))
            else:
                kinds = {"BatchNorm": nn.BatchNorm1d, "LayerNorm": nn.LayerNorm}
                name = type(layer).__name__
                yield nn.Dropout(layer.rate) if name == "Dropout" else kinds[name](width)
            width = layer.n_outputs(width)

    module = nn.Sequential(*modules(net.layers, net.n_inputs))
    return torch, module.to(getattr(torch, net.dtype)).eval()


def computed(torch, module, dtype):
    with torch.no_grad():
        return module(torch.as_tensor(X.astype(dtype))).numpy()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_to_torch(name, dtype):
    net = network(LAYERS[name], dtype)
    torch, module = module_of(net)
    state = to_torch_state_dict(net)
    assert {array.dtype.name for array in state.values()} == {dtype}
    module.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()})
    assert_allclose(computed(torch, module, dtype), net.forward(X), 1e-5, 1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_from_torch(name):
    net = network(LAYERS[name])
    before = net.get_weights()
    torch, module = module_of(net)
    module.train()(torch.as_tensor(X.astype("float32")))  # moves running statistics
    module.eval()
    new = from_torch_state_dict(net, module.state_dict())
    assert_allclose(new.forward(X), computed(torch, module, "float32"), 1e-5, 1e-5)
    assert_array_equal(np.concatenate([w.ravel() for w in net.get_weights()]),
                       np.concatenate([w.ravel() for w in before]))  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_there_and_back(name):
    net, other = network(LAYERS[name]), network(LAYERS[name], seed=1)
    new = from_torch_state_dict(other, to_torch_state_dict(net))
    for ours, theirs in zip(net.get_weights(), new.get_weights(), strict=True):
        assert_array_equal(ours, theirs, strict=True)


def test_names_are_those_of_a_sequential():
    assert list(to_torch_state_dict(network(LAYERS["BatchNorm"]))) == [
        "0.weight", "0.bias", "0.running_mean", "0.running_var", "1.weight", "1.bias",
        "4.weight", "4.bias", "4.running_mean", "4.running_var", "5.weight", "5.bias",
    ]  # fmt: skip
    state = to_torch_state_dict(network([*LAYERS["Residual"], *LAYERS["Embedding"][1:]]))
    assert [name for name in state if name.endswith("weight")] == [
        "0.weight", "1.0.weight", "1.2.weight", "1.3.weight", "2.weight", "4.weight",
    ]  # fmt: skip


def renamed(state, names):
    places = dict(zip(dict.fromkeys(k.rpartition(".")[0] for k in state), names, strict=True))
    return {
        f"{places[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v for k, v in state.items()
    }


def test_other_names_are_in_order_and_own_names_in_any():
    net, other = network(LAYERS["Dense"]), network(LAYERS["Dense"], seed=1)
    state = to_torch_state_dict(net)
    named = renamed(state, ["first", "z.second", "b", "a"])
    shuffled = dict(reversed(state.items()))
    extra = shuffled | {"0.num_batches_tracked": np.asarray(3)}
    for given in (named, shuffled, extra):
        new = from_torch_state_dict(other, given)
        assert_array_equal(new.forward(X), net.forward(X))


def test_a_missing_bias_is_zero():
    net = network([Dense(4, "tanh")])
    state = {k: v for k, v in to_torch_state_dict(net).items() if k != "0.bias"}
    new = from_torch_state_dict(net, state)
    assert_array_equal(new.parameters[0]["b"], np.zeros(4))
    assert_array_equal(new.parameters[0]["W"], net.parameters[0]["W"])


def test_weights_of_any_backend(backend):
    net = network(LAYERS["BatchNorm"])
    moved = network(LAYERS["BatchNorm"]).to(backend)
    for (name, ours), theirs in zip(
        to_torch_state_dict(net).items(), to_torch_state_dict(moved).values(), strict=True
    ):
        assert_array_equal(ours, theirs, name, strict=True)
    new = from_torch_state_dict(
        moved, to_torch_state_dict(network(LAYERS["BatchNorm"], seed=1))
    )
    assert new.backend == backend


STATE = to_torch_state_dict(network([Dense(4, "tanh")]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"0.weight": np.ones((5, 4))},
         r"state\['0.weight'\] must have shape \(4, 5\) for layer 1, Dense\(4, 'tanh'\); got "
         r"\(5, 4\). Linear has weights"),
        ({"2.bias": np.full(2, np.nan)}, r"state\['2.bias'\] must be finite"),
        ({"2.running_mean": np.ones(2)}, r"must have weight, bias for layer 2, .*running_mean"),
        ({"3.weight": np.ones(2)}, "parameters of 2 modules, .*got 3: '0', '2', '3'"),
        ({"0.weight": None}, "must have weight, bias for layer 1, Dense.*; got 0.bias"),
    ],
)  # fmt: skip
def test_what_differs_is_named(changes, message):
    state = {k: v for k, v in (STATE | changes).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        from_torch_state_dict(network([Dense(4, "tanh")]), state)


@pytest.mark.parametrize(
    "layer",
    [bpnet.Scale(), bpnet.PeriodicEmbedding(2, 2), bpnet.ParametricActivation("relu"),
     bpnet.Residual([bpnet.Scale()]), Dense(3, parametrization="ntk")],
)  # fmt: skip
def test_layers_that_torch_does_not_have_are_refused(layer):
    net = network([Dense(4), layer])
    for call in (lambda: to_torch_state_dict(net), lambda: from_torch_state_dict(net, STATE)):
        with pytest.raises(ValueError, match=r"layer 2, .* has no counterpart in torch\.nn"):
            call()


def test_a_network_without_weights_is_refused():
    net = bpnet.Network([Dense(1)], "mse", seed=0)
    for call in (lambda: to_torch_state_dict(net), lambda: from_torch_state_dict(net, STATE)):
        with pytest.raises(ValueError, match="has no parameters yet"):
            call()


def test_lists_of_weights():
    net, other = network(LAYERS["BatchNorm"]), network(LAYERS["BatchNorm"], seed=1)
    weights = net.get_weights()
    shapes = [w.shape for w in weights]
    assert shapes == [*[(5,)] * 4, (5, 6), (6,), *[(6,)] * 4, (6, 2), (2,)]
    other.set_weights(weights)
    assert_array_equal(other.forward(X), net.forward(X))
    for ours, theirs in itertools.product(weights, other.get_weights()):
        assert not np.shares_memory(ours, theirs)


def test_lists_of_weights_of_any_backend(backend):
    net = network(LAYERS["Dense"]).to(backend)
    expected = [w + 1.0 for w in net.get_weights()]
    net.set_weights([backend.asarray(w) for w in expected])
    assert net.backend == backend
    for got, due in zip(net.get_weights(), expected, strict=True):
        assert_array_equal(got, due, strict=True)
