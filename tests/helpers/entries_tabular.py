"""The tabular estimators' rows in the table of bad inputs."""

from __future__ import annotations

import functools
import math

import bad_values as bad
import numpy as np
import pandas as pd
from bad_data import W, X, Y
from bad_values import Bad
from entries import Entry
from entries_sklearn import BOTH, LABELS_BAD, LENGTHS, NUMBERS_BAD, WEIGHTS_BAD

import bpnet

SMALL = {"n_epochs": 1, "hidden_layer_sizes": (3,), "random_state": 0}
TARGETS = {"TabularClassifier": Y, "TabularRegressor": X[:, 0]}
OWNERS = tuple(TARGETS)


@functools.cache
def estimator(name, fitted=True):
    model = getattr(bpnet, name)(**SMALL)
    return model.fit(X, TARGETS[name]) if fitted else model


# --- parameters -------------------------------------------------------------------------------


def one(**values):
    """Return cases that scikit-learn's constraints reject, by type and range."""
    message = r"^The '{name}' parameter of Tabular\w+ must be .* Got .*"
    common = {"object": object(), "complex": 1j, "bytes": b"td", "set": {1, 2}}
    return {
        case.replace("_", " "): Bad(value, BOTH, message)
        for case, value in (common | values).items()
    }


def each(name, value, message):
    return {name: Bad(value, BOTH, message)}


COUNT = one(zero=0, half=2.5, text="many", NaN=math.nan)
FLAG = one(text="yes", number=2.5)
NUMBER = one(negative=-0.1, NaN=math.nan, text="0.1")
SHARE = one(negative=-0.1, one=1.0, NaN=math.nan, text="0.1")
POSITIVE = one(zero=0.0, negative=-0.1, NaN=math.nan, text="0.1")
WORD = one(unknown="nonsense", number=3, foreign="größe")
NOT_NONE = one(none=None)
SCHEDULED = ("learning_rate", "weight_decay", "dropout")
FACTORS = ("bias", "scale", "activation", "num_embedding")

PARAMETERS = {
    "preset": WORD | NOT_NONE | each("near", "td_s", "did you mean 'td-s'"),
    "categorical_features": one(number=3, none=None, text="a")
    | each("unknown", ["a"], "^categorical_features must be columns of X")
    | each("beyond", [9], "^categorical_features must have numbers of columns from 0")
    | each("short mask", [True], "^categorical_features must have an entry for each"),
    "max_one_hot_size": NUMBER,
    "missing_indicator": FLAG | NOT_NONE,
    "hidden_layer_sizes": one(zero=0, text="64")
    | each("zero among", (3, 0), "^hidden_layer_sizes must be >= 1, got 0")
    | each("half among", (2.5,), "^hidden_layer_sizes must be an integer"),
    "activation": one(unknown="maxout", number=3),
    "parametric_activation": FLAG,
    "parametrization": WORD,
    "init": WORD,
    "scale_layer": FLAG,
    "num_embedding": WORD,
    "num_embedding_frequencies": COUNT,
    "num_embedding_size": COUNT | one(one=1),
    "num_embedding_sigma": POSITIVE,
    "category_embedding_size": COUNT,
    "label_smoothing": SHARE,
    "clip_output": FLAG,
    "learning_rate": POSITIVE,
    "weight_decay": NUMBER,
    "dropout": SHARE,
    "beta_1": SHARE,
    "beta_2": SHARE,
    "epsilon": POSITIVE,
    "n_epochs": COUNT | NOT_NONE,
    "batch_size": COUNT | NOT_NONE,
    "validation_fraction": SHARE | NOT_NONE,
    "metric": one(unknown="nonsense", number=3)
    | each("of another kind", "poisson_deviance", "^The 'metric' parameter"),
    "early_stopping": FLAG,
    "time_budget": POSITIVE,
    "n_ensemble": COUNT | NOT_NONE,
    "ensemble": WORD | NOT_NONE | each("one", "bag", "^n_ensemble must be >= 2 for ensemble"),
    "random_state": one(negative=-1, text="0", half=0.5),
    "dtype": one(unknown="float16", number=3, NumPys=np.float32, none=None),
    "backend": one(number=3)
    | each("unknown", "nonsense", "^unknown backend 'nonsense'; known backends:"),
    "communicator": one(number=3, unknown="mpi"),
    "progress": FLAG | NOT_NONE,
    "callbacks": each("function", print, "^The 'callbacks' parameter|^callbacks must be")
    | each("among", [print], "^callbacks must be bpnet callbacks, got")
    | each("text", "early", "^callbacks must be bpnet|^The 'callbacks' parameter"),
    "verbose": one(text="yes", none=None, half=0.5),
}
PARAMETERS |= {f"{name}_schedule": WORD for name in SCHEDULED}
PARAMETERS |= {f"{name}_learning_rate_factor": NUMBER for name in FACTORS}
for cases in ("hidden_layer_sizes", "categorical_features"):  # sets are taken in any order
    del PARAMETERS[cases]["set"]


