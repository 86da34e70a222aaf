"""Kinds: divergence in estimators, one-hot targets, and the estimators' small print."""

from __future__ import annotations

import contextlib
import importlib.util
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from attack import Probe, bind, kind, must_equal, must_not_warn, must_refuse, must_warn
from available import available

import bpnet

HAS_SKLEARN = importlib.util.find_spec("sklearn") is not None
HAS_PANDAS = importlib.util.find_spec("pandas") is not None
SENTENCE = "Solver produced non-finite parameter weights."
SMALL: dict[str, Any] = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0}


def data(seed: int, rows: int = 60, features: int = 3) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, features))


# --- divergence in estimators -------------------------------------------------------------


def said(model: Any, X: Any, y: Any, method: str = "fit", **kwargs: Any) -> str:
    """Fit, and return what is raised or warned."""
    before = dict(vars(model))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            getattr(model, method)(X, y, **kwargs)
        except ValueError as error:
            text = str(error)
        else:
            assert all(np.all(np.isfinite(W)) for W in model.coefs_), "weights are not finite"
            texts = (str(w.message) for w in seen if issubclass(w.category, UserWarning))
            return " ".join(texts)
    assert vars(model).keys() == before.keys(), "half a state"
    assert text.startswith(SENTENCE), text
    return text


def diverges(
    seed: int, words: tuple[str, ...], x: float, y: float, name: str, **kw: Any
) -> None:
    X = data(seed)
    target = X[:, 0] * y
    if name == "MLPClassifier":
        target = (X[:, 0] > 0).astype(int)
    text = said(getattr(bpnet, name)(**SMALL | {"max_iter": 40} | kw), X * x, target)
    missing = [word for word in words if word not in text]
    assert not missing, f"{missing} not in {text!r}"


def stops_early(seed: int, **settings: Any) -> None:
    """No further epochs are run with NaN."""
    X, epochs = data(seed), []

    class Count(bpnet.Callback):
        def on_epoch_end(self, training: Any) -> None:
            epochs.append(training.logs["loss"])

    model = bpnet.MLPRegressor(
        **SMALL | {"max_iter": 50}, solver="sgd", learning_rate_init=1e10, callbacks=[Count()],
        **settings,
    )  # fmt: skip
    with contextlib.suppress(ValueError), np.errstate(all="ignore"):
        model.fit(X, X[:, 0])
    bad = [k + 1 for k, loss in enumerate(epochs) if not np.isfinite(loss)]
    assert len(epochs) < 20, f"{len(epochs)} epochs"
    assert bad in ([], [len(epochs)]), f"{len(epochs)} epochs, not finite in {bad}"


def goes_on(seed: int, method: str) -> None:
    """After an error, the estimator goes on from what it was."""
    X = data(seed)
    settings = {"solver": "adam", "warm_start": method == "fit"}
    model = bpnet.MLPRegressor(**SMALL, **settings)
    getattr(model, method)(X, X[:, 0])
    expected, curve = model.predict(X), list(model.loss_curve_)
    model.set_params(learning_rate_init=1e300)
    must_refuse(bind(getattr(model, method), X * 1e150, X[:, 0] * 1e200), SENTENCE)
    must_equal(model.predict(X), expected)
    assert model.loss_curve_ == curve
    model.set_params(learning_rate_init=1e-3)
    getattr(model, method)(X, X[:, 0])
    assert np.all(np.isfinite(model.predict(X)))


