"""Record how pytabkit trains, for tests/estimators/tabular/test_recipe.py to compare with.

    pip install pytabkit lightning
    python tests/estimators/peer/record_pytabkit.py

pytabkit's RealMLP starts from the weights of tests/helpers/recipe.py, and takes the rows in
their order instead of a random one. Everything else is its own.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from importlib import metadata
from pathlib import Path
from unittest import mock

import numpy as np
import pytabkit
import torch
from pytabkit.models.data import data
from pytabkit.models.training.lightning_modules import TabNNModule
from pytabkit.models.training.metrics import Metrics
from pytabkit.models.training.nn_creator import NNCreator

TESTS = Path(__file__).parents[2]
sys.path.insert(0, str(TESTS / "helpers"))

from recipe import (  # noqa: E402
    BATCH,
    EPOCHS,
    HIDDEN,
    KINDS,
    PRESETS,
    estimator,
    examples,
    initial_weights,
)

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
        hidden_sizes=list(HIDDEN), p_drop=0.0,
    )  # fmt: skip
    X, y = examples("train", kind)
    losses, metrics, best = [], [], []
    with contextlib.ExitStack() as stack:

        def replace(owner, name, function):
            stack.enter_context(mock.patch.object(owner, name, function))

        replace(NNCreator, "create_model", starting_from(weights(preset, kind)))
        replace(TabNNModule, "training_step", watched(losses))
        replace(TabNNModule, "on_validation_epoch_end", watched_epoch(metrics, best))
        replace(data, "batch_randperm", in_order)
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


def weights(preset, kind):
    """Return the initial weights, in the layers of bpnet."""
    net = estimator(preset, kind, n_epochs=1).fit(*examples("train", kind)).network_
    return initial_weights([{n: p.shape for n, p in named.items()} for named in net.parameters])


def starting_from(layers):
    """Return NNCreator.create_model with other initial weights."""
    create = NNCreator.create_model

    def create_model(self, *arguments, **named):
        model = create(self, *arguments, **named)
        own = {}
        for parameter in model.parameters():
            own.setdefault(str(parameter.context.scope), []).append(parameter)
        with torch.no_grad():
            for name, values in in_its_layout(layers).items():
                (parameter,) = own.pop(name)
                parameter.copy_(torch.asarray(values).reshape(parameter.shape))
        assert not own
        return model

    return create_model


def in_its_layout(layers):
    """Return the weights by pytabkit's names, in its order of columns and axes."""
    found, order = {}, slice(None)
    if "w1" in layers[0]:
        periodic, (table,), *layers = layers[0], layers[1].values(), *layers[2:]
        names = {"weight_1": "w1", "bias_1": "b1", "weight_2": "W2", "bias_2": "b2"}
        for name, ours in names.items():
            found[f"/plr/{name}"] = periodic[ours].transpose(0, 2, 1)
        found["/tfms/emb"] = table
        # The features of numbers come before the columns that they and the one-hot codes are.
        columns, features = np.arange(layers[0]["s"].size), periodic["W2"][..., 0].size
        start = len(columns) - table.shape[1] - features
        order = np.r_[start : start + features, :start, start + features : len(columns)]
    scale, *layers = layers
    place = "/net/first_layer/layer-0"
    found[f"{place}/scale"] = scale["s"][order]
    dense = [layer for layer in layers if "W" in layer]
    dense[0]["W"] = dense[0]["W"][order]
    places = [place, *(f"/net/middle_layer/layer-{n}" for n in range(1, len(dense) - 1))]
    places.append(f"/net/last_layer/layer-{len(dense) - 1}")
    for place, layer in zip(places, dense, strict=True):
        found |= {f"{place}/weight": layer["W"], f"{place}/bias": layer["b"]}
    parametric = [layer for layer in layers if "alpha" in layer]
    found |= {f"{p}/act": layer["alpha"] for p, layer in zip(places, parametric, strict=False)}
    return found


def watched(losses):
    """Return TabNNModule.training_step that appends the loss."""
    step = TabNNModule.training_step

    def training_step(self, batch, number):
        loss = step(self, batch, number)
        losses.append(loss.item())
        return loss

    return training_step


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


def in_order(n_batch, n, device):
    """Take the place of batch_randperm."""
    return torch.arange(n, device=device).expand(n_batch, n)


def rounded(values):
    """Return lists of numbers with six significant digits."""
    if np.ndim(values):
        return [rounded(value) for value in values]
    return round(float(values), 5 - math.floor(math.log10(abs(values)))) if values else 0.0


if __name__ == "__main__":
    main()
