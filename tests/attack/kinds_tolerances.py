"""Kinds: absolute tolerances, and weights of zero."""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attack import Probe, bind, kind, must_not_warn, must_refuse, must_warn
from available import available

import bpnet
from bpnet.schedules import ReduceOnPlateau, WarmUp

HAS_SKLEARN = importlib.util.find_spec("sklearn") is not None
BACKENDS = available("numpy", "torch", "jax")


def network(loss: str = "binary_crossentropy", units: int = 1, **kwargs: Any) -> Any:
    return bpnet.Network([bpnet.Dense(4, "tanh"), bpnet.Dense(units)], loss, seed=0, **kwargs)


# --- absolute tolerances ------------------------------------------------------------------


def rate_after(rule: Any, values: Any) -> float:
    state = rule.initial_state()
    for value in values:
        state = rule.observe(state, {rule_monitor(rule): float(value)})
    return float(rule.value(1e9, state))


def rule_monitor(rule: Any) -> str:
    return str(rule_inner(rule).monitor)


def rule_inner(rule: Any) -> Any:
    return rule.schedule if isinstance(rule, WarmUp) else rule


def check_rate(expected: float, rule: Any, values: Any) -> None:
    found = rate_after(rule, values)
    assert math.isclose(found, expected, rel_tol=1e-12), f"rate {found}, expected {expected}"


class Logs(bpnet.Callback):
    """Adds given values to the logs."""

    def __init__(self, values: Any) -> None:
        self.adds, self.values = {"f": None}, values

    def on_epoch_end(self, training: Any) -> None:
        training.logs["f"] = float(self.values[training.epoch - 1])


def stops_after(epochs: int, values: Any, **settings: Any) -> None:
    X, y = bpnet.datasets.make_moons(20, seed=0)
    rule = bpnet.EarlyStopping("f", **settings)
    history = network().fit(X, y, epochs=len(values), callbacks=[Logs(values), rule])
    assert history.epochs == epochs, f"{history.epochs} epochs, expected {epochs}"


def floor_of(rule: Any, initial: float) -> None:
    found = rate_after(rule, [1.0] * 400)
    assert 0.0 < found <= 1e-3 * initial, f"the rate fell from {initial} to {found}"


def regression(scale: float, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 3))
    return X, scale * (X @ [1.0, -2.0, 0.5])


def small_targets(solver: str, scale: float, seed: int) -> None:
    X, y = regression(scale, seed)
    model = bpnet.MLPRegressor(
        hidden_layer_sizes=(4,),
        solver=solver,
        max_iter=4000,
        random_state=0,
        learning_rate_init=0.02,
    )
    must_warn(bind(model.fit, X, y), "loss", "tol", "scale", category=UserWarning)


def fine_targets(solver: str, seed: int) -> None:
    X, y = regression(1.0, seed)
    model = bpnet.MLPRegressor(
        hidden_layer_sizes=(4,), activation="identity", solver=solver, max_iter=4000,
        random_state=0, learning_rate_init=0.02,
    )  # fmt: skip
    must_not_warn(bind(model.fit, X, y))


