"""Invalid arguments of networks and functions of networks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import bad_values as bad
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
from bpnet import interchange, plot
from bpnet.diagnosis import sanity


class Entry(NamedTuple):
    """One callable, `good` arguments that it accepts and `bad` cases that it rejects."""

    call: Callable[..., Any]
    good: dict[str, Any]
    bad: dict[str, dict[str, Bad]]


def network():
    return bpnet.Network(
        [bpnet.Dense(4, "tanh"), bpnet.Dense(N_OUT)], "categorical_crossentropy", seed=0
    )


@functools.cache
def trained():
    """A trained network, whose state would show any change."""
    net = network()
    net.fit(X, Y, epochs=2, callbacks=[bpnet.Snapshots(), bpnet.GradientFlow()])
    return net


@functools.cache
def film():
    snapshots = bpnet.Snapshots()
    network().fit(X, Y, epochs=1, callbacks=[snapshots])
    return snapshots


EPSILON = bad.number(0.0, above=True)  # and rates, lengths
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
ALONE = Bad(True, ValueError, "^stratify must be False without validation_split")
EXAMPLES = {"X": X, "y": Y}
XYW_ALL = {"X": X_BAD, "y": Y_BAD, "sample_weight": W_BAD}
XYW_BAD = {name: bad.few_of(cases) for name, cases in XYW_ALL.items()}
XY_BAD = {name: XYW_BAD[name] for name in ("X", "y")}
BATCHES = {
    name: case for name, case in XY_BAD["X"].items() if name != "1-D"
}  # a single example may be 1-D
HERE = {"backend": bad.backend()}
METRICS = {
    "metrics": bad.metrics()
    | {
        "of numbers": Bad(["r2"], ValueError, "^metrics must suit the loss '.*'r2' is for"),
        "too many": Bad(
            bpnet.metrics.TopKAccuracy(99), ValueError, "^metrics must suit .* k=99; pass"
        ),
    }
}


def method(name, good, cases):
    return Entry(lambda net, **given: getattr(net, name)(**given), good, cases)


def fit(net, **given):
    return net.fit(**{"epochs": 1} | given)


class Batches(bpnet.Loader):
    """The examples in batches of 4."""

    def __init__(self):
        super().__init__(len(X), N_IN, 4)

    def batches(self, epoch):
        return [(X[:4], Y[:4]), (X[4:], Y[4:])]


def determined(value, reason):
    """Return an argument that a loader determines."""
    message = rf"^{{name}} must be left at .* if X is a loader, as .*{reason}.*; got"
    return {"another": Bad(value, ValueError, message)}


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


WEIGHTS = {
    name: Bad(value, TypeError, "^weights must be a list of 4 arrays, .*got")
    for name, value in {"None": None, "dict": {}, "array": X, "text": "W"}.items()
} | {
    "too few": Bad([], ValueError, r"^weights must have 4 arrays, one for each of W .*got 0"),
    "no arrays": Bad(
        ["W", "b", "W", "b"], (TypeError, ValueError), r"^weights\[0\], W of layer 1, Dense"
    ),
    "other shapes": Bad(
        [X, X, X, X], ValueError, r"^weights\[0\], W of layer 1, Dense\(4, 'tanh'\), must have"
    ),
}


STATES = bad.instance("^state must be a mapping of names to arrays, .*got") | {
    "empty": Bad({}, ValueError, "^state must have the parameters of 2 modules, .*got 0: none"),
    "no arrays": Bad(
        {"0.weight": "W", "0.bias": 1, "2.weight": 1, "2.bias": 1},
        (TypeError, ValueError),
        r"^state\['0.weight'\]",
    ),
    "other names": Bad(
        {"0.W": X, "2.W": X}, ValueError, "^state must have weight, bias for layer 1, Dense"
    ),
}


def set_parameters(net, parameters):
    net.parameters = parameters


NETWORKS = {
    "Network.build": method("build", {"n_inputs": N_IN}, {"n_inputs": bad.integer(1)} | HERE),
    "Network.replace": Entry(
        lambda net, changes: net.replace(**changes),
        {},
        {"changes": {
            "unknown": Bad({"units": 3}, TypeError, "^a network has the arguments .*got units"),
            "weights": Bad({"parameters": []}, TypeError, "^a network has .*got parameters"),
            "layers": Bad({"layers": []}, ValueError, "^layers must end with a Dense"),
            "loss": Bad({"loss": "Nonsense"}, ValueError, "^unknown loss 'Nonsense'"),
            "seed": Bad({"seed": -1}, ValueError, "^seed must be >= 0, got -1"),
            "dtype": Bad({"dtype": "float16"}, ValueError, "^dtype must be one of"),
        }},
    ),
    "Network.to": method("to", {"backend": "numpy"}, {"backend": bad.backend(none=False)}),
    "Network.forward": method("forward", {"X": X}, {"X": XY_BAD["X"]} | HERE),
    "Network.predict": method("predict", {"X": X}, {"X": XY_BAD["X"]} | HERE),
    "Network.predict_proba": method("predict_proba", {"X": X}, {"X": XY_BAD["X"]} | HERE),
    "Network.evaluate": method("evaluate", EXAMPLES, XYW_BAD | HERE | METRICS),
    "Network.loss_and_gradients": method("loss_and_gradients", EXAMPLES, XYW_BAD | HERE),
    "Network.trace": method("trace", EXAMPLES, {"X": BATCHES, "y": XY_BAD["y"]} | HERE),
    "Network.save": method("save", {"path": "net.safetensors"}, {"path": bad.path()}),
    "Network.to_onnx": method("to_onnx", {"path": "net.onnx"}, {"path": bad.path()}),
    "Network.set_weights": method("set_weights", {}, {"weights": WEIGHTS}),
    "Network.fit": Entry(
        fit,
        EXAMPLES,
        XYW_ALL
        | HERE
        | METRICS
        | {
            "optimizer": bad.optimizer(),
            "epochs": bad.integer(1),
            "batch_size": BATCH,
            "shuffle": bad.flag(),
            "validation_data": VALIDATION,
            "validation_split": SPLIT,
            "stratify": bad.flag() | {"alone": ALONE},
            "training_metrics": bad.flag(),
            "callbacks": CALLBACKS,
            "progress": bad.flag(),
            "warm_start": bad.flag(),
            "resume_from": bad.path(none=True),
            "on_nonfinite": bad.choice(),
            "run_eagerly": bad.flag(),
            "communicator": bad.communicator(),
        },
    ),
    "Network.partial_fit": method(
        "partial_fit",
        EXAMPLES,
        XYW_ALL
        | HERE
        | {
            "optimizer": bad.optimizer(),
            "batch_size": BATCH,
            "shuffle": bad.flag(),
            "on_nonfinite": bad.choice(),
        },
    ),
    "Network.fit, loader": Entry(
        fit,
        {"X": Batches()},
        {
            "y": determined(Y, "its batches include the targets"),
            "sample_weight": determined(W, "may include weights"),
            "batch_size": determined(4, "pass the size to the loader")
            | determined(32.0, "pass the size"),
            "shuffle": determined(False, "shuffle in its batches") | bad.flag(),
            "validation_split": determined(0.5, "pass these in validation_data"),
            "stratify": determined(True, "there is nothing to split"),
            "validation_data": VALIDATION,
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
            "X": bad.few_of(features()),  # no OVERFLOW: computed in float64
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
    "interchange.to_torch_state_dict": Entry(
        interchange.to_torch_state_dict, {}, {"net": bad.network()}
    ),
    "interchange.from_torch_state_dict": Entry(
        interchange.from_torch_state_dict,
        {"state": interchange.to_torch_state_dict(network().build(N_IN))},
        {"net": bad.network(), "state": STATES},
    ),
    "interchange.to_sklearn": Entry(interchange.to_sklearn, {}, {"net": bad.network()}),
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
    "plot.loss_landscape": Entry(
        plot.loss_landscape,
        EXAMPLES,
        XY_BAD
        | {
            "net": bad.network(),
            "ax": bad.axes(),
            "snapshots": bad.instance(
                r"^snapshots must be the bpnet\.Snapshots .* got", none=True
            ),
            "span": bad.number(0.0, above=True),
            "resolution": bad.integer(2, huge=True),
            "seed": bad.integer(0),
        },
    ),
    "plot.example_flow": Entry(
        plot.example_flow,
        {"x": X[0], "y": Y[0]},
        {
            "net": bad.network(),
            "x": {
                "batch": Bad(X, ValueError, r"^x must be one example, .* or \(1, n_0\), got"),
                "text": Bad("ab", TypeError, "^x must be numbers, got 'ab'"),
                "None": Bad(None, ValueError, "^x must be one example"),
                "NaN": Bad([float("nan")] * len(X[0]), ValueError, "^X .*NaN"),
            },
            "y": {
                "None": Bad(None, TypeError, "^y must"),
                "long": Bad([0.0] * 9, ValueError, r"\by must"),
                "text": Bad("cat", TypeError, "^y "),
            },
            "max_units": bad.integer(2),
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
