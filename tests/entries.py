"""The table of refusals: each public callable, arguments that suit it, and what each may be."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import bad_values as bad
import numpy as np
from bad_data import (
    N_IN,
    N_OUT,
    OVERFLOW,
    SMALL_WEIGHTS,
    W,
    X,
    Y,
    features,
    targets,
    weights,
)  # fmt: skip
from bad_values import Bad

import bpnet
from bpnet import cli, learn, plot, random, sanity, schedules


class Entry(NamedTuple):
    """One callable; `good` are arguments that it takes, `bad` cases of those it does not."""

    call: Callable[..., Any]
    good: dict[str, Any]
    bad: dict[str, dict[str, Bad]]


def network():
    return bpnet.Network(
        [bpnet.Dense(4, "tanh"), bpnet.Dense(N_OUT)], "categorical_crossentropy", seed=0
    )


@functools.cache
def trained():
    """A network that has something to lose."""
    net = network()
    net.fit(X, Y, epochs=2, callbacks=[bpnet.Snapshots(), bpnet.GradientFlow()])
    return net


@functools.cache
def history():
    return network().fit(X, Y, epochs=2, callbacks=[bpnet.GradientFlow()])


@functools.cache
def rate_test():
    return bpnet.find_learning_rate(network(), X, Y, steps=10)


@functools.cache
def film():
    snapshots = bpnet.Snapshots()
    network().fit(X, Y, epochs=1, callbacks=[snapshots])
    return snapshots


# --- descriptions -----------------------------------------------------------------------------

LAYERS = {
    name: Bad(value, TypeError, r"^layers must be a list of bpnet layers such as .*, got")
    for name, value in {"None": None, "number": 3, "layer": bpnet.Dense(1)}.items()
} | {
    "empty": Bad([], ValueError, "^layers must end with a Dense, .*; got no layer"),
    "dropout last": Bad(
        [bpnet.Dense(1), bpnet.Dropout(0.5)], ValueError, "^layers must end with a Dense"
    ),
    "units": Bad([3, bpnet.Dense(1)], TypeError, "^layers must be bpnet layers, got 3"),
    "class": Bad([bpnet.Dense], TypeError, "^layers must be bpnet layers, got <class"),
    "nested": Bad([[bpnet.Dense(1)]], TypeError, r"^layers must be bpnet layers, got \[Dense"),
    "text": Bad("tanh", TypeError, "^layers must be bpnet layers, got 't'"),
    "not linear": Bad(
        [bpnet.Dense(3, "sigmoid")], ValueError, "last Dense must be linear, as the loss .*"
    ),
    "one unit": Bad(
        [bpnet.Dense(1)], ValueError, "a last Dense of one unit for each class, >= 2, got 1"
    ),
}

RATE = bad.number(0.0, above=True)
SHARED = {
    "learning_rate": RATE,
    "weight_decay": bad.number(0.0),
    "clip_value": bad.number(0.0, above=True, none=True),
    "clip_norm": bad.number(0.0, above=True, none=True),
}
SHARE = bad.number(0.0, 1.0, below=True)
EPSILON = bad.number(0.0, above=True)
FACTOR = bad.number(0.0, 1.0, above=True)
WATCH = {"rows": bad.integer(1), "every": bad.integer(1, none=True)}
KEPT = Bad(2, ValueError, r"keep_last needs '{epoch}' in the name of the file")

DESCRIPTIONS = {
    "SGD": Entry(
        bpnet.SGD,
        {},
        SHARED | {"momentum": SHARE, "nesterov": bad.flag()
                  | {"no momentum": Bad(True, ValueError, "^nesterov=True needs momentum > 0")}},
    ),
    "Adagrad": Entry(bpnet.Adagrad, {}, SHARED | {"epsilon": EPSILON}),
    "RMSprop": Entry(bpnet.RMSprop, {}, SHARED | {"rho": SHARE, "epsilon": EPSILON}),
    "Adam": Entry(
        bpnet.Adam, {}, SHARED | {"beta1": SHARE, "beta2": SHARE, "epsilon": EPSILON}
    ),
    "AdamW": Entry(
        bpnet.AdamW, {}, SHARED | {"beta1": SHARE, "beta2": SHARE, "epsilon": EPSILON}
    ),
    "Checkpoint": Entry(
        bpnet.Checkpoint,
        {"path": "net.safetensors"},
        {
            "path": bad.path(),
            "every": bad.integer(1, none=True),
            "minutes": bad.number(0.0, above=True, none=True),
            "best_only": bad.flag(),
            "monitor": bad.text(),
            "mode": bad.choice(),
            "keep_last": bad.integer(1, none=True) | {"one name": KEPT},
        },
    ),
    "Dense": Entry(
        bpnet.Dense,
        {"units": 3},
        {
            "units": bad.integer(1),
            "activation": bad.named("activation"),
            "init": bad.named("init", none=True),
            "bias_init": bad.named("bias_init"),
            "l1": bad.number(0.0),
            "l2": bad.number(0.0),
        },
    ),
    "Dropout": Entry(bpnet.Dropout, {"rate": 0.5}, {"rate": SHARE}),
    "EarlyStopping": Entry(
        bpnet.EarlyStopping,
        {},
        {
            "monitor": bad.text(),
            "patience": bad.integer(0),
            "min_delta": bad.number(0.0),
            "mode": bad.choice(),
            "restore_best": bad.flag(),
        },
    ),
    "GradientFlow": Entry(bpnet.GradientFlow, {}, WATCH),
    "Doctor": Entry(bpnet.Doctor, {}, WATCH),
    "Snapshots": Entry(bpnet.Snapshots, {}, {"every": bad.integer(1)}),
    "Network": Entry(
        bpnet.Network,
        {"layers": [bpnet.Dense(2)], "loss": "categorical_crossentropy"},
        {
            "layers": LAYERS,
            "loss": bad.named("loss"),
            "seed": bad.integer(0, none=True),
            "dtype": bad.choice(),
        },
    ),
    "activations.LeakyReLU": Entry(
        bpnet.activations.LeakyReLU, {}, {"negative_slope": bad.number()}
    ),
    "activations.ELU": Entry(bpnet.activations.ELU, {}, {"alpha": bad.number(0.0)}),
    "losses.Huber": Entry(bpnet.losses.Huber, {}, {"delta": EPSILON}),
    "initializers.Constant": Entry(
        bpnet.initializers.Constant, {"value": 1.0}, {"value": bad.number()}
    ),
    "initializers.Normal": Entry(bpnet.initializers.Normal, {}, {"std": bad.number(0.0)}),
    "activations.get": Entry(
        bpnet.activations.get, {}, {"activation": bad.named("activation")}
    ),
    "losses.get": Entry(bpnet.losses.get, {}, {"loss": bad.named("loss")}),
    "initializers.get": Entry(
        bpnet.initializers.get, {}, {"initializer": bad.named("init")}
    ),
    "schedules.get": Entry(schedules.get, {}, {"learning_rate": RATE}),
    "schedules.Constant": Entry(schedules.Constant, {}, {"learning_rate": RATE}),
    "schedules.Step": Entry(
        schedules.Step,
        {"learning_rate": 0.1, "every": 2},
        {"learning_rate": RATE, "every": bad.integer(1), "factor": FACTOR},
    ),
    "schedules.Exponential": Entry(
        schedules.Exponential,
        {"learning_rate": 0.1, "factor": 0.5},
        {"learning_rate": RATE, "factor": FACTOR},
    ),
    "schedules.InverseScaling": Entry(
        schedules.InverseScaling,
        {"learning_rate": 0.1},
        {"learning_rate": RATE, "power": bad.number(0.0), "decay": bad.number(0.0)},
    ),
    "schedules.Cosine": Entry(
        schedules.Cosine,
        {"learning_rate": 0.1, "epochs": 5},
        {"learning_rate": RATE, "epochs": EPSILON, "minimum": bad.number(0.0, 0.1)},
    ),
    "schedules.WarmUp": Entry(
        schedules.WarmUp,
        {"then": 0.1, "epochs": 5},
        {"then": RATE, "epochs": EPSILON, "start": bad.number(0.0, 1.0)},
    ),
    "schedules.ReduceOnPlateau": Entry(
        schedules.ReduceOnPlateau,
        {"learning_rate": 0.1},
        {
            "learning_rate": RATE,
            "monitor": bad.text(),
            "factor": bad.number(0.0, 1.0, above=True, below=True),
            "patience": bad.integer(0),
            "min_delta": bad.number(0.0),
            "minimum": bad.number(0.0, 0.1),
            "mode": bad.choice(),
        },
    ),
}  # fmt: skip


# --- networks ---------------------------------------------------------------------------------

X_BAD, Y_BAD, W_BAD = features() | OVERFLOW, targets(), weights() | SMALL_WEIGHTS
CALLBACKS = bad.instance("^callbacks must be bpnet callbacks, got")
BATCH = bad.integer(1, none=True)
VALIDATION = bad.instance(r"^validation_data must be a tuple \(X, y\) or", none=True) | {
    "X alone": Bad((X,), TypeError, r"^validation_data must be a tuple \(X, y\) or"),
    "four": Bad((X, Y, W, W), TypeError, r"^validation_data must be a tuple \(X, y\) or"),
}
SPLIT = bad.number(0.0, 1.0, below=True) | {
    "no example": Bad(0.01, ValueError, "^validation_split must .* 0.01 of 6 .* is 0"),
    "each example": Bad(0.99, ValueError, "^validation_split must .* 0.99 of 6 .* is 6"),
}
EXAMPLES = {"X": X, "y": Y}
XYW_ALL = {"X": X_BAD, "y": Y_BAD, "sample_weight": W_BAD}
XYW_BAD = {name: bad.few_of(cases) for name, cases in XYW_ALL.items()}
XY_BAD = {name: XYW_BAD[name] for name in ("X", "y")}
BATCHES = {
    name: case for name, case in XY_BAD["X"].items() if name != "1-D"
}  # one example is 1-D
HERE = {"backend": bad.backend()}


def method(name, good, cases):
    return Entry(lambda net, **given: getattr(net, name)(**given), good, cases)


def fit(net, **given):
    return net.fit(**{"epochs": 1} | given)


def fit_and_validate(net, X, y, sample_weight):
    return net.fit(*EXAMPLES.values(), epochs=1, validation_data=(X, y, sample_weight))


PARAMETERS = {
    name: Bad(value, TypeError, "^parameters must be a list of 2 dicts, .*got")
    for name, value in {"None": None, "dict": {}, "array": X, "text": "W"}.items()
} | {
    "too few": Bad([], ValueError, "^parameters must have 2 dicts, .*got 0"),
    "no dicts": Bad(
        [1, 2], TypeError, r"^parameters\[0\] must be a dict with the keys W, b; got"
    ),
}


def set_parameters(net, parameters):
    net.parameters = parameters


NETWORKS = {
    "Network.build": method("build", {"n_inputs": N_IN}, {"n_inputs": bad.integer(1)} | HERE),
    "Network.to": method("to", {"backend": "numpy"}, {"backend": bad.backend(none=False)}),
    "Network.forward": method("forward", {"X": X}, {"X": XY_BAD["X"]} | HERE),
    "Network.predict": method("predict", {"X": X}, {"X": XY_BAD["X"]} | HERE),
    "Network.predict_proba": method("predict_proba", {"X": X}, {"X": XY_BAD["X"]} | HERE),
    "Network.evaluate": method("evaluate", EXAMPLES, XYW_BAD | HERE),
    "Network.loss_and_gradients": method("loss_and_gradients", EXAMPLES, XYW_BAD | HERE),
    "Network.trace": method("trace", EXAMPLES, {"X": BATCHES, "y": XY_BAD["y"]} | HERE),
    "Network.save": method("save", {"path": "net.safetensors"}, {"path": bad.path()}),
    "Network.fit": Entry(
        fit,
        EXAMPLES,
        XYW_ALL
        | HERE
        | {
            "optimizer": bad.optimizer(),
            "epochs": bad.integer(1),
            "batch_size": BATCH,
            "shuffle": bad.flag(),
            "validation_data": VALIDATION,
            "validation_split": SPLIT,
            "callbacks": CALLBACKS,
            "progress": bad.flag(),
            "resume_from": bad.path(none=True),
            "on_nonfinite": bad.choice(),
        },
    ),
    "Network.fit, validation": Entry(
        fit_and_validate,
        EXAMPLES | {"sample_weight": None},
        {f"{name} of validation_data": cases for name, cases in XYW_BAD.items()},
    ),
    "Network.parameters": Entry(
        set_parameters,
        {},
        {"parameters": PARAMETERS},
    ),
    "check_gradients": Entry(
        bpnet.check_gradients,
        EXAMPLES,
        {
            "net": bad.network(),
            "X": bad.few_of(features()),  # in float64 fewer numbers overflow
            "y": XY_BAD["y"],
            "sample_weight": bad.few_of(weights()),
            "samples": bad.integer(1, none=True),
            "seed": bad.integer(0),
            "regularizer": bad.flag(),
        }
        | HERE,
    ),
    "find_learning_rate": Entry(
        bpnet.find_learning_rate,
        EXAMPLES,
        XY_BAD
        | HERE
        | {
            "net": bad.network(),
            "optimizer": bad.optimizer(),
            "low": EPSILON,
            "high": bad.number(1e-5, above=True),
            "steps": bad.integer(10, huge=True),
            "batch_size": bad.integer(1),
        },
    ),
    "parity": Entry(
        bpnet.parity,
        EXAMPLES | {"backends": "numpy", "epochs": 1},
        XY_BAD
        | {
            "net": bad.network(),
            "backends": bad.backend() | {
                "empty list": Bad([], ValueError, "^backends must name at least one"),
                "None among": Bad([None], TypeError, "^backends must be .*, got None among"),
            },
            "optimizer": bad.optimizer(),
            "epochs": bad.integer(1),
            "batch_size": BATCH,
        },
    ),
    "sanity.check_initial_loss": Entry(
        sanity.check_initial_loss, EXAMPLES, XYW_BAD | {"net": bad.network()}
    ),
    "sanity.check_overfit": Entry(
        sanity.check_overfit,
        EXAMPLES,
        XY_BAD
        | {
            "net": bad.network(),
            "examples": bad.integer(1),
            "epochs": bad.integer(1),
            "optimizer": bad.optimizer(),
            "seed": bad.integer(0),
        },
    ),
    "sanity.sanity_checks": Entry(
        sanity.sanity_checks,
        EXAMPLES,
        XY_BAD | {"net": bad.network(), "epochs": bad.integer(1)},
    ),
    "plot.decision_boundary": Entry(
        plot.decision_boundary,
        EXAMPLES,
        XY_BAD
        | {
            "net": bad.network(),
            "ax": bad.axes(),
            "resolution": bad.integer(2, huge=True),
        },
    ),
    "plot.activations": Entry(
        plot.activations,
        {"X": X},
        {
            "net": bad.network(),
            "X": XY_BAD["X"],
            "ax": bad.axes(),
            "bins": bad.integer(2, huge=True),
        },
    ),
    "plot.animate": Entry(
        lambda **given: plot.animate(**{"snapshots": film()} | given),
        EXAMPLES | {"path": "film.gif"},
        XY_BAD
        | {
            "net": bad.network(),
            "snapshots": bad.instance(r"^snapshots must be the bpnet\.Snapshots .* got")
            | {"untaken": Bad(bpnet.Snapshots(), ValueError, "no snapshot yet; add the Snap")},
            "path": bad.path()
            | {"film.mp4": Bad("film.mp4", ValueError, r"^path must end in \.gif, got")},
            "ax": bad.axes(),
            "fps": bad.number(0.0, 50.0, above=True),
            "resolution": bad.integer(2, huge=True),
            "dpi": bad.number(1.0) | {"huge": Bad(1e18, ValueError, r"\bdpi\b")},
        },
    ),
}  # fmt: skip


# --- the rest ---------------------------------------------------------------------------------

SPIRAL = {"noise": bad.number(0.0), "seed": bad.integer(0)}
RATE_TEST = r"^test must be what bpnet\.find_learning_rate returned, got"
FLOATS = bad.number(0.0, above=True)
SIZES = bad.integer(1)
Z_BAD = {
    name: Bad(value, TypeError, "^z must be an array of floating-point numbers, got")
    for name, value in {
        "None": None, "number": 0.5, "list": [0.5], "text": "relu", "ints": np.arange(3),
        "complex": np.ones(2, complex), "objects": np.ones(2, object), "bools": np.ones(2, bool),
    }.items()
}  # fmt: skip
NO_OPTIONS = {
    name: Bad(value, TypeError, "^argv must be a s(equence|tring), got")
    for name, value in {"number": 3, "text": "demo", "numbers": [1, 2], "bytes": b"x"}.items()
}

REST = {
    "get_backend": Entry(bpnet.get_backend, {}, {"spec": bad.backend()}),
    "use_backend": Entry(
        lambda spec: bpnet.use_backend(spec).__enter__(),
        {},
        {"spec": bad.backend(none=False)},
    ),
    "load": Entry(
        bpnet.load, {"path": "none"}, {"path": bad.path(), "backend": bad.backend()}
    ),
    "diagnose": Entry(
        bpnet.diagnose,
        {},
        {"history": bad.mapping()
         | {"empty": Bad({}, ValueError, "^history has no epoch to diagnose"),
            "bare": Bad({"loss": [1.0]}, ValueError, "^history has no gradient flow")}},
    ),
    "sanity.check_update_ratio": Entry(
        sanity.check_update_ratio,
        {},
        {"history": bad.mapping() | {"empty": Bad({}, ValueError, "^history has no update")}},
    ),
    "plot.history": Entry(
        plot.history,
        {"history": {"loss": [0.2, 0.1]}},
        {
            "history": bad.mapping()
            | {"empty": Bad({}, ValueError, "^history has no epoch to draw"),
               "text": Bad({"loss": "ab"}, TypeError, "^history must hold numbers")},
            "ax": bad.axes(),
        },
    ),
    "plot.gradient_flow": Entry(
        plot.gradient_flow,
        {"history": {"gradient_norm/1": [0.2, 0.1]}},
        {
            "history": bad.mapping()
            | {"empty": Bad({}, ValueError, "^history has no gradient norms"),
               "text": Bad({"gradient_norm/1": "ab"}, TypeError, "^history must hold numbers"),
               "name": Bad({"gradient_norm/x": [1.0]}, ValueError, "^history .*norm/x")},
            "ax": bad.axes(),
            "kind": bad.choice(),
            "figure": bad.choice(),
        },
    ),
    "plot.learning_rate_finder": Entry(
        lambda **given: plot.learning_rate_finder(**{"test": rate_test()} | given),
        {},
        {"test": bad.instance(RATE_TEST), "ax": bad.axes()}
    ),
    "datasets.make_spiral": Entry(
        bpnet.datasets.make_spiral,
        {},
        SPIRAL | {"n_samples": bad.integer(2, huge=True), "classes": bad.integer(2)},
    ),
    "datasets.make_moons": Entry(
        bpnet.datasets.make_moons, {}, SPIRAL | {"n_samples": bad.integer(2, huge=True)}
    ),
    "datasets.make_circles": Entry(
        bpnet.datasets.make_circles,
        {},
        SPIRAL
        | {
            "n_samples": bad.integer(2, huge=True),
            "factor": bad.number(0.0, 1.0, above=True, below=True),
        },
    ),
    "datasets.make_xor": Entry(
        bpnet.datasets.make_xor, {}, SPIRAL | {"n_samples": bad.integer(4, huge=True)}
    ),
    "random.generator": Entry(
        lambda seed=0, purpose="split", counters=0: random.generator(seed, purpose, counters),
        {},
        {"seed": bad.integer(0), "purpose": bad.choice(), "counters": bad.integer(0)},
    ),
    "random.mask_key": Entry(
        random.mask_key,
        {"seed": 0, "layer": 0},
        {"seed": bad.integer(0), "layer": bad.integer(0)},
    ),
    "activations.Activation.__call__": Entry(bpnet.activations.relu, {}, {"z": Z_BAD}),
    "activations.Activation.derivative": Entry(
        bpnet.activations.tanh.derivative, {}, {"z": Z_BAD}
    ),
    "learn.vanishing_gradients": Entry(
        learn.vanishing_gradients,
        {},
        {
            "depths": bad.sequence(SIZES, 2),
            "activations": bad.words(),
            "width": bad.integer(1, huge=True),
            "networks": bad.integer(1),
            "seed": bad.integer(0),
        },
    ),
    "learn.initialization": Entry(
        learn.initialization,
        {},
        {
            "depth": bad.integer(2),
            "width": bad.integer(1, huge=True),
            "activations": bad.words(),
            "seed": bad.integer(0),
        },
    ),
    "learn.learning_rate": Entry(
        learn.learning_rate,
        {},
        {
            "rates": bad.sequence(FLOATS),
            "epochs": bad.integer(1),
            "seed": bad.integer(0),
        },
    ),
    "learn.architecture": Entry(
        learn.architecture,
        {},
        {
            "widths": bad.sequence(SIZES, rising=False),
            "depths": bad.sequence(SIZES, rising=False),
            "networks": bad.integer(1),
            "epochs": bad.integer(1),
            "seed": bad.integer(0),
        },
    ),
    "learn.gradient_check": Entry(
        learn.gradient_check,
        {},
        {"steps": bad.sequence(FLOATS), "seed": bad.integer(0)},
    ),
    "learn.backprop": Entry(learn.backprop, {}, {"seed": bad.integer(0)}),
    "cli.main": Entry(cli.main, {}, {"argv": NO_OPTIONS}),
}  # fmt: skip
