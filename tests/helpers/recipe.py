"""A small table, and initial weights by a formula, on which training is compared."""

from __future__ import annotations

import numpy as np
import pandas as pd

import bpnet

PRESETS = ("td", "td-s")
KINDS = ("classes", "number")
# 43 rows in batches of 10 leave 3 over; 6 epochs hold the cycles of the learning rate and the
# halves of the weight decay.
ROWS = {"train": 43, "validation": 17, "new": 12}
EPOCHS, BATCH, HIDDEN = 6, 10, (7, 5)


def examples(part, kind):
    """Return predictors and outcomes: numbers, and categories with gaps and 2 to 12 levels."""
    start = 100 * list(ROWS).index(part)
    k = np.arange(start, start + ROWS[part])
    X = pd.DataFrame({"wave": np.sin(1.7 * k), "peaks": 5.0 + np.exp(3.0 * np.cos(k * k))})
    for name, levels in (("answer", 2), ("color", 3), ("city", 12)):
        codes = np.where(k % (levels + 5) == 1, -1, (k * k + k // 3) % levels)
        names = [f"{name} {level:02}" for level in range(levels)]
        X[name] = pd.Categorical.from_codes(codes, names)
    y = 40.0 + 3.0 * X["wave"] + np.sqrt(X["peaks"]) + X["color"].cat.codes + np.cos(k)
    y = y.to_numpy()
    return X, np.digitize(y, [42.0, 45.0]) if kind == "classes" else y


def estimator(preset, kind, **changes):
    """Return bpnet's, which draws its dropout masks by a seed."""
    found = bpnet.TabularClassifier if kind == "classes" else bpnet.TabularRegressor
    settings = {"hidden_layer_sizes": HIDDEN, "n_epochs": EPOCHS, "batch_size": BATCH}
    return found(preset, random_state=0, backend="numpy", **settings | changes)


def rows_as_they_are(examples, fraction, rng):
    """Take the place of bpnet's `held_out`: train on all rows, in their order."""
    return np.arange(examples.n_rows), np.arange(0)


def initial_weights(shapes):
    """Return the parameters of a network, by their names and shapes in each layer.

    Layers without parameters make no difference.
    """
    found = []
    for named in shapes:
        layer = sum(map(bool, found))
        values = {}
        for place, (name, shape) in enumerate(named.items()):
            waves = np.sin(np.arange(np.prod(shape)) + 10.0 * layer + place).reshape(shape)
            values[name] = (name in ("s", "alpha")) + waves.astype("float32")
        found.append(values)
    return found
