"""Unknown keyword arguments are refused with what to write."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import bpnet
from bpnet.common import keywords
from bpnet.common.component import constructor_parameters

X = np.random.default_rng(0).normal(size=(8, 3))
Y = (X[:, 0] > 0.0).astype("int64")


def network():
    return bpnet.Network([bpnet.Dense(1)], "bce", seed=0)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: network().fit(X, Y, lr=0.1), r"^fit\(\).*'lr'; .*optimizer=bpnet.Adam\(0.01"),
        (lambda: network().fit(X, Y, n_epochs=1), r"'n_epochs'; did you mean 'epochs'\?$"),
        (lambda: network().fit(X, Y, epochss=1), r"arguments are X, y.*did you mean 'epochs'"),
        (lambda: bpnet.Adam(betas=(0.9, 0.9)), r"^Adam\(\).*write beta1=0.9, beta2=0.999$"),
        (lambda: bpnet.Dense(3, input_shape=3), r"^Dense\(\).*net.build\(n_inputs\)$"),
        (lambda: bpnet.Network([], "mse", random_state=0), r"^Network\(\).*mean 'seed'\?$"),
        (lambda: bpnet.activations.ReLU(slope=1), r"^ReLU\(\).*it has no arguments$"),
        (lambda: bpnet.Network(), r"^Network\(\): missing a required argument: 'layers'$"),
        (lambda: network().build(), r"^build\(\): missing a required argument: 'n_inputs'$"),
        (lambda: network().fit(X, Y, "adam"), r"^fit\(\): too many positional arguments$"),
    ],
)  # fmt: skip
def test_an_unknown_keyword_is_explained(use, message):
    with pytest.raises(TypeError, match=message):
        use()


@pytest.mark.parametrize(
    ("keyword", "advice"),
    [
        ("sed", "its arguments are .*; did you mean 'seed'"),
        ("random_state", "did you mean 'seed'"),
        ("lr", "its arguments are [a-z, ]*seed$"),  # not where to give it to a user's network
    ],
)
def test_experiments_suggest_their_own_arguments(keyword, advice):
    for experiment in bpnet.learn.LESSONS.values():
        message = rf"^{experiment.__name__}\(\) got an .* argument '{keyword}'; {advice}"
        with pytest.raises(TypeError, match=message):
            experiment(**{keyword: 1})


def test_plots_suggest_their_own_arguments():
    pytest.importorskip("matplotlib")
    plots = [getattr(bpnet.plot, name) for name in bpnet.plot.__all__]
    plots = [plot for plot in plots if inspect.isfunction(plot)]
    assert len(plots) == 8
    for plot in plots:
        *_, last = inspect.signature(plot).parameters
        message = rf"^{plot.__name__}\(\).*'_{last}'; its arguments .*did you mean '{last}'\?$"
        with pytest.raises(TypeError, match=message):
            plot(**{f"_{last}": 1})
        with pytest.raises(TypeError, match=r"'epochs'; its arguments are [a-zA-Z_, ]*$"):
            plot(epochs=1)
        with pytest.raises(TypeError, match=rf"^{plot.__name__}\(\): missing a required"):
            plot()


def test_an_error_of_the_users_own_code_is_not_explained():
    class Own(bpnet.Callback):
        def on_epoch_end(self, training):
            network().fit(X, Y, **{"lr": 1} if training.epoch > 5 else {"epochs": "1"})

    with pytest.raises(TypeError, match=r"^epochs must be an integer, got '1'"):
        network().fit(X, Y, epochs=2, callbacks=Own())

    class Layer(bpnet.Dropout):
        def __init__(self, rate=0.5):
            super().__init__(rate)
            raise TypeError("of my own")

    with pytest.raises(TypeError, match=r"^of my own$"):
        Layer(rate=0.1)


def test_a_class_that_takes_any_keyword_is_left_alone():
    class Any(bpnet.Dropout):
        def __init__(self, **options):
            super().__init__(0.5)
            self.options = tuple(options)

    assert Any(lr=1).options == ("lr",)


@pytest.mark.parametrize("name", ["fit", "evaluate", "predict", "save", "trace"])
def test_the_signature_stays(name):
    method = getattr(bpnet.Network, name)
    assert method.__doc__
    assert method.__qualname__ in (f"Network.{name}", f"Predictor.{name}")
    assert "self" in inspect.signature(method).parameters


def test_every_advice_names_an_argument_that_exists():
    """What is renamed has its new name in at least one class or function of bpnet."""
    known = set()
    for name in (*bpnet.__all__, "MLPClassifier"):
        try:
            value = getattr(bpnet, name)
        except ImportError:
            continue
        if inspect.isclass(value) and issubclass(value, bpnet.common.component.Component):
            known |= set(constructor_parameters(value))
        elif inspect.isclass(value):
            known |= set(inspect.signature(value.__init__).parameters)
        elif inspect.isfunction(value):
            known |= set(inspect.signature(value).parameters)
    for module in (bpnet.losses, bpnet.activations, bpnet.schedules, bpnet.metrics):
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, bpnet.common.component.Component):
                known |= set(constructor_parameters(value))
    for method in (bpnet.Network.fit, bpnet.Network.build, bpnet.Network.evaluate,
                   bpnet.datasets.make_spiral):  # fmt: skip
        known |= set(inspect.signature(method).parameters)
    sklearn_only = {
        "beta_1", "beta_2", "hidden_layer_sizes", "learning_rate_init", "max_iter", "n_epochs",
        "nesterovs_momentum", "random_state", "schedule", "dropout", "validation_fraction",
    }  # fmt: skip
    for foreign, names in keywords._RENAMED.items():
        for name in names:
            assert name in known | sklearn_only, (foreign, name)
