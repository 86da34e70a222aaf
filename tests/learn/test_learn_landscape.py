"""The experiment on the loss landscape."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import bpnet
from bpnet import learn
from bpnet.learn.landscape import OPTIMIZERS, Path, _reading


@pytest.fixture(scope="module")
def lesson():
    return learn.loss_landscape(epochs=20, seed=1)


def test_each_path_is_that_of_its_optimizer(lesson):
    X, y = bpnet.datasets.make_spiral(300, seed=1)
    layers = [bpnet.Dense(32, "tanh"), bpnet.Dense(32, "tanh"), bpnet.Dense(1)]
    for name, optimizer in OPTIMIZERS.items():
        net = bpnet.Network(layers, "binary_crossentropy", seed=1).build(2)
        start = net.evaluate(X, y)["loss"]
        snapshots = bpnet.Snapshots()
        net.fit(X, y, optimizer=optimizer, epochs=20, callbacks=[snapshots])
        points = [
            np.concatenate([p.ravel() for layer in taken.parameters for p in layer.values()])
            for taken in snapshots.taken
        ]
        path = lesson.numbers["paths"][name]
        assert math.isclose(path.start, start, rel_tol=1e-5)
        assert math.isclose(path.end, net.evaluate(X, y)["loss"], rel_tol=1e-5)
        assert path.line[0] == path.start
        assert path.line[-1] == path.end
        assert math.isclose(path.distance, np.linalg.norm(points[-1] - points[0]), rel_tol=1e-5)
        steps = [np.linalg.norm(b - a) for a, b in itertools.pairwise(points)]
        assert math.isclose(path.length, sum(steps), rel_tol=1e-5)
        assert path.length > path.distance
        assert 0.5 < path.share <= 1.0


def test_the_reading_follows_the_numbers():
    straight = Path(1.0, 0.1, 3.0, 2.0, 0.97, (1.0, 0.5, 0.1))
    over = Path(1.0, 0.1, 8.0, 2.0, 0.9, (1.0, 1.5, 0.1))
    text = _reading({"SGD": over, "Adam": straight})
    assert text.startswith("The path of SGD is 4 times as long as the straight line")
    assert "that of Adam 1.5 times" in text
    assert "by 90 % or more" in text
    assert text.endswith("On the straight line, the loss of SGD rises before it falls.")
    assert "no loss rises above that of the start" in _reading({"Adam": straight})


def test_it_draws_the_path_of_each_optimizer(lesson):
    lesson = learn.loss_landscape(epochs=2, resolution=3)
    axes = [ax for ax in lesson.draw().axes if ax.get_title()]
    assert [ax.get_title() for ax in axes] == list(OPTIMIZERS)
    for ax in axes:
        assert len(ax.get_lines()[0].get_xdata()) == 3
