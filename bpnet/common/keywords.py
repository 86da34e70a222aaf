"""Errors for keyword arguments that people bring from other libraries, with what to write."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any, ParamSpec, TypeVar

from bpnet.common.suggestions import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

_RATE = ("learning_rate_init", "learning_rate")
_EPOCHS = ("epochs", "n_epochs", "max_iter")
_SEED = ("seed", "random_state")

# Arguments in Keras, PyTorch and scikit-learn, and their names here: the first of these that is
# an argument of what was called.
_RENAMED: dict[str, tuple[str, ...]] = {
    "T_max": ("epochs",),
    "act": ("activation",),
    "activation_fn": ("activation",),
    "alpha": ("negative_slope", "rho"),
    "batchsize": ("batch_size",),
    "beta": ("delta",),
    "beta1": ("beta1", "beta_1"),
    "beta2": ("beta2", "beta_2"),
    "beta_1": ("beta1",),
    "beta_2": ("beta2",),
    "bias_initializer": ("bias_init",),
    "bs": ("batch_size",),
    "callback": ("callbacks",),
    "clipnorm": ("clip_norm",),
    "clipvalue": ("clip_value",),
    "criterion": ("loss",),
    "custom_objects": ("custom",),
    "dropout_rate": ("rate", "dropout"),
    "epoch": _EPOCHS,
    "epochs": _EPOCHS,
    "eps": ("epsilon",),
    "eta": _RATE,
    "eta_min": ("minimum",),
    "filepath": ("path",),
    "gamma": ("factor",),
    "hidden": ("hidden_layer_sizes",),
    "hidden_layers": ("hidden_layer_sizes",),
    "hidden_sizes": ("hidden_layer_sizes",),
    "in_features": ("n_inputs",),
    "initial_learning_rate": _RATE,
    "initializer": ("init",),
    "input_dim": ("n_inputs",),
    "input_shape": ("n_inputs",),
    "kernel_initializer": ("init",),
    "layers": ("hidden_layer_sizes",),
    "learning_rate": _RATE,
    "loss_fn": ("loss",),
    "lr": _RATE,
    "lr_scheduler": ("schedule",),
    "map_location": ("backend",),
    "max_epochs": _EPOCHS,
    "max_iter": _EPOCHS,
    "max_lr": ("high",),
    "metric": ("metrics",),
    "min_lr": ("minimum", "low"),
    "momentum": ("beta1",),
    "n_classes": ("classes",),
    "n_epochs": _EPOCHS,
    "n_iter_no_change": ("patience",),
    "n_units": ("units",),
    "nb_epoch": _EPOCHS,
    "nesterov": ("nesterovs_momentum",),
    "nesterovs_momentum": ("nesterov",),
    "num_classes": ("classes",),
    "num_epochs": _EPOCHS,
    "optim": ("optimizer",),
    "out_features": ("units",),
    "output_dim": ("units",),
    "p": ("rate", "dropout"),
    "prob": ("rate", "dropout"),
    "random_state": _SEED,
    "save_best_only": ("best_only",),
    "scheduler": ("schedule",),
    "seed": _SEED,
    "step_size": ("every",),
    "top_k": ("k",),
    "val_data": ("validation_data",),
    "validation_fraction": ("validation_split",),
    "validation_split": ("validation_fraction",),
    "verbose": ("progress",),
    "weights": ("sample_weight",),
}  # fmt: skip

_WIDTH = "the width of the input is that of the data, or given by net.build(n_inputs)"
_RATE_OF = "the learning rate belongs to the optimizer: optimizer=bpnet.Adam(0.01)"
_SCHEDULE = "a schedule is given as the learning rate: "
_COSINE = "bpnet.Adam(bpnet.schedules.Cosine(0.01, epochs=100))"
_BIAS = "a Dense always has a bias; bias_init gives its initial values"
_BLOCKS = "there is no need for it, as the rows are computed in blocks"
_PENALTY = "penalties are given as numbers: l1=1e-5, l2=1e-4"
_BEST = "with a monitor such as 'val_loss', the best weights are restored at the end anyway"
_DECAY = "the weight decay belongs to the optimizer: optimizer=bpnet.AdamW(0.001)"
_STOP = "pass callbacks=[bpnet.EarlyStopping('val_loss', patience=10)]"

# What to do about arguments that have no other name: by what was called ("" is anything else).
_ANSWERS: dict[str, dict[str, str]] = {
    "activity_regularizer": {"": _PENALTY},
    "alpha": {"Dense": _PENALTY},
    "batch_size": {
        "Network": "pass it to fit: net.fit(X, y, batch_size=32)",
        **dict.fromkeys(("evaluate", "forward", "predict", "predict_proba"), _BLOCKS),
    },
    "beta1": {"": "pass optimizer=bpnet.Adam(0.001, beta1=0.9)"},
    "betas": {"": "write beta1=0.9, beta2=0.999"},
    "bias": {"": _BIAS},
    "bias_regularizer": {"": "biases have no penalty"},
    "callbacks": {"": "pass them to fit: net.fit(X, y, callbacks=[...])"},
    "class_weight": {
        "": "weight the examples by their class: sample_weight=weight_of_class[y], or use "
        "bpnet.MLPClassifier(class_weight='balanced'); a factor of the loss of each class is "
        "bpnet.losses.CategoricalCrossentropy(class_weights=(1.0, 5.0))"
    },
    "clip_norm": {"": "pass it to the optimizer: optimizer=bpnet.Adam(0.001, clip_norm=1.0)"},
    "decay": {"": f"{_SCHEDULE}bpnet.SGD(bpnet.schedules.InverseScaling(0.01))"},
    "device": {
        "": "where to compute is the argument 'backend' of fit and predict, such as "
        "backend='torch:cuda:0'"
    },
    "dropout": {"": "add a layer: bpnet.Dropout(0.5)"},
    "dtype": {"": "pass it to the network: bpnet.Network(layers, loss, dtype='float64')"},
    "early_stopping": {"": _STOP},
    "early_stopping_patience": {"": _STOP},
    "epochs": {"": "pass it to fit: net.fit(X, y, epochs=100)"},
    "in_features": {"": _WIDTH},
    "inplace": {"": "arrays are never modified in place"},
    "input_dim": {"": _WIDTH},
    "input_shape": {"": _WIDTH},
    "kernel_regularizer": {"": _PENALTY},
    "learning_rate": {"": _RATE_OF},
    "loss": {
        "": "pass it to the network: bpnet.Network(layers, loss='mse')",
        "MLPClassifier": "a classifier minimizes the log loss",
    },
    "lr": {"": _RATE_OF},
    "lr_scheduler": {"": f"{_SCHEDULE}optimizer={_COSINE}"},
    "max_lr": {"": f"{_SCHEDULE}optimizer={_COSINE}"},
    "metrics": {"": "pass them to fit or evaluate: net.evaluate(X, y, metrics=['accuracy'])"},
    "min_lr": {"": f"{_SCHEDULE}optimizer={_COSINE}"},
    "momentum": {"": "pass optimizer=bpnet.SGD(0.01, momentum=0.9)"},
    "optimizer": {"": "pass it to fit: net.fit(X, y, optimizer='adam')"},
    "params": {"": "fit gives the parameters of the network to its optimizer"},
    "patience": {"": _STOP},
    "progress": {"": "only fit shows a progress bar"},
    "random_state": {"": "pass a seed to the network: bpnet.Network(layers, loss, seed=0)"},
    "reduction": {"": "the loss is the weighted mean over the examples"},
    "regularizer": {"": _PENALTY},
    "restore_best_weights": {"": _BEST},
    "scheduler": {"": f"{_SCHEDULE}optimizer={_COSINE}"},
    "seed": {"": "pass it to the network: bpnet.Network(layers, loss, seed=0)"},
    "use_bias": {"": _BIAS},
    "validation_data": {
        "": "pass it to fit: net.fit(X, y, validation_data=(X_val, y_val))",
        "partial_fit": "evaluate between the calls, net.evaluate(X_val, y_val) or "
        "estimator.score(X_val, y_val), or call fit",
    },
    "verbose": {"": "only fit shows anything: net.fit(X, y, progress=True)"},
    "weight_decay": {
        "": _DECAY,
        "Dense": f"a penalty of the loss is l2=1e-4; {_DECAY}",
        "MLPClassifier": "the strength of the L2 penalty is 'alpha'",
        "MLPRegressor": "the strength of the L2 penalty is 'alpha'",
    },
}  # fmt: skip
_ANSWERS["optim"] = _ANSWERS["optimizer"]
_ANSWERS["criterion"] = _ANSWERS["loss_fn"] = _ANSWERS["loss"]


def refusal(
    called: str, keyword: str, known: Collection[str], trains: bool = True
) -> TypeError:
    """Return the error for a keyword argument that a function or class does not have.

    `trains` is whether it belongs to the training of the user's own network, so that it helps
    to say where else the argument is given.
    """
    answers = _ANSWERS.get(keyword, {})
    names = [name for name in _RENAMED.get(keyword, ()) if name in known]
    if called in answers:
        advice = f"; {answers[called]}"
    elif names:
        advice = f"; did you mean {names[0]!r}?"
    elif trains and "" in answers:
        advice = f"; {answers['']}"
    else:
        has = f"its arguments are {', '.join(known)}" if known else "it has no arguments"
        advice = f"; {has}{did_you_mean(keyword, known)}"
    return TypeError(f"{called}() got an unexpected keyword argument {keyword!r}{advice}")


def misplaced(
    called: str, keyword: str, known: Collection[str], owner: str, settings: Collection[str]
) -> TypeError:
    """Return the error for a keyword argument that belongs to the constructor of an object.

    Parameters
    ----------
    called, keyword, known
        As for :func:`refusal`: a method of the object, and its arguments.
    owner, settings
        The name of the object's class, and the arguments of its constructor.
    """
    name = next((n for n in (keyword, *_RENAMED.get(keyword, ())) if n in settings), None)
    if name is None or keyword in known:
        return refusal(called, keyword, known)
    more = ""
    if name == "validation_fraction" and "solver" in settings:  # where it needs both
        more = "early_stopping=True, "
    return TypeError(
        f"{called}() got an unexpected keyword argument {keyword!r}; it is given to the "
        f"estimator: {owner}({more}{name}=...)"
    )


def unknown(keywords: Iterable[str], known: Collection[str]) -> str | None:
    """Return the first keyword that is not known; None if all are."""
    return next((name for name in keywords if name not in known), None)


def explains_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function or method so that it explains keyword arguments it does not have."""
    return _explaining(function, trains=True)


