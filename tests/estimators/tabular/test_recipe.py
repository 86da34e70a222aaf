"""Training as pytabkit does: each step from the same weights, batches and masks is the same.

What pytabkit, the authors' implementation of RealMLP, does is in pytabkit.json, which
tests/estimators/peer/record_pytabkit.py writes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from numpy.testing import assert_allclose
from recipe import KINDS, PRESETS, estimator, examples, initial_weights, rows_as_they_are

import bpnet
from bpnet.data.loader import in_order
from bpnet.estimators.tabular import base, rows

RECORDED = json.loads(Path(__file__).with_name("pytabkit.json").read_text())


class Start(bpnet.Callback):
    """Begin with given weights."""

    def on_train_begin(self, training):
        shapes = [{n: p.shape for n, p in named.items()} for named in training.parameters]
        training.parameters = initial_weights(shapes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", PRESETS)
def test_training_is_that_of_pytabkit(preset, kind, monkeypatch):
    monkeypatch.setattr(base, "held_out", rows_as_they_are)
    monkeypatch.setattr(rows, "Shuffled", lambda seed: in_order)
    fitted = estimator(preset, kind, callbacks=[Start()]).fit(
        *examples("train", kind), validation_data=examples("validation", kind)
    )
    new, _ = examples("new", kind)
    answer = fitted.predict_proba(new) if kind == "classes" else fitted.predict(new)
    metric = "val_accuracy" if kind == "classes" else "val_rmse"
    recorded = RECORDED[f"{preset} {kind}"]
    assert_allclose(fitted.history_["loss"], recorded["loss"], rtol=1e-4)
    assert_allclose(fitted.history_[metric], recorded["metric"], rtol=1e-4)
    assert fitted.best_epoch_ == recorded["best_epoch"]
    assert_allclose(answer, recorded["predictions"], rtol=1e-4)
