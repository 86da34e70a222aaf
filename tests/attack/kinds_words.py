"""Names and keyword arguments that people bring from elsewhere, and what errors say.

Whoever knows Keras, PyTorch or scikit-learn tries their words first. A word that bpnet has
is taken; any other is refused with the word, or the code, that bpnet has for it.
"""

from __future__ import annotations

import contextlib
import io
import re
import string
from collections.abc import Iterator
from typing import Any

import numpy as np
from attack import Probe, all_of, bind, kind, must_equal, must_refuse
from available import available

import bpnet

X = np.random.default_rng(0).normal(size=(12, 3))
Y = (X[:, 0] > 0.0).astype("int64")
REAL = X[:, 0] - 0.5


def network(loss: Any = "binary_crossentropy", **settings: Any) -> Any:
    """A small network."""
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(1)], loss, seed=0, **settings)


def misspelt(name: str, rng: np.random.Generator) -> str:
    """Return a name with two letters exchanged, one dropped, one doubled or one replaced."""
    k = int(rng.integers(1, len(name) - 1))
    letter = string.ascii_lowercase[int(rng.integers(26))]
    forms = (
        name[: k - 1] + name[k] + name[k - 1] + name[k + 1 :],
        name[:k] + name[k + 1 :],
        name[:k] + name[k] + name[k:],
        name[:k] + letter + name[k + 1 :],
        name.upper(),
        name.replace("_", "-").title(),
    )
    return forms[int(rng.integers(len(forms)))]


def weights_after(net: Any, **arguments: Any) -> Any:
    """Return the first weights after a little training."""
    net.fit(X, Y, epochs=2, batch_size=4, **arguments)
    return net.parameters[0]["W"]