@kind("divergence in estimators")
def divergence(rng: np.random.Generator) -> Iterator[Probe]:
    """A fit that does not end in finite numbers says so, where it began and what to do."""
    if not HAS_SKLEARN:
        return
    rate = ("learning rate", "learning_rate_init")
    seed = lambda: int(rng.integers(2**31))  # noqa: E731
    for early in (False, True):
        more = {"early_stopping": early}
        for solver, speed in (("sgd", 1e5), ("sgd", 1e30), ("adam", 1e305)):
            sgd = {"solver": solver, "learning_rate_init": speed} | more
            name = f"{solver} at {speed:g}, stopping {early}"
            yield Probe(
                f"{name}: rate", bind(diverges, seed(), rate, 1.0, 1.0, "MLPRegressor", **sgd)
            )
        for dtype in ("float32", "float64"):
            more |= {"dtype": dtype, "solver": "sgd", "learning_rate_init": 10.0}
            yield Probe(
                f"large targets, {dtype}, stopping {early}",
                bind(diverges, seed(), ("targets up to", "learning"), 1.0, 1e9, "MLPRegressor",
                     **more),
            )  # fmt: skip
            yield Probe(
                f"large features, {dtype}, stopping {early}",
                bind(diverges, seed(), ("features up to", "learning"), 1e7, 1.0, "MLPRegressor",
                     **more),
            )  # fmt: skip
        yield Probe(
            f"classes at a high rate, stopping {early}",
            bind(diverges, seed(), ("features up to",), 1e200, 1.0, "MLPClassifier",
                 solver="sgd", learning_rate_init=1e200, early_stopping=early),
        )  # fmt: skip
        yield Probe(
            f"ends at once, stopping {early}", bind(stops_early, seed(), early_stopping=early)
        )
        yield Probe(
            f"poisson, stopping {early}",
            bind(diverges, seed(), ("features up to",), 1e5, 0.0, "MLPRegressor",
                 loss="poisson", solver="sgd", learning_rate_init=1.0, early_stopping=early),
        )  # fmt: skip
        yield Probe(
            f"an optimizer of bpnet, stopping {early}",
            bind(diverges, seed(), ("learning rate",), 1.0, 1.0, "MLPRegressor",
                 optimizer=bpnet.SGD(1e8), early_stopping=early),
        )  # fmt: skip
        yield Probe(
            f"a schedule, stopping {early}",
            bind(diverges, seed(), ("learning rate",), 1.0, 1.0, "MLPRegressor", solver="sgd",
                 schedule=bpnet.schedules.Constant(1e9), early_stopping=early),
        )  # fmt: skip
    for backend in available("torch", "jax"):
        yield Probe(
            f"on {backend}",
            bind(diverges, seed(), rate, 1.0, 1.0, "MLPRegressor", solver="sgd",
                 learning_rate_init=1e9, backend=backend),
        )  # fmt: skip
    for scale in (1e160, 1e300):
        yield Probe(
            f"lbfgs, features of {scale:g}",
            bind(diverges, seed(), ("features up to",), scale, 1.0, "MLPRegressor",
                 solver="lbfgs", activation="identity"),
        )  # fmt: skip
        yield Probe(
            f"lbfgs, targets of {scale:g}",
            bind(
                diverges, seed(), ("targets up to",), 1.0, scale, "MLPRegressor", solver="lbfgs"
            ),
        )
    yield Probe("warm start goes on", bind(goes_on, seed(), "fit"))
    yield Probe("partial fit goes on", bind(goes_on, seed(), "partial_fit"))
    X = data(0)
    model = bpnet.MLPRegressor(**SMALL, solver="sgd", learning_rate_init=1e200)
    yield Probe(
        "partial fit says why",
        lambda: must_refuse(
            bind(model.partial_fit, X, 1e200 * X[:, 0]), SENTENCE, "targets up to"
        ),
    )
    yield Probe(
        "a good fit says nothing",
        lambda: must_not_warn(bind(bpnet.MLPRegressor(max_iter=900).fit, X, X[:, 0])),
    )


# --- one-hot targets ----------------------------------------------------------------------


def one_hot(seed: int, classes: int, rows: int = 40) -> Any:
    k = np.random.default_rng(seed).permutation(np.arange(rows) % classes)
    return np.eye(classes, dtype=int)[k]


def fit_targets(y: Any, method: str = "fit", **kwargs: Any) -> Any:
    model = bpnet.MLPClassifier(**SMALL | {"max_iter": 1})
    rows = y.shape[0] if hasattr(y, "shape") else len(y)
    with warnings.catch_warnings():
        from sklearn.exceptions import ConvergenceWarning

        warnings.simplefilter("ignore", ConvergenceWarning)
        return getattr(model, method)(data(1, rows), y, **kwargs)


