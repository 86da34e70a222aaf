"""The plots: what they show, where they draw, and what they reject."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import bpnet
from bpnet import plot


@pytest.fixture
def ax():
    return Figure().add_subplot()


def built(units, W, b, loss):
    """Build a linear classifier of two features with the given weights."""
    net = bpnet.Network([bpnet.Dense(units)], loss=loss, seed=0, dtype="float64").build(2)
    net.parameters = [{"W": np.array(W, dtype=float), "b": np.array(b, dtype=float)}]
    return net


@pytest.fixture
def binary():
    """P(1) = sigmoid(8 (x - 0.25)): the boundary is the line x = 0.25."""
    return built(1, [[8.0], [0.0]], [-2.0], "binary_crossentropy")


X = np.array([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]])
Y = np.array([0, 1, 0, 1])


def borders(ax):
    """Return the points of all boundary lines, (n, 2)."""
    paths = [path for drawn in ax.collections for path in drawn.get_paths()]
    return np.concatenate([path.vertices for path in paths if len(path.vertices)])


def shade_at(ax, x, y):
    """Return the color of the shading at a point."""
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    pixels = np.asarray(image.get_array())
    row = round((y - bottom) / (top - bottom) * (pixels.shape[0] - 1))
    column = round((x - left) / (right - left) * (pixels.shape[1] - 1))
    return pixels[row, column]


# --- the loss -------------------------------------------------------------------------------


def test_history_draws_both_losses_over_epochs_from_1(ax):
    assert plot.history({"loss": [3.0, 0.2, 0.1], "val_loss": [3.0, 0.3, 0.2]}, ax) is ax
    training, validation = ax.get_lines()
    assert training.get_xydata().tolist() == [[1, 3.0], [2, 0.2], [3, 0.1]]
    assert validation.get_ydata().tolist() == [3.0, 0.3, 0.2]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "training",
        "validation",
    ]
    assert ax.get_xlabel() == "epoch"
    assert "loss" in ax.get_ylabel()
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("losses", [[1.0, 0.5], [1.0, 0.0], [1.0, -2.0], [math.nan, math.nan]])
def test_history_is_linear_where_a_log_scale_is_useless(losses):
    assert plot.history({"loss": losses}).get_yscale() == "linear"


def test_history_marks_the_epoch_that_early_stopping_restored(ax):
    history = bpnet.History()
    for loss in (0.5, 0.2, 0.4):
        history.append({"loss": loss})
    history.best_epoch = 2
    plot.history(history, ax)
    assert ax.get_lines()[-1].get_xdata() == [2, 2]
    assert ax.get_legend().get_texts()[-1].get_text() == "best epoch (2)"


# --- the gradients --------------------------------------------------------------------------


def test_gradient_flow_draws_a_line_for_each_layer_in_order(ax):
    history = {f"gradient_norm/{k}": [float(k), k / 10] for k in (10, 2, 1)} | {"loss": [1, 1]}
    assert plot.gradient_flow(history, ax) is ax
    assert [line.get_label() for line in ax.get_lines()] == ["layer 1", "layer 2", "layer 10"]
    assert ax.get_lines()[2].get_xydata().tolist() == [[1, 10.0], [2, 1.0]]
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "epoch"
    assert "norm" in ax.get_ylabel()


def test_gradient_flow_draws_what_fit_recorded():
    data = bpnet.datasets.make_xor(40)
    net = bpnet.Network(
        [bpnet.Dense(3, "tanh"), bpnet.Dropout(0.1), bpnet.Dense(1)],
        loss="binary_crossentropy",
        seed=0,
    )
    history = net.fit(*data, epochs=4, callbacks=[bpnet.GradientFlow()])
    lines = plot.gradient_flow(history).get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [
        history["gradient_norm/1"],
        history["gradient_norm/2"],
    ]


def test_gradient_flow_accepts_norms_of_zero(ax):
    plot.gradient_flow({"gradient_norm/1": [0.0, 0.0]}, ax)
    ax.figure.draw_without_rendering()  # a log scale of nothing positive would warn
    assert ax.get_yscale() == "linear"
    ax = plot.gradient_flow({"gradient_norm/1": [0.0, 0.1, 1.0]})
    ax.figure.draw_without_rendering()
    assert ax.get_yscale() == "log"


def test_lines_differ_by_more_than_color():
    lines = plot.gradient_flow({f"gradient_norm/{k}": [1.0, 2.0] for k in range(1, 21)})
    looks = {(line.get_linestyle(), line.get_marker()) for line in lines.get_lines()}
    assert len(looks) == 20


# --- the decision boundary ------------------------------------------------------------------


def test_boundary_of_two_classes_is_where_they_are_equally_probable(binary, ax):
    assert plot.decision_boundary(binary, X, Y, ax) is ax
    np.testing.assert_allclose(borders(ax)[:, 0], 0.25, atol=1e-3)
    blue, orange = (0.6 + 0.4 * np.array(to_rgb(color)) for color in plot.COLORS[:2])
    np.testing.assert_allclose(shade_at(ax, -1.0, 0.0), blue, atol=1e-3)
    np.testing.assert_allclose(shade_at(ax, 1.1, 0.0), orange, atol=2e-3)
    np.testing.assert_allclose(shade_at(ax, 0.25, 0.0), (blue + orange) / 2, atol=0.01)


def test_examples_lie_on_top_with_the_marker_of_their_class(binary, ax):
    plot.decision_boundary(binary, X, Y, ax)
    first, second, _ = ax.get_lines()
    np.testing.assert_array_equal(first.get_xydata(), X[Y == 0])
    np.testing.assert_array_equal(second.get_xydata(), X[Y == 1])
    assert first.get_marker() != second.get_marker()
    assert first.get_zorder() > ax.images[0].get_zorder()
    assert ax.get_xlabel() == "feature 1"
    assert ax.get_ylabel() == "feature 2"
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < X.min() < X.max() < right
    assert bottom < X.min() < X.max() < top


def test_boundary_of_three_classes_are_their_three_borders(ax):
    # class k is the most probable in a sector of 120 degrees around its direction
    angles = 2.0 * math.pi * np.arange(3) / 3
    net = built(3, [5.0 * np.cos(angles), 5.0 * np.sin(angles)], [0, 0, 0],
                "categorical_crossentropy")  # fmt: skip
    plot.decision_boundary(net, X, [0, 1, 2, 0], ax)
    points = borders(ax)
    points = points[np.hypot(*points.T) > 0.1]
    turned = (np.arctan2(points[:, 1], points[:, 0]) - math.pi / 3) / (2.0 * math.pi / 3)
    np.testing.assert_allclose(turned, np.round(turned), atol=0.02)
    assert {int(k) % 3 for k in np.round(turned)} == {0, 1, 2}
    for angle, color in zip(angles, plot.COLORS, strict=False):
        shade = shade_at(ax, 0.95 * np.cos(angle), 0.95 * np.sin(angle))
        np.testing.assert_allclose(shade, 0.6 + 0.4 * np.array(to_rgb(color)), atol=0.01)


def test_a_network_that_always_says_the_same_has_no_border(ax):
    net = built(1, [[0.0], [0.0]], [3.0], "binary_crossentropy")
    plot.decision_boundary(net, X, Y, ax)
    assert not ax.collections


def test_many_classes_are_drawn_without_a_legend():
    rng = np.random.default_rng(0)
    net = built(20, rng.normal(size=(2, 20)), np.zeros(20), "categorical_crossentropy")
    ax = plot.decision_boundary(net, rng.normal(size=(40, 2)), np.arange(40) % 20)
    assert ax.get_legend() is None
    looks = {(line.get_color(), line.get_marker()) for line in ax.get_lines()[:20]}
    assert len(looks) == 20


def test_one_example_can_be_plotted(binary):
    ax = plot.decision_boundary(binary, [[0.0, 0.0]], [1], resolution=2)
    assert ax.get_xlim() == (-1.0, 1.0)


@pytest.mark.parametrize("y", [Y[:, None], Y.astype(float), [0.1, 0.9, 0.2, 0.8]])
def test_targets_of_one_output_in_any_form(binary, ax, y):
    plot.decision_boundary(binary, X, y, ax)
    np.testing.assert_array_equal(ax.get_lines()[1].get_xydata(), X[Y == 1])


def test_targets_as_one_hot_rows(ax):
    net = built(3, np.eye(2, 3), np.zeros(3), "categorical_crossentropy")
    plot.decision_boundary(net, X, np.eye(3)[[2, 0, 2, 1]], ax)
    np.testing.assert_array_equal(ax.get_lines()[2].get_xydata(), X[[0, 2]])


def test_arrays_and_networks_of_every_backend(backend, ax):
    net = bpnet.Network([bpnet.Dense(1)], loss="binary_crossentropy", seed=0)
    net.build(2, backend)
    plot.decision_boundary(net, backend.asarray(X), backend.asarray(Y), ax, resolution=5)
    np.testing.assert_array_equal(ax.get_lines()[0].get_xydata(), X[Y == 0])
    assert net.backend == backend


def test_the_network_is_left_as_it_was(binary):
    before = [{name: p.copy() for name, p in layer.items()} for layer in binary.parameters]
    plot.decision_boundary(binary, X, Y)
    np.testing.assert_array_equal(binary.parameters[0]["W"], before[0]["W"])


# --- what is rejected -----------------------------------------------------------------------


def unbuilt():
    return bpnet.Network([bpnet.Dense(1)], loss="binary_crossentropy", seed=0)


LINEAR = ([[1.0], [0.0]], [0.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot.history(bpnet.History()), ValueError, "no epoch"),
        (lambda: plot.history({"loss": []}), ValueError, "no epoch"),
        (lambda: plot.decision_boundary(unbuilt(), X, Y), ValueError, "no parameters yet"),
        (
            lambda: plot.decision_boundary(built(1, *LINEAR, "mean_squared_error"), X, Y),
            ValueError,
            "needs a classifier.*mean_squared_error",
        ),
        (
            lambda: plot.decision_boundary(
                built(2, np.eye(2), [0, 0], "binary_crossentropy"), X, np.eye(2)[Y]
            ),
            ValueError,
            "2 labels independently",
        ),
    ],
)
def test_what_cannot_be_drawn_is_rejected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_examples_that_cannot_be_drawn_are_rejected(binary):
    three = bpnet.Network([bpnet.Dense(1)], "binary_crossentropy", seed=0).build(3)
    with pytest.raises(ValueError, match=r"X must have shape \(m, 2\) .*, got \(4, 3\)"):
        plot.decision_boundary(three, np.ones((4, 3)), Y)
    with pytest.raises(ValueError, match="y must be from 0 to 1"):
        plot.decision_boundary(binary, X, Y + 5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_network_that_has_diverged_is_rejected(ax):
    net = bpnet.Network(
        [bpnet.Dense(2), bpnet.Dense(1)], "binary_crossentropy", seed=0, dtype="float64"
    ).build(2)
    net.parameters = [
        {"W": np.full((2, 2), 1e308), "b": np.zeros(2)},
        {"W": np.array([[1.0], [-1.0]]), "b": np.zeros(1)},
    ]
    with pytest.raises(ValueError, match=r"not finite.*smaller learning rate"):
        plot.decision_boundary(net, 10.0 * X, Y, ax)  # both hidden units overflow: inf - inf
    assert not ax.has_data()


# --- how matplotlib is used -----------------------------------------------------------------


def test_matplotlib_is_imported_late_and_pyplot_never():
    program = (
        "import sys, bpnet\n"
        "assert 'matplotlib' not in sys.modules\n"
        "ax = bpnet.plot.history({'loss': [1.0, 0.5]})\n"
        "ax.figure.draw_without_rendering()\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