@kind("names")
def names(rng: np.random.Generator) -> Iterator[Probe]:
    # --- names that are taken -------------------------------------------------------------
    optimizers = {
        "sgd": bpnet.SGD(), "adam": bpnet.Adam(), "adamw": bpnet.AdamW(),
        "rmsprop": bpnet.RMSprop(), "adagrad": bpnet.Adagrad(),
    }  # fmt: skip
    for name, optimizer in optimizers.items():

        def taken(name: str = name, optimizer: Any = optimizer) -> None:
            found = weights_after(network(), optimizer=name)
            must_equal(found, weights_after(network(), optimizer=optimizer))

        yield Probe(f"optimizer={name!r}", taken)
    losses = {
        "mse": "mean_squared_error", "mae": "mean_absolute_error",
        "bce": "binary_crossentropy", "cce": "categorical_crossentropy",
    }  # fmt: skip
    for name, loss in losses.items():

        def same(name: str = name, loss: str = loss) -> None:
            net = bpnet.Network([bpnet.Dense(2)], name, seed=0)
            assert net.loss == bpnet.losses.get(loss)
            assert net.loss.name == loss

        yield Probe(f"loss={name!r}", same)
    for name, own in {"linear": "identity", "logistic": "sigmoid", "swish": "silu"}.items():

        def alias(name: str = name, own: str = own) -> None:
            assert bpnet.Dense(3, name) == bpnet.Dense(3, own)
            assert bpnet.Dense(3, name).activation.name == own

        yield Probe(f"activation={name!r}", alias)

    # --- names of others, that are refused with bpnet's --------------------------------------
    foreign: dict[str, dict[str, tuple[str, ...]]] = {
        "loss": {
            "MSELoss": ("'mean_squared_error'",),
            "L1Loss": ("'mean_absolute_error'",),
            "BCEWithLogitsLoss": ("'binary_crossentropy'",),
            "CrossEntropyLoss": ("'categorical_crossentropy'",),
            "SparseCategoricalCrossentropy": ("'categorical_crossentropy'",),
            "sparse_categorical_crossentropy": ("'categorical_crossentropy'",),
            "nll_loss": ("'categorical_crossentropy'",),
            "binary_cross_entropy": ("'binary_crossentropy'",),
            "cross_entropy": ("'categorical_crossentropy'", "'binary_crossentropy'"),
            "log_loss": ("'categorical_crossentropy'", "'binary_crossentropy'"),
            "squared_error": ("'mean_squared_error'",),
            "SmoothL1Loss": ("'huber'",),
            "PoissonNLLLoss": ("'poisson'",),
            "HuberLoss": ("'huber'",),
            "MeanSquaredError": ("'mean_squared_error'",),
        },
        "activation": {
            "ReLU": ("'relu'",), "LeakyReLU": ("'leaky_relu'",), "leakyrelu": ("'leaky_relu'",),
            "relu6": ("'relu'",), "hardsigmoid": ("'hard_sigmoid'",), "Tanh": ("'tanh'",),
            "softmax": ("categorical_crossentropy", "linear"),
            "log_softmax": ("categorical_crossentropy", "linear"), "none": ("'identity'",),
        },
        "init": {
            "glorot": ("'glorot_uniform'",), "xavier": ("'glorot_uniform'",),
            "kaiming_normal": ("'he_normal'",), "kaiming": ("'he_normal'",),
            "he": ("'he_normal'",), "HeNormal": ("'he_normal'",),
            "random_normal": ("'normal'",), "GlorotUniform": ("'glorot_uniform'",),
        },
        "optimizer": {
            "Adam": ("'adam'",), "nadam": ("'adam'",), "gd": ("'sgd'",),
            "RMSProp": ("'rmsprop'",), "momentum": ("bpnet.SGD(", "momentum="),
            "lbfgs": ("MLPClassifier",), "adamax": ("'adam'",),
        },
        "metrics": {
            "acc": ("'accuracy'",), "auc": ("'roc_auc'",), "AUROC": ("'roc_auc'",),
            "precision": ("'f1'",), "recall": ("'f1'",), "r2_score": ("'r2'",),
            "f1_score": ("'f1'",), "categorical_accuracy": ("'accuracy'",),
            "neg_log_loss": ("'log_loss'",), "balanced_acc": ("'balanced_accuracy'",),
        },
    }  # fmt: skip
    uses = {
        "loss": network,
        "activation": lambda name: bpnet.Dense(3, name),
        "init": lambda name: bpnet.Dense(3, init=name),
        "optimizer": lambda name: network().fit(X, Y, optimizer=name, epochs=1),
        "metrics": lambda name: network().evaluate(X, Y, metrics=name),
    }
    for argument, words in foreign.items():
        for word, due in words.items():
            yield Probe(
                f"{argument}={word!r}",
                bind(must_refuse, bind(uses[argument], word), argument, repr(word), *due),
            )

    # --- misspelt names, wherever one is chosen -------------------------------------------
    def mode(name: str) -> Any:
        return bpnet.EarlyStopping(mode=name)

    def monitor(name: str) -> Any:
        stop = bpnet.EarlyStopping(monitor=name)
        return network().fit(X, Y, validation_data=(X, Y), callbacks=[stop], epochs=1)

    def layer_of(name: str) -> Any:
        return bpnet.Dense(3, bias_init=name)

    def figure(name: str) -> Any:
        return network().fit(X, Y, epochs=1, on_nonfinite=name)

    choices = [
        (uses["loss"], ("poisson", "categorical_crossentropy", "mean_absolute_error")),
        (uses["activation"], ("softplus", "hard_sigmoid", "sigmoid")),
        (layer_of, ("orthogonal", "lecun_uniform", "glorot_normal")),
        (uses["optimizer"], ("rmsprop", "adagrad")),
        (uses["metrics"], ("balanced_accuracy", "accuracy", "top_k_accuracy")),
        (mode, ("min", "max")),
        (monitor, ("val_accuracy", "val_loss", "learning_rate")),
        (figure, ("restore", "ignore")),
        (lambda name: network(dtype=name), ("float64", "float32")),
        (bpnet.get_backend, ("numpy", "torch", "array_api_strict")),
        (_precision, ("highest", "medium")),
    ]
    for number, (use, allowed) in enumerate(choices):
        for name in allowed:
            wrong = misspelt(name, rng)
            while wrong == name or (len(name) < 4 and wrong != name.upper()):
                wrong = misspelt(name, rng)
            yield Probe(
                f"misspelt {number} {name}: {wrong!r}",
                bind(
                    must_refuse, bind(use, wrong), f"did you mean {name!r}",
                    errors=(ValueError, bpnet.BackendError),
                ),
            )  # fmt: skip

    # --- what a name alone does not say ----------------------------------------------------
    code = "bpnet.schedules.Cosine("
    for where, make in {
        "Adam": lambda: bpnet.Adam("cosine"),
        "learning_rate": lambda: bpnet.SGD(learning_rate="constant"),
        "WarmUp": lambda: bpnet.schedules.WarmUp("cosine", 3),
        "weight_decay": lambda: bpnet.AdamW(weight_decay="linear"),
    }.items():
        yield Probe(f"schedule in {where}", bind(must_refuse, make, "bpnet.schedules.", "("))
    yield Probe("the code", bind(must_refuse, lambda: bpnet.Adam("cosine"), code, "epochs="))
    yield Probe(
        "a metric as optimizer",
        bind(must_refuse, lambda: network().fit(X, Y, optimizer=0.1), "bpnet.Adam(0.001)"),
    )
    yield Probe(
        "the class of an optimizer",
        bind(must_refuse, lambda: network().fit(X, Y, optimizer=bpnet.Adam), "class", "Adam("),
    )
    yield Probe("the command", _the_command_suggests)
    yield from _of_the_estimators()


