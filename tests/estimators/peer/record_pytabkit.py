"""Record how pytabkit trains, for tests/estimators/tabular/test_recipe.py to compare with.

    pip install pytabkit lightning
    python tests/estimators/peer/record_pytabkit.py

pytabkit's RealMLP starts from the weights of tests/helpers/recipe.py, takes the rows in their
order instead of a random one, and has bpnet's dropout masks. Everything else is its own.
"""

from __future__ import annotations

import json
import math
import sys
from importlib import metadata
from pathlib import Path
from unittest import mock

import numpy as np
import pytabkit
import torch
from pytabkit.models.training.lightning_modules import TabNNModule
from pytabkit.models.training.metrics import Metrics

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS.parent), str(TESTS / "helpers")]

from recipe import (  # noqa: E402
    BATCH,
    EPOCHS,
    HIDDEN,
    KINDS,
    PRESETS,
    estimator,
    examples,
    initial_weights,
    rows_as_they_are,
)

from benchmarks.pytabkit_peer import mask_keys, same_random_numbers, watched_losses  # noqa: E402
from bpnet.data.loader import in_order  # noqa: E402
from bpnet.estimators.tabular import base  # noqa: E402

TARGET = TESTS / "estimators" / "tabular" / "pytabkit.json"


def main():
    """Record all cases."""
    found = {f"{preset} {kind}": record(preset, kind) for preset in PRESETS for kind in KINDS}
    lines = {"pytabkit": metadata.version("pytabkit")} | found
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(line)}" for name, line in lines.items())
    TARGET.write_text(f"{{\n{text}\n}}\n")


def record(preset, kind):
    """Return the metrics of each epoch, the best epoch, and predictions for new rows."""
    ending = "Classifier" if kind == "classes" else "Regressor"
    peer = getattr(pytabkit, f"RealMLP_{preset.upper().replace('-', '_')}_{ending}")(
        device="cpu", random_state=0, n_threads=1, n_epochs=EPOCHS, batch_size=BATCH,
        hidden_sizes=list(HIDDEN),
    )  # fmt: skip
    X, y = examples("train", kind)
    metrics, best = [], []
    end = watched_epoch(metrics, best)
    with (
        same_random_numbers(peer, *random_numbers(preset, kind)),
        watched_losses() as losses,
        mock.patch.object(TabNNModule, "on_validation_epoch_end", end),
    ):
        peer.fit(X, y, *examples("validation", kind))
    new, _ = examples("new", kind)
    answer = peer.predict_proba(new) if kind == "classes" else peer.predict(new)
    loss = np.reshape(losses, (EPOCHS, -1)).mean(axis=1)
    # bpnet's are the accuracy, and the error in units of the standardized targets.
    metric = 1.0 - np.array(metrics) if kind == "classes" else np.array(metrics) / y.std()
    return {
        "loss": rounded(loss),
        "metric": rounded(metric),
        "best_epoch": best[-1],
        "predictions": rounded(answer),
    }


def random_numbers(preset, kind):
    """Return bpnet's preprocessing, initial weights, order of rows, and keys of masks."""
    own = estimator(preset, kind, n_epochs=1)
    with mock.patch.object(base, "held_out", rows_as_they_are):
        own.fit(*examples("train", kind), validation_data=examples("validation", kind))
    shapes = [{n: p.shape for n, p in named.items()} for named in own.network_.parameters]
    weights = initial_weights(shapes)
    return own._members[0].preprocessing, weights, in_order, mask_keys(own.network_)


def watched_epoch(metrics, best):
    """Return TabNNModule.on_validation_epoch_end that appends the metric and the best epoch."""
    end = TabNNModule.on_validation_epoch_end

    def on_validation_epoch_end(self):
        z = torch.cat(self.val_preds, dim=-2)
        (name,) = self.val_metric_names
        metrics.append(Metrics.apply(z[0], self.val_dl.val_y[0], name).item())
        end(self)
        best.append(self.best_val_epochs[name][0][0])

    return on_validation_epoch_end


def rounded(values):
    """Return lists of numbers with six significant digits."""
    if np.ndim(values):
        return [rounded(value) for value in values]
    return round(float(values), 5 - math.floor(math.log10(abs(values)))) if values else 0.0


if __name__ == "__main__":
    main()
