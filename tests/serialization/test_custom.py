"""A user's own components through train, save, load, resume; schedules that remember."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from on_host import host
from own_components import CUSTOM, Cubic, Halving, LogCosh, RowNorm, Sign, own_network

import bpnet
from bpnet import schedules
from bpnet.serialization.config import build, describe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3))
Y = X[:, 0] - 0.5
EPOCHS = 5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def train(net, backend="numpy", **settings):
    return net.fit(X, Y, **{"epochs": EPOCHS, "batch_size": 8, "backend": backend} | settings)


def bits(net):
    parameters = host(net.backend, net.parameters)
    counters = net.steps_taken, net.epochs_taken
    return [p.tobytes() for layer in parameters for p in layer.values()], counters


class Stop(bpnet.Callback):
    """Ends training like a crash; the network is discarded."""

    def on_epoch_begin(self, training):
        if training.epoch == 3:
            raise KeyboardInterrupt


def stopped(path, net=None, backend="numpy", callbacks=(), **settings):
    with pytest.raises(KeyboardInterrupt):
        train(net or own_network(), backend, **settings,
              callbacks=[*callbacks, bpnet.Checkpoint(path), Stop()])  # fmt: skip


def test_own_components_are_trained_saved_loaded_and_resumed(path, backend):
    optimizer = Sign(Halving(0.01), weight_decay=Halving(0.1))
    whole = own_network()
    expected = train(whole, backend, optimizer=optimizer)
    whole.save(path)
    twin = bpnet.load(path, backend, custom=CUSTOM)
    assert bits(twin) == bits(whole)
    assert repr(twin.layers) == repr(whole.layers)
    assert twin.layers == whole.layers
    stopped(path, backend=backend, optimizer=optimizer)
    resumed = own_network()
    history = train(resumed, backend, optimizer=optimizer, resume_from=path)
    assert history["loss"] == expected["loss"]
    assert history["learning_rate"] == expected["learning_rate"]
    assert history["learning_rate"][0] > history["learning_rate"][-1]
    assert bits(resumed) == bits(whole)


def test_a_network_that_is_saved_goes_on_with_its_optimizer(path):
    whole, first, second = own_network(), own_network(), own_network()
    train(whole, optimizer=Sign(Halving(0.01)))
    train(first, optimizer=Sign(Halving(0.01)), epochs=2)
    first.save(path)
    train(second, optimizer=Sign(Halving(0.01)), resume_from=path)
    assert bits(second) == bits(whole)


# --- custom -----------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["RowNorm", "Cubic", "LogCosh", "Halving", "Noise"])
def test_what_is_not_in_custom_is_named(path, missing):
    own_network().build(3).save(path)
    given = {name: cls for name, cls in CUSTOM.items() if name != missing}
    message = rf"has the component '\w+\.{missing}'.* pass custom={{'{missing}': {missing}}}"
    with pytest.raises(bpnet.ModelFileError, match=message):
        bpnet.load(path, custom=given)


def test_an_own_optimizer_that_is_omitted_is_named(path):
    """The file names it; the layers come from the network."""
    stopped(path, optimizer=Sign(0.01))
    net = own_network()
    message = r"'optimizers\.Sign'.*own, pass .*\(or the optimizer to fit\)"
    with pytest.raises(bpnet.ModelFileError, match=message):
        train(net, resume_from=path)
    assert not net.is_built
    with pytest.raises(ValueError, match="the optimizer must be the same"):
        train(net, resume_from=path, optimizer=Sign(0.02))
    train(net, resume_from=path, optimizer=Sign(0.01))


def test_an_optimizer_of_bpnet_may_be_omitted(path):
    whole, resumed = own_network(), own_network()
    train(whole, optimizer=bpnet.Adam(schedules.Cosine(0.05, EPOCHS)))
    stopped(path, optimizer=bpnet.Adam(schedules.Cosine(0.05, EPOCHS)))
    train(resumed, resume_from=path)
    assert bits(resumed) == bits(whole)


class Swish(bpnet.activations.Activation):
    name = "swish"

    def f(self, xp, z):
        return z * xp.tanh(z)

    def df(self, xp, z, a):
        t = xp.tanh(z)
        return t + z * (1.0 - t * t)


def layer_of_the_same_name():
    return type("Swish", (RowNorm,), {"__module__": __name__})


def test_a_kind_tells_components_of_one_name_apart(path):
    layer = layer_of_the_same_name()

    def network():
        layers = [bpnet.Dense(3, Swish()), layer(), bpnet.Dense(1)]
        return bpnet.Network(layers, "huber", seed=0)

    net = network().build(3)
    net.save(path)
    with pytest.raises(bpnet.ModelFileError, match="does not hold a valid network"):
        bpnet.load(path, custom={"Swish": Swish})
    custom = {"layers.Swish": layer, "activations.Swish": Swish}
    assert bits(bpnet.load(path, custom=custom)) == bits(net)
    whole, resumed = network(), network()
    train(whole)
    stopped(path, network())
    train(resumed, resume_from=path)
    assert bits(resumed) == bits(whole)


def test_an_own_initializer_is_a_function_of_a_name(path):
    def ramp(rng, n_in, n_out):
        return np.linspace(-1.0, 1.0, n_in * n_out).reshape(n_in, n_out)

    net = bpnet.Network([bpnet.Dense(3, init=ramp), bpnet.Dense(1)], "huber", seed=0).build(3)
    net.save(path)
    loaded = bpnet.load(path, custom={"ramp": ramp})
    assert bits(loaded) == bits(net)
    assert loaded.layers == net.layers
    with pytest.raises(bpnet.ModelFileError, match=r"'initializers\.ramp'.*custom={'ramp'"):
        bpnet.load(path)


@pytest.mark.parametrize(
    ("custom", "message"),
    [
        ([RowNorm], "^custom must be a dict of names and classes"),
        ({RowNorm: RowNorm}, "^custom must map names to classes of components"),
        ({"RowNorm": RowNorm()}, "^custom must map names .*; got 'RowNorm': RowNorm"),
        ({"RowNorm": None}, "^custom must map names .*; got 'RowNorm': None"),
    ],
)
def test_custom_is_checked(path, custom, message):
    own_network().build(3).save(path)
    with pytest.raises(TypeError, match=message):
        bpnet.load(path, custom=custom)


@pytest.mark.parametrize("wrong", [Cubic, int, dict, lambda **given: RowNorm()])
def test_another_class_of_that_name_is_refused(path, wrong):
    own_network().build(3).save(path)
    with pytest.raises(bpnet.ModelFileError, match="does not hold a valid network"):
        bpnet.load(path, custom=CUSTOM | {"RowNorm": wrong})


def test_a_class_of_bpnet_cannot_be_replaced(path):
    net = bpnet.Network([bpnet.Dense(1)], "huber", seed=0).build(3)
    net.save(path)
    other = type("Dense", (bpnet.Dense,), {})
    assert type(bpnet.load(path, custom={"Dense": other}).layers[0]) is bpnet.Dense


# --- what a file can hold ---------------------------------------------------------------------


class Holds(bpnet.layers.Layer):
    """Does nothing; holds a value."""

    def __init__(self, value):
        self.value = value

    def forward(self, xp, parameters, a_previous, context):
        return a_previous, None

    def backward(self, xp, parameters, cache, error, propagate=True):
        return error, {}


def holding(value):
    return bpnet.Network([Holds(value), bpnet.Dense(1)], "huber", seed=0).build(3)


VALUES = [1, True, 1.5, -0.0, "text", None, (), (1, (2.0, "a")), [1, [2]], {"a": {"b": 1}},
          {"class": "layers.Dense"}, {"tuple": [1]}, Cubic(0.3), (Cubic(0.3), [Halving(0.1)]),
          {"inner": RowNorm(0.5)}, bpnet.Dropout(0.5)]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_loaded_with_their_types(path, value):
    holding(value).save(path)
    (layer, _) = bpnet.load(path, custom=CUSTOM | {"Holds": Holds}).layers
    assert repr(layer.value) == repr(value)
    assert type(layer.value) is type(value)


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), np.bool_(True)], ids=repr)
def test_numpy_scalars_are_loaded_as_numbers(path, value):
    holding(value).save(path)
    (layer, _) = bpnet.load(path, custom={"Holds": Holds}).layers
    assert layer.value == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones(2), "a model file holds numbers, .*got array"),
        ({1, 2}, "a model file holds .*got {1, 2}"),
        ({1: "a"}, "strings as keys; got the key 1"),
        (object(), "a model file holds"),
        (Holds, "a model file holds"),
        (lambda: None, "a function with a name"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_before_training(path, value, message):
    net = holding(value)
    with pytest.raises(TypeError, match=message):
        net.save(path)
    with pytest.raises(TypeError, match=message):
        train(net, callbacks=[bpnet.Checkpoint(path)])
    assert net.epochs_taken == 0
    assert not path.exists()


class Forgets(RowNorm):
    """Does not store what it is given."""

    def __init__(self, epsilon):
        super().__init__(2.0 * epsilon)


class EqualToAll(Forgets):
    def __eq__(self, other):
        return True


@pytest.mark.parametrize("cls", [Forgets, EqualToAll])
def test_what_builds_another_is_refused_whatever_it_says_of_equality(path, cls):
    net = bpnet.Network([cls(0.5), bpnet.Dense(1)], "huber", seed=0).build(3)
    with pytest.raises(TypeError, match=r"builds another one.*Store each argument of"):
        net.save(path)


OWN = [RowNorm(0.5), Cubic(0.2), LogCosh(), Sign(Halving(0.1)), Halving(0.3)]


@pytest.mark.parametrize("component", OWN, ids=repr)
def test_an_own_component_is_built_from_its_description(component):
    twin = build(describe(component), component.kind, CUSTOM)
    assert twin == component
    assert twin == pickle.loads(pickle.dumps(component)) == copy.deepcopy(component)


# --- schedules that remember ------------------------------------------------------------------


class Cuts(schedules.Schedule):
    """A schedule that is written into its memory, as a component."""

    def __init__(self, first):
        self.first = first

    def __call__(self, epoch):
        return self.first

    def initial_state(self):
        return {"now": schedules.Constant(self.first), "epochs": ()}

    def value(self, epoch, state):
        return state["now"].learning_rate

    def observe(self, state, logs):
        epochs = (*state["epochs"], np.float32(logs["loss"]))
        return {"now": schedules.Constant(0.9 * state["now"].learning_rate), "epochs": epochs}


# No epoch is an improvement, so that each reduces the rate.
PLATEAU = schedules.ReduceOnPlateau(0.3, patience=0, factor=0.5, min_delta=10.0, relative=False)
REMEMBER = {
    "own": lambda: Halving(0.3),
    "plateau": lambda: PLATEAU,
    "warm-up to a plateau": lambda: schedules.WarmUp(PLATEAU, 2),
    "warm-up to own": lambda: schedules.WarmUp(Halving(0.3), 1),
    "with a component": lambda: Cuts(0.3),
}


@pytest.mark.parametrize("of", ["learning_rate", "weight_decay", "rate"])
@pytest.mark.parametrize("name", REMEMBER)
def test_a_schedule_with_memory_resumes_bit_for_bit(path, name, of):
    def network():
        rate = REMEMBER[name]() if of == "rate" else 0.3
        layers = [bpnet.Dense(4, "tanh"), bpnet.Dropout(rate), bpnet.Dense(1)]
        return bpnet.Network(layers, "mean_squared_error", seed=0)

    optimizer = bpnet.Adam(0.1)
    if of != "rate":
        optimizer = optimizer.replace(**{of: REMEMBER[name]()})
    whole, constant, resumed = network(), network(), network()
    train(whole, optimizer=optimizer)
    train(constant, optimizer=bpnet.Adam(0.1))
    assert bits(whole) != bits(constant) or of == "rate"
    stopped(path, network(), optimizer=optimizer)
    train(resumed, optimizer=optimizer, resume_from=path)
    assert bits(resumed) == bits(whole)


def test_a_value_set_by_a_callback_is_kept_in_the_file(path):
    class Sets(bpnet.Callback):
        def on_epoch_end(self, training):
            if training.epoch == 2:
                training.set_learning_rate(0.3)
                training.set_dropout_rate(0.6)

    def network():
        layers = [bpnet.Dense(4, "tanh"), bpnet.Dropout(schedules.Constant(0.2))]
        return bpnet.Network([*layers, bpnet.Dense(1)], "mean_squared_error", seed=0)

    whole, resumed = network(), network()
    train(whole, callbacks=[Sets()])
    stopped(path, network(), callbacks=[Sets()])
    train(resumed, resume_from=path)
    assert bits(resumed) == bits(whole)


def multiplied(factor):
    class Multiply(bpnet.Layer):
        def forward(self, xp, parameters, a_previous, context):
            return a_previous * factor, None

        def backward(self, xp, parameters, cache, error, propagate=True):
            return error * factor, {}

    return Multiply


def test_two_classes_of_one_name_are_not_saved(tmp_path):
    """They would be loaded as one."""
    path = tmp_path / "net"
    one, two = multiplied(1.0), multiplied(2.0)
    last = bpnet.Dense(1)
    net = bpnet.Network([one(), two(), last], "mean_squared_error", seed=0).build(2)
    with pytest.raises(TypeError, match="two different layers have the name 'Multiply'"):
        net.save(path)
    assert not path.exists()
    bpnet.Network([one(), one(), last], "mean_squared_error", seed=0).build(2).save(path)
    assert len(bpnet.load(path, custom={"Multiply": one}).layers) == 3


def test_a_name_that_is_no_component_of_bpnet_is_free(tmp_path):
    kind = type("Context", (multiplied(2.0),), {})
    net = bpnet.Network([kind(), bpnet.Dense(1)], "mean_squared_error", seed=0).build(2)
    net.save(tmp_path / "net")
    loaded = bpnet.load(tmp_path / "net", custom={"Context": kind})
    assert loaded.layers == net.layers


def test_only_what_differs_is_shown_when_resuming(tmp_path):
    path, X, y = tmp_path / "net", np.ones((4, 2)), np.ones(4)

    def fit(epochs, **options):
        net = bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)
        rate = bpnet.schedules.Cosine(0.1, epochs)
        net.fit(X, y, epochs=3, optimizer=bpnet.Adam(rate), **options)

    fit(9, callbacks=[bpnet.Checkpoint(path)])
    with pytest.raises(ValueError, match=r"learning_rate.epochs = 9.0; got .*epochs = 8.0$"):
        fit(8, resume_from=path)