def _precision(name: str) -> None:
    with bpnet.matmul_precision(name):
        pass


def _the_command_suggests() -> None:
    from bpnet.cli import main

    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert main(["demo", "--activation", "ReLU"]) == 2
    assert "did you mean 'relu'" in said.getvalue(), said.getvalue()


def _of_the_estimators() -> Iterator[Probe]:
    try:
        from sklearn.utils._param_validation import InvalidParameterError
    except ImportError:
        return
    wrong: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
        "solver='adamw'": ({"solver": "adamw"}, ("optimizer=bpnet.AdamW(",)),
        "solver='rmsprop'": ({"solver": "rmsprop"}, ("optimizer=bpnet.RMSprop(",)),
        "solver='Adam'": ({"solver": "Adam"}, ("did you mean 'adam'",)),
        "solver='l-bfgs'": ({"solver": "l-bfgs"}, ("did you mean 'lbfgs'",)),
        "optimizer='adam'": (
            {"optimizer": "adam"}, ("solver='adam'", "optimizer=bpnet.Adam(")
        ),
        "optimizer='adamw'": ({"optimizer": "adamw"}, ("optimizer=bpnet.AdamW(",)),
        "schedule='cosine'": ({"schedule": "cosine"}, ("bpnet.schedules.Cosine(", "epochs=")),
        "learning_rate=0.01": ({"learning_rate": 0.01}, ("learning_rate_init=0.01",)),
        "learning_rate='cosine'": (
            {"learning_rate": "cosine"}, ("schedule=bpnet.schedules.Cosine(",)
        ),
        "activation='ReLU'": ({"activation": "ReLU"}, ("did you mean 'relu'",)),
        "init='xavier'": ({"init": "xavier"}, ("did you mean 'glorot_uniform'",)),
    }  # fmt: skip
    for name, (settings, words) in wrong.items():
        estimator = bpnet.MLPClassifier((3,), max_iter=2, **settings)
        yield Probe(
            f"estimator {name}",
            bind(
                must_refuse, bind(estimator.fit, X, Y), next(iter(settings)), *words,
                errors=InvalidParameterError,
            ),
        )  # fmt: skip


