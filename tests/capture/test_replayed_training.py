"""Training with replayed steps is bitwise identical to eager training."""

from __future__ import annotations

import numpy as np
import pytest
from available import available
from numpy.testing import assert_array_equal
from replaying import RULES, executables_of, is_replayed

import bpnet
from bpnet import Dense, Dropout, Embedding, ParametricActivation, PeriodicEmbedding, Scale
from bpnet.activations import ACTIVATIONS
from bpnet.losses import LOSSES
from bpnet.model.compiled import FUNCTIONS


@pytest.fixture(scope="module", params=available("numpy", "torch:cpu"))
def backend(request):
    """The backends that replay."""
    return bpnet.get_backend(request.param)


def fitted(layers, loss, targets, backend, *, n_inputs=3, seed=0, dtype="float32", **options):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(70, n_inputs)), targets(rng)
    if options.pop("codes", False):
        X = np.abs(np.round(2.0 * X))
    net = bpnet.Network(layers, loss, seed=seed, dtype=dtype)
    w = rng.uniform(size=70) if options.pop("weighted", False) else None
    history = net.fit(
        X, y, sample_weight=w, epochs=3, batch_size=32, backend=backend, **options
    )
    return net, history, net.parameters


def assert_run_eagerly_is_the_same(layers, loss, targets, backend, **options):
    FUNCTIONS.clear()  # steps of other networks of equal description
    _, history, result = fitted(layers, loss, targets, backend, **options)
    _, slow, expected = fitted(layers, loss, targets, backend, run_eagerly=True, **options)
    assert history["loss"] == slow["loss"]
    for a, b in zip(result, expected, strict=True):
        for name in a:
            assert_array_equal(backend.to_numpy(a[name]), backend.to_numpy(b[name]))
    replayed = [f for f in FUNCTIONS.all() if hasattr(f, "_executables")]
    assert len(replayed) == 2  # batches, and the remainder
    assert all(map(is_replayed, replayed))


