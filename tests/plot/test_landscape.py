"""The loss landscape: its planes, the losses in them, and what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

import bpnet
from bpnet import plot
from bpnet.plot.plane import flat, losses_at, path_plane, random_plane

pytestmark = pytest.mark.few_on_jax

X, Y = bpnet.datasets.make_moons(60, seed=0)


def trained(epochs=8, backend=None, **settings):
    layers = [bpnet.Dense(6, "tanh"), bpnet.BatchNorm(), bpnet.Dense(1, l2=0.01)]
    net = bpnet.Network(layers, "binary_crossentropy", seed=0, **settings)
    snapshots = bpnet.Snapshots()
    net.fit(X, Y, epochs=epochs, callbacks=[snapshots], backend=backend)
    return net, snapshots


def test_the_plane_of_a_path_has_most_of_it():
    net, snapshots = trained(dtype="float64")
    plane = path_plane(net, snapshots)
    points = np.stack([flat(net, taken.parameters) for taken in snapshots.taken])
    np.testing.assert_allclose(plane.directions @ plane.directions.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(plane.path[-1], 0.0, atol=1e-12)
    back = plane.origin + plane.path @ plane.directions
    moves = points - plane.origin
    left = np.sum((points - back) ** 2) / np.sum(moves**2)
    assert abs(1.0 - left - plane.share) < 1e-9
    rng = np.random.default_rng(0)
    for _ in range(20):  # no other plane has more
        other, _ = np.linalg.qr(rng.normal(size=(moves.shape[1], 2)))
        assert np.sum((moves @ other) ** 2) < plane.share * np.sum(moves**2)
    for k, label in enumerate(plane.labels):
        share = np.sum(plane.path[:, k] ** 2) / np.sum(moves**2)
        assert label == f"principal component {k + 1} ({100 * share:.1f} % of the path)"


def test_losses_are_those_of_evaluate(backend):
    net, snapshots = trained(backend=backend)
    data = net.check_data(X, Y, None)
    plane = path_plane(net, snapshots)
    before = [backend.to_numpy(p) for layer in net.parameters for p in layer.values()]
    here, start = losses_at(net, data, plane, [(0.0, 0.0), plane.path[0]])
    assert abs(here - net.evaluate(X, Y)["loss"]) < 1e-6
    assert start > here
    after = [backend.to_numpy(p) for layer in net.parameters for p in layer.values()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    # What is not trained by gradients stays; all else moves.
    moved = net.replace()
    vector = plane.origin + plane.path[0] @ plane.directions
    values, at = [], 0
    for layer in net.parameters:
        new = {}
        for name, p in layer.items():
            p = backend.to_numpy(p)
            if name in ("mean", "variance"):
                new[name] = p
            else:
                new[name], at = vector[at : at + p.size].reshape(p.shape), at + p.size
        values.append(new)
    moved.parameters = values
    assert abs(moved.evaluate(X, Y)["loss"] - start) < 1e-5


def test_random_directions_are_filter_normalized():
    net, _ = trained()
    plane = random_plane(net, 3)
    W = net.parameters[0]["W"]
    for direction in plane.directions:
        own = direction[: W.size].reshape(W.shape)
        np.testing.assert_allclose(
            np.linalg.norm(own, axis=0), np.linalg.norm(W, axis=0), rtol=1e-5
        )
        np.testing.assert_array_equal(direction[W.size : W.size + 6 * 3], 0.0)  # b, gamma, beta
    assert not np.array_equal(plane.directions, random_plane(net, 4).directions)
    np.testing.assert_array_equal(plane.directions, random_plane(net, 3).directions)


def test_contours_and_the_path_are_drawn():
    net, snapshots = trained()
    ax = plot.loss_landscape(net, X, Y, snapshots=snapshots, resolution=7)
    path, start, end = ax.get_lines()
    plane = path_plane(net, snapshots)
    np.testing.assert_allclose(path.get_xydata(), plane.path)
    np.testing.assert_allclose(start.get_xydata(), plane.path[:1])
    np.testing.assert_allclose(end.get_xydata(), [[0.0, 0.0]], atol=1e-6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == plane.labels
    for (low, high), along in zip((ax.get_xlim(), ax.get_ylim()), plane.path.T, strict=True):
        assert low < along.min() <= along.max() < high
    ax.figure.draw_without_rendering()
    assert [a.get_ylabel() for a in ax.figure.axes[1:]] == ["loss (mean per example)"]


def test_without_snapshots_the_network_is_in_the_middle():
    net, _ = trained()
    ax = plot.loss_landscape(net, X, Y, span=0.5, resolution=5, seed=2)
    assert ax.get_xlim() == ax.get_ylim() == (-0.5, 0.5)
    assert ax.get_lines()[0].get_xydata().tolist() == [[0.0, 0.0]]
    assert ax.get_xlabel() == "random direction 1 (filter-normalized)"


def test_losses_that_overflow_leave_a_gap():
    net = bpnet.Network([bpnet.Dense(1)], "mse", seed=0).build(2)
    net.parameters = [{"W": np.full((2, 1), 1e12), "b": np.zeros(1)}]
    with np.errstate(over="ignore"):
        ax = plot.loss_landscape(net, X, Y, span=1e9, resolution=5)
        ax.figure.draw_without_rendering()
        with pytest.raises(ValueError, match="not finite anywhere in the plane"):
            plot.loss_landscape(net, 1e12 * X, Y, resolution=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda: (trained()[0], trained(1)[1]), "needs three snapshots or more, got 2"),
        (lambda: (bpnet.Network([bpnet.Dense(1)], "mse"), None), "no parameters yet"),
        (lambda: (bpnet.Network([bpnet.Dense(1)], "mse").build(2), trained()[1]),
         "snapshots must be those of this network"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(arguments, message):
    net, snapshots = arguments()
    with pytest.raises(ValueError, match=message):
        plot.loss_landscape(net, X, Y, snapshots=snapshots)