@kind("keyword arguments")
def keyword_arguments(rng: np.random.Generator) -> Iterator[Probe]:
    net = network().build(3)
    fit = bind(net.fit, X, Y)
    make = bind(bpnet.Network, [bpnet.Dense(1)], "huber")
    dense = bind(bpnet.Dense, 4)
    # What is called, the keyword, and the words of the answer.
    table: list[tuple[str, Any, str, tuple[str, ...]]] = [
        ("fit", fit, "lr", ("optimizer=bpnet.Adam(",)),
        ("fit", fit, "learning_rate", ("optimizer=bpnet.Adam(",)),
        ("fit", fit, "verbose", ("progress",)),
        ("fit", fit, "lr_scheduler", ("bpnet.schedules.", "optimizer=")),
        ("fit", fit, "scheduler", ("bpnet.schedules.", "optimizer=")),
        ("fit", fit, "optim", ("'optimizer'",)),
        ("fit", fit, "nb_epoch", ("'epochs'",)),
        ("fit", fit, "n_epochs", ("'epochs'",)),
        ("fit", fit, "max_epochs", ("'epochs'",)),
        ("fit", fit, "num_epochs", ("'epochs'",)),
        ("fit", fit, "max_iter", ("'epochs'",)),
        ("fit", fit, "epoch", ("'epochs'",)),
        ("fit", fit, "batchsize", ("'batch_size'",)),
        ("fit", fit, "bs", ("'batch_size'",)),
        ("fit", fit, "criterion", ("Network(layers, loss",)),
        ("fit", fit, "loss", ("Network(layers, loss",)),
        ("fit", fit, "dtype", ("Network(", "dtype=")),
        ("fit", fit, "seed", ("Network(", "seed=")),
        ("fit", fit, "random_state", ("Network(", "seed=")),
        ("fit", fit, "device", ("'backend'", "torch:cuda")),
        ("fit", fit, "class_weight", ("sample_weight", "MLPClassifier(class_weight=")),
        ("fit", fit, "metric", ("'metrics'",)),
        ("fit", fit, "val_data", ("'validation_data'",)),
        ("fit", fit, "validation_fraction", ("'validation_split'",)),
        ("fit", fit, "early_stopping", ("callbacks=[bpnet.EarlyStopping(",)),
        ("fit", fit, "momentum", ("optimizer=bpnet.SGD(",)),
        ("fit", fit, "weight_decay", ("optimizer=bpnet.AdamW(",)),
        ("fit", fit, "sample_weights", ("'sample_weight'",)),
        ("fit", fit, "callback", ("'callbacks'",)),
        ("evaluate", bind(net.evaluate, X, Y), "metric", ("'metrics'",)),
        ("evaluate", bind(net.evaluate, X, Y), "batch_size", ("no need", "blocks")),
        ("evaluate", bind(net.evaluate, X, Y), "verbose", ()),
        ("predict", bind(net.predict, X), "device", ("'backend'",)),
        ("predict", bind(net.predict, X), "batch_size", ("no need", "blocks")),
        ("predict_proba", bind(net.predict_proba, X), "verbose", ()),
        ("save", bind(net.save, "/tmp/never"), "overwrite", ("path",)),
        ("build", bind(net.build), "input_shape", ("'n_inputs'",)),
        ("build", bind(net.build, 3), "device", ("'backend'",)),
        ("load", bind(bpnet.load, "never"), "custom_objects", ("'custom'",)),
        ("load", bind(bpnet.load, "never"), "map_location", ("'backend'",)),
        ("Network", make, "random_state", ("'seed'",)),
        ("Network", make, "optimizer", ("fit(X, y, optimizer=",)),
        ("Network", make, "metrics", ("fit", "evaluate")),
        ("Network", make, "epochs", ("fit(X, y, epochs=",)),
        ("Network", make, "input_shape", ("build(n_inputs)",)),
        ("Network", make, "device", ("backend=",)),
        ("Network", bind(bpnet.Network, [bpnet.Dense(1)]), "criterion", ("'loss'",)),
        ("Dense", dense, "input_shape", ("build(n_inputs)",)),
        ("Dense", dense, "input_dim", ("build(n_inputs)",)),
        ("Dense", dense, "in_features", ("build(n_inputs)",)),
        ("Dense", bind(bpnet.Dense), "out_features", ("'units'",)),
        ("Dense", bind(bpnet.Dense), "n_units", ("'units'",)),
        ("Dense", dense, "kernel_initializer", ("'init'",)),
        ("Dense", dense, "bias_initializer", ("'bias_init'",)),
        ("Dense", dense, "kernel_regularizer", ("l2=",)),
        ("Dense", dense, "use_bias", ("bias",)),
        ("Dense", dense, "bias", ("bias",)),
        ("Dense", dense, "weight_decay", ("l2=", "bpnet.AdamW(")),
        ("Dense", dense, "dropout", ("bpnet.Dropout(",)),
        ("Dense", dense, "act", ("'activation'",)),
        ("Dropout", bpnet.Dropout, "p", ("'rate'",)),
        ("Dropout", bpnet.Dropout, "prob", ("'rate'",)),
        ("Adam", bpnet.Adam, "lr", ("'learning_rate'",)),
        ("Adam", bpnet.Adam, "betas", ("beta1=", "beta2=")),
        ("Adam", bpnet.Adam, "eps", ("'epsilon'",)),
        ("Adam", bpnet.Adam, "momentum", ("'beta1'",)),
        ("Adam", bpnet.Adam, "params", ("fit",)),
        ("Adam", bpnet.Adam, "beta_1", ("'beta1'",)),
        ("SGD", bpnet.SGD, "lr", ("'learning_rate'",)),
        ("SGD", bpnet.SGD, "nesterovs_momentum", ("'nesterov'",)),
        ("SGD", bpnet.SGD, "clipnorm", ("'clip_norm'",)),
        ("SGD", bpnet.SGD, "decay", ("bpnet.schedules.",)),
        ("RMSprop", bpnet.RMSprop, "alpha", ("'rho'",)),
        ("Huber", bpnet.losses.Huber, "beta", ("'delta'",)),
        ("LeakyReLU", bpnet.activations.LeakyReLU, "alpha", ("'negative_slope'",)),
        ("ReLU", bpnet.activations.ReLU, "inplace", ("in place",)),
        ("Cosine", bind(bpnet.schedules.Cosine, 0.1), "T_max", ("'epochs'",)),
        ("Cosine", bind(bpnet.schedules.Cosine, 0.1, 5), "eta_min", ("'minimum'",)),
        ("Step", bind(bpnet.schedules.Step, 0.1), "step_size", ("'every'",)),
        ("Exponential", bind(bpnet.schedules.Exponential, 0.1), "gamma", ("'factor'",)),
        ("EarlyStopping", bpnet.EarlyStopping, "restore_best_weights", ("monitor",)),
        ("EarlyStopping", bpnet.EarlyStopping, "n_iter_no_change", ("'patience'",)),
        ("Checkpoint", bind(bpnet.Checkpoint, "never"), "save_best_only", ("'best_only'",)),
        ("Checkpoint", bind(bpnet.Checkpoint), "filepath", ("'path'",)),
        ("TopKAccuracy", bpnet.metrics.TopKAccuracy, "top_k", ("'k'",)),
        ("make_moons", bpnet.datasets.make_moons, "random_state", ("'seed'",)),
        ("make_spiral", bpnet.datasets.make_spiral, "n_classes", ("'classes'",)),
        ("make_xor", bpnet.datasets.make_xor, "n_sample", ("'n_samples'",)),
        ("check_gradients", bind(bpnet.check_gradients, net, X, Y), "device", ("'backend'",)),
        (
            "find_learning_rate", bind(bpnet.find_learning_rate, net, X, Y), "min_lr",
            ("'low'",),
        ),
    ]  # fmt: skip
    for name, call, keyword, words in table:
        yield Probe(
            f"{name}({keyword}=)",
            bind(
                must_refuse, bind(call, **{keyword: 1}), f"{name}()", repr(keyword), *words,
                errors=TypeError,
            ),
        )  # fmt: skip
    known = ("epochs", "batch_size", "optimizer", "validation_split", "callbacks", "metrics")
    for name in known:
        wrong = misspelt(name, rng).strip().replace("-", "_").lower()
        if wrong != name:
            yield Probe(
                f"fit({wrong}=) for {name}",
                bind(must_refuse, bind(fit, **{wrong: 1}), repr(name), errors=TypeError),
            )
    yield Probe("a subclass", _a_subclass_is_explained)
    yield Probe("the network is unchanged", bind(_unchanged, net))
    for backend in available("numpy", "torch:cpu", "jax"):
        yield Probe(
            f"right keywords on {backend}",
            bind(network().fit, X, y=Y, epochs=1, optimizer=bpnet.SGD(momentum=0.5),
                 backend=backend),
        )  # fmt: skip
    yield from _keywords_of_estimators()


