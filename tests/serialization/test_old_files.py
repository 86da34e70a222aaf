"""Files from earlier versions can be loaded, and their training runs resumed.

`files/` contains files written by bpnet 0.1.0 before its modules were grouped into packages, by

    net.fit(X, y, epochs=4, optimizer=..., callbacks=[..., bpnet.Checkpoint(path)], ...)
    net.save(path)

with the networks below.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import bpnet
from bpnet import Dense, Dropout, schedules
from bpnet.serialization import safetensors_file

FILES = Path(__file__).parent / "files"
RUN, NETWORK = FILES / "run-0.1.0.safetensors", FILES / "network-0.1.0.safetensors"
X, Y = bpnet.datasets.make_spiral(60, seed=0)


def fit(path=None, epochs=6):
    layers = [
        Dense(5, bpnet.activations.LeakyReLU(0.2), init="he_normal", l2=1e-3),
        Dropout(0.2),
        Dense(3, "tanh"),
        Dense(1),
    ]
    net = bpnet.Network(layers, "binary_crossentropy", seed=7)
    rate = schedules.WarmUp(schedules.ReduceOnPlateau(0.05, patience=1), 2)
    callbacks = [bpnet.EarlyStopping(patience=50), bpnet.GradientFlow()]
    history = net.fit(
        X, Y, epochs=epochs, optimizer=bpnet.Adam(rate, clip_norm=5.0), validation_split=0.2,
        callbacks=callbacks, resume_from=path,
    )  # fmt: skip
    return net, history


@pytest.mark.parametrize("path", [RUN, NETWORK], ids=lambda path: path.stem)
def test_an_old_file_loads(path, backend):
    tensors = safetensors_file.read(path)[1]
    net = bpnet.load(path, backend)
    for number, layer in enumerate(net.placement.parameters):
        for name, p in layer.items():
            assert_array_equal(backend.to_numpy(p), tensors[f"layers.{number}.{name}"])
    assert np.all(
        np.isfinite(
            backend.to_numpy(
                net.forward(backend.asarray(np.ones((2, net.n_inputs)), net.dtype))
            )
        )
    )


def test_an_old_run_can_be_resumed():
    """The result equals an uninterrupted run, up to the rounding of four epochs."""
    net, history = fit(RUN)
    whole, expected = fit()
    assert history.epochs == expected.epochs == 6
    assert list(history) == list(expected)
    assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    assert_allclose(net.forward(X), whole.forward(X), rtol=1e-2, atol=1e-3)


def test_an_old_run_cannot_be_resumed_with_fewer_epochs():
    with pytest.raises(ValueError, match=r"run-0\.1\.0"):
        fit(RUN, epochs=2)