def counts_rate_test() -> None:
    """A loss below 0 does not end a rate test at once."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = rng.poisson(np.exp(3.0 + 0.3 * X[:, 0]))
    test = bpnet.find_learning_rate(network("poisson"), X, y, low=1e-5, high=1.0)
    assert len(test.losses) > 30, f"ended after {len(test.losses)} of 100 steps"


def resumed_plateau() -> None:
    """A run whose file describes the plateau goes on."""
    X, y = bpnet.datasets.make_moons(40, seed=0)
    rule = ReduceOnPlateau(0.1, patience=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.safetensors")
        network().fit(
            X, y, epochs=2, optimizer=bpnet.SGD(rule), callbacks=[bpnet.Checkpoint(path)]
        )
        resumed = network().fit(X, y, epochs=3, optimizer=bpnet.SGD(rule), resume_from=path)
    assert resumed.epochs == 3


@kind("absolute tolerances")
def absolute_tolerances(rng: np.random.Generator) -> Iterator[Probe]:
    """What counts as an improvement does not depend on the unit of a metric."""
    for power in (-300, -12, -3, 0, 6, 300):
        scale = float(rng.uniform(1.0, 9.0)) * 10.0**power
        halving = [scale * 0.5**k for k in range(12)]
        rule = ReduceOnPlateau(0.1, patience=0, factor=0.5)
        yield Probe(f"halving from 1e{power}", bind(check_rate, 0.1, rule, halving))
        yield Probe(
            f"halving from 1e{power} after a warm-up",
            bind(check_rate, 0.1, WarmUp(rule, 2), halving),
        )
        still = [scale * (1.0 - 1e-7 * k) for k in range(6)]
        yield Probe(f"still at 1e{power}", bind(check_rate, 0.1 * 0.5**5, rule, still))
    down = ReduceOnPlateau(0.1, patience=0, factor=0.5, mode="min")
    up = ReduceOnPlateau(0.1, "r2", patience=0, factor=0.5, mode="max")
    yield Probe("below 0, falling", bind(check_rate, 0.1, down, [-1.0, -1.5, -2.0, -4.0]))
    yield Probe("below 0, still", bind(check_rate, 0.05, down, [-1e3, -1e3 - 1e-3]))
    yield Probe("through 0", bind(check_rate, 0.1, down, [1.0, 0.0, -1e-9, -1.0]))
    yield Probe("R2 from far below 0", bind(check_rate, 0.1, up, [-1e6, -10.0, -0.1, 0.0, 0.5]))
    yield Probe("R2 at 0", bind(check_rate, 0.05, up, [0.0, 0.0]))
    yield Probe("R2 from 0", bind(check_rate, 0.1, up, [0.0, 1e-12, 1e-11]))
    yield Probe("NaN first", bind(check_rate, 0.05, down, [math.nan, 1.0, 0.5]))
    yield Probe("infinite first", bind(check_rate, 0.05, down, [math.inf, 1.0, 0.5]))
    yield Probe(
        "-infinite is the best", bind(check_rate, 0.025, down, [-math.inf, -1.0, -math.inf])
    )
    for rate in (1e-8, 0.1, 10.0):
        yield Probe(
            f"floor of {rate:g}", bind(floor_of, ReduceOnPlateau(rate, patience=0), rate)
        )
    yield Probe(
        "a floor of 0 is allowed",
        bind(check_rate, 0.0, ReduceOnPlateau(0.1, patience=0, minimum=0.0), [1.0] * 400),
    )
    absolute = bind(ReduceOnPlateau, 0.1, patience=0, factor=0.5, relative=False)
    yield Probe(
        "in units of the metric",
        lambda: check_rate(0.05, absolute(min_delta=2.0), [10.0, 8.5]),
    )
    for make in (bind(ReduceOnPlateau, 0.1), bpnet.EarlyStopping):
        name = getattr(make, "__name__", "ReduceOnPlateau")
        for value in (1.0, 2.5, 1e6):
            call = bind(make, min_delta=value)
            yield Probe(
                f"{name}, {value}", bind(must_refuse, call, "min_delta", "relative=False")
            )
        for wrong in (None, 1, "rel"):
            yield Probe(
                f"{name}, relative={wrong!r}",
                bind(must_refuse, bind(make, relative=wrong), "relative must be"),
            )
    fast = 1e-7 * 0.7 ** np.arange(9)
    yield Probe(
        "stopping, fast", bind(stops_after, 9, fast, patience=1, min_delta=0.1, mode="min")
    )
    slow = 1e7 * 0.99 ** np.arange(9)
    yield Probe(
        "stopping, slow", bind(stops_after, 3, slow, patience=1, min_delta=0.1, mode="min")
    )
    yield Probe(
        "stopping, R2",
        bind(stops_after, 9, [-9, -8, -4, -2, -1, 0, 0.1, 0.4, 0.9], patience=0, min_delta=0.05,
             mode="max"),
    )  # fmt: skip
    yield Probe("resumed", resumed_plateau)
    yield Probe("a rate test below 0", counts_rate_test)
    if HAS_SKLEARN:
        for solver in ("adam", "sgd", "lbfgs"):
            seed = int(rng.integers(2**31))
            for scale in (1e-3, 3e-3):
                yield Probe(
                    f"{solver}, y of {scale:g}", bind(small_targets, solver, scale, seed)
                )
        for solver in ("adam", "lbfgs"):
            seed = int(rng.integers(2**31))
            yield Probe(f"{solver}, y of 1", bind(fine_targets, solver, seed))


# --- weights of zero ----------------------------------------------------------------------


def weights(rng: np.random.Generator, rows: int, counting: int) -> Any:
    w = np.zeros(rows)
    w[rng.permutation(rows)[:counting]] = rng.uniform(0.5, 2.0, counting)
    return w


def split_network(backend: str, seed: int, **settings: Any) -> None:
    """The weights of both sides count, and rows without weight change nothing in validation."""
    rng = np.random.default_rng(seed)
    X, y = bpnet.datasets.make_moons(40, seed=1)
    w = weights(rng, 40, 8)
    history = network().fit(
        X, y, epochs=2, sample_weight=w, validation_split=0.25, backend=backend, **settings
    )
    values = [v for name in history for v in history[name]]
    assert np.all(np.isfinite(values)), values


def no_zero_is_held_out(seed: int, **settings: Any) -> None:
    """Rows of weight 0 hold NaN-provoking features that validation must not see."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, 2))
    y = (X[:, 0] > 0).astype(int)
    w = weights(rng, 50, 20)
    seen: list[Any] = []

    class See(bpnet.Callback):
        def on_train_begin(self, training: Any) -> None:
            held_out = training.validation
            seen.append((held_out.n_rows, np.asarray(held_out.w).min(), training.data.n_rows))

    network().fit(
        X, y, epochs=1, sample_weight=w, validation_split=0.2, callbacks=[See()], **settings
    )
    assert seen[0][0] == 4, f"{seen[0][0]} of 20 counting rows held out"
    assert seen[0][1] > 0.0, "a row of weight 0 was held out"
    assert seen[0][2] == 46, "the rows of weight 0 left training"


