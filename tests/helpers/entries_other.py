"""Invalid arguments of everything but networks: layers, losses, optimizers and so on."""

from __future__ import annotations

import functools

import bad_values as bad
import entries_streams
import numpy as np
from bad_data import X, Y
from bad_values import Bad
from entries import EPSILON, Entry, network

import bpnet
from bpnet import learn, plot, random, schedules
from bpnet.cli.main import main
from bpnet.diagnosis import sanity


@functools.cache
def rate_test():
    return bpnet.find_learning_rate(network(), X, Y, steps=10)


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
        [bpnet.Dense(1)], ValueError, "a last Dense with one unit per class, >= 2, got 1"
    ),
}

NESTED = {
    name: Bad(value, TypeError, r"^layers must be a list of bpnet layers such as .*; got")
    for name, value in {
        "None": None,
        "layer": bpnet.Dense(1),
        "class": [bpnet.Dense],
        "number": [3],
    }.items()
} | {"empty": Bad([], ValueError, "^layers must be a list of bpnet layers .*; got none")}

RATE = bad.number(0.0, above=True)
SHARED = {
    "learning_rate": RATE,
    "weight_decay": bad.number(0.0),
    "clip_value": bad.number(0.0, above=True, none=True),
    "clip_norm": bad.number(0.0, above=True, none=True),
    "decay_biases": bad.flag(),
}
SHARE = bad.number(0.0, 1.0, below=True)
FACTOR = bad.number(0.0, 1.0, above=True)
START = bad.number(0.0)  # of a schedule, which may be 0
WATCH = {"rows": bad.integer(1), "every": bad.integer(1, none=True)}
AVERAGED = bad.optimizer() | {
    "none": Bad(None, TypeError, "^optimizer must be a name or a bpnet optimizer"),
    "averaged": Bad(
        bpnet.MovingAverage("sgd"), ValueError, "^optimizer must be one with a rule for each"
    ),
}
POSITIVES = {
    "text": Bad("x", TypeError, "^positive_weight must be a sequence, got"),
    "zero": Bad(0.0, ValueError, "^positive_weight must be a finite number > 0, got 0.0"),
    "zero in it": Bad(
        [1.0, 0], ValueError, "^positive_weight must be a finite number > 0, got"
    ),
    "empty": Bad((), ValueError, "^positive_weight must have 1 or more values; got"),
    "flag": Bad(True, TypeError, "^positive_weight must be a number, got True"),
}
LEVELS = {
    "None": Bad(None, TypeError, "^q must be a number, got None"),
    "text": Bad("0.5", TypeError, "^q must be a sequence, got '0.5'"),
    "0": Bad(0.0, ValueError, "^q must be a finite number > 0 and < 1, got 0.0"),
    "1 in it": Bad((0.5, 1.0), ValueError, "^q must be a finite number > 0 and < 1, got 1.0"),
    "falling": Bad((0.9, 0.1), ValueError, r"^q must have 1 or more values, rising; got \["),
}


def weights(name):
    return {
        "number": Bad(2.0, TypeError, f"^{name} must be a sequence, got 2.0"),
        "text": Bad("x", TypeError, f"^{name} must be a sequence, got 'x'"),
        "negative": Bad((1.0, -1.0), ValueError, f"^{name} must be a finite number >= 0, got"),
        "all 0": Bad((0.0, 0), ValueError, f"^{name} must not all be 0, got"),
        "of one": Bad([], ValueError, f"^{name} must have 1 or more values; got"),
        "texts": Bad(["a"], TypeError, f"^{name} must be a number, got 'a'"),
    }


NESTEROV = Bad(True, ValueError, "^nesterov=True needs momentum > 0")
KEPT = Bad(2, ValueError, r"keep_last needs '{epoch}' in the name of the file")
FRACTION = Bad(1.0, ValueError, "^min_delta must be < 1, .* relative=False")


def factors(parameter):
    """Return cases for both arguments that are factors by parameter."""
    cases = {
        "number": Bad(0.1, TypeError, "^{name} must be a dict of parameter names and factors"),
        "text": Bad("lr", TypeError, "^{name} must be a dict of parameter names and factors"),
        "unknown": Bad({"nil": 1.0}, ValueError, "^{name} must name parameters .*; got 'nil'"),
        "negative": Bad({parameter: -1.0}, ValueError, r"^{name}\['.*'\] must be .* >= 0, got"),
        "None": Bad({parameter: None}, TypeError, r"^{name}\['.*'\] must be a number, got"),
    }
    return dict.fromkeys(("learning_rate_factors", "weight_decay_factors"), cases)