def _a_subclass_is_explained() -> None:
    class Own(bpnet.optimizers.Optimizer):
        def __init__(self, learning_rate: float = 0.1, **shared: Any) -> None:
            super().__init__(learning_rate, **shared)

        def rule(self, xp: Any, p: Any, g: Any, *numbers: Any) -> Any:
            return (p - numbers[-1] * g,)

    must_refuse(lambda: Own(lr=0.1), "Own()", "'learning_rate'", errors=TypeError)
    assert Own(clip_norm=1.0).clip_norm == 1.0


def _unchanged(net: Any) -> None:
    assert net.steps_taken == net.epochs_taken == 0


def _keywords_of_estimators() -> Iterator[Probe]:
    try:
        from sklearn.base import clone
    except ImportError:
        return
    both = (bpnet.MLPClassifier, bpnet.MLPRegressor)
    table = {
        "hidden_layers": "'hidden_layer_sizes'", "epochs": "'max_iter'",
        "lr": "'learning_rate_init'", "seed": "'random_state'", "device": "'backend'",
        "beta1": "'beta_1'", "optim": "'optimizer'", "nesterov": "'nesterovs_momentum'",
        "weight_decay": "alpha", "n_epochs": "'max_iter'", "layers": "'hidden_layer_sizes'",
        "scheduler": "'schedule'", "kernel_initializer": "'init'", "p": "'dropout'",
    }  # fmt: skip
    for estimator in both:
        for keyword, word in table.items():
            yield Probe(
                f"{estimator.__name__}({keyword}=)",
                bind(
                    must_refuse, bind(estimator, **{keyword: 1}), estimator.__name__, word,
                    errors=TypeError,
                ),
            )  # fmt: skip

        def cloned(estimator: Any = estimator) -> None:
            made = estimator((3,), alpha=0.5)
            assert clone(made).get_params() == made.get_params()
            assert "hidden_layer_sizes" in estimator().get_params()

        yield Probe(f"{estimator.__name__} is cloned", cloned)
    yield Probe(
        "MLPClassifier(loss=)",
        bind(must_refuse, lambda: bpnet.MLPClassifier(loss="mse"), "log", errors=TypeError),
    )