def stratified(seed: int, rows: int, shape: str) -> None:
    """Both sides have the proportions of the classes."""
    rng = np.random.default_rng(seed)
    k = np.repeat([0, 1, 2], [rows // 2, rows // 3, rows - rows // 2 - rows // 3])
    rng.shuffle(k)
    y: Any = k
    loss, units = "categorical_crossentropy", 3
    if shape == "rows":
        y = np.eye(3)[k]
    elif shape == "column":
        k, loss, units = (k > 0).astype(int), "binary_crossentropy", 1
        y = k[:, None]
    counts: list[Any] = []

    class See(bpnet.Callback):
        def on_train_begin(self, training: Any) -> None:
            held = np.asarray(training.validation.y)
            held = held.argmax(axis=1) if held.ndim == 2 and held.shape[1] > 1 else held.ravel()
            counts.append(np.bincount(held.astype(int), minlength=len(set(k.tolist()))))

    network(loss, units).fit(
        rng.normal(size=(rows, 2)), y, epochs=1, validation_split=0.3, stratify=True,
        callbacks=[See()],
    )  # fmt: skip
    due = 0.3 * np.bincount(k)
    assert np.all(np.abs(counts[0] - due) < 1.0), f"{counts[0]} held out, due {due}"
    assert counts[0].sum() == round(0.3 * rows)


def refuse_stratify(
    words: tuple[str, ...], loss: str, y: Any, units: int = 1, **kw: Any
) -> None:
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    settings = {"validation_split": 0.25, "stratify": True, "epochs": 1} | kw
    must_refuse(bind(network(loss, units).fit, X, y, **settings), "stratify", *words)


def estimator_weights(name: str, seed: int, backend: str = "numpy", **settings: Any) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int) if name == "MLPClassifier" else X[:, 0]
    settings |= {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": seed % 1000}
    model = getattr(bpnet, name)(backend=backend, **settings)
    model.fit(X, y, weights(rng, 60, 24))
    assert np.all(np.isfinite(model.predict(X)))
    if settings.get("early_stopping"):
        assert np.all(np.isfinite([model.validation_scores_, model.validation_loss_curve_]))


def bagged(seed: int, share: float) -> None:
    from sklearn.ensemble import BaggingRegressor

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 3))
    inner = bpnet.MLPRegressor(hidden_layer_sizes=(3,), early_stopping=True, max_iter=2)
    model = BaggingRegressor(inner, n_estimators=6, max_samples=share, random_state=seed % 1000)
    assert np.all(np.isfinite(model.fit(X, X[:, 0]).predict(X)))