COLUMNS = {
    "negative": Bad([-1], ValueError, "^columns must be >= 0, got -1"),
    "twice": Bad([1, 1], ValueError, r"^columns must name one column or more.*got \[1, 1\]"),
    "none": Bad((), ValueError, r"^columns must name one column or more"),
    "half": Bad([0.5], TypeError, "^columns must be an integer, got 0.5"),
    "zero": Bad(0, ValueError, "^columns must be >= 1, got 0"),
    "text": Bad("age", TypeError, "^columns must be an integer, got 'age'"),
}
TABLES = {
    "number": Bad(12, TypeError, "^sizes must be a dict of columns and their numbers of"),
    "sequence": Bad([12, 40], TypeError, "^sizes must be a dict of columns and their numbers"),
    "empty": Bad({}, ValueError, "^sizes must name one column or more"),
    "column": Bad({-1: 3}, ValueError, "^sizes must be >= 0, got -1"),
    "name": Bad({"age": 3}, TypeError, "^sizes must be an integer, got 'age'"),
    "size": Bad({1: 0}, ValueError, r"^sizes\[1\] must be >= 1, got 0"),
    "half": Bad({1: 2.5}, TypeError, r"^sizes\[1\] must be an integer, got 2.5"),
}

DESCRIPTIONS = {
    "SGD": Entry(
        bpnet.SGD,
        {},
        SHARED | {"momentum": SHARE, "nesterov": bad.flag() | {"no momentum": NESTEROV}},
    ),
    "SGD.replace": Entry(
        lambda changes: bpnet.SGD(0.1).replace(**changes),
        {},
        {"changes": {
            "unknown": Bad({"rate": 0.1}, TypeError, "^SGD has the parameters .*; got rate"),
            "attribute": Bad({"settings": 1}, TypeError, "^SGD has the .*; got settings"),
            "momentum": Bad({"momentum": 2.0}, ValueError, "^momentum must be .*, got 2.0"),
        }},
    ),
    "Adagrad": Entry(bpnet.Adagrad, {}, SHARED | {"epsilon": EPSILON}),
    "RMSprop": Entry(bpnet.RMSprop, {}, SHARED | {"rho": SHARE, "epsilon": EPSILON}),
    "Adam": Entry(
        bpnet.Adam, {}, SHARED | {"beta1": SHARE, "beta2": SHARE, "epsilon": EPSILON}
    ),
    "AdamW": Entry(
        bpnet.AdamW, {}, SHARED | {"beta1": SHARE, "beta2": SHARE, "epsilon": EPSILON}
    ),
    "MovingAverage": Entry(
        bpnet.MovingAverage,
        {"optimizer": "adam"},
        {"optimizer": AVERAGED, "decay": SHARE},
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
            "mode": bad.choice(none=True),
            "keep_last": bad.integer(1, none=True) | {"one name": KEPT},
        },
    ),
    "CSVLogger": Entry(bpnet.CSVLogger, {"path": "run.csv"}, {"path": bad.path()}),
    "TensorBoardLogger": Entry(
        bpnet.TensorBoardLogger, {"directory": "run"}, {"directory": bad.path()}
    ),
    "MLflowLogger": Entry(
        bpnet.MLflowLogger,
        {},
        {
            "experiment": bad.text(),
            "run_name": {k: case for k, case in bad.text().items() if k != "None"},
            "tracking_uri": bad.path(none=True),
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
            "parametrization": bad.choice(),
        }
        | factors("W"),
    ),
    "Dropout": Entry(bpnet.Dropout, {"rate": 0.5}, {"rate": SHARE}),
    "EarlyStopping": Entry(
        bpnet.EarlyStopping,
        {},
        {
            "monitor": bad.text(),
            "patience": bad.integer(0),
            "min_delta": bad.number(0.0) | {"all": FRACTION},
            "mode": bad.choice(none=True),
            "restore_best": bad.flag(),
            "relative": bad.flag(),
        },
    ),
    "Embedding": Entry(
        bpnet.Embedding,
        {"sizes": {3: 12}, "dimension": 8},
        {"sizes": TABLES, "dimension": bad.integer(1), "init": bad.named("init")}
        | factors("E3"),
    ),
    "ParametricActivation": Entry(
        bpnet.ParametricActivation,
        {"activation": "tanh"},
        {"activation": bad.named("activation")} | factors("alpha"),
    ),
    "PeriodicEmbedding": Entry(
        bpnet.PeriodicEmbedding,
        {},
        {
            "frequencies": bad.integer(1),
            "dimension": bad.integer(2),
            "sigma": bad.number(0.0, above=True),
            "columns": COLUMNS,
        }
        | factors("W2"),
    ),
    "Scale": Entry(bpnet.Scale, {}, {"init": bad.number()} | factors("s")),
    "LayerNorm": Entry(bpnet.LayerNorm, {}, {"epsilon": EPSILON} | factors("gamma")),
    "BatchNorm": Entry(
        bpnet.BatchNorm, {}, {"momentum": SHARE, "epsilon": EPSILON} | factors("beta")
    ),
    "Residual": Entry(bpnet.Residual, {"layers": [bpnet.Dense(3)]}, {"layers": NESTED}),
    "Frozen": Entry(
        bpnet.Frozen,
        {"layer": bpnet.Dense(3)},
        {"layer": {
            name: Bad(value, TypeError, "^layer must be a bpnet layer such as .*; got")
            for name, value in {"None": None, "class": bpnet.Dense, "list": []}.items()
        }},
    ),
    "GradientFlow": Entry(bpnet.GradientFlow, {}, WATCH),
    "Doctor": Entry(bpnet.Doctor, {}, WATCH),
    "Snapshots": Entry(bpnet.Snapshots, {}, {"every": bad.integer(1)}),
    "Loader": Entry(
        bpnet.Loader,
        {"n_rows": 10, "n_inputs": 2, "batch_size": 4},
        {
            "n_rows": bad.integer(1),
            "n_inputs": bad.integer(1),
            "batch_size": bad.integer(1),
            "total_weight": bad.number(0.0, above=True, none=True),
            "sizes": {
                "number": Bad(3, TypeError, "^sizes must be a sequence, got 3"),
                "none": Bad([], ValueError, "^sizes must have 1 or more values; got"),
                "half": Bad([2.5], TypeError, "^sizes must be an integer, got 2.5"),
                "zero": Bad([0], ValueError, "^sizes must be >= 1, got 0"),
                "too large": Bad([5], ValueError, "^sizes must be at most batch_size=4, .*5"),
            },
            "n_batches": bad.integer(1, none=True)
            | {
                "too few": Bad(2, ValueError, r"^n_batches=2 .* hold 4 to 8 .* n_rows=10$"),
                "too many": Bad(6, ValueError, r"^n_batches=6 .* hold 12 to 24 .*=10$"),
            },
        },
    ),
    **entries_streams.ENTRIES,
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
    "losses.BinaryCrossentropy": Entry(
        bpnet.losses.BinaryCrossentropy,
        {},
        {"label_smoothing": SHARE, "positive_weight": POSITIVES},
    ),
    "losses.CategoricalCrossentropy": Entry(
        bpnet.losses.CategoricalCrossentropy,
        {},
        {"label_smoothing": SHARE, "class_weights": weights("class_weights")},
    ),
    "losses.Masked": Entry(
        bpnet.losses.Masked,
        {"loss": "mse"},
        {"loss": bad.named("loss"), "output_weights": weights("output_weights")},
    ),
    "losses.Quantile": Entry(bpnet.losses.Quantile, {}, {"q": LEVELS}),
    "losses.Huber": Entry(bpnet.losses.Huber, {}, {"delta": EPSILON}),
    "initializers.Constant": Entry(
        bpnet.initializers.Constant, {"value": 1.0}, {"value": bad.number()}
    ),
    "initializers.Normal": Entry(bpnet.initializers.Normal, {}, {"std": bad.number(0.0)}),
    "activations.get": Entry(
        bpnet.activations.get, {}, {"activation": bad.named("activation")}
    ),
    "metrics.get": Entry(bpnet.metrics.get, {}, {"metrics": bad.metrics(none=False)}),
    "metrics.F1": Entry(bpnet.metrics.F1, {}, {"average": bad.choice(none=True)}),
    "metrics.TopKAccuracy": Entry(bpnet.metrics.TopKAccuracy, {}, {"k": bad.integer(1)}),
    "optimizers.get": Entry(bpnet.optimizers.get, {}, {"optimizer": bad.optimizer()}),
    "losses.get": Entry(bpnet.losses.get, {}, {"loss": bad.named("loss")}),
    "initializers.get": Entry(
        bpnet.initializers.get, {}, {"initializer": bad.named("init")}
    ),
    "schedules.get": Entry(schedules.get, {}, {"learning_rate": RATE}),
    "schedules.Constant": Entry(schedules.Constant, {}, {"learning_rate": START}),
    "schedules.Step": Entry(
        schedules.Step,
        {"learning_rate": 0.1, "every": 2},
        {"learning_rate": START, "every": bad.integer(1), "factor": FACTOR},
    ),
    "schedules.Exponential": Entry(
        schedules.Exponential,
        {"learning_rate": 0.1, "factor": 0.5},
        {"learning_rate": START, "factor": FACTOR},
    ),
    "schedules.InverseScaling": Entry(
        schedules.InverseScaling,
        {"learning_rate": 0.1},
        {"learning_rate": START, "power": bad.number(0.0), "decay": bad.number(0.0)},
    ),
    "schedules.Cosine": Entry(
        schedules.Cosine,
        {"learning_rate": 0.1, "epochs": 5},
        {"learning_rate": START, "epochs": EPSILON, "minimum": bad.number(0.0, 0.1)},
    ),
    "schedules.FlatCosine": Entry(
        schedules.FlatCosine,
        {"learning_rate": 0.1, "epochs": 5},
        {"learning_rate": START, "epochs": EPSILON},
    ),
    "schedules.CosLog": Entry(
        schedules.CosLog,
        {"learning_rate": 0.1, "epochs": 5},
        {"learning_rate": START, "epochs": EPSILON, "cycles": bad.integer(1)},
    ),
    "schedules.OneCycle": Entry(
        schedules.OneCycle,
        {"learning_rate": 0.1, "epochs": 5},
        {
            "learning_rate": START,
            "epochs": EPSILON,
            "peak": bad.number(0.0, 1.0, above=True, below=True),
            "start": bad.number(0.0, 1.0),
            "end": bad.number(0.0, 1.0),
        },
    ),
    "schedules.CosineRestarts": Entry(
        schedules.CosineRestarts,
        {"learning_rate": 0.1, "epochs": 5},
        {
            "learning_rate": START,
            "epochs": EPSILON,
            "growth": bad.integer(1),
            "minimum": bad.number(0.0, 0.1),
        },
    ),
    "schedules.WarmUp": Entry(
        schedules.WarmUp,
        {"schedule": 0.1, "epochs": 5},
        {"schedule": RATE, "epochs": EPSILON, "start": bad.number(0.0, 1.0)},
    ),
    "schedules.ReduceOnPlateau": Entry(
        schedules.ReduceOnPlateau,
        {"learning_rate": 0.1},
        {
            "learning_rate": START,
            "monitor": bad.text(),
            "factor": bad.number(0.0, 1.0, above=True, below=True),
            "patience": bad.integer(0),
            "min_delta": bad.number(0.0) | {"all": FRACTION},
            "minimum": bad.number(0.0, 0.1, none=True),
            "mode": bad.choice(none=True),
            "relative": bad.flag(),
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
        "complex": np.ones(2, complex), "objects": np.ones(2, object), "bool": np.ones(2, bool),
    }.items()
}  # fmt: skip
NO_OPTIONS = {
    name: Bad(value, TypeError, "^argv must be a s(equence|tring), got")
    for name, value in {"number": 3, "text": "demo", "numbers": [1, 2], "bytes": b"x"}.items()
}

