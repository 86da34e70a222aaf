"""The estimators' rows in the table of bad inputs; many errors are scikit-learn's own."""

from __future__ import annotations

import functools
import math

import bad_values as bad
import numpy as np
from bad_data import W, X, Y
from bad_values import HUGE, Bad, no_numbers
from entries import Entry
from scipy import sparse

import bpnet

BOTH = (TypeError, ValueError)
SMALL = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
TARGETS = {"MLPClassifier": Y, "MLPRegressor": X[:, 0]}


@functools.cache
def estimator(name, fitted=True):
    model = getattr(bpnet, name)(**SMALL)
    return model.fit(X, TARGETS[name]) if fitted else model


# --- parameters -------------------------------------------------------------------------------


def one(**values):
    """Return cases that scikit-learn's constraints reject, by type and range."""
    message = r"^The '{name}' parameter of MLP\w+ must be .* Got .* instead"
    common = {"object": object(), "complex": 1j, "bytes": b"adam", "set": {1, 2}}
    return {
        case: Bad(value, BOTH, message)
        for case, value in (
            common | {k.replace("_", " "): v for k, v in values.items()}
        ).items()
    }


def each(name, value, message):
    return {name: Bad(value, BOTH, message)}


COUNT = one(zero=0, half=2.5, text="many", none=None, NaN=math.nan)
FLAG = one(text="yes", none=None, number=2.5)
NUMBER = one(negative=-0.1, NaN=math.nan, text="0.1", none=None)
SHARE = one(negative=-0.1, above=1.5, NaN=math.nan, text="0.1", none=None)
POSITIVE = one(zero=0.0, negative=-0.1, NaN=math.nan, text="0.1", none=None)
WORD = one(unknown="nonsense", number=3, none=None, foreign="größe")
LENGTH = r"^{name} must have one entry for each of 1 hidden layers, got 2"

PARAMETERS = {
    "hidden_layer_sizes": one(zero=0, negative=-3, half=2.5, none=None, text="64")
    | each("zero among", (3, 0), r"^hidden_layer_sizes must be > 0, got \[3, 0\]")
    | each("half among", (2.5,), "^hidden_layer_sizes must be an integer, got 2.5")
    | each("text among", ("a",), "^hidden_layer_sizes must be an integer, got 'a'")
    | each("bool among", (True,), "^hidden_layer_sizes must be an integer, got True")
    | each("nested", ((3, 3),), r"^hidden_layer_sizes must be an integer, got \(3, 3\)")
    | {
        "huge": Bad((HUGE,), bpnet.OutOfMemoryError, r"\bhidden_layer_sizes\b"),
        "beyond": Bad((HUGE**9,), bpnet.OutOfMemoryError, r"\bhidden_layer_sizes\b"),
    },
    "activation": one(unknown="maxout", number=3, none=None)
    | each("unknown among", ["maxout"], "^unknown activation 'maxout'")
    | each("None among", [None], "^activation .*got NoneType")
    | each("too many", ["relu", "tanh"], LENGTH),
    "solver": WORD,
    "alpha": NUMBER,
    "batch_size": one(zero=0, half=2.5, text="all", none=None),
    "learning_rate": WORD,
    "learning_rate_init": POSITIVE,
    "power_t": NUMBER,
    "max_iter": COUNT,
    "shuffle": FLAG,
    "random_state": one(negative=-1, text="0", half=0.5),
    "tol": NUMBER,
    "verbose": one(text="yes", none=None, half=0.5),
    "warm_start": FLAG,
    "momentum": SHARE,
    "nesterovs_momentum": FLAG,
    "early_stopping": FLAG,
    "validation_fraction": SHARE,
    "beta_1": SHARE,
    "beta_2": SHARE,
    "epsilon": POSITIVE,
    "n_iter_no_change": one(zero=0, half=2.5, text="many", none=None),
    "max_fun": COUNT,
    "dropout": one(one=1.0, negative=-0.1, text="half", none=None)
    | each("too many", [0.1, 0.2], LENGTH)
    | each("one among", [1.0], "^dropout must be a finite number >= 0 and < 1, got 1.0"),
    "clip_norm": one(zero=0.0, negative=-1.0, text="1"),
    "optimizer": one(text="adam", its_class=bpnet.Adam, number=0.1),
    "schedule": one(number=0.1, text="cosine", its_class=bpnet.schedules.Cosine),
    "init": one(unknown="he", number=0.1)
    | each("class", bpnet.initializers.Normal, "^init must be a name or function .*the class"),
    "callbacks": each("function", print, "^The 'callbacks' parameter of MLP|^callbacks must be")
    | each("among", [print], "^callbacks must be bpnet callbacks, got")
    | each("its class", [bpnet.Callback], "^callbacks must be bpnet callbacks, got")
    | each("text", "early", "^callbacks must be bpnet|^The 'callbacks' parameter"),
    "dtype": one(unknown="float16", number=3, NumPys=np.float32),
    "backend": one(number=3)
    | each("unknown", "nonsense", "^unknown backend 'nonsense'; known backends:")
    | {"no device": Bad("numpy:gpu", bpnet.NoDeviceError, "backend 'numpy' has no device")},
    "progress": FLAG,
    "loss": one(unknown="nonsense", number=3, none=None, its_class=bpnet.losses.Huber)
    | each(
        "of classes",
        bpnet.losses.BinaryCrossentropy(),
        r"^loss must be one of real targets or counts, such as bpnet\.losses\.Huber\(2\.0\)",
    ),
    "class_weight": one(unknown="even", number=0.5)
    | each("not a weight", {0: "a", 1: 1.0, 2: 1.0}, "class_weight")
    | each("negative", {0: -1.0}, "^class_weight must")
    | each("NaN", {0: math.nan}, "^class_weight must"),
}