@kind("one-hot targets")
def one_hot_targets(rng: np.random.Generator) -> Iterator[Probe]:
    """Rows with exactly one 1 are classes, rather than independent labels."""
    if not HAS_SKLEARN:
        return
    from scipy import sparse

    seed = lambda: int(rng.integers(2**31))  # noqa: E731

    def warns(name: str, y: Any, word: str = "argmax", **kwargs: Any) -> Probe:
        return Probe(name, bind(must_warn, bind(fit_targets, y, **kwargs), "one-hot", word))

    def silent(name: str, y: Any, **kwargs: Any) -> Probe:
        return Probe(name, bind(must_not_warn, bind(fit_targets, y, **kwargs)))

    for classes in (2, 3, 7):
        for dtype in ("int64", "float64", "float32", "bool", "int8"):
            yield warns(f"{classes} of {dtype}", one_hot(seed(), classes).astype(dtype))
    for classes in (2, 5):
        y = one_hot(seed(), classes)
        yield warns(f"{classes}, a list", y.tolist())
        yield warns(f"{classes}, CSR", sparse.csr_matrix(y))
        yield warns(f"{classes}, sparse array", sparse.csc_array(y))
        yield warns(
            f"{classes}, partial fit", y, method="partial_fit", classes=list(range(classes))
        )
        for backend in available("torch", "jax"):
            array = bpnet.get_backend(backend).asarray(y, "int64")
            yield warns(f"{classes}, {backend}", array)
        if HAS_PANDAS:
            import pandas as pd

            yield warns(f"{classes}, a frame", pd.DataFrame(y), "idxmax")
    multi = one_hot(seed(), 3)
    multi[5] = [1, 1, 0]
    yield silent("one row of two labels", multi)
    none = one_hot(seed(), 3)
    none[7] = 0
    yield silent("one row of no label", none)
    yield silent("all labels", np.tile([[1, 0], [1, 1]], (20, 1)))
    yield silent("several labels, sparse", sparse.csr_matrix(multi))
    yield silent("classes", one_hot(seed(), 3).argmax(axis=1))
    yield silent("a lone row of a stream", multi[:1], method="partial_fit", classes=[0, 1, 2])

    def once() -> None:
        y = one_hot(3, 3)
        model = must_warn(
            bind(fit_targets, y, method="partial_fit", classes=[0, 1, 2]), "one-hot"
        )
        must_not_warn(bind(model.partial_fit, data(1, len(y)), y))

    yield Probe("once in a stream", once)


# --- the estimators' small print ----------------------------------------------------------


def small_fit(X: Any, y: Any, name: str = "MLPClassifier", **settings: Any) -> Any:
    with warnings.catch_warnings():
        from sklearn.exceptions import ConvergenceWarning

        warnings.simplefilter("ignore", ConvergenceWarning)
        return getattr(bpnet, name)(**SMALL | settings).fit(X, y)


def of_one_class(label: Any, backend: str = "numpy", **settings: Any) -> None:
    X, y = data(2), np.full(60, label)
    model = must_warn(bind(small_fit, X, y, backend=backend, **settings), "single class")
    must_equal(model.predict_proba(X), np.ones((60, 1)))
    must_equal(model.predict_log_proba(X), np.zeros((60, 1)))
    must_equal(model.predict(X), y)


def of_another_version(name: str, version: str) -> None:
    X = data(3)
    model = small_fit(X, (X[:, 0] > 0).astype(int), name)
    state = model.__getstate__()
    assert state.get("_bpnet_version") == bpnet.__version__, "the pickle holds no version"
    state["_bpnet_version"] = version
    other = type(model)()
    must_warn(
        bind(other.__setstate__, state),
        "bpnet",
        bpnet.__version__,
        version,
        "Network.save",
    )
    must_equal(other.predict(X), model.predict(X))


def of_this_version(name: str) -> None:
    X = data(3)
    model = small_fit(X, (X[:, 0] > 0).astype(int), name)
    again = must_not_warn(lambda: pickle.loads(pickle.dumps(model)))
    must_equal(again.predict(X), model.predict(X))
    assert "_bpnet_version" not in vars(again)