CUSTOM = {
    name: Bad(value, TypeError, "^custom must be a dict of names and classes such as .*got")
    for name, value in {"number": 3, "class": bpnet.Dense, "list": [bpnet.Dense]}.items()
} | {
    name: Bad(value, TypeError, "^custom must map names to classes of components or to .*got")
    for name, value in {
        "number as name": {1: bpnet.Dense}, "number": {"Own": 1}, "name": {"Own": "Own"},
        "layer": {"Own": bpnet.Dense(1)}, "None": {"Own": None},
    }.items()
}  # fmt: skip

REST = {
    "get_backend": Entry(bpnet.get_backend, {}, {"spec": bad.backend()}),
    "distributed.get_communicator": Entry(
        bpnet.distributed.get_communicator, {}, {"spec": bad.communicator()}
    ),
    "use_backend": Entry(
        lambda spec: bpnet.use_backend(spec).__enter__(),
        {},
        {"spec": bad.backend(none=False)},
    ),
    "matmul_precision": Entry(
        lambda precision: bpnet.matmul_precision(precision).__enter__(),
        {},
        {"precision": bad.choice()},
    ),
    "load": Entry(
        bpnet.load,
        {"path": "none"},
        {"path": bad.path(), "backend": bad.backend(), "custom": CUSTOM},
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
    "interchange.from_sklearn": Entry(
        bpnet.interchange.from_sklearn,
        {},
        {"mlp": bad.instance("^mlp must be an MLPClassifier or MLPRegressor; got")},
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
    "learn.loss_landscape": Entry(
        learn.loss_landscape,
        {},
        {
            "epochs": bad.integer(2),
            "resolution": bad.integer(2),
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
    "cli.main": Entry(main, {}, {"argv": NO_OPTIONS}),
}  # fmt: skip