TARGETS = {
    "labels": lambda rng: rng.integers(0, 3, 70),
    "probabilities": lambda rng: rng.uniform(size=(70, 3)),
    "counts": lambda rng: rng.integers(0, 5, (70, 3)),
    "real": lambda rng: rng.normal(size=(70, 3)),
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_each_activation_is_replayed(name, backend):
    layers = [Dense(5, name, l1=0.01, l2=0.02), Dropout(0.2), Dense(3)]
    assert_run_eagerly_is_the_same(
        layers, "categorical_crossentropy", TARGETS["labels"], backend
    )


EMBEDDED = {
    "periodic": [PeriodicEmbedding(4, 3)],
    "periodic of one": [PeriodicEmbedding(32, 2, columns=[1])],
    "periodic in blocks": [PeriodicEmbedding(512, 9)],
    "periodic after others": [Dense(4), PeriodicEmbedding(4, 3, columns=(0, 2, 3))],
    "embedding": [Embedding({0: 3, 2: 2}, 4)],
    "embedding of all": [Embedding({0: 3, 1: 5, 2: 2}, 2)],
    "embedding after others": [PeriodicEmbedding(4, 2, columns=1), Embedding({1: 3}, 4)],
    "scale": [Scale()],
    "parametric": [Dense(4, parametrization="ntk"), ParametricActivation("selu")],
}


@pytest.mark.parametrize("name", EMBEDDED)
def test_each_layer_is_replayed(name, backend):
    layers = [*EMBEDDED[name], Scale(1.1), Dense(5, "tanh", parametrization="ntk"), Dense(3)]
    assert_run_eagerly_is_the_same(
        layers, "categorical_crossentropy", TARGETS["labels"], backend, codes=True
    )
    in_place = [
        op.in_place
        for step in FUNCTIONS.all()
        if hasattr(step, "_executables")
        for executable in step._executables.values()
        for op in executable.graph.operations
    ]
    assert all(in_place)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_each_loss_is_replayed(name, weighted, backend):
    layers = [Dense(5, "tanh"), Dense(3)]
    targets = TARGETS[LOSSES[name].targets]
    assert_run_eagerly_is_the_same(layers, name, targets, backend, weighted=weighted)


@pytest.mark.parametrize("name", RULES)
def test_each_optimizer_is_replayed(name, backend):
    layers = [Dense(5, "relu"), Dense(3)]
    assert_run_eagerly_is_the_same(
        layers, "mean_squared_error", TARGETS["real"], backend, optimizer=RULES[name]
    )


def test_a_rate_may_be_changed_between_epochs(backend):
    """It is an argument of the step, so nothing is traced again."""

    class Anneal(bpnet.Callback):
        def on_epoch_begin(self, training):
            training.set_dropout_rate(0.5 / (1 + training.epoch))

        def on_epoch_end(self, training):
            steps = [f for f in training.runner.steps.values() if hasattr(f, "_executables")]
            assert len(executables_of(steps)) == len(steps)

    def losses(**options):
        X, y = bpnet.datasets.make_spiral(60, seed=0)
        layers = [Dense(20, "tanh"), Dropout(bpnet.schedules.Constant(0.5)), Dense(1)]
        net = bpnet.Network(layers, "binary_crossentropy", seed=0)
        return net.fit(X, y, epochs=4, backend=backend, **options)["loss"]

    annealed = losses(callbacks=[Anneal()])
    assert annealed == losses(callbacks=[Anneal()], run_eagerly=True)
    assert annealed[1:] != losses()[1:]


@pytest.mark.parametrize(
    ("rows", "units"), [(32, 20), (32, 300), (300, 300)], ids=["fused", "in blocks", "square"]
)
def test_parameters_are_double_buffered_on_numpy(rows, units):
    """Both cores have read them; optimizer state, which one has read, is updated in place."""
    writers = {"parameters": set(), "state": set()}

    class Look(bpnet.Callback):
        def on_train_end(self, training):
            (executable,) = executables_of(training.runner.steps.values())
            layers = zip(
                training.parameters, training.runner.arrays["optimizer_state"], strict=True
            )
            arrays = [
                (kind, array)
                for parameters, state in layers
                for name, p in parameters.items()
                for kind, array in (("parameters", p), ("state", *state[name].values()))
            ]
            for call in executable.calls:
                out = call.args[0] if call.func is np.copyto else call.args[-1]
                for kind, array in arrays:
                    if isinstance(out, np.ndarray) and np.may_share_memory(out, array):
                        writers[kind].add(call.func)

    net = bpnet.Network([Dense(units, "relu"), Dense(3)], "mean_squared_error", seed=0)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, 300)), rng.normal(size=(rows, 3))
    optimizer = bpnet.SGD(0.01, momentum=0.9)
    net.fit(
        X,
        y,
        optimizer=optimizer,
        epochs=2,
        batch_size=None,
        backend="numpy",
        callbacks=[Look()],
    )
    assert writers["parameters"] == {np.copyto}
    assert writers["state"] == {np.subtract}


@pytest.mark.parametrize(
    "sizes", [(4, 7, 1), (4, 3, 3), (2, 3, 3), (4, 5, 3), (2, 7, 1), (5, 1, 1)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_matrices_are_aligned_so_that_products_are_unchanged(sizes, dtype, backend):
    """MKL's last bits depend on where within 64 bytes a matrix starts."""
    n_inputs, units, n_outputs = sizes
    for seed in range(6):
        assert_run_eagerly_is_the_same(
            [Dense(units, "tanh"), Dense(n_outputs)],
            "mean_squared_error",
            lambda rng: rng.normal(size=(70, n_outputs)),
            backend,
            optimizer=bpnet.RMSprop(0.05),
            n_inputs=n_inputs,
            seed=seed,
            dtype=dtype,
        )