def streamed_class_weights() -> None:
    """A batch may lack a class that has a weight."""
    X, y = data(4), np.repeat([0, 1, 2], 20)
    model = bpnet.MLPClassifier(**SMALL, class_weight={2: 3.0})
    model.partial_fit(X[:20], y[:20], classes=[0, 1, 2])
    other = bpnet.MLPClassifier(**SMALL)
    other.partial_fit(X[:20], y[:20], classes=[0, 1, 2])
    must_equal(model.predict_proba(X), other.predict_proba(X))


@kind("estimators' small print")
def small_print(rng: np.random.Generator) -> Iterator[Probe]:
    """Class weights, pickles, single classes and extreme settings."""
    if not HAS_SKLEARN:
        return
    X = data(int(rng.integers(2**31)))
    y, labels = (X[:, 0] > 0).astype(int), (X > 0).astype(int)
    tables: dict[str, Any] = {
        "a list of numbers": [1, 2], "a list of None": [None, None],
        "a None": {0: None, 1: 1.0}, "negative": {0: -1.0, 1: 1.0},
        "NaN": {0: float("nan"), 1: 1.0},
        "infinite": {0: float("inf"), 1: 1.0}, "keys of text": {"0": 1.0, "1": 2.0},
        "no such class": {0: 1.0, 2: 1.0}, "text": {0: "1", 1: 1.0},
        "a list": {0: [1.0], 1: 2.0}, "dicts for one output": [{0: 1.0, 1: 2.0}],
        "an empty list": [],
    }  # fmt: skip
    for name, table in tables.items():
        model = bpnet.MLPClassifier(**SMALL, class_weight=table)
        yield Probe(
            f"class_weight: {name}", bind(must_refuse, bind(model.fit, X, y), "class_weight")
        )
    for name, many in {
        "one dict": {0: 1.0, 1: 2.0}, "too few dicts": [{0: 1.0, 1: 2.0}] * 2,
        "numbers": [1.0, 2.0, 3.0], "wrong keys": [{0: 1.0, 5: 2.0}] * 3,
    }.items():  # fmt: skip
        model = bpnet.MLPClassifier(**SMALL, class_weight=many)
        yield Probe(
            f"class_weight of labels: {name}",
            bind(must_refuse, bind(model.fit, X, labels), "class_weight"),
        )
    yield Probe("class_weight of a stream", streamed_class_weights)
    for name in ("MLPClassifier", "MLPRegressor"):
        for version in ("0.0.8", "0.0.9", "99.1"):
            yield Probe(f"{name} of {version}", bind(of_another_version, name, version))
        yield Probe(f"{name} of this version", bind(of_this_version, name))
    for label in (0, 1, 7, "only", -3.0):
        yield Probe(f"one class: {label!r}", bind(of_one_class, label))
    for more in ({"solver": "lbfgs"}, {"early_stopping": True}, {"class_weight": "balanced"}):
        yield Probe(f"one class, {more}", bind(of_one_class, 1, **more))
    model = bpnet.MLPClassifier(**SMALL)
    yield Probe(
        "one class of two in a stream",
        lambda: must_not_warn(bind(model.partial_fit, X, np.zeros(60), classes=[0, 1])),
    )
    yield Probe(
        "both classes have a column", lambda: must_shape(model.predict_proba(X), (60, 2))
    )
    for name in ("MLPClassifier", "MLPRegressor"):
        for share in (0.0, 1e-9, 0.999999):
            extreme = getattr(bpnet, name)(
                **SMALL, early_stopping=True, validation_fraction=share
            )
            yield Probe(
                f"{name}, validation_fraction {share:g}",
                bind(must_refuse, bind(extreme.fit, X, y), "validation_fraction"),
            )
        endless = getattr(bpnet, name)(**SMALL | {"max_iter": 30}, n_iter_no_change=np.inf)
        yield Probe(f"{name}, never stops", bind(runs, endless, X, y, 30))


def runs(model: Any, X: Any, y: Any, epochs: int) -> None:
    must_warn(bind(model.fit, X, y), "Maximum iterations")
    assert model.n_iter_ == epochs


def must_shape(found: Any, shape: tuple[int, ...]) -> None:
    assert found.shape == shape, found.shape
