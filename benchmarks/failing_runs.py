"""Training runs with an induced failure, and sound ones, for ``benchmarks/diagnosis.py``.

Each recipe returns a run that may fail in one way; ``failure_measures.py`` measures whether it
does. `runs` lists all of a half.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from failing_data import NUMBERS, PIXELS, STRONG, WEAK, Problem, classes, problem

import bpnet
from bpnet.initializers import Constant, Normal

EACH = 12


class Case(NamedTuple):
    """One training run: the data, the layers, and the arguments of `fit`."""

    recipe: str
    name: str
    seed: int
    problem: Problem
    layers: list[bpnet.Layer]
    fit: dict[str, Any]
    validated: bool = True
    callbacks: tuple[Any, ...] = ()


class Run(NamedTuple):
    """A trained network and its history."""

    case: Case
    net: bpnet.Network
    history: bpnet.History


# --- layers ---------------------------------------------------------------------------------

ALL = ("relu", "tanh", "leaky_relu", "elu", "gelu", "silu", "softsign", "selu", "softplus")
RECTIFIED = ("relu", "leaky_relu", "elu", "gelu", "silu")
BOUNDED = ("tanh", "sigmoid", "softsign", "hard_sigmoid")


def one_of(rng: Any, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def hidden(
    case: Case, rng: Any, activations: tuple[str, ...], depths: tuple[int, ...], **dense: Any
) -> list[bpnet.Layer]:
    """Draw hidden layers, with `dense` as their arguments, and add the output layer."""
    depth, units = one_of(rng, depths), one_of(rng, (16, 32, 64))
    activation = one_of(rng, activations)
    return [
        *(bpnet.Dense(units, activation, **dense) for _ in range(depth)),
        bpnet.Dense(case.problem.n_outputs),
    ]


def optimizer(rng: Any) -> Any:
    """Draw an optimizer with a common rate."""
    return one_of(
        rng, (bpnet.Adam(0.003), bpnet.Adam(0.01), bpnet.SGD(0.05, 0.9), bpnet.RMSprop(0.003))
    )


def stopping(case: Case, patience: int = 5) -> Case:
    """Stop the run early."""
    stop = bpnet.EarlyStopping(patience=patience)
    return case._replace(callbacks=(stop,), validated=True)


# --- sound runs -----------------------------------------------------------------------------


def plain(case: Case, rng: Any) -> Case:
    layers = hidden(case, rng, ALL, (1, 2, 3))
    if rng.random() < 0.3:
        layers.insert(1, bpnet.Dropout(0.1))
    return case._replace(layers=layers, fit={"optimizer": optimizer(rng)})


def early_stopped(case: Case, rng: Any) -> Case:
    return stopping(plain(case, rng), one_of(rng, (3, 5, 10)))


def weak(case: Case, rng: Any) -> Case:
    """Learn a weak signal with few steps, early stopping or a penalty."""
    case = plain(case, rng)
    choice = rng.integers(3)
    if choice == 0:
        return stopping(case)
    if choice == 1:
        few = case.problem._replace(epochs=5)
        return case._replace(problem=few, fit={"optimizer": bpnet.Adam(0.001)})
    layers = [bpnet.Dense(16, "tanh", l2=0.01), bpnet.Dense(case.problem.n_outputs)]
    return case._replace(layers=layers, fit={"optimizer": bpnet.Adam(0.003)})


def dropped(case: Case, rng: Any) -> Case:
    units, activation = one_of(rng, (64, 128)), one_of(rng, RECTIFIED)
    rate = one_of(rng, (0.3, 0.5, 0.8, 0.95))
    layers = [
        bpnet.Dense(units, activation), bpnet.Dropout(rate), bpnet.Dense(units, activation),
        bpnet.Dropout(rate), bpnet.Dense(case.problem.n_outputs),
    ]  # fmt: skip
    return case._replace(layers=layers, fit={"optimizer": bpnet.Adam(0.003)})


def tiny_targets(case: Case, rng: Any) -> Case:
    data, factor = case.problem, 10.0 ** -rng.uniform(2.0, 5.0)
    data = data._replace(y=data.y * factor, y_val=data.y_val * factor)
    return plain(case._replace(problem=data), rng)


def fast(case: Case, rng: Any) -> Case:
    """Rates that are high, and often fine."""
    layers = hidden(case, rng, ("relu", "leaky_relu", "tanh", "elu", "gelu"), (1, 2))
    rates = (bpnet.Adam(0.03), bpnet.Adam(0.05), bpnet.SGD(0.3), bpnet.SGD(0.2, 0.9))
    return case._replace(layers=layers, fit={"optimizer": one_of(rng, rates)})


def brief(case: Case, rng: Any) -> Case:
    """Few epochs with a good fit."""
    case = plain(case, rng)
    fit = {"optimizer": bpnet.Adam(0.01), "batch_size": 8}
    return case._replace(problem=case.problem._replace(epochs=8), fit=fit)


def normalized(case: Case, rng: Any) -> Case:
    layers, kind = hidden(case, rng, ("relu", "tanh", "gelu"), (2, 3)), bpnet.BatchNorm
    if rng.random() < 0.5:
        kind = bpnet.LayerNorm
    for place in range(len(layers) - 1, 0, -1):
        layers.insert(place, kind())
    return case._replace(layers=layers, fit={"optimizer": bpnet.Adam(0.003)})


def smooth(case: Case, rng: Any) -> Case:
    layers = hidden(case, rng, ("elu", "gelu", "silu"), (2, 3))
    return case._replace(layers=layers, fit={"optimizer": bpnet.Adam(0.003)})


def batches(case: Case, rng: Any) -> Case:
    case, size = plain(case, rng), one_of(rng, (8, 128, None))
    if size != 8:
        case = case._replace(problem=case.problem._replace(epochs=2 * case.problem.epochs))
    fit = {"optimizer": bpnet.Adam(0.003 if size == 8 else 0.01), "batch_size": size}
    return case._replace(fit=fit)


def noisy(case: Case, rng: Any) -> Case:
    """10 to 20 % wrong labels, in training and held-out examples; stopped early."""
    data, share = case.problem, one_of(rng, (0.1, 0.2))
    y, y_val = (noisy_labels(y, share, rng) for y in (data.y, data.y_val))
    data = data._replace(y=y, y_val=y_val)
    return stopping(plain(case._replace(problem=data), rng))


def noisy_labels(y: Any, share: float, rng: Any) -> Any:
    """Draw a share of the labels at random."""
    wrong = rng.random(len(y)) < share
    return np.where(wrong, rng.integers(0, int(y.max()) + 1, len(y)), y)


def pixels(case: Case, rng: Any) -> Case:
    return plain(case, rng)


def rare_but_known(case: Case, rng: Any) -> Case:
    return plain(thinned(case, rng, (12, 19, 25)), rng)


def padded(case: Case, rng: Any) -> Case:
    """Constant columns and linear functions of others, a few of each."""
    return plain(case._replace(problem=widened(case.problem, rng)), rng)


def widened(data: Problem, rng: Any) -> Problem:
    """Add one to three constant columns or linear functions of others."""
    extra = int(rng.integers(1, 4))
    chosen = rng.integers(0, data.X.shape[1], extra)
    slope, offset = rng.choice((0.0, 1.0, -1.0), extra), rng.choice((0.0, 1.0), extra)
    X, X_val = (
        np.column_stack([X, X[:, chosen] * slope + offset]) for X in (data.X, data.X_val)
    )
    return data._replace(X=X, X_val=X_val)


# --- runs with an induced failure -----------------------------------------------------------


def vanishing(case: Case, rng: Any) -> Case:
    if rng.random() < 0.5:
        layers = hidden(case, rng, ("sigmoid", "hard_sigmoid"), (5, 6, 8))
    else:
        layers = hidden(
            case, rng, ("tanh", "relu", "elu", "softsign"), (4, 5, 6), init=Normal(0.02)
        )
    return case._replace(
        layers=layers, fit={"optimizer": bpnet.SGD(one_of(rng, (0.03, 0.1)), 0.9)}
    )


def exploding(case: Case, rng: Any) -> Case:
    gain = one_of(rng, (3.0, 4.0, 6.0))

    def init(rng: Any, n_in: int, n_out: int) -> Any:
        return rng.normal(0.0, gain * np.sqrt(2.0 / n_in), (n_in, n_out))

    layers = hidden(case, rng, RECTIFIED, (4, 5, 6, 8), init=init)
    rule = bpnet.SGD(0.01) if rng.random() < 0.5 else bpnet.Adam(0.003)
    return case._replace(layers=layers, fit={"optimizer": rule})


def dead(case: Case, rng: Any) -> Case:
    bias = Constant(-one_of(rng, (6.0, 8.0, 12.0)))
    layers = hidden(case, rng, ("relu", "relu", "gelu"), (1, 2, 3, 4), bias_init=bias)
    rule = bpnet.SGD(0.05) if rng.random() < 0.5 else bpnet.Adam(0.003)
    return case._replace(layers=layers, fit={"optimizer": rule})


def saturated(case: Case, rng: Any) -> Case:
    init = Normal(one_of(rng, (10.0, 20.0, 30.0)))
    layers = hidden(case, rng, BOUNDED, (1, 2, 3, 4), init=init)
    rule = bpnet.SGD(0.05) if rng.random() < 0.5 else bpnet.Adam(0.003)
    return case._replace(layers=layers, fit={"optimizer": rule})


def rate_high(case: Case, rng: Any) -> Case:
    kinds = ("relu",) if rng.random() < 0.5 else ALL
    layers = hidden(case, rng, kinds, (1, 2, 3))
    adam = [bpnet.Adam(rate) for rate in (0.1, 0.3, 1.0)]
    rules = (*adam, bpnet.SGD(1.0), bpnet.SGD(3.0), bpnet.SGD(10.0), bpnet.SGD(1.0, 0.9))
    return case._replace(layers=layers, fit={"optimizer": one_of(rng, rules)})


def rate_low(case: Case, rng: Any) -> Case:
    layers = hidden(case, rng, ALL, (1, 2, 3))
    adam = [bpnet.Adam(rate) for rate in (3e-6, 1e-5, 3e-5)]
    rules = (*adam, bpnet.SGD(1e-4), bpnet.SGD(1e-3), bpnet.SGD(1e-5, 0.9))
    return case._replace(layers=layers, fit={"optimizer": one_of(rng, rules)})


def symmetric(case: Case, rng: Any) -> Case:
    init = Constant(one_of(rng, (0.0, 0.0, 0.1, 0.5)))
    layers = hidden(case, rng, (*ALL, "sigmoid"), (1, 2, 3), init=init)
    layers[-1] = bpnet.Dense(case.problem.n_outputs, init=init)
    return case._replace(layers=layers, fit={"optimizer": bpnet.Adam(0.01)})


def overfitting(case: Case, rng: Any) -> Case:
    data, few = case.problem, one_of(rng, (60, 100, 150))
    y, noise = data.y[:few].copy(), one_of(rng, (0.0, 0.2))
    if y.dtype.kind == "f":
        y = y + rng.normal(0.0, 2.5 * noise, len(y))
    else:
        wrong = rng.random(len(y)) < noise
        y[wrong] = rng.integers(0, int(data.y.max()) + 1, int(wrong.sum()))
    units = one_of(rng, (64, 128, 512))
    layer = bpnet.Dense(units, one_of(rng, ALL))
    layers = [*[layer] * one_of(rng, (2, 2, 3)), bpnet.Dense(data.n_outputs)]
    epochs = 150 if units < 512 else 60
    data = data._replace(X=data.X[:few], y=y, epochs=epochs)
    return case._replace(problem=data, layers=layers, fit={"optimizer": bpnet.Adam(0.005)})


def underfitting(case: Case, rng: Any) -> Case:
    n_outputs, choice = case.problem.n_outputs, rng.integers(3)
    if choice == 0:
        layers: list[bpnet.Layer] = [bpnet.Dense(n_outputs)]
    elif choice == 1:
        layers = [bpnet.Dense(1, one_of(rng, ("tanh", "elu", "gelu"))), bpnet.Dense(n_outputs)]
    else:
        layers = hidden(case, rng, ALL, (1, 2, 3), l2=one_of(rng, (0.1, 0.3)))
    return case._replace(layers=layers, fit={"optimizer": bpnet.Adam(0.01)})


def unscaled(case: Case, rng: Any) -> Case:
    data, n = case.problem, case.problem.X.shape[1]
    factor = 10.0 ** rng.uniform(2.0, 4.0, n)
    factor[rng.random(n) < 0.5] = 1.0
    factor[rng.integers(n)] = 10.0 ** rng.uniform(2.0, 4.0)
    shift = factor * rng.choice((0.0, 3.0))
    data = data._replace(X=data.X * factor + shift, X_val=data.X_val * factor + shift)
    layers = hidden(case, rng, (*ALL, "sigmoid"), (1, 2, 3))
    rule = bpnet.SGD(0.01) if rng.random() < 0.3 else bpnet.Adam(0.003)
    return case._replace(problem=data, layers=layers, fit={"optimizer": rule})


def unscaled_targets(case: Case, rng: Any) -> Case:
    data, factor = case.problem, 10.0 ** rng.uniform(1.5, 4.0)
    shift = factor * rng.choice((0.0, 3.0))
    data = data._replace(y=data.y * factor + shift, y_val=data.y_val * factor + shift)
    return plain(case._replace(problem=data), rng)


def useless(case: Case, rng: Any) -> Case:
    """So many constant columns, or copies of one column, that no common rate works."""
    data, n = case.problem, case.problem.X.shape[1]
    count, copied = one_of(rng, (50, 100, 200)), int(rng.integers(n))
    value = one_of(rng, (3.0, 8.0)) if rng.random() < 0.6 else None

    def widened(X: Any) -> Any:
        if value is None:
            return np.hstack([X, np.tile(X[:, [copied]], count)])
        return np.hstack([X, np.full((len(X), count), value)])

    data = data._replace(X=widened(data.X), X_val=widened(data.X_val))
    return plain(case._replace(problem=data), rng)


def shuffled(case: Case, rng: Any) -> Case:
    """Memorized or not: large nets and many epochs, or small ones."""
    data = case.problem
    data = data._replace(y=rng.permutation(data.y), y_val=rng.permutation(data.y_val))
    case = case._replace(problem=data)
    if rng.random() < 0.5:
        return plain(case, rng)
    layers = [
        *[bpnet.Dense(128, one_of(rng, ("relu", "tanh")))] * 2,
        bpnet.Dense(data.n_outputs),
    ]
    data = data._replace(epochs=80)
    return case._replace(problem=data, layers=layers, fit={"optimizer": bpnet.Adam(0.005)})


def one_class(case: Case, rng: Any) -> Case:
    data = case.problem
    y, y_val = np.full_like(data.y, data.y[0]), np.full_like(data.y_val, data.y[0])
    return plain(case._replace(problem=data._replace(y=y, y_val=y_val)), rng)


def thinned(case: Case, rng: Any, ratios: tuple[int, ...]) -> Case:
    """Make one class rare."""
    data = case.problem
    rare, ratio = int(rng.integers(0, int(data.y.max()) + 1)), one_of(rng, ratios)

    def fewer(X: Any, y: Any) -> tuple[Any, Any]:
        of_class = np.flatnonzero(y == rare)
        keep = max(2, int(np.bincount(np.delete(y, of_class)).max() / ratio))
        rows = np.sort(np.concatenate([np.flatnonzero(y != rare), of_class[:keep]]))
        return X[rows], y[rows]

    X, y = fewer(data.X, data.y)
    X_val, y_val = fewer(data.X_val, data.y_val)
    return case._replace(problem=data._replace(X=X, y=y, X_val=X_val, y_val=y_val))


def imbalance(case: Case, rng: Any) -> Case:
    """A rare class among noisy features, so that it is seldom predicted; stopped early."""
    case, noise = thinned(case, rng, (15, 25, 40)), one_of(rng, (0.5, 1.0, 2.0))
    data = case.problem
    X, X_val = (x + noise * rng.normal(size=x.shape) for x in (data.X, data.X_val))
    return stopping(plain(case._replace(problem=data._replace(X=X, X_val=X_val)), rng))


# --- the list -------------------------------------------------------------------------------

Recipe = Callable[[Case, Any], Case]
SOUND: dict[str, Recipe] = {
    recipe.__name__: recipe
    for recipe in (
        plain, early_stopped, weak, dropped, tiny_targets, fast, brief, normalized, smooth,
        batches, noisy, pixels, rare_but_known, padded,
    )
}  # fmt: skip
FAILING: dict[str, Recipe] = {
    "vanishing gradients": vanishing,
    "exploding gradients": exploding,
    "dead ReLUs": dead,
    "saturated units": saturated,
    "learning rate too high": rate_high,
    "learning rate too low": rate_low,
    "symmetric initialisation": symmetric,
    "overfitting": overfitting,
    "underfitting": underfitting,
    "unscaled inputs": unscaled,
    "unscaled targets": unscaled_targets,
    "constant or duplicate features": useless,
    "shuffled labels": shuffled,
    "one class": one_class,
    "class imbalance": imbalance,
}
RECIPES = SOUND | FAILING


def data_sets(recipe: str, tuning: bool) -> tuple[str, ...]:
    """Return the data sets of a half that suit a recipe."""
    if recipe in ("tiny_targets", "unscaled targets"):
        return NUMBERS[tuning]
    if recipe in ("noisy", "class imbalance", "rare_but_known"):
        return classes(tuning)
    if recipe == "weak":
        return WEAK[tuning]
    if recipe == "pixels":
        return tuple(name for name in STRONG[tuning] if name in PIXELS)
    return STRONG[tuning]


def runs(tuning: bool) -> Iterator[tuple[str, str, int]]:
    """Yield the recipe, the data set and the seed of each run of a half."""
    seeds = itertools.count(0 if tuning else 1000)
    for offset, recipe in enumerate(RECIPES):
        names = data_sets(recipe, tuning)
        for k in range(EACH):
            yield recipe, names[(5 * offset + k) % len(names)], next(seeds)


def make(recipe: str, name: str, seed: int) -> Case:
    """Draw a run; a data set is drawn in two ways."""
    rng = np.random.default_rng([seed, *recipe.encode()])
    case = Case(recipe, name, seed, problem(name, seed % 2), [], {})
    case = RECIPES[recipe](case, rng)
    if recipe != "overfitting" and not case.callbacks and rng.random() < 0.35:
        case = case._replace(validated=False)
    return case


def train(case: Case) -> Run:
    """Train as a user would, with a recorder."""
    data = case.problem
    net = bpnet.Network(case.layers, data.loss, seed=case.seed)
    held_out = (data.X_val, data.y_val) if case.validated else None
    callbacks = [*case.callbacks, bpnet.GradientFlow()]
    with np.errstate(all="ignore"):
        history = net.fit(
            data.X, data.y, epochs=data.epochs, validation_data=held_out,
            callbacks=callbacks[:: -1 if case.seed % 2 else 1], on_nonfinite="ignore",
            **case.fit,
        )  # fmt: skip
    return Run(case, net, history)
