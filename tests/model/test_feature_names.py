"""A network knows the features that it was fitted on by their names."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import bpnet
from bpnet.serialization import safetensors_file

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")

NAMES = ("alpha", "beta", "gamma")
rng = np.random.default_rng(0)
X = rng.normal(size=(20, 3))
Y = X[:, 0]
FRAME = pandas.DataFrame(X, columns=list(NAMES))
OTHER = FRAME[["gamma", "alpha", "beta"]]


def network():
    return bpnet.Network([bpnet.Dense(1)], "mean_squared_error", seed=0)


def fitted(given=FRAME, **options):
    net = network()
    net.fit(given, Y, epochs=1, **options)
    return net


def test_names_are_those_of_the_frame(backend):
    assert network().feature_names is None
    assert fitted(backend=backend).feature_names == NAMES
    table = polars.DataFrame({name: FRAME[name].to_numpy() for name in NAMES})
    assert fitted(table, backend=backend).feature_names == NAMES
    assert fitted(X, backend=backend).feature_names is None
    assert fitted(pandas.DataFrame(X), backend=backend).feature_names is None


def test_only_fit_sets_them():
    net = network().build(3)
    net.predict(FRAME)
    net.evaluate(FRAME, Y)
    bpnet.check_gradients(net, FRAME, Y)
    assert net.feature_names is None
    with pytest.raises(ValueError, match="epochs"):
        net.fit(FRAME, Y, epochs=0)
    assert net.feature_names is None
    with pytest.raises(AttributeError):
        net.feature_names = NAMES


class Fails(bpnet.Callback):
    def on_train_begin(self, training):
        raise ArithmeticError("before training")


def test_a_fit_that_never_begins_leaves_them():
    net = network()
    with pytest.raises(ArithmeticError):
        net.fit(FRAME, Y, callbacks=[Fails()])
    assert net.feature_names is None


def test_they_stay_with_the_weights(tmp_path):
    net, path = fitted(), tmp_path / "net"
    net.save(path)
    net.fit(X, Y, epochs=1)
    for same in (
        net, copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.replace(loss="huber"),
        net.replace(dtype="float64"), bpnet.load(path),
    ):  # fmt: skip
        assert same.feature_names == NAMES
        with pytest.raises(ValueError, match="order"):
            same.predict(OTHER)
    for new in (net.replace(seed=1), net.replace(layers=[bpnet.Dense(1)]), net.build(3)):
        assert new.feature_names is None
        new.loss_and_gradients(OTHER, Y)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (OTHER, r"got the order 'gamma', 'alpha', 'beta'. Pass X\[list\(net.feature_names"),
        (FRAME[["alpha", "beta"]], r"order; missing 'gamma'. To start anew .*build\(n_inp"),
        (FRAME.assign(delta=1.0), r"order; unexpected 'delta'. Pass X\[list"),
        (FRAME.rename(columns=str.upper), "missing 'alpha', .*; unexpected 'ALPHA', 'BETA'"),
        (FRAME.set_axis(["alpha", "beta", "beta"], axis=1), "missing 'gamma'; .* 'beta'"),
    ],
)  # fmt: skip
def test_other_features_are_refused(frame, message):
    net = fitted()
    before = copy.deepcopy(net.parameters)
    for action in (
        lambda: net.predict(frame),
        lambda: net.fit(frame, Y),
        lambda: net.trace(frame, Y),
    ):
        with pytest.raises(ValueError, match="^X must have the features .*" + message):
            action()
    with pytest.raises(ValueError, match="^X of validation_data must have the .*" + message):
        net.fit(FRAME, Y, validation_data=(frame, Y))
    message = message.replace(r"X\[list", "the columns 'alpha', 'beta'").partition(r"\(net")[0]
    with pytest.raises(ValueError, match="^X of validation_data must have the .*" + message):
        network().fit(FRAME, Y, validation_data=(frame, Y))  # which has no names yet
    assert_array_equal(net.parameters[0]["W"], before[0]["W"])


class Batches(bpnet.Loader):
    def __init__(self, *batches):
        super().__init__(20, 3, 20)
        self.given = batches

    def batches(self, epoch):
        yield self.given[epoch % len(self.given)], Y


def test_batches_have_the_names_of_the_first(tmp_path):
    path = tmp_path / "net"
    net = network()
    net.fit(Batches(FRAME), epochs=1, callbacks=[bpnet.Checkpoint(path)])
    assert net.feature_names == bpnet.load(path).feature_names == NAMES
    with pytest.raises(bpnet.errors.ComponentError, match=r"X of batch 0 in epoch 1 .* order"):
        network().fit(Batches(FRAME, OTHER), epochs=2)
    with pytest.raises(bpnet.errors.ComponentError, match=r"X of batch 0 .* order"):
        net.fit(Batches(OTHER), epochs=1)
    with pytest.raises(bpnet.errors.ComponentError, match=r"X of batch 0 .* order"):
        network().fit(Batches(OTHER), epochs=1, validation_data=(FRAME, Y))


def test_a_resumed_run_has_the_names_of_its_file(tmp_path):
    path = tmp_path / "net"
    fitted(callbacks=[bpnet.Checkpoint(path)])
    for given in (FRAME, X):
        net = network()
        net.fit(given, Y, epochs=2, resume_from=path)
        assert net.feature_names == NAMES
    net = network()
    with pytest.raises(ValueError, match="order"):
        net.fit(OTHER, Y, epochs=2, resume_from=path)
    assert not net.is_built
    net = fitted(OTHER)
    with pytest.raises(ValueError, match="the network's feature_names must be the same"):
        net.fit(X, Y, epochs=2, resume_from=path)


@pytest.mark.parametrize("names", [["a"], ["a", "b", 3], "abc", {"a": 1, "b": 2, "c": 3}, 3])
def test_malformed_names_in_a_file_are_refused(names, tmp_path):
    path = tmp_path / "net"
    fitted().save(path)
    document, tensors = safetensors_file.read(path)
    document = json.loads(json.dumps(document))
    assert document["network"]["feature_names"] == list(NAMES)
    document["network"]["feature_names"] = names
    path.write_bytes(b"".join(safetensors_file.encode(document, tensors)))
    with pytest.raises(bpnet.ModelFileError, match="feature_names must be 3 names, got"):
        bpnet.load(path)
    del document["network"]["feature_names"]
    path.write_bytes(b"".join(safetensors_file.encode(document, tensors)))
    assert bpnet.load(path).feature_names is None