# --- errors in plain words ------------------------------------------------------------------

# Classes that are not part of the public interface, and paths of private modules.
INTERNAL = re.compile(
    r"Checked(?:Layer|Loss|Activation|Loader)|ModelSpec|Placement|\bRunner\b|Resumption|"
    r"\b_[A-Z]\w+|HalfSquaredError|HalfPoisson|BinaryLogLoss|\bModel\b|Description\b|"
    r"TrainingState|ScheduledValue|DatasetLoader|DataProfile|ComponentMeta|Evaluation\b|"
    r"bpnet\.(?:model|training|common|backend|estimators|serialization|data)\.|<lambda>|"
    r"_set_|NoneType' object|object is not|has no attribute '_|object has no attribute"
)


def in_plain_words(action: Any) -> None:
    """Run an action that must raise an error which names no internal class."""
    plain = (ValueError, TypeError, bpnet.BackendError, OSError)
    message = must_refuse(action, errors=plain)
    found = INTERNAL.findall(message)
    assert not found, f"the error names {found}: {message}"


@kind("errors in plain words")
def errors_in_plain_words(rng: np.random.Generator) -> Iterator[Probe]:
    wrong: list[tuple[str, Any]] = [
        ("None", None), ("object", object()), ("number", 3), ("text", "wrong"),
        ("bytes", b"wrong"), ("class", bpnet.Adam), ("function", len), ("dict", {"a": 1}),
        ("nested", [[bpnet.Dense(1)]]), ("complex", 1j), ("network", network()),
    ]  # fmt: skip
    net = network().build(3)

    def fitted(**arguments: Any) -> Any:
        return network().fit(X, Y, **({"epochs": 1} | arguments))

    uses: dict[str, tuple[Any, tuple[str, ...]]] = {
        "layers": (lambda v: bpnet.Network(v, "huber"), ()),
        "a layer": (lambda v: bpnet.Network([v, bpnet.Dense(1)], "huber"), ()),
        "loss": (lambda v: network(v), ()),
        "seed": (lambda v: bpnet.Network([bpnet.Dense(1)], "huber", v), ("None", "number")),
        "dtype": (lambda v: network(dtype=v), ()),
        "optimizer": (lambda v: fitted(optimizer=v), ("None",)),
        "callbacks": (lambda v: fitted(callbacks=v), ()),
        "metrics": (lambda v: fitted(metrics=v), ("None",)),
        "validation_data": (lambda v: fitted(validation_data=v), ("None",)),
        "backend": (lambda v: fitted(backend=v), ("None",)),
        "learning_rate": (bpnet.Adam, ("number",)),
        "schedule": (lambda v: bpnet.schedules.WarmUp(v, 2), ("number",)),
        "activation": (lambda v: bpnet.Dense(2, v), ()),
        "init": (lambda v: bpnet.Dense(2, init=v).initial_parameters(rng, 2), ("None",)),
        "units": (bpnet.Dense, ("number",)),
        "rate": (bpnet.Dropout, ()),
        "X": (lambda v: net.predict(v), ()),
        "y": (lambda v: network().fit(X, v, epochs=1), ()),
        "sample_weight": (lambda v: fitted(sample_weight=v), ("None",)),
        "resume_from": (lambda v: fitted(resume_from=v), ("None",)),
        "net of check_gradients": (lambda v: bpnet.check_gradients(v, X, Y), ("network",)),
        "net of parity": (lambda v: bpnet.parity(v, X, Y), ("network",)),
        "net of find": (lambda v: bpnet.find_learning_rate(v, X, Y), ("network",)),
        "history": (bpnet.diagnose, ()),
        "parameters": (lambda v: setattr(network().build(3), "parameters", v), ()),
        "load": (bpnet.load, ()),
        "monitor": (lambda v: fitted(callbacks=[bpnet.EarlyStopping(v)]), ()),
    }
    for place, (use, right) in uses.items():
        for name, value in wrong:
            if name not in right:
                yield Probe(f"{place}: {name}", bind(in_plain_words, bind(use, value)))
    yield Probe("Network()", bind(in_plain_words, bpnet.Network))
    yield Probe("too many", bind(in_plain_words, bind(bpnet.Network, [], "huber", 0, "a", 5)))
    yield Probe("unbuilt", bind(in_plain_words, lambda: network().parameters))
    yield Probe("build()", bind(in_plain_words, network().build))
    yield Probe("fit of nothing", bind(in_plain_words, network().fit))
    yield Probe("two at once", bind(in_plain_words, bind(net.fit, X, Y, bpnet.Adam())))
    yield Probe("of an unset optimizer", bind(in_plain_words, _own_optimizer))
    yield Probe(
        "both",
        all_of(
            bind(in_plain_words, bind(net.predict, X[:, :2])),
            bind(in_plain_words, bind(net.fit, X, Y[:5])),
        ),
    )


def _own_optimizer() -> None:
    class Own(bpnet.optimizers.Optimizer):
        def __init__(self) -> None:
            self.rate = 0.1

        def rule(self, xp: Any, p: Any, g: Any, *numbers: Any) -> Any:
            return (p,)

    network().fit(X, Y, optimizer=Own(), epochs=1)