def fit_with(parameter, value):
    def fit(model):
        model.set_params(**{parameter: value}).fit(X, TARGETS[type(model).__name__])

    return fit


del PARAMETERS["hidden_layer_sizes"]["set"], PARAMETERS["dropout"]["set"]  # taken in any order


# --- arrays -----------------------------------------------------------------------------------

M = len(X)
NO_NUMBERS = {  # scikit-learn accepts text, objects and sparse arrays that hold numbers
    name: bad._replace(error=(*BOTH, bpnet.NoDeviceError), message=r"\b{name}\b")
    for name, bad in no_numbers(X).items()
    if name in (
        "dict", "generator", "string", "class", "text", "ragged", "a None inside", "complex",
        "masked", "frame that fails", "unknown library", "torch sparse", "torch meta",
        "jax sparse", "records",
    )
}  # fmt: skip
FEATURES = NO_NUMBERS | {
    case: Bad(value, BOTH, r"\b{name}\b")
    for case, value in {
        "None": None, "scalar": np.array(2.0), "1-D": X[:, 0], "3-D": X[None],
        "no rows": X[:0], "no features": X[:, :0], "NaN": X * np.nan, "infinite": X + np.inf,
        "bsr with NaN": sparse.bsr_array(X * np.nan),
    }.items()
}  # fmt: skip
WIDTHS = {
    "one feature": Bad(X[:, :1], ValueError, "^X has 1 features, but MLP.* is expecting 2"),
    "four": Bad(np.hstack([X, X]), ValueError, "^X has 4 features, but MLP.* is expecting 2"),
}
LENGTHS = {
    case: Bad(value, BOTH, r"\b{name}\b")
    for case, value in {
        "short": Y[:5], "empty": Y[:0], "scalar": np.array(1), "3-D": np.zeros((M, 1, 1)),
    }.items()
}  # fmt: skip
NO_TARGETS = ("dict", "generator", "string", "class", "ragged", "complex", "unknown library",
              "torch sparse", "torch meta", "jax sparse", "frame that fails")  # fmt: skip
