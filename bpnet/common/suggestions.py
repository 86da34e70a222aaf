"""What someone may have meant who chose a name that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterable

# How alike two names must be, from 0 to 1, for one to be a misspelling of the other.
ALIKE = 0.7

# Names in other libraries, without case and punctuation, and what they are called here.
_ELSEWHERE: dict[str, tuple[str, ...]] = {
    # losses of Keras, PyTorch and scikit-learn
    "mseloss": ("mean_squared_error",),
    "l2loss": ("mean_squared_error",),
    "squarederror": ("mean_squared_error",),
    "squaredloss": ("mean_squared_error",),
    "l1loss": ("mean_absolute_error",),
    "absoluteerror": ("mean_absolute_error",),
    "smoothl1loss": ("huber",),
    "bceloss": ("binary_crossentropy",),
    "bcewithlogitsloss": ("binary_crossentropy",),
    "crossentropy": ("categorical_crossentropy", "binary_crossentropy"),
    "crossentropyloss": ("categorical_crossentropy", "binary_crossentropy"),
    "logloss": ("categorical_crossentropy", "binary_crossentropy"),
    "logisticloss": ("binary_crossentropy",),
    "nllloss": ("categorical_crossentropy",),
    "nll": ("categorical_crossentropy",),
    "negativeloglikelihood": ("categorical_crossentropy",),
    "sparsecategoricalcrossentropy": ("categorical_crossentropy",),
    "multiclassentropy": ("categorical_crossentropy",),
    "poissonnllloss": ("poisson",),
    # activations
    "relu6": ("relu",),
    "rectifier": ("relu",),
    "none": ("identity",),
    "hardswish": ("silu",),
    "prelu": ("leaky_relu",),
    # initializers
    "glorot": ("glorot_uniform", "glorot_normal"),
    "xavier": ("glorot_uniform", "glorot_normal"),
    "xaviernormal": ("glorot_normal",),
    "he": ("he_normal", "he_uniform"),
    "kaiming": ("he_normal", "he_uniform"),
    "kaimingnormal": ("he_normal",),
    "kaiminguniform": ("he_uniform",),
    "lecun": ("lecun_normal", "lecun_uniform"),
    "randomnormal": ("normal",),
    "gaussian": ("normal",),
    # optimizers
    "gd": ("sgd",),
    "gradientdescent": ("sgd",),
    "nadam": ("adam",),
    "radam": ("adam",),
    "adamax": ("adam",),
    # metrics
    "acc": ("accuracy",),
    "binaryaccuracy": ("accuracy",),
    "categoricalaccuracy": ("accuracy",),
    "sparsecategoricalaccuracy": ("accuracy",),
    "auc": ("roc_auc",),
    "auroc": ("roc_auc",),
    "precision": ("f1",),
    "recall": ("f1",),
    "fscore": ("f1",),
    "neglogloss": ("log_loss",),
}


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return "; did you mean 'relu'?", or "" if no allowed name is like the given one."""
    names = {name: _plain(name) for name in allowed}
    return _question(_closest(_plain(given), names))


def unknown_name(what: str, given: str, allowed: Iterable[str]) -> ValueError:
    """Return the error for a name that is not in a table."""
    names = sorted(allowed)
    return ValueError(
        f"unknown {what} {given!r}; available: {', '.join(names)}{did_you_mean(given, names)}"
    )


def _closest(given: str, names: dict[str, str]) -> list[str]:
    """Return the names that are meant, given without case and punctuation."""
    if equal := [name for name, plain in names.items() if plain == given]:
        return equal[:1]
    if known := [name for name in _ELSEWHERE.get(given, ()) if name in names]:
        return known
    short = given.removesuffix("loss").removesuffix("score")
    if short and short != given and (known := _closest(short, names)):
        return known
    import difflib  # slow to import

    plain = {plain: name for name, plain in names.items()}
    return [plain[found] for found in difflib.get_close_matches(given, plain, 1, ALIKE)]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _question(names: list[str]) -> str:
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""
