"""Files from earlier versions can be loaded, and their training runs resumed.

`files/` contains files written by bpnet 0.1.0 before its modules were grouped into packages, by

    net.fit(X, y, epochs=4, optimizer=..., callbacks=[..., bpnet.Checkpoint(path)], ...)
    net.save(path)

with the networks below; and one of format 2, in which a ReduceOnPlateau has an absolute
`min_delta` and no floor.
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
FORMAT_2 = FILES / "run-format-2.safetensors"
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


@pytest.mark.parametrize("path", [RUN, NETWORK, FORMAT_2], ids=lambda path: path.stem)
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


def fit_with_plateaus(path=None, given=True, **former):
    """Fit as the file of format 2 was; `former` are arguments that its bpnet did not have."""
    dropout = schedules.ReduceOnPlateau(0.3, patience=1, min_delta=0.05, **former)
    plateau = schedules.ReduceOnPlateau(
        0.02, patience=0, min_delta=0.004, factor=0.01, **former
    )
    layers = [Dense(6, "tanh"), Dropout(dropout), Dense(1)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=3)
    optimizer = bpnet.Adam(schedules.WarmUp(plateau, 2)) if given else None
    return net, net.fit(
        X, Y, epochs=12, optimizer=optimizer, validation_split=0.2, resume_from=path,
        callbacks=[bpnet.EarlyStopping(patience=50)],
    )  # fmt: skip


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("former", [{}, {"relative": False, "minimum": 0.0}])
def test_a_plateau_stays_absolute_when_resumed(given, former):
    net, history = fit_with_plateaus(FORMAT_2, given, **former)
    whole, expected = fit_with_plateaus(relative=False, minimum=0.0)
    assert history["learning_rate"] == expected["learning_rate"]
    assert expected["learning_rate"][-1] < 1e-18
    assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    assert_allclose(net.forward(X), whole.forward(X), rtol=1e-2, atol=1e-3)


def test_another_plateau_is_still_refused():
    with pytest.raises(ValueError, match="the network's layers must be the same"):
        fit_with_plateaus(FORMAT_2, minimum=0.001)