def class_of_weight_0(**settings: Any) -> None:
    X = np.random.default_rng(0).normal(size=(90, 3))
    y = np.repeat([0, 1, 2], 30)
    model = bpnet.MLPClassifier(
        (3,), class_weight={0: 0.0}, max_iter=2, random_state=0, **settings
    )
    model.fit(X, y)
    assert np.all(np.isfinite(model.predict_proba(X)))


def batch_of_weight_0(backend: str, optimizer: Any) -> None:
    """A step of weight 0 is finite and leaves data-driven weights alone."""
    X = np.random.default_rng(0).normal(size=(8, 2))
    y, w = np.tile([0, 1], 4), np.array([0.0] * 4 + [1.0] * 4)
    net = network()
    history = net.fit(
        X, y, epochs=2, batch_size=4, shuffle=False, sample_weight=w, backend=backend,
        optimizer=optimizer,
    )  # fmt: skip
    other = network()
    expected = other.fit(
        X[4:], y[4:], epochs=2, shuffle=False, batch_size=4, optimizer=optimizer
    )
    assert np.allclose(history["loss"], expected["loss"], rtol=1e-5), history["loss"]


def loss_with_batches_of_weight_0(seed: int) -> None:
    """The reported loss is that of the rows that count."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 2))
    y, w = X[:, 0] * 3.0 + 5.0, np.zeros(40)
    w[30:] = 1.0
    settings = {"solver": "sgd", "learning_rate_init": 1e-9, "max_iter": 1, "alpha": 0.0,
                "batch_size": 10, "shuffle": False, "random_state": 0}  # fmt: skip
    found = bpnet.MLPRegressor(hidden_layer_sizes=(3,), **settings).fit(X, y, w).loss_
    due = bpnet.MLPRegressor(hidden_layer_sizes=(3,), **settings).fit(X[30:], y[30:]).loss_
    assert math.isclose(found, due, rel_tol=1e-6), f"loss_ {found}, expected {due}"


def streamed_idle(model, X, y):
    """A batch of a stream may have only classes of weight 0: its loss is 0."""
    model.partial_fit(X, y, classes=[0, 1])
    assert np.isfinite(model.loss_)
    assert np.isfinite(model.coefs_[0]).all()


@kind("weights of zero", slow=True)
def weights_of_zero(rng: np.random.Generator) -> Iterator[Probe]:
    """Rows of weight 0 take no part, and nothing is divided by 0."""
    seed = lambda: int(rng.integers(2**31))  # noqa: E731
    for backend in BACKENDS:
        yield Probe(f"split, {backend}", bind(split_network, backend, seed()))
        for name, optimizer in (("sgd", bpnet.SGD(0.1)),):
            yield Probe(
                f"batch, {backend}, {name}", bind(batch_of_weight_0, backend, optimizer)
            )
    for number in range(3):
        yield Probe(f"validation {number}", bind(no_zero_is_held_out, seed()))
        yield Probe(f"validation, stratified {number}",
                    bind(no_zero_is_held_out, seed(), stratify=True))  # fmt: skip
    X, y = bpnet.datasets.make_moons(20, seed=0)
    one = np.zeros(20)
    one[3] = 1.0
    for share in (0.1, 0.5, 0.9):
        call = bind(network().fit, X, y, epochs=1, sample_weight=one, validation_split=share)
        yield Probe(
            f"one row counts, split {share}",
            bind(must_refuse, call, "validation_split", "1 of 20"),
        )
    for shape in ("labels", "rows", "column"):
        for rows in (17, int(rng.integers(30, 60))):
            yield Probe(f"stratified {shape}, {rows}", bind(stratified, seed(), rows, shape))
    soft = np.full((12, 3), 1.0 / 3.0)
    labels = np.tile([0, 1, 2], 4)
    for name, probe in {
        "regression": (("classification",), "mean_squared_error", np.arange(12.0)),
        "counts": (("classification",), "poisson", np.arange(12)),
        "soft labels": ((), "categorical_crossentropy", soft, 3),
        "multi-label": ((), "binary_crossentropy", np.tile([[0, 1], [1, 1]], (6, 1)), 2),
        "soft column": ((), "binary_crossentropy", np.linspace(0.0, 1.0, 12)),
        "a lone class": (("2",), "categorical_crossentropy", [0] * 6 + [1] * 5 + [2], 3),
    }.items():
        yield Probe(f"stratify refused: {name}", bind(refuse_stratify, *probe))
    yield Probe(
        "stratify without a split",
        bind(refuse_stratify, ("validation_split",), "categorical_crossentropy", labels, 3,
             validation_split=0.0),
    )  # fmt: skip
    lone = np.ones(12)
    lone[labels == 2] = [1.0, 0.0, 0.0, 0.0]
    yield Probe(
        "a class that hardly counts",
        bind(
            refuse_stratify, ("2",), "categorical_crossentropy", labels, 3, sample_weight=lone
        ),
    )
    if not HAS_SKLEARN:
        return
    for name in ("MLPClassifier", "MLPRegressor"):
        for backend in BACKENDS:
            yield Probe(
                f"{name}, stopping, {backend}",
                bind(estimator_weights, name, seed(), backend, early_stopping=True),
            )
        for solver in ("adam", "sgd", "lbfgs"):
            yield Probe(
                f"{name}, {solver}", bind(estimator_weights, name, seed(), solver=solver)
            )
        yield Probe(
            f"{name}, small batches", bind(estimator_weights, name, seed(), batch_size=2)
        )
    for share in (0.2, 0.5, 1.0):
        yield Probe(f"bagged, {share}", bind(bagged, seed(), share))
    yield Probe("class of weight 0", class_of_weight_0)
    yield Probe("class of weight 0, stopping", bind(class_of_weight_0, early_stopping=True))
    yield Probe("class of weight 0, lbfgs", bind(class_of_weight_0, solver="lbfgs"))
    A, k = np.arange(60.0).reshape(30, 2), np.repeat([0, 1], 15)
    nothing = bpnet.MLPClassifier((2,), class_weight={0: 0, 1: 0})
    yield Probe("no class counts", bind(must_refuse, bind(nothing.fit, A, k), "class_weight"))
    part = bpnet.MLPClassifier((2,), class_weight={0: 0})
    yield Probe(
        "no class of a batch counts",
        bind(streamed_idle, part, A[:15], k[:15]),
    )
    crossed = (k == 0).astype(float)
    yield Probe(
        "no row counts",
        bind(must_refuse, bind(part.fit, A, k, crossed), "class_weight", "weight"),
    )
    few = bpnet.MLPRegressor(hidden_layer_sizes=(2,), early_stopping=True)
    w = np.zeros(30)
    w[:2] = 1.0
    yield Probe(
        "too few rows count", bind(must_refuse, bind(few.fit, A, A[:, 0], w), "2 of 30")
    )
    yield Probe("the loss of what counts", bind(loss_with_batches_of_weight_0, seed()))