TARGETS_BAD = (
    {name: NO_NUMBERS[name] for name in NO_TARGETS if name in NO_NUMBERS}
    | LENGTHS
    | {
        case: Bad(value, BOTH, r"\b{name}\b")
        for case, value in {
            "None": None, "NaN": X[:, 0] * np.nan, "inf": X[:, 0] + np.inf,
        }.items()
    }
)  # fmt: skip
NUMBERS_BAD = {"text": Bad(np.array(list("abcdef")), BOTH, r"\b{name}\b")}
LABELS_BAD = {
    "fractions": Bad(X[:, 0] + 0.3, ValueError, r"\b{name}\b"),
    "two outputs": Bad(np.stack([Y, Y], 1), ValueError, r"\b{name}\b"),
    "mixed": Bad(np.array(["a", 1, None] * 2, object), BOTH, r"\b{name}\b"),
}
WEIGHTS_BAD = LENGTHS | {
    case: Bad(value, BOTH, r"\b{name}\b")
    for case, value in {
        "negative": -W, "all 0": 0 * W, "NaN": W * np.nan, "infinite": W + np.inf,
        "column": W[:, None], "text": "balanced", "texts": list("abcdef"),
        "complex": W + 1j, "objects": np.array([None] * M),
        "of infinite sum": np.full(M, 1e308),
    }.items()
}  # fmt: skip
CLASSES_BAD = {
    "missing": Bad([0, 1], ValueError, r"\bclasses\b"),
    "others": Bad([5, 6], ValueError, r"\bclasses\b"),
    "number": Bad(3, BOTH, r"\bclasses\b"),
    "text": Bad("012", BOTH, r"\bclasses\b"),
    "NaN": Bad([0.0, 1.0, np.nan], BOTH, r"\bclasses\b"),
    "empty": Bad([], BOTH, r"\bclasses\b"),
    "ragged": Bad([[0], [1, 2]], BOTH, r"\bclasses\b"),
}

VALIDATION = bad.instance(r"^validation_data must be a tuple \(X, y\) or", none=True) | {
    "X alone": Bad((X,), TypeError, r"^validation_data must be a tuple \(X, y\) or"),
    "four": Bad((X, Y, W, W), TypeError, r"^validation_data must be a tuple \(X, y\) or"),
}
WIDE = np.hstack([X, X])
PARTS_OF_VALIDATION = {
    f"{what}, {case}": Bad(whole(part.value), part.error, "^validation_data: ")
    for what, parts, whole in (
        ("X", FEATURES, lambda value: (value, Y)),
        ("y", TARGETS_BAD, lambda value: (WIDE, value)),
        ("w", WEIGHTS_BAD, lambda value: (WIDE, Y, value)),
    )
    for case, part in parts.items()
}


def method(owner, name):
    # An estimator fitted to two features is refitted to four.
    good = {"X": np.hstack([X, X]) if name == "fit" else X}
    cases = {"X": FEATURES | (WIDTHS if name != "fit" else {})}
    if name in ("fit", "partial_fit", "score"):
        kind = LABELS_BAD if owner == "MLPClassifier" else NUMBERS_BAD
        kind = kind if name != "score" else {}
        good["y"] = TARGETS[owner]
        cases |= {"y": TARGETS_BAD | kind, "sample_weight": WEIGHTS_BAD}
    if owner == "MLPClassifier" and name == "partial_fit":
        good["classes"] = [0, 1, 2]
        cases["classes"] = CLASSES_BAD
    if name == "fit":
        parts = PARTS_OF_VALIDATION if owner == "MLPClassifier" else {}  # checked alike
        cases["validation_data"] = VALIDATION | parts
    return Entry(lambda net, **given: getattr(net, name)(**given), good, cases)


METHODS = {
    f"{owner}.{name}": method(owner, name)
    for owner, names in {
        "MLPClassifier": ("fit", "partial_fit", "predict", "predict_proba",
                          "predict_log_proba", "score"),
        "MLPRegressor": ("fit", "partial_fit", "predict", "score"),
    }.items()
    for name in names
}  # fmt: skip
METHODS |= {
    f"{owner}.{name}": Entry(
        lambda net, path, name=name: getattr(net, name)(path),
        {"path": "model"},
        {"path": bad.path()},
    )
    for owner in ("MLPClassifier", "MLPRegressor")
    for name in ("save", "to_onnx")
}