# --- arrays -----------------------------------------------------------------------------------

FEATURES = {
    case: Bad(value, BOTH, r"\bX\b|^Found array|^Expected 2D|sample|feature")
    for case, value in {
        "None": None, "scalar": np.array(2.0), "1-D": X[:, 0], "3-D": X[None],
        "no rows": X[:0], "no features": X[:, :0], "infinite": X + np.inf, "complex": X + 1j,
        "dates": X.astype("datetime64[s]"), "dict": {"a": 1}, "text": "abc",
        "empty frame": pd.DataFrame(), "frame without rows": pd.DataFrame({"a": [], "b": []}),
    }.items()
}  # fmt: skip
WIDTHS = {
    "one feature": Bad(X[:, :1], ValueError, "^X has 1 features, but Tabular.* is expecting 2"),
    "text": Bad(X.astype(object).astype(str).astype(object), TypeError, "must hold numbers"),
}
TARGETS_BAD = LENGTHS | {
    case: Bad(value, BOTH, r"\by\b")
    for case, value in {
        "None": None, "NaN": X[:, 0] * np.nan, "inf": X[:, 0] + np.inf, "string": "abc",
    }.items()
}  # fmt: skip
VALIDATION = bad.instance(r"^validation_data must be a tuple \(X, y\) or", none=True) | {
    "X alone": Bad((X,), TypeError, r"^validation_data must be a tuple \(X, y\) or"),
    "four": Bad((X, Y, W, W), TypeError, r"^validation_data must be a tuple \(X, y\) or"),
    "other columns": Bad((X[:, :1], Y), ValueError, "^validation_data: X has 1 features"),
    "other rows": Bad((X, Y[:2]), ValueError, "^validation_data: "),
    "bad weights": Bad((X, Y, -W), ValueError, "^validation_data: "),
}


def method(owner, name):
    good = {"X": X}
    cases = {"X": FEATURES | (WIDTHS if name != "fit" else {})}
    if name in ("fit", "score"):
        kind = LABELS_BAD if owner == "TabularClassifier" else NUMBERS_BAD
        good["y"] = TARGETS[owner]
        cases["y"] = TARGETS_BAD | (kind if name == "fit" else {})
        cases["sample_weight"] = WEIGHTS_BAD
    if name == "fit":
        cases["validation_data"] = VALIDATION
    if (owner, name) == ("TabularRegressor", "predict"):
        cases["return_std"] = {
            "text": Bad("yes", TypeError, "^return_std must be True or False"),
            "of one": Bad(True, ValueError, "^return_std needs an ensemble"),
        }
    return Entry(lambda net, **given: getattr(net, name)(**given), good, cases)


METHODS = {
    f"{owner}.{name}": method(owner, name)
    for owner, names in {
        "TabularClassifier": ("fit", "predict", "predict_proba", "predict_log_proba", "score"),
        "TabularRegressor": ("fit", "predict", "score"),
    }.items()
    for name in names
}
METHODS |= {
    f"{owner}.{name}": Entry(
        lambda net, path, name=name: getattr(net, name)(path),
        {"path": "model"},
        {"path": bad.path()},
    )
    for owner in OWNERS
    for name in ("save", "to_onnx")
}