def suggests_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Do the same for a function that only draws, or that trains networks of its own."""
    return _explaining(function, trains=False)


def _explaining(function: Callable[P, R], trains: bool) -> Callable[P, R]:
    parameters = inspect.signature(function).parameters
    in_class = "." in function.__qualname__.rpartition("<locals>.")[2]
    known = tuple(parameters)[in_class:]
    names = frozenset(parameters)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs and not names.issuperset(kwargs):
            foreign = str(unknown(kwargs, names))
            raise refusal(_called(function, args), foreign, known, trains)
        try:
            return function(*args, **kwargs)
        except TypeError:
            _check_call(function, args, kwargs)
            raise

    return wrapper


def _called(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Return the name of what is called: of a constructor, that of bpnet's class."""
    if function.__name__ != "__init__":
        return function.__name__
    return next(c.__name__ for c in type(args[0]).__mro__ if c.__module__.startswith("bpnet."))


def _check_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Raise the TypeError for too few or many arguments, without the name of a base class."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{_called(function, args)}(): {error}") from None


def methods_explain_keywords(cls: type[R]) -> type[R]:
    """Decorate the public methods of a class as :func:`explains_keywords` does."""
    for name, member in list(vars(cls).items()):
        if inspect.isfunction(member) and not name.startswith("_"):
            setattr(cls, name, explains_keywords(member))
    return cls
