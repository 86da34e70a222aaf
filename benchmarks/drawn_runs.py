"""The test runs of ``benchmarks/diagnosis.py``: all settings are drawn from ranges.

The rule, written down before any of them was trained: of each 396 runs, each illness is induced
in 16, and 156 are sound to begin with (`COUNTS`). For each run, a generator seeded with its
number draws one of the data sets that suit its kind, then the change that the kind makes, then
all other settings: `settings` has their ranges, and each kind those that it changes. Rates,
widths and the like are drawn log-uniformly. None is discarded, repeated or replaced.

Three parts are drawn by this rule: "drawn", the test before, which has been tuned on since it
was run; "practice", on all data sets that were used up to then, which is tuned on; and "test",
on new data sets, three times as many runs as the test before.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from drawn_data import DRAWN_CLASSES, DRAWN_NUMBERS, DRAWN_WEAK
from failing_data import NUMBERS, WEAK, classes, problem
from failing_runs import (
    ALL,
    BOUNDED,
    FAILING,
    RECTIFIED,
    Case,
    noisy_labels,
    one_of,
    thinned,
    widened,
)  # fmt: skip
from fresh_data import FRESH_CLASSES, FRESH_NUMBERS, FRESH_WEAK

import bpnet
from bpnet import schedules
from bpnet.initializers import Constant, Normal

FIRST_SEED = 2000  # smaller ones are of failing_runs.py
COUNTS = dict.fromkeys(FAILING, 16) | {
    "drawn": 72, "drawn weak": 24, "drawn noisy": 20, "drawn padded": 20, "drawn rare": 20,
}  # fmt: skip
VALIDATED = 0.75  # share of the runs with validation data


def log_uniform(rng: Any, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


# --- settings, as a user might choose them ----------------------------------------------------


def scheduled(rng: Any, rate: float, epochs: int) -> Any:
    """Return a constant rate in 70 % of the runs; else one that falls or warms up."""
    if rng.random() < 0.7:
        return rate
    falling = (
        schedules.Cosine(rate, epochs), schedules.OneCycle(rate, epochs),
        schedules.Exponential(rate, float(rng.uniform(0.93, 0.99))),
    )  # fmt: skip
    return one_of(rng, (*falling, schedules.WarmUp(rate, max(1.0, 0.1 * epochs))))


def rule(
    rng: Any,
    epochs: int,
    adaptive: tuple[float, float] = (1e-3, 1e-2),
    momentum: tuple[float, float] = (1e-2, 1e-1),
) -> Any:
    """Draw an optimizer and its rate, of one range or the other."""
    drawn = scheduled(rng, log_uniform(rng, *adaptive), epochs)
    other = scheduled(rng, log_uniform(rng, *momentum), epochs)
    clip = 1.0 if rng.random() < 0.1 else None
    return one_of(
        rng,
        (
            bpnet.Adam(drawn, clip_norm=clip), bpnet.Adam(drawn, clip_norm=clip),
            bpnet.AdamW(drawn, weight_decay=log_uniform(rng, 1e-4, 1e-1)),
            bpnet.RMSprop(drawn), bpnet.SGD(other, 0.9, clip_norm=clip),
            bpnet.SGD(other, 0.9, nesterov=True),
        ),
    )  # fmt: skip


def layers(
    case: Case, rng: Any, activations: tuple[str, ...] = ALL,
    depths: tuple[int, int] = (1, 4), **dense: Any,
) -> list[bpnet.Layer]:  # fmt: skip
    """Draw hidden layers with 8 to 128 units; some with normalization, dropout or a penalty."""
    kind, depth = one_of(rng, activations), int(rng.integers(depths[0], depths[1] + 1))
    between: list[bpnet.Layer] = []
    if not dense:
        if rng.random() < 0.2:
            dense["l2"] = log_uniform(rng, 1e-5, 1e-3)
        if rng.random() < 0.15:
            between.append(one_of(rng, (bpnet.BatchNorm(), bpnet.LayerNorm())))
        if rng.random() < 0.25:
            between.append(bpnet.Dropout(round(float(rng.uniform(0.05, 0.4)), 2)))
    found: list[bpnet.Layer] = []
    for _ in range(depth):
        found += [bpnet.Dense(round(log_uniform(rng, 8, 128)), kind, **dense), *between]
    return [*found, bpnet.Dense(case.problem.n_outputs)]


def settings(case: Case, rng: Any) -> Case:
    """Draw everything but the data: layers, optimizer, rate, epochs, batches, stopping."""
    epochs = max(5, round(case.problem.epochs * log_uniform(rng, 0.5, 2.0)))
    case = case._replace(
        problem=case.problem._replace(epochs=epochs),
        layers=layers(case, rng),
        fit={"optimizer": rule(rng, epochs), "batch_size": 2 ** int(rng.integers(3, 8))},
        validated=bool(rng.random() < VALIDATED),
    )
    if rng.random() < 0.3:
        stop = bpnet.EarlyStopping(patience=int(rng.integers(3, 16)))
        case = case._replace(callbacks=(stop,), validated=True)
    return case


def with_rule(case: Case, chosen: Any) -> Case:
    return case._replace(fit=case.fit | {"optimizer": chosen})


# --- kinds: what is changed before or after the settings are drawn ----------------------------


def vanishing(case: Case, rng: Any) -> Case:
    if rng.random() < 0.5:
        chosen = layers(case, rng, ("sigmoid", "hard_sigmoid"), (5, 9), bias_init="zeros")
    else:
        init = Normal(log_uniform(rng, 0.003, 0.03))
        chosen = layers(case, rng, ("tanh", "relu", "elu", "softsign"), (4, 8), init=init)
    sgd = bpnet.SGD(log_uniform(rng, 0.01, 0.1), 0.9)
    return with_rule(settings(case, rng)._replace(layers=chosen), sgd)


def exploding(case: Case, rng: Any) -> Case:
    gain = float(rng.uniform(2.5, 8.0))

    def init(rng: Any, n_in: int, n_out: int) -> Any:
        return rng.normal(0.0, gain * np.sqrt(2.0 / n_in), (n_in, n_out))

    chosen = layers(case, rng, RECTIFIED, (4, 9), init=init)
    return settings(case, rng)._replace(layers=chosen)


def dead(case: Case, rng: Any) -> Case:
    bias = Constant(-float(rng.uniform(5.0, 15.0)))
    chosen = layers(case, rng, ("relu", "relu", "gelu"), (1, 4), bias_init=bias)
    return settings(case, rng)._replace(layers=chosen)


def saturated(case: Case, rng: Any) -> Case:
    init = Normal(log_uniform(rng, 6.0, 40.0))
    chosen = layers(case, rng, BOUNDED, (1, 4), init=init)
    return settings(case, rng)._replace(layers=chosen)


def rate_high(case: Case, rng: Any) -> Case:
    case = settings(case, rng)
    return with_rule(case, rule(rng, case.problem.epochs, (0.06, 2.0), (0.5, 15.0)))


def rate_low(case: Case, rng: Any) -> Case:
    case = settings(case, rng)
    return with_rule(case, rule(rng, case.problem.epochs, (1e-6, 5e-5), (1e-5, 5e-4)))


def symmetric(case: Case, rng: Any) -> Case:
    init = Constant(0.0 if rng.random() < 0.5 else float(rng.uniform(0.05, 0.6)))
    chosen = layers(case, rng, (*ALL, "sigmoid"), (1, 4), init=init)
    chosen[-1] = bpnet.Dense(case.problem.n_outputs, init=init)
    return settings(case, rng)._replace(layers=chosen)


def overfitting(case: Case, rng: Any) -> Case:
    few = int(rng.integers(50, 160))
    data = case.problem._replace(X=case.problem.X[:few], y=case.problem.y[:few])
    if data.y.dtype.kind == "f":
        data = data._replace(y=data.y + rng.normal(0.0, rng.uniform(0.0, 0.5), len(data.y)))
    else:
        data = data._replace(y=noisy_labels(data.y, float(rng.uniform(0.0, 0.25)), rng))
    units, kind = round(log_uniform(rng, 64, 512)), one_of(rng, ALL)
    hidden = [bpnet.Dense(units, kind)] * int(rng.integers(2, 4))
    case = settings(case._replace(problem=data), rng)
    return case._replace(
        problem=data._replace(epochs=round(log_uniform(rng, 50, 200))),
        layers=[*hidden, bpnet.Dense(data.n_outputs)], callbacks=(), validated=True,
        fit={"optimizer": bpnet.Adam(log_uniform(rng, 0.002, 0.01))},
    )  # fmt: skip


def underfitting(case: Case, rng: Any) -> Case:
    """Too small, too strong a penalty, or too much dropout."""
    case, out = settings(case, rng), bpnet.Dense(case.problem.n_outputs)
    unit = bpnet.Dense(1, one_of(rng, ("tanh", "elu", "gelu")))
    most = bpnet.Dropout(round(float(rng.uniform(0.7, 0.95)), 2))
    choices = (
        [out], [unit, out], layers(case, rng, ALL, (1, 3), l2=log_uniform(rng, 0.05, 0.5)),
        [bpnet.Dense(16, one_of(rng, ALL)), most, bpnet.Dense(16, one_of(rng, ALL)), most, out],
    )  # fmt: skip
    return case._replace(layers=list(one_of(rng, choices)))


def unscaled(case: Case, rng: Any) -> Case:
    """Some features, one at least, in units 100 to 100,000 times as small, and shifted."""
    data, n = case.problem, case.problem.X.shape[1]
    scaled = rng.random(n) < rng.uniform(0.1, 1.0)
    scaled[rng.integers(n)] = True
    factor = np.where(scaled, 10.0 ** rng.uniform(2.0, 5.0, n), 1.0)
    shift = factor * rng.uniform(-3.0, 3.0)
    data = data._replace(X=data.X * factor + shift, X_val=data.X_val * factor + shift)
    return settings(case._replace(problem=data), rng)


def unscaled_targets(case: Case, rng: Any) -> Case:
    data, factor = case.problem, log_uniform(rng, 20.0, 30_000.0)
    shift = factor * rng.uniform(-3.0, 3.0)
    data = data._replace(y=data.y * factor + shift, y_val=data.y_val * factor + shift)
    return settings(case._replace(problem=data), rng)


def useless(case: Case, rng: Any) -> Case:
    """So many constant columns, or copies of one column, that no common rate works."""
    data, count = case.problem, round(log_uniform(rng, 40, 250))
    value = float(rng.uniform(3.0, 10.0)) if rng.random() < 0.6 else None
    copied = int(rng.integers(data.X.shape[1]))

    def wider(X: Any) -> Any:
        if value is None:
            return np.hstack([X, np.tile(X[:, [copied]], count)])
        return np.hstack([X, np.full((len(X), count), value)])

    data = data._replace(X=wider(data.X), X_val=wider(data.X_val))
    return settings(case._replace(problem=data), rng)


def shuffled(case: Case, rng: Any) -> Case:
    data = case.problem
    data = data._replace(y=rng.permutation(data.y), y_val=rng.permutation(data.y_val))
    return settings(case._replace(problem=data), rng)


def one_class(case: Case, rng: Any) -> Case:
    data = case.problem
    y, y_val = np.full_like(data.y, data.y[0]), np.full_like(data.y_val, data.y[0])
    return settings(case._replace(problem=data._replace(y=y, y_val=y_val)), rng)


def imbalance(case: Case, rng: Any) -> Case:
    """A rare class among noisy features, so that it is seldom predicted."""
    case, noise = thinned(case, rng, tuple(range(12, 51))), rng.uniform(0.3, 2.0)
    data = case.problem
    X, X_val = (x + noise * rng.normal(size=x.shape) for x in (data.X, data.X_val))
    return settings(case._replace(problem=data._replace(X=X, X_val=X_val)), rng)


def noisy(case: Case, rng: Any) -> Case:
    """5 to 25 % of the labels are drawn anew, in training and held-out examples."""
    data, share = case.problem, float(rng.uniform(0.05, 0.25))
    y, y_val = (noisy_labels(y, share, rng) for y in (data.y, data.y_val))
    return settings(case._replace(problem=data._replace(y=y, y_val=y_val)), rng)


def padded(case: Case, rng: Any) -> Case:
    return settings(case._replace(problem=widened(case.problem, rng)), rng)


def rare(case: Case, rng: Any) -> Case:
    return settings(thinned(case, rng, tuple(range(10, 26))), rng)


KINDS: dict[str, Callable[[Case, Any], Case]] = {
    "vanishing gradients": vanishing, "exploding gradients": exploding, "dead ReLUs": dead,
    "saturated units": saturated, "learning rate too high": rate_high,
    "learning rate too low": rate_low, "symmetric initialisation": symmetric,
    "overfitting": overfitting, "underfitting": underfitting, "unscaled inputs": unscaled,
    "unscaled targets": unscaled_targets, "constant or duplicate features": useless,
    "shuffled labels": shuffled, "one class": one_class, "class imbalance": imbalance,
    "drawn": settings, "drawn weak": settings, "drawn noisy": noisy, "drawn padded": padded,
    "drawn rare": rare,
}  # fmt: skip


# --- the list ---------------------------------------------------------------------------------


class Sets(NamedTuple):
    """Data sets: with classes, with numbers and with a weak signal; and how many runs."""

    classes: tuple[str, ...]
    numbers: tuple[str, ...]
    weak: tuple[str, ...]
    first_seed: int
    times: int = 1

    def of(self, kind: str) -> tuple[str, ...]:
        """Return those that suit a kind."""
        if kind == "drawn weak":
            return self.weak
        if kind == "unscaled targets":
            return self.numbers
        if kind in ("class imbalance", "drawn noisy", "drawn rare"):
            return self.classes
        return self.classes + self.numbers


DRAWN = Sets(DRAWN_CLASSES, DRAWN_NUMBERS, DRAWN_WEAK, FIRST_SEED)
PRACTICE = Sets(
    classes(True) + classes(False) + DRAWN_CLASSES,
    NUMBERS[True] + NUMBERS[False] + DRAWN_NUMBERS,
    WEAK[True] + WEAK[False] + DRAWN_WEAK,
    first_seed=5000, times=3,
)  # fmt: skip
TEST = Sets(FRESH_CLASSES, FRESH_NUMBERS, FRESH_WEAK, first_seed=8000, times=3)


def runs(sets: Sets) -> Iterator[tuple[str, str, int]]:
    """Yield the kind, the data set and the seed of each run."""
    seeds = itertools.count(sets.first_seed)
    for kind, count in COUNTS.items():
        for _ in range(count * sets.times):
            seed = next(seeds)
            yield kind, one_of(np.random.default_rng([seed, 1]), sets.of(kind)), seed


def make(kind: str, name: str, seed: int) -> Case:
    """Draw a run; a data set is drawn in two ways."""
    case = Case(kind, name, seed, problem(name, seed % 2), [], {})
    return KINDS[kind](case, np.random.default_rng([seed, 2]))
